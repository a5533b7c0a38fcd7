"""Does diffused attention smooth features less than stacked attention? SCOPE Table 5's setting."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product
from typing import Any, cast

import numpy as np
import torch
import xarray as xr
from torch import Tensor
from torch.nn.functional import layer_norm

from pnpfuse.fusion.arguments import check_choice, check_count
from pnpfuse.fusion.diffusion import MASKS, Attention, attention, coefficients, with_self_loops
from pnpfuse.provenance import provenance
from pnpfuse_analysis import (
    dirichlet_energy,
    knn_graph,
    mean_average_distance,
    rayleigh_quotient,
)
from pnpfuse_analysis.graphs.edges import as_graph
from pnpfuse_analysis.graphs.energy import Convention
from pnpfuse_analysis.graphs.formats import GraphLike
from pnpfuse_analysis.samples import as_samples, standardised

__all__ = ["OPERATORS", "smoothing_study"]

OPERATORS = {
    "gat": "T layers h <- A h, each with an attention of its own, computed from its input",
    "stack": "T layers h <- A h with one attention",
    "residual": "h + sum over t <= T of xi (1-xi)^t A^t h, as SCOPE prints it",
    "truncated": "sum over t <= T of xi (1-xi)^t A^t h, without the residual",
    "renormalised": "the truncated sum, divided by the sum of its weights",
    "iterated": "T times z <- (1-xi) A z + xi h, from z = h",
}

ATTENTIONS = {
    "random": "softmax of (h W_Q)(h W_K)^T / sqrt(p), p = min(d, 64), entries of W from N(0, 1/d)",
    "none": "the same for every neighbour",
}

LONG_NAMES = {
    "dirichlet_energy": "Dirichlet energy of the outcome",
    "energy_ratio": "Dirichlet energy over that of the features before any step",
    "rayleigh_quotient": "energy over variance: roughness that does not depend on scale",
    "mean_average_distance": "cosine distance to the neighbours, mean over all nodes",
}


def smoothing_study(
    features: Tensor | np.ndarray | Mapping[str, Tensor | np.ndarray],
    *,
    k: int = 30,
    steps: Sequence[int] = (0, 1, 3, 5),
    xi: Sequence[float] = (0.1, 0.3, 0.5),
    operators: Sequence[str] = tuple(OPERATORS),
    masks: Sequence[str] = tuple(MASKS),
    projection: str = "random",
    norm: bool = False,
    standardise: bool = True,
    edge_index: GraphLike | None = None,
    convention: str = "scope",
    seeds: int | Iterable[int] = 3,
) -> xr.Dataset:
    """Measure how smooth features are after stacked and after diffused attention.

    Nothing is trained: attention is that of random projections, as before training. For the same
    after training see `retrained_study`.

    Parameters
    ----------
    features : Tensor or ndarray (N, d), or {modality: (N, d)}
        Modalities are put side by side. All is computed in float64, on the features' device.
    k : int
        Neighbours of each sample in the directed kNN graph. Attention runs on this graph with a
        self-loop for each node; energies are measured on it without.
    steps : sequence of int
        T. At T = 0 the sums have the one term t = 0: these are the features themselves for "gat",
        "stack", "renormalised" and "iterated", but (1 + xi) times them for "residual" and xi
        times for "truncated".
    xi : sequence of float
        Decay rates of the diffusion; "gat" and "stack" do not depend on them.
    operators : sequence of str
        Of `OPERATORS`, which says what each does.
    masks : sequence of str
        "neighbours" and "printed", see `pnpfuse.fusion.diffusion.attention`.
    projection : {"random", "none"}
        Queries and keys are h W, with W (d, min(d, 64)) of entries from N(0, 1/d); or zeros, so
        that attention is uniform.
    norm : bool
        Normalise each sample of the outcome to mean 0 and variance 1 (layer norm without weights),
        at T = 0 too, and for "gat" after each layer.
    standardise : bool
        First give each column mean 0 and variance 1; constant columns are left out.
    edge_index : optional
        A graph of your own, no edge twice, in place of the kNN graph, in any form that
        `pnpfuse_analysis.dirichlet_energy` takes; its weights and k have no effect then.
    convention : str
        Of the energy, see `pnpfuse_analysis.dirichlet_energy`.
    seeds : int or iterable of int
        Of the projections; a count means 0, 1, ...

    Returns
    -------
    xarray.Dataset
        dirichlet_energy, energy_ratio, rayleigh_quotient, mean_average_distance over
        (operator, mask, xi, seed, steps); edge_mass over (mask, seed). The attributes name graph,
        attention, mask and formulas. NaN where a measure has no value, as the quotient of features
        that have become equal.

    Raises
    ------
    ValueError
        Naming the argument, what was found and what would do.

    References
    ----------
    SCOPE Sec. 4.3, Table 5 and App. C.
    """
    axes: dict[str, list[Any]] = {
        "operator": several("operators", operators),
        "mask": several("masks", masks),
        "xi": several("xi", xi),
        "seed": numbered(seeds),
        "steps": several("steps", steps),
    }
    for name in axes["operator"]:
        check_choice("operators", name, OPERATORS)
    for name in axes["mask"]:
        check_choice("masks", name, MASKS)
    for T, rate in product(axes["steps"], axes["xi"]):
        coefficients("residual", T, rate)  # refuses a bad T or xi
    check_choice("projection", projection, ("random", "none"))
    x = _matrix(features, standardise)  # (N, d)
    if edge_index is None:
        edges = knn_graph(x, check_count("k", k, most=len(x) - 1))  # (2, E)
    else:
        edges = as_graph(x, edge_index).edges
    before = smoothness(_normalised(x) if norm else x, edges, convention)
    reach = with_self_loops(edges, len(x))  # (2, E + N)

    found = {name: np.empty([len(labels) for labels in axes.values()]) for name in LONG_NAMES}
    mass = np.empty((len(axes["mask"]), len(axes["seed"])))
    for m, s in np.ndindex(mass.shape):
        maps = _projections(x.shape[1], projection, axes["seed"][s])
        layers = max(axes["steps"]) if "gat" in axes["operator"] else 0
        stacked, matrix = _gat(x, maps, reach, axes["mask"][m], layers, norm)
        powers = _powers(x, matrix, max(axes["steps"]))
        mass[m, s] = float(matrix.edge_mass)
        for o, v, t in np.ndindex(*(len(axes[name]) for name in ("operator", "xi", "steps"))):
            operator, T = axes["operator"][o], axes["steps"][t]
            if v and operator in ("gat", "stack"):  # xi is nothing to them
                for values in found.values():
                    values[o, m, v, s, t] = values[o, m, 0, s, t]
                continue
            if operator == "gat":
                h = stacked[T]
            else:
                h = _combined(powers, coefficients(operator, T, axes["xi"][v]))
                h = _normalised(h) if norm else h
            for name, value in smoothness(h, edges, convention).items():
                found[name][o, m, v, s, t] = value
    found["energy_ratio"] = found["dirichlet_energy"] / before["dirichlet_energy"]
    return _dataset(
        found,
        mass,
        axes,
        samples=f"{x.shape[0]} x {x.shape[1]}",
        columns="standardised" if standardise else "as given",
        graph="as given"
        if edge_index is not None
        else f"directed kNN, k = {k}, without self-loops",
        attention=ATTENTIONS[projection],
        norm="layer norm of each sample" if norm else "none",
        convention=convention,
    )


def smoothness(x: Tensor, edges: Tensor, convention: str = "scope") -> dict[str, float]:
    """Dirichlet energy, Rayleigh quotient and mean average distance of x (N, d) on a graph."""
    measured = {
        "dirichlet_energy": dirichlet_energy(x, edges, convention=cast(Convention, convention)),
        "rayleigh_quotient": rayleigh_quotient(x, edges),
        "mean_average_distance": mean_average_distance(x, edges),
    }
    return {name: float(value) for name, value in measured.items()}


def several(name: str, given: Any) -> list[Any]:
    """The entries of an axis, at least one and all different; one alone may stand for itself."""
    alone = isinstance(given, str) or not isinstance(given, Iterable)
    listed = [given] if alone else list(given)
    if not listed or len(set(listed)) < len(listed):
        raise ValueError(f"{name} must hold different values, at least one; found {given!r}")
    return listed


def numbered(seeds: int | Iterable[int]) -> list[int]:
    """The seeds that a count or a list means."""
    listed = list(seeds) if isinstance(seeds, Iterable) else range(check_count("seeds", seeds))
    return several("seeds", [check_count("seeds", seed, least=0) for seed in listed])


def _matrix(features: Any, standardise: bool) -> Tensor:
    """All modalities side by side in float64, (N, d)."""
    if not isinstance(features, Mapping):
        x = as_samples(features, "features", continuous=False)
    else:
        parts = {
            m: as_samples(X, f"features[{m!r}]", continuous=False) for m, X in features.items()
        }
        rows = {m: len(part) for m, part in parts.items()}
        if len(set(rows.values())) != 1:
            raise ValueError(f"features must have the same rows in all modalities; found {rows}")
        x = torch.cat(list(parts.values()), dim=1)
    if len(x) < 2:
        raise ValueError("features must have two rows at least; found one")
    if not standardise:
        return x
    x = standardised(x)[0]
    if not x.shape[1]:
        raise ValueError("features must vary; found all rows equal")
    return x


def _projections(width: int, projection: str, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """W_Q and W_K of one layer after the other, each (d, p), on the CPU for the same numbers."""
    generator = torch.Generator().manual_seed(seed)
    shape = (2, width, min(width, 64))
    scale = 0.0 if projection == "none" else width**-0.5
    while True:
        drawn = torch.randn(shape, generator=generator, dtype=torch.float64) * scale
        yield drawn[0], drawn[1]


def _gat(
    x: Tensor,
    maps: Iterator[tuple[Tensor, Tensor]],
    reach: Tensor,
    mask: str,
    steps: int,
    norm: bool,
) -> tuple[list[Tensor], Attention]:
    """Features after 0, 1, ... layers with their own attention; the attention of the first."""
    h, outcomes, matrices = x, [_normalised(x) if norm else x], []
    for _ in range(max(1, steps)):
        query, key = (h @ W.to(h) for W in next(maps))  # (N, p)
        matrices.append(attention(query, key, reach, mask=mask))
        h = matrices[-1] @ h
        h = _normalised(h) if norm else h
        outcomes.append(h)
    return outcomes, matrices[0]


def _normalised(x: Tensor) -> Tensor:
    return layer_norm(x, x.shape[1:])


def _powers(x: Tensor, matrix: Attention, steps: int) -> list[Tensor]:
    """x, A x, ..., A^T x."""
    powers = [x]
    for _ in range(steps):
        powers.append(matrix @ powers[-1])
    return powers


def _combined(powers: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    total = weights[0] * powers[0]
    for weight, power in zip(weights[1:], powers[1:], strict=False):
        total = total + weight * power
    return total


def _dataset(
    found: Mapping[str, np.ndarray], mass: np.ndarray, axes: Mapping[str, list], **attrs: Any
) -> xr.Dataset:
    one = {"units": "1"}
    dataset = xr.Dataset(
        {
            name: (tuple(axes), values, one | {"long_name": LONG_NAMES[name]})
            for name, values in found.items()
        },
        coords={name: (name, labels, one | {"long_name": name}) for name, labels in axes.items()},
    )
    dataset["edge_mass"] = (
        ("mask", "seed"),
        mass,
        one | {"long_name": "share of the attention that lies on edges, mean over the rows"},
    )
    dataset.attrs = provenance(
        "smoothness after stacked and after diffused attention",
        operators=json.dumps({name: OPERATORS[name] for name in axes["operator"]}),
        masks=json.dumps({name: MASKS[name] for name in axes["mask"]}),
        **attrs,
    )
    return dataset
