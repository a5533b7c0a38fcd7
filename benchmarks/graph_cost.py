"""Dirichlet energy, Rayleigh quotient and MAD beside one gather pass and SciPy's quadratic form.

The floor is what anyone would write, ((x[i] - x[j])**2).sum() in float32, and beside it the same
in blocks that stay in the cache. All in turns, one thread, warm; medians.
"""

import timing
import torch
from costs import row

import numpy as np  # isort: skip
from scipy.sparse import csgraph, csr_array

from pnpfuse_analysis import (
    dirichlet_energy,
    knn_graph,
    mean_average_distance,
    rayleigh_quotient,
)

GOAL = 2.0  # times the floor
CACHED = 2**18  # float32 numbers to a block of the floor in blocks


def plain(x, edges):
    """One gather pass, as anyone would write it."""
    i, j = edges
    return ((x[i] - x[j]) ** 2).sum()


def in_blocks(x, edges):
    """The same in blocks that stay in the cache."""
    chunk = CACHED // x.shape[1]
    return sum(
        (x.index_select(0, i) - x.index_select(0, j)).square_().sum()
        for i, j in (part for part in edges.split(chunk, 1))
    )


def with_gradient(measure, x, edges):
    """The gradient of a measure with respect to x."""
    leaf = x.clone().requires_grad_()
    measure(leaf, edges).backward()
    return leaf.grad


def quadratic_form(x, matrix):
    """tr(X^T L X) / (V / 2) in float64 from a symmetric matrix."""
    wide = x.numpy().astype(np.float64)
    return 2 * np.vdot(wide, csgraph.laplacian(matrix) @ wide) / len(wide)


def exact_energy(x, edges):
    """In the longest floats of the machine."""
    wide = x.numpy().astype(np.longdouble)
    blocks = (part.numpy() for part in edges.split(10_000, 1))
    return float(sum(((wide[i] - wide[j]) ** 2).sum() for i, j in blocks) / len(wide))


def graphs(edges, neighbours):
    """A graph without any order and one of neighbours, with about as many edges."""
    draw = torch.Generator().manual_seed(0)
    count = edges // neighbours
    places = torch.rand(count, 3, generator=draw)
    return {
        "random graph": torch.randint(count, (2, edges), generator=draw),
        "kNN graph": knn_graph(places, neighbours),
    }


def line(name, times, here, against, sizes, goal=None, kind="floor"):
    """The row of the times `here` and `against`."""
    seconds = times[against].seconds
    return row(name, times[here].seconds, against=(kind, against, seconds), goal=goal, **sizes)


def cost(edges, features, neighbours, rounds):
    """Every measure beside a gather pass, on both graphs."""
    for kind, graph in graphs(edges, neighbours).items():
        count = int(graph.max()) + 1
        x = torch.randn(count, features, generator=torch.Generator().manual_seed(1))
        sizes = {"V": count, "E": graph.shape[1], "d": features}
        calls = {
            "one gather pass": lambda x=x, e=graph: plain(x, e),
            "a gather pass in blocks": lambda x=x, e=graph: in_blocks(x, e),
            "energy": lambda x=x, e=graph: dirichlet_energy(x, e),
            "Rayleigh quotient": lambda x=x, e=graph: rayleigh_quotient(x, e),
            "mean average distance": lambda x=x, e=graph: mean_average_distance(x, e),
        }
        times = timing.in_turn(calls, rounds)
        for name in ("energy", "Rayleigh quotient", "mean average distance"):
            goal = GOAL if name == "energy" else None
            for floor in ("one gather pass", "a gather pass in blocks"):
                yield line(f"{name}, {kind}", times, name, floor, sizes, goal)
        calls = {
            "gather and autograd": lambda x=x, e=graph: with_gradient(plain, x, e),
            "energy": lambda x=x, e=graph: with_gradient(dirichlet_energy, x, e),
        }
        times = timing.in_turn(calls, rounds)
        yield line(
            f"energy and its gradient, {kind}", times, "energy", "gather and autograd", sizes
        )


def growth(edges, features, neighbours, rounds):
    """Four times the edges (and nodes), or four times the features: times the seconds."""
    cases = {
        "here": (edges, features),
        "E / 4": (edges // 4, features),
        "d / 4": (edges, features // 4),
    }
    calls = {}
    for name, (number, width) in cases.items():
        graph = graphs(number, neighbours)["random graph"]
        x = torch.randn(number // neighbours, width, generator=torch.Generator().manual_seed(1))
        calls[name] = lambda x=x, e=graph: dirichlet_energy(x, e)
    times = timing.in_turn(calls, rounds)
    sizes = {"V": edges // neighbours, "E": edges, "d": features}
    for name in ("E / 4", "d / 4"):
        yield line(f"growth of the energy from {name}", times, "here", name, sizes)


def collapse(edges, features, neighbours, rounds):
    """Features at +-5, almost collapsed there: seconds and error beside SciPy's Laplacian."""
    graph = graphs(edges, neighbours)["kNN graph"]
    count = int(graph.max()) + 1
    # Neighbours are on the same side.
    side = torch.where(torch.arange(count) < count // 2, 5.0, -5.0)[:, None]
    graph = graph[:, (graph[0] < count // 2) == (graph[1] < count // 2)]
    graph = torch.cat((graph, graph.flip(0)), 1)
    draw = torch.Generator().manual_seed(1)
    x = side + 1e-7 * torch.randn(count, features, generator=draw, dtype=torch.float64)
    weight = np.ones(graph.shape[1])
    matrix = csr_array((weight, graph.numpy()), shape=(count, count))
    calls = {
        "scipy": lambda: quadratic_form(x, matrix),
        "energy": lambda: float(dirichlet_energy(x, matrix)),
    }
    times = timing.in_turn(calls, rounds)
    exact = exact_energy(x, graph)
    sizes = {"V": count, "E": graph.shape[1], "d": features}
    near = line("energy near collapse", times, "energy", "scipy", sizes, kind="peer")
    for name, time in times.items():
        near[f"error of {name}"] = abs(time.result / exact - 1)
    yield near
    x = (side + 1e-4 * torch.randn(count, features, generator=draw)).float()
    exact, single = exact_energy(x, graph), float(plain(x, graph)) / count
    square = x.square().sum(1)
    i, j = graph
    expanded = float((square[i] + square[j]).sum() - 2 * (x[i] * x[j]).sum()) / count
    yield {
        "line": "errors in float32 near collapse",
        "error of one gather pass": abs(single / exact - 1),
        "error of the expanded squares": abs(expanded / exact - 1),
        **sizes,
    }


def measure(quick=False):
    """Return the rows: line, here, floor or peer (name, seconds), ratio, goal, sizes."""
    torch.set_num_threads(1)
    edges, rounds = (100_000, 3) if quick else (1_000_000, 5)
    return [
        *cost(edges, 64, 10, rounds),
        *growth(edges, 64, 10, rounds),
        *collapse(edges // 5, 64, 10, rounds),
    ]
