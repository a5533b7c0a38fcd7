"""What the verdicts of a ledger hold for, and what of an earlier run may be taken over."""

from __future__ import annotations

import hashlib
import json
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

import pnpfuse
import pnpfuse_analysis
import pnpfuse_solvers
from pnpfuse.checkpoints import fingerprint
from pnpfuse.ledger.bench import Bench
from pnpfuse.views import Views

# Whose versions may change a number.
PACKAGES = ("pnpfuse", "numpy", "scipy", "scikit-learn", "torch", "numba")


def check_data(views: Views) -> None:
    """ValueError for data on which nothing can be told apart."""
    for word, code in (("training", 0), ("test", 1)):
        if not (views.split == code).any():
            raise ValueError(f"views: {views.name} has no {word} rows; the claims need both kinds")
        labels = np.unique(views.labels[views.split == code])
        if len(labels) < 2:
            raise ValueError(
                f"views: the {word} rows of {views.name} are all of one class; give two or more"
            )


def conditions_of(bench: Bench) -> dict[str, Any]:
    """Data, lengths and settings, and with which versions."""
    views = bench.views
    return {
        "data": views.name,
        "fingerprint": fingerprint(views.train) + fingerprint(views.test),
        "modalities": views.dims,
        "classes": views.classes,
        "training rows": len(views.train),
        "test rows": len(views.test),
        "score": bench.score.replace("_", " "),
        "seeds": list(bench.seeds),
        "epochs": bench.epochs,
        "quick": bench.quick,
        "threads": bench.threads,
        "settings": dict(bench.settings),
        "versions": {"python": platform.python_version()} | {p: version(p) for p in PACKAGES},
    }


def digest(conditions: dict[str, Any], claims: bool) -> str:
    """A name for what may be taken over: trainings, or with `claims` the entries too.

    It changes with the conditions and with the code: for trainings with all but the claims'.
    """
    found = hashlib.sha256(json.dumps(conditions, sort_keys=True, default=str).encode())
    for package in (pnpfuse, pnpfuse_analysis, pnpfuse_solvers):
        folder = Path(package.__path__[0])
        for path in sorted(folder.rglob("*.py")):
            parts = path.relative_to(folder).parts
            if claims or parts[0] != "ledger" or parts[1:] == ("bench.py",):
                found.update(path.read_bytes())
    return found.hexdigest()[:16]
