"""Over-smoothing: the measures of a graph together, through the layers of a network or at one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, get_args

import torch
from torch import Tensor

from pnpfuse_analysis.geometry.embeddings import effective_rank
from pnpfuse_analysis.samples import Array, as_tensor

from .angles import mean_average_distance
from .edges import Direction, as_graph
from .energy import Convention, dirichlet_energy, rayleigh_quotient
from .formats import GraphLike


@dataclass(frozen=True, eq=False)
class SmoothingProfile:
    """How smooth features are on a graph, layer by layer.

    Tensors are float64 (float32 on MPS), on the device of the features, detached.

    Attributes
    ----------
    names : tuple of str, length L
        The layers.
    energy : Tensor, shape (L,)
        `dirichlet_energy`. It falls too where the features only shrink.
    rayleigh : Tensor, shape (L,)
        `rayleigh_quotient`, which does not: smoothness whatever the scale.
    mean_average_distance : Tensor, shape (L,)
        Mean cosine distance of neighbours.
    effective_rank : Tensor, shape (L,)
        exp of the entropy of the normalised singular values: Roy and Vetterli, "The effective
        rank", EUSIPCO 2007. 1 where all nodes are multiples of one vector.
    log_slope : Tensor, shape ()
        Slope of log(energy) over the layers, by least squares: the energy changes by
        exp(log_slope) a layer. Layers of energy 0 are left out; NaN if fewer than two are left.
        Clearly below 0 while the quotient falls as well: the exponential collapse that is called
        over-smoothing.
    convention : str
        Of the energy.
    """

    names: tuple[str, ...]
    energy: Tensor
    rayleigh: Tensor
    mean_average_distance: Tensor
    effective_rank: Tensor
    log_slope: Tensor
    convention: Convention = "scope"

    def __repr__(self) -> str:
        rows = [f"SmoothingProfile, energy x {self.log_slope.exp().item():.3g} a layer:"]
        rows += [
            f"  {name}: energy {e:.4g}, Rayleigh {r:.4g}, MAD {m:.4g}, effective rank {k:.3g}"
            for name, e, r, m, k in zip(
                self.names,
                self.energy.tolist(),
                self.rayleigh.tolist(),
                self.mean_average_distance.tolist(),
                self.effective_rank.tolist(),
                strict=True,
            )
        ]
        return "\n".join(rows)

    def plot(self, ax: Any = None) -> Any:
        """Draw all four over the layers, relative to the first layer, and return the axes.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; None opens a new figure.
        """
        if ax is None:
            from matplotlib import pyplot

            ax = pyplot.subplots(layout="constrained")[1]
        curves = {
            f"energy ({self.log_slope.exp().item():.2g}x a layer)": self.energy,
            "Rayleigh quotient": self.rayleigh,
            "mean average distance": self.mean_average_distance,
            "effective rank": self.effective_rank,
        }
        for label, values in curves.items():
            ax.plot((values / values[0]).tolist(), marker="o", label=label)
        ax.set_xticks(range(len(self.names)), self.names)
        ax.set(yscale="log", xlabel="layer", ylabel="relative to the first layer")
        ax.legend()
        return ax


def smoothing_profile(
    layers: Iterable[Array] | Mapping[str, Array],
    edge_index: GraphLike,
    edge_weight: Array | None = None,
    *,
    convention: Convention = "scope",
    direction: Direction = "as_given",
    chunk: int | None = None,
) -> SmoothingProfile:
    """Return the measures of smoothness of every layer's features on one graph.

    Parameters
    ----------
    layers : sequence of Tensor or ndarray, each of shape (V, d), or mapping of str to such
        Features after each layer, in order; d may change from layer to layer.
    edge_index, edge_weight, convention, direction, chunk
        As in `dirichlet_energy`. The graphs of a batch are taken together, as one.

    Returns
    -------
    SmoothingProfile

    Raises
    ------
    ValueError
        If there are no layers, one is not of shape (V, d) with the same V as the first, or as
        `dirichlet_energy`.
    """
    features = _named(layers)
    first = as_graph(next(iter(features.values())), edge_index, edge_weight, direction=direction)
    rows = []
    with torch.no_grad():
        for x in features.values():
            graph = as_graph(x, first.edges, first.weight)
            energy = dirichlet_energy(
                graph.x, graph.edges, graph.weight, convention=convention, chunk=chunk
            )
            rows.append(torch.stack((energy, *_whatever_the_scale(graph, chunk).values())))
    energy, rayleigh, distance, rank = torch.stack(rows, 1)
    return SmoothingProfile(
        names=tuple(features),
        energy=energy,
        rayleigh=rayleigh,
        mean_average_distance=distance,
        effective_rank=rank,
        log_slope=_log_slope(energy),
        convention=convention,
    )


def _named(layers):
    """Features by the name of their layer, or its number: {name: (V, d)}."""
    pairs = list(layers.items() if isinstance(layers, Mapping) else enumerate(layers))
    found = {str(name): as_tensor(x, f"layers[{name!r}]") for name, x in pairs}
    if not found:
        raise ValueError("layers must hold features of at least one layer, found none")
    if len(found) < len(pairs):
        raise ValueError(f"layers must have names that differ as text, found {list(layers)}")
    shapes = [tuple(x.shape) for x in found.values()]
    if any(len(shape) not in (1, 2) or shape[0] != shapes[0][0] for shape in shapes):
        raise ValueError(f"layers must all have shape (V, d) with the same V, found {shapes}")
    return found


def smoothing_report(
    x: Array,
    edge_index: GraphLike,
    edge_weight: Array | None = None,
    *,
    chunk: int | None = None,
) -> dict[str, float]:
    """Return every measure of features on a graph, with what is peculiar about the graph.

    Parameters
    ----------
    x : Tensor or ndarray, shape (V, d) or (V,)
        Node features of any real dtype.
    edge_index, edge_weight, chunk
        As in `dirichlet_energy`. The graphs of a batch are taken together, as one.

    Returns
    -------
    dict of str to int or float, on the CPU
        nodes, edges, features: V, E and d. self_loops, duplicate_edges: stored edges (i, i), and
        those stored before. isolated: nodes without an edge to another. reciprocity: share of the
        pairs (i, j), i != j, whose reverse is an edge too; 1 for an undirected graph, NaN without
        edges. zero_nodes: nodes with the vector 0. Edges of weight 0 are stored, but join nothing.

        scope, sqrt, edge_mean, trace, sym, rw: `dirichlet_energy` of each convention;
        scope_union, scope_mutual: of the symmetric graphs. rayleigh, mean_average_distance and
        effective_rank: as in `SmoothingProfile`; rayleigh_sym: of the normalised Laplacian.

    Raises
    ------
    ValueError
        As `dirichlet_energy`, or if x has three axes.
    """
    with torch.no_grad():
        graph = as_graph(x, edge_index, edge_weight)
        if x.ndim == 3:
            raise ValueError(
                f"x must have shape (V, d) or (V,), found {tuple(x.shape)}; report on one set at a "
                "time"
            )
        edges, weight = graph.edges, graph.weight
        measures = {
            name: dirichlet_energy(graph.x, edges, weight, convention=name, chunk=chunk)
            for name in get_args(Convention)
        }
        for direction in ("union", "mutual"):
            measures[f"scope_{direction}"] = dirichlet_energy(
                graph.x, edges, weight, direction=direction, chunk=chunk
            )
        measures |= _whatever_the_scale(graph, chunk)
        measures["rayleigh_sym"] = rayleigh_quotient(
            graph.x, edges, weight, laplacian="sym", chunk=chunk
        )
        values = torch.stack(tuple(measures.values())).tolist()
    return _counts(graph) | dict(zip(measures, values, strict=True))


def _counts(graph):
    """What is peculiar about a graph, in numbers."""
    i, j = graph.edges
    proper = graph.edges[:, (i != j) & (graph.weight > 0)]
    pairs = torch.unique(proper[0] * graph.count + proper[1])
    reverse = pairs % graph.count * graph.count + pairs // graph.count
    joined = torch.unique(proper)
    returned = int(torch.isin(reverse, pairs).sum())
    return {
        "nodes": graph.count,
        "edges": graph.edges.shape[1],
        "features": graph.x.shape[1],
        "self_loops": int((i == j).sum()),
        "duplicate_edges": graph.edges.shape[1] - len(torch.unique(i * graph.count + j)),
        "isolated": graph.count - len(joined),
        "zero_nodes": int((graph.x == 0).all(1).sum()),
        "reciprocity": returned / len(pairs) if len(pairs) else float("nan"),
    }


def _whatever_the_scale(graph, chunk):
    """The measures that do not change with the scale of the features."""
    return {
        "rayleigh": rayleigh_quotient(graph.x, graph.edges, graph.weight, chunk=chunk),
        "mean_average_distance": mean_average_distance(
            graph.x, graph.edges[:, graph.weight > 0], chunk=chunk
        ),
        "effective_rank": effective_rank(graph.x).to(graph.weight),
    }


def _log_slope(energy):
    """Slope of log(energy) (L,) over the layers where it is finite: ()."""
    height = energy.log()
    there = torch.isfinite(height)
    height = torch.where(there, height, 0)
    place = torch.arange(len(energy), device=energy.device).to(energy)
    place = (place - (place * there).sum() / there.sum()) * there
    return (place * height).sum() / place.square().sum()
