"""SCOPE's graphs, slow and obvious: one row at a time, plain numpy and SciPy."""

import math
from itertools import combinations

import numpy as np
from scipy.optimize import brentq


def exact_row(cost):
    """(weights, lambda) of Eq. (5) for costs > 0, two or more: a root in log lambda."""
    cost = np.asarray(cost, float)

    def weights(log):
        return np.sqrt(np.maximum(1 - 2 * cost / math.exp(log), 0))

    # At twice the least cost all weights are 0; Theorem 1's upper bound holds.
    low, high = math.log(2 * cost.min()), math.log(2 * cost.sum() / (len(cost) - 1))
    log = brentq(lambda x: weights(x).sum() - 1, low, high, xtol=1e-15, rtol=1e-15)
    return weights(log), math.exp(log)


def printed_row(cost):
    """Theorem 1's closed form for costs > 0, two or more."""
    k, total = len(cost), sum(cost)
    return [math.sqrt(max(0.0, 1 - (k * k - 1) * f / (k * total))) for f in cost]


def objective(weights, cost):
    """A row's part of Eq. (4)."""
    return sum(math.log((1 + g) / (1 - g)) * f for g, f in zip(weights, cost, strict=True))


def graph(h, k, candidates=None, present=None, among=None):
    """Dense G (batch, C) with exact weights, and {i: set of neighbours}; costs above 0."""
    own = candidates is None
    others = h if own else candidates
    present = [True] * len(h) if present is None else present
    among = present if own else ([True] * len(others) if among is None else among)
    G, chosen = np.zeros((len(h), len(others))), {}
    for i, x in enumerate(h):
        cost = {
            j: float(((x - y) ** 2).sum())
            for j, y in enumerate(others)
            if present[i] and among[j] and not (own and i == j)
        }
        nearest = sorted(cost, key=cost.get)[:k]
        chosen[i] = set(nearest)
        if len(nearest) == 1:
            G[i, nearest] = 1
        elif nearest:
            G[i, nearest] = exact_row([cost[j] for j in nearest])[0]
    return G, chosen


def alignment(graphs):
    """Eq. (6) for dense graphs (batch, C): over the rows that both of a pair have."""
    gaps = []
    for a, b in combinations(graphs, 2):
        rows = a.any(1) & b.any(1)
        gaps.append(((a - b)[rows] ** 2).sum() / max(1, rows.sum()) / a.shape[1])
    return sum(gaps) / len(gaps)
