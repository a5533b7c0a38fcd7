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


def cosine(a, b):
    a, b = np.ravel(a).astype(float), np.ravel(b).astype(float)
    return a @ b / np.sqrt((a @ a) * (b @ b))
