"""Slow and obvious versions of the bounds of information, in plain NumPy loops."""

import numpy as np


def infonce(scores):
    size = len(scores)
    total = 0.0
    for i in range(size):
        mean = np.mean([np.exp(scores[i, j]) for j in range(size)])
        total += np.log(np.exp(scores[i, i]) / mean)
    return total / size


def others(scores, function):
    """Mean of a function of the scores of drawn pairs."""
    size = len(scores)
    pairs = [(i, j) for i in range(size) for j in range(size) if i != j]
    return np.mean([function(scores[i, j]) for i, j in pairs])


def nwj(scores):
    return 1 + np.mean(np.diag(scores)) - others(scores, np.exp)


def dv(scores):
    return np.mean(np.diag(scores)) - np.log(others(scores, np.exp))


def smile(scores, clip):
    mean = others(scores, lambda f: np.clip(np.exp(f), np.exp(-clip), np.exp(clip)))
    return np.mean(np.diag(scores)) - np.log(mean)


def jensen_shannon(scores):
    true = np.mean([np.log(1 / (1 + np.exp(-f))) for f in np.diag(scores)])
    return 2 * np.log(2) + true + others(scores, lambda f: np.log(1 - 1 / (1 + np.exp(-f))))
