"""Inner products of long rows of floats in one pass over them, compiled."""

from __future__ import annotations

import numpy as np

from pnpfuse_analysis.compiled import jit

# Numbers of each row that are looked at together: all rows of a block stay in a core's cache.
_BLOCK = 2048


# Sums may be taken in any order, and so in vector registers: the order is no better in one than in
# another, and every product of two float32 numbers is exact in float64.
@jit(fastmath={"reassoc", "contract"})
def _dot(a, b):
    """Inner product in float64 of a and b [size]."""
    total = 0.0
    for i in range(a.size):
        total += np.float64(a[i]) * np.float64(b[i])
    return total


@jit
def inner_products(rows):
    """Inner products (K, K) in float64 of a tuple of K arrays [size]."""
    count, size = len(rows), rows[0].size
    gram = np.zeros((count, count))
    for start in range(0, size, _BLOCK):
        stop = min(start + _BLOCK, size)
        for i in range(count):
            for j in range(i, count):
                gram[i, j] += _dot(rows[i][start:stop], rows[j][start:stop])
    for i in range(count):
        for j in range(i):
            gram[i, j] = gram[j, i]
    return gram
