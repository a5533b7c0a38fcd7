"""The regime of a cell: one rule for single solutions and for maps of many."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

# What a code of `regime_codes` stands for: its place here.
REGIMES = ("unscreened", "depleted", "screened", "no interface")
# A bulk with less than this share of the mean ion density is depleted.
DEPLETED = 0.01
# Below this share of either species on its own side the two are mixed and the analogy is void.
SEPARATED = 0.9


def regime_codes(
    length_ratio: ArrayLike, least_density: ArrayLike, b: ArrayLike
) -> NDArray[np.int8]:
    """Places in ``REGIMES`` for cells of these numbers, which broadcast.

    "no interface" where b is NaN, else "unscreened" in a cell shorter than its Debye length (the
    field crosses it), "depleted" where all ions together fall below 1 % of their mean density (the
    bulk is emptied into the layers), and "screened" where a conducting bulk remains between them.
    """
    short, empty = np.less(length_ratio, 1.0), np.less(least_density, DEPLETED)
    code = np.where(np.isnan(b), 3, np.where(short, 0, np.where(empty, 1, 2)))
    return code.astype(np.int8)
