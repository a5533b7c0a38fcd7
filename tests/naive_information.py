"""Slow and obvious versions of the estimators of entropy and information, in NumPy loops."""

import math
from collections import Counter

import numpy as np
from scipy import linalg
from scipy.special import digamma


def plug_in_entropy(labels):
    """-sum p log p of the shares of the labels, without correction."""
    n = len(labels)
    return -sum(c / n * math.log(c / n) for c in Counter(labels).values())


def miller_madow_information(x, y):
    pairs = list(zip(x, y, strict=True))
    excess = len(set(x)) + len(set(y)) - len(set(pairs)) - 1
    plug_in = plug_in_entropy(x) + plug_in_entropy(y) - plug_in_entropy(pairs)
    return plug_in + excess / (2 * len(x))


def renyi_entropy(kernel, alpha):
    """log tr A^alpha / (1 - alpha) by the matrix power itself."""
    power = linalg.fractional_matrix_power(kernel / len(kernel), alpha)
    return math.log(np.trace(power).real) / (1 - alpha)


def gaussian_kernel(x, bandwidth):
    n = len(x)
    return np.array(
        [
            [math.exp(-((x[i] - x[j]) ** 2).sum() / (2 * bandwidth**2)) for j in range(n)]
            for i in range(n)
        ]
    )


def gaussian_conditional_information(x, y, z):
    """1/2 log |S_xz| |S_yz| / |S_z| |S_xyz| from sample covariances, without correction."""

    def half_log_det(*parts):
        return np.linalg.slogdet(np.atleast_2d(np.cov(np.hstack(parts).T)))[1] / 2

    return half_log_det(x, z) + half_log_det(y, z) - half_log_det(z) - half_log_det(x, y, z)


def ksg_conditional_information(x, y, z, k):
    """Frenzel and Pompe, sample by sample, in the largest coordinate difference."""
    total = 0.0
    for i in range(len(x)):
        far = [np.delete(abs(part - part[i]).max(1), i) for part in (x, y, z)]
        radius = np.sort(np.maximum.reduce(far))[k - 1]
        inside = [
            1 + int((np.maximum(far[a], far[b]) < radius).sum())
            for a, b in ((0, 2), (1, 2), (2, 2))
        ]
        total += digamma(k) - digamma(inside[0]) - digamma(inside[1]) + digamma(inside[2])
    return total / len(x)


def student_information(rho, d, df):
    """I of a multivariate t with d correlated pairs: the Gaussian's, and what the scale shares.

    Arellano-Valle, Contreras-Reyes and Genton, Scand. J. Stat. 40 (2013) 42.
    """

    def term(degrees):
        return math.lgamma(degrees / 2) - degrees / 2 * digamma(degrees / 2)

    shared = term(df) + term(df + 2 * d) - 2 * term(df + d)
    return -d / 2 * math.log(1 - rho**2) + shared


def canonical_correlations(x, y):
    """Cosines of the angles between the column spaces of centred x and y."""
    return np.cos(linalg.subspace_angles(x - x.mean(0), y - y.mean(0)))[::-1]
