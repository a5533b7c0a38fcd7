"""Neighbours, ball counts and the estimates that stand on them, slow and obvious."""

import numpy as np
from scipy.special import digamma


def gaps(x):
    """(N, N) largest coordinate differences, infinite from a sample to itself."""
    x = np.asarray(x, float).reshape(len(x), -1)
    with np.errstate(over="ignore"):
        found = np.abs(x[:, None] - x[None]).max(2)
    np.fill_diagonal(found, np.inf)
    return found


def within(x, radius):
    return (gaps(x) < np.asarray(radius)[:, None]).sum(1)


def kth(x, k):
    """(N,) distance to the k-th neighbour."""
    return np.sort(gaps(x), axis=1)[:, k - 1]


def reach(x, k):
    """(N,) distance to the k-th neighbour, and how many lie nearer, with the sample itself.

    Where it is 0 the copies lie nearer, that is at a distance below the least positive number.
    """
    radius = kth(x, k)
    radius = np.where(radius > 0, radius, 5e-324)
    return radius, within(x, radius) + 1


def ksg_total(parts, k):
    n, (radius, near) = len(parts[0]), reach(np.hstack(parts), k)
    found = digamma(near) + (len(parts) - 1) * digamma(n)
    for part in parts:
        found -= digamma(within(part, radius) + 1)
    return found


def ksg_conditional(x, y, z, k):
    radius, near = reach(np.hstack((x, y, z)), k)
    xz, yz, alone = (within(s, radius) for s in (np.hstack((x, z)), np.hstack((y, z)), z))
    return digamma(near) - digamma(xz + 1) - digamma(yz + 1) + digamma(alone + 1)


def ross_information(labels, x, k):
    alike = [np.sum(labels == label) for label in labels]
    kept = [i for i in range(len(x)) if alike[i] > 1]
    far = gaps(x)
    found = []
    for i in kept:
        same = [j for j in kept if labels[j] == labels[i] and j != i]
        radius = np.sort(far[i, same])[min(k, len(same)) - 1] or 5e-324
        near = np.sum(far[i, same] < radius) + 1
        ball = np.sum(far[i, kept] < radius) + 1
        found.append(digamma(len(kept)) + digamma(near) - digamma(alike[i]) - digamma(ball))
    return np.array(found)


def mixed_information(x, y, k):
    return ksg_total((x, y), k) + np.log(len(x)) - digamma(len(x))
