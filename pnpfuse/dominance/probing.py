"""How well a class can be read off what a trained model makes of one modality."""

from __future__ import annotations

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from pnpfuse.evaluation import accuracies, in_order
from pnpfuse.fusion.model import FusionModel
from pnpfuse.views import Views

SCORES = ("accuracy", "balanced_accuracy")
# Of the probe's penalty, as scikit-learn has it; fixed beforehand, never chosen by the test rows.
C = 1.0
ITERATIONS = 2000


def probe(model: FusionModel, views: Views) -> xr.Dataset:
    """Linear probes of a trained model's modalities, over (modality, score).

    A logistic regression on standardised features learns from the training rows that have the
    modality and is scored on the test rows that have it. The model learns nothing here.

    Returns
    -------
    xarray.Dataset
        ``probe``: of the representation with that modality alone present; ``probe_beside``: with
        the others beside it, which differs where a model refines a modality by the others.
    """
    read = [probe_modality(model, views, m) for m in model.dims]
    apart, beside = zip(*read, strict=True)
    return xr.Dataset(
        {
            "probe": (("modality", "score"), list(apart)),
            "probe_beside": (("modality", "score"), list(beside)),
        },
        coords={"modality": list(model.dims), "score": list(SCORES)},
    )


def probe_modality(
    model: FusionModel, views: Views, modality: str, *, beside: bool = True
) -> tuple[tuple[float, float], tuple[float, float]]:
    """`probe` and `probe_beside` of one modality, each in the order of `SCORES`.

    Without `beside` the second is the first once more, in half the time.
    """
    train, test = views.train, views.test
    rows = held(train, modality), held(test, modality)
    labels = train.labels[rows[0]], test.labels[rows[1]]
    learned = represent(model, train, rows[0], modality)
    tested = represent(model, test, rows[1], modality)
    apart = _scores(learned[0], labels[0], tested[0], labels[1])
    if not beside or learned[0] is learned[1]:  # the model does not refine
        return apart, apart
    return apart, _scores(learned[1], labels[0], tested[1], labels[1])


def held(views: Views, modality: str) -> NDArray[np.int64]:
    """The numbers of the rows that have the modality."""
    if views.present is None:
        return np.arange(len(views))
    return np.flatnonzero(views.present[modality])


@torch.inference_mode()
def represent(
    model: FusionModel, views: Views, rows: NDArray[np.int64], modality: str
) -> tuple[NDArray, NDArray]:
    """What the model makes of a modality in some rows that have it, twice (rows, width).

    With that modality alone present, and with all that the rows have. The encoder's output, or
    what the block has refined it to; a block that does not refine gives the same array twice.
    """
    weight = next(model.parameters())
    apart, beside = [], []
    for part in in_order(len(rows), views.dims):
        given = views.read(rows[part])
        X = {m: torch.from_numpy(x).to(weight.device, weight.dtype) for m, x in given.items()}
        had = views.read_present(rows[part])
        every = {m: torch.from_numpy(x).to(weight.device) for m, x in (had or {}).items()}
        here = torch.ones(len(part), dtype=torch.bool, device=weight.device)
        alone = {m: here if m == modality else ~here for m in X}
        V = model.encode(X, alone)  # each (batch, l_m)
        refined = {} if model.block.wants_inputs else model.fuse(V, alone).refined
        apart.append((refined or V)[modality].double().cpu().numpy())
        if refined:
            among = model.fuse(model.encode(X, every or None), every or None).refined
            beside.append(among[modality].double().cpu().numpy())
    joined = np.concatenate(apart)  # (rows, width)
    return joined, np.concatenate(beside) if beside else joined


def _scores(
    learned: NDArray, labels: NDArray, tested: NDArray, truth: NDArray
) -> tuple[float, float]:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    classifier = make_pipeline(StandardScaler(), LogisticRegression(C=C, max_iter=ITERATIONS))
    return accuracies(truth, classifier.fit(learned, labels).predict(tested))
