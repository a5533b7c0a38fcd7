"""Two narrow modalities of three classes, for sweeps of a second."""

import numpy as np

from pnpfuse import Views

DIMS = {"a": 9, "b": 6}


def small_views():
    """120 rows."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 120)
    features = {m: rng.normal(size=(120, d)) + np.eye(3, d)[labels] for m, d in DIMS.items()}
    return Views.from_arrays(features, labels)
