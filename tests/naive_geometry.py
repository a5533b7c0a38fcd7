"""Slow, obvious versions of the geometry of features: whole matrices, loops, no cleverness."""

import math
from itertools import combinations, product

import numpy as np


def gram(x, kernel, bandwidth=None):
    """Kernel matrix (N, N)."""
    n = len(x)
    if kernel == "linear":
        return np.array([[x[i] @ x[j] for j in range(n)] for i in range(n)])
    return np.array([[gaussian(x[i], x[j], bandwidth) for j in range(n)] for i in range(n)])


def gaussian(a, b, bandwidth):
    return math.exp(-np.sum((a - b) ** 2) / (2 * bandwidth**2))


def hsic(k, l, unbiased):  # noqa: E741
    """Song et al. 2012, Eq. (5), or tr(K H L H) / (n - 1)^2."""
    n = len(k)
    one = np.ones(n)
    if not unbiased:
        h = np.eye(n) - np.outer(one, one) / n
        return np.trace(k @ h @ l @ h) / (n - 1) ** 2
    k, l = k - np.diag(np.diag(k)), l - np.diag(np.diag(l))  # noqa: E741
    inside = np.trace(k @ l) + (one @ k @ one) * (one @ l @ one) / ((n - 1) * (n - 2))
    return (inside - 2 / (n - 2) * (one @ k @ l @ one)) / (n * (n - 3))


def cka(x, y, unbiased=True, kernel="linear", bandwidths=(None, None)):
    k, l = gram(x, kernel, bandwidths[0]), gram(y, kernel, bandwidths[1])  # noqa: E741
    own = hsic(k, k, unbiased) * hsic(l, l, unbiased)
    return hsic(k, l, unbiased) / math.sqrt(own)


def effective_rank(x):
    s = np.linalg.svd(x, compute_uv=False)
    p = s[s > 1e-12 * s[0]] / s.sum()
    return math.exp(-np.sum(p * np.log(p)))


def sphere(x):
    return np.array([row / math.sqrt(row @ row) for row in x])


def alignment(x, y, alpha):
    pairs = zip(sphere(x), sphere(y), strict=True)
    return np.mean([math.sqrt(np.sum((u - v) ** 2)) ** alpha for u, v in pairs])


def uniformity(x, t):
    values = [math.exp(-t * np.sum((u - v) ** 2)) for u, v in combinations(sphere(x), 2)]
    return math.log(np.mean(values))


def modality_gap(x, y):
    return np.linalg.norm(np.mean(sphere(x), axis=0) - np.mean(sphere(y), axis=0))


def mmd2(x, y, bandwidth, unbiased):
    def mean(u, v, same):
        entries = product(range(len(u)), range(len(v)))
        kept = [(i, j) for i, j in entries if not (same and unbiased and i == j)]
        return np.mean([gaussian(u[i], v[j], bandwidth) for i, j in kept])

    return mean(x, x, True) + mean(y, y, True) - 2 * mean(x, y, False)


def kernel_distance(x, y, bandwidth, keep=lambda i, j: True):
    """Mean over the pairs (i, j) that are kept."""
    pairs = [(i, j) for i in range(len(x)) for j in range(len(y)) if keep(i, j)]
    return np.mean([math.sqrt(2 - 2 * gaussian(x[i], y[j], bandwidth)) for i, j in pairs])


def median_distance(*samples):
    pool = np.concatenate(samples)
    return np.median([np.linalg.norm(a - b) for a, b in combinations(pool, 2)])
