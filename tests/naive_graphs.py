"""Slow and obvious measures of features on a graph, from dense matrices."""

import numpy as np


def weights(edges, count, weight=None):
    """Dense W (V, V); repeated edges add up."""
    dense = np.zeros((count, count))
    for e, (i, j) in enumerate(np.asarray(edges).T):
        dense[i, j] += 1 if weight is None else weight[e]
    return dense


def laplacian(dense, kind="comb"):
    """L or L_sym of the symmetric part of W."""
    s = (dense + dense.T) / 2
    degree = s.sum(1)
    if kind == "comb":
        return np.diag(degree) - s
    root = np.array([d**-0.5 if d > 0 else 0 for d in degree])
    return np.diag((degree > 0).astype(float)) - root[:, None] * s * root


def dirichlet_energy(x, dense, convention):
    x = np.asarray(x, float).reshape(len(x), -1)
    count = len(x)
    square = np.array([[np.sum((x[i] - x[j]) ** 2) for j in range(count)] for i in range(count)])
    if convention == "scope":
        return (dense * square).sum() / count
    if convention == "sqrt":
        return np.sqrt((dense * square).sum() / count)
    if convention == "edge_mean":
        return (dense * square).sum() / dense.sum()
    if convention == "trace":
        return np.trace(x.T @ laplacian(dense) @ x)
    if convention == "sym":
        return np.trace(x.T @ laplacian(dense, "sym") @ x)
    out = dense.sum(1)
    return sum(dense[i] @ square[i] / out[i] for i in range(count) if out[i] > 0) / 2


def mean_average_distance(x, dense):
    """Over the nonzero entries of W off its diagonal; repeated edges as often as W counts them."""
    x = np.asarray(x, float)
    norm = np.linalg.norm(x, axis=1)
    means = []
    for i in range(len(x)):
        near = [j for j in range(len(x)) if j != i and dense[i, j] and norm[i] and norm[j]]
        if near:
            apart = [1 - x[i] @ x[j] / norm[i] / norm[j] for j in near]
            means.append(np.average(apart, weights=[dense[i, j] for j in near]))
    return np.mean(means) if means else np.nan


def counts(edges, count):
    """What `smoothing_report` says about the graph alone."""
    stored = [tuple(map(int, edge)) for edge in np.asarray(edges).T]
    pairs = {(i, j) for i, j in stored if i != j}
    return {
        "nodes": count,
        "edges": len(stored),
        "self_loops": sum(i == j for i, j in stored),
        "duplicate_edges": len(stored) - len(set(stored)),
        "isolated": sum(all(n not in pair for pair in pairs) for n in range(count)),
        "reciprocity": np.mean([(j, i) in pairs for i, j in pairs]) if pairs else np.nan,
    }
