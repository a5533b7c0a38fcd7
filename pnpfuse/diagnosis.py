"""Three questions to a trained fusion model: do its losses fight, do its features collapse, and
what do its shared and specific parts know of each other."""

import json

import numpy as np
import torch
import xarray as xr
from sklearn.decomposition import PCA
from torch import Tensor
from torch.nn.functional import cross_entropy

from pnpfuse.data import Views
from pnpfuse.evaluation import check_views, masks_for, rows_for
from pnpfuse.fusion.arguments import check_count
from pnpfuse.fusion.exchange import Exchange
from pnpfuse.fusion.model import FusionModel
from pnpfuse.provenance import provenance
from pnpfuse_analysis import (
    dirichlet_energy,
    entropy,
    grad_cosine,
    knn_graph,
    mutual_information,
    rayleigh_quotient,
)

POINTS = ("encoder output", "bottleneck")
STAGES = ("encoded", "fused")
PAIRS = ("own", "received")
PARTS = ("shared", "specific")

_LONG_NAMES = {
    "gradient_cosine": "cosine between task and preservation gradient, whole batch",
    "conflict_rate": "share of rows whose gradients have a negative cosine",
    "sample_cosine": "cosine between task and preservation gradient, row by row",
    "dirichlet_energy": "mean over rows of squared distances to their nearest neighbours",
    "rayleigh_quotient": "energy over variance: roughness that does not depend on scale",
    "entropy": "differential entropy of the part's leading principal components",
    "mutual_information": "between the shared and the specific part",
    "mutual_information_low": "lower end of the 95 % interval (sampling error, not bias)",
    "mutual_information_high": "upper end of the 95 % interval (sampling error, not bias)",
    "mutual_information_null": "mean after shuffling one part: what the estimator calls nothing",
}
_UNITS = {name: "nat" for name in _LONG_NAMES if name.startswith(("entropy", "mutual"))}


def diagnose(
    model: FusionModel, views: Views, *, neighbours: int = 10, components: int = 3, seed: int = 0
) -> xr.Dataset:
    """Diagnose a trained model of the PMR family.

    Parameters
    ----------
    model : FusionModel
        With a preservation loss and shared and specific parts ("gmf", "spmr", "rpmr").
    views : Views
        Gradients are taken on the training rows, with dropout off; energies and information on
        the test rows. Where samples lack modalities, the model is told so as in training, and
        the information between two parts is that over the rows that have both.
    neighbours : int
        Of the kNN graph on which energies are measured.
    components : int
        Principal components kept of each part for entropy and mutual information: nearest-
        neighbour estimators lose track in many dimensions.
    seed : int
        Of subsamples and permutations.

    Returns
    -------
    xarray.Dataset
        gradient_cosine, conflict_rate (point), sample_cosine (point, row); dirichlet_energy,
        rayleigh_quotient (stage); entropy (pair, modality, part), mutual_information with its
        interval and null (pair, modality). ``pair`` "own" is a modality's own shared and specific
        part, "received" the shared part of its source beside its specific part, as in Z.

    Raises
    ------
    ValueError
        For a model without these parts, or views that do not fit.

    References
    ----------
    PMR Sec. 5.5 (gradient conflict); SCOPE App. C (Dirichlet energy); Kraskov, Stoegbauer and
    Grassberger, Phys. Rev. E 69 (2004) 066138.
    """
    train, test = check_views(model, views, "train"), check_views(model, views, "test")
    neighbours = check_count("neighbours", neighbours)
    components = check_count("components", components)
    seed = check_count("seed", seed, least=0)
    was_training = model.training
    model.eval()
    try:
        values: dict[str, tuple[tuple[str, ...], np.ndarray]] = {}
        values |= _gradients(model, train)
        values |= _smoothness(model, test, neighbours)
        values |= _information(model, test, components, seed)
    finally:
        model.train(was_training)
    dataset = xr.Dataset(
        {
            name: (dims, array, {"units": _UNITS.get(name, "1"), "long_name": _LONG_NAMES[name]})
            for name, (dims, array) in values.items()
        },
        coords={
            name: (name, list(labels), {"units": "1", "long_name": name})
            for name, labels in {
                "point": POINTS,
                "stage": STAGES,
                "pair": PAIRS,
                "modality": tuple(model.dims),
                "part": PARTS,
            }.items()
        },
    )
    dataset.attrs = provenance(
        "diagnostics of a trained fusion model",
        model=model.name,
        options=json.dumps(model.options),
        data=views.name,
        neighbours=neighbours,
        components=components,
        seed=seed,
    )
    return dataset


def _gradients(model: FusionModel, rows: Views) -> dict:
    X, labels = rows_for(model, rows)
    present = masks_for(model, rows)
    with torch.no_grad():
        encoded = model.encode(X, present)
    V = {m: v.requires_grad_(True) for m, v in encoded.items()}  # (rows, l_m)
    fusion = model.fuse(V, present)
    if "preservation" not in fusion.losses:
        raise ValueError(
            f"model: got {model.name!r}, which has no preservation loss; give a model with shared "
            "and specific parts: gmf, spmr or rpmr"
        )
    losses = {
        "task": cross_entropy(model.classify(fusion), labels),
        "preservation": fusion.losses["preservation"],
    }
    reports = [grad_cosine(losses, list(at.values()), main="task") for at in (V, fusion.fused)]
    return {
        "gradient_cosine": (("point",), np.array([_numpy(r.cosine)[0] for r in reports])),
        "conflict_rate": (("point",), np.array([_numpy(r.conflict_rate)[0] for r in reports])),
        "sample_cosine": (
            ("point", "row"),
            np.stack([_numpy(r.sample_cosine)[:, 0] for r in reports]),
        ),
    }


@torch.no_grad()
def _smoothness(model: FusionModel, rows: Views, neighbours: int) -> dict:
    X, _ = rows_for(model, rows)
    present = masks_for(model, rows)
    V = model.encode(X, present)
    energies, quotients = [], []
    for parts in (V, model.fuse(V, present).fused):
        features = torch.cat(list(parts.values()), dim=-1)  # (rows, sum of widths)
        graph = knn_graph(features, neighbours)
        energies.append(dirichlet_energy(features, graph).item())
        quotients.append(rayleigh_quotient(features, graph).item())
    return {
        "dirichlet_energy": (("stage",), np.array(energies)),
        "rayleigh_quotient": (("stage",), np.array(quotients)),
    }


@torch.no_grad()
def _information(model: FusionModel, rows: Views, components: int, seed: int) -> dict:
    X, _ = rows_for(model, rows)
    present = masks_for(model, rows)
    V = model.encode(X, present)
    fusion = model.fuse(V, present)
    common = min(v.shape[1] for v in V.values())
    block = model.block
    assert isinstance(block, Exchange)  # it has a preservation loss
    own = {m: z[:, :common] for m, z in block.embed(V).items()}
    entropies, table = [], []
    for pair, shared_parts in zip(PAIRS, (own, fusion.shared), strict=True):
        for m in model.dims:
            both = [shared_parts[m], fusion.specific[m]]
            if present is not None:
                kept = present[m] & present[m if pair == "own" else block.source_of(m)]  # (rows,)
                both = [part[kept] for part in both]
            parts = [_leading(part, components) for part in both]
            generator = torch.Generator().manual_seed(seed)
            found = mutual_information(*parts, ci="subsample", null=20, generator=generator)
            entropies.append([float(entropy(part)) for part in parts])
            low, high = found.ci if found.ci is not None else (np.nan, np.nan)
            table.append([float(found), low, high, found.null_mean])
    shape = (len(PAIRS), len(model.dims))
    numbers = np.array(table, dtype=float).reshape(*shape, 4)
    names = [name for name in _LONG_NAMES if name.startswith("mutual")]
    return {
        "entropy": (("pair", "modality", "part"), np.array(entropies).reshape(*shape, 2)),
        **{name: (("pair", "modality"), numbers[..., i]) for i, name in enumerate(names)},
    }


def _leading(part: Tensor, components: int) -> np.ndarray:
    """The leading principal components (rows, <= components), float64."""
    return PCA(min(components, part.shape[1]), svd_solver="full").fit_transform(_numpy(part))


def _numpy(tensor: Tensor | None) -> np.ndarray:
    assert tensor is not None  # reports were asked for per sample
    return tensor.detach().cpu().double().numpy()
