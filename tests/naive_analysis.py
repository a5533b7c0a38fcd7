"""Slow and obvious versions of the diagnostics, in plain NumPy loops."""

import numpy as np
from scipy.special import digamma, gammaln


def distances(x, order):
    """(N, N) distances between the rows of x, infinite to themselves."""
    x = np.asarray(x, float).reshape(len(x), -1)
    found = np.full((len(x), len(x)), np.inf)
    for i in range(len(x)):
        for j in range(len(x)):
            if i != j:
                found[i, j] = np.linalg.norm(x[i] - x[j], ord=order)
    return found


def kl_entropy(x, k, order=2):
    n, d = np.asarray(x).reshape(len(x), -1).shape
    radius = np.sort(distances(x, order), axis=1)[:, k - 1]
    ball = d * np.log(2) if order == np.inf else d / 2 * np.log(np.pi) - gammaln(d / 2 + 1)
    return digamma(n) - digamma(k) + ball + d * np.mean(np.log(radius))


def ksg_information(x, y, k):
    dx, dy = distances(x, np.inf), distances(y, np.inf)
    total = 0.0
    for i in range(len(x)):
        radius = np.sort(np.maximum(dx[i], dy[i]))[k - 1]
        total += digamma(np.sum(dx[i] < radius) + 1) + digamma(np.sum(dy[i] < radius) + 1)
    return digamma(k) + digamma(len(x)) - total / len(x)


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


def cosine(a, b):
    a, b = np.ravel(a).astype(float), np.ravel(b).astype(float)
    return a @ b / np.sqrt((a @ a) * (b @ b))
