"""What the tests of the ledger share: a small bench, verdicts, and marks of what they flip."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import xarray as xr

from pnpfuse.data import load_views
from pnpfuse.ledger import Bench, Training, claims
from pnpfuse.ledger.record import Entry, entry_of

PLANTS = ("implementation", "measurement")


def flips(name: str, planted: str) -> Callable:
    """Marks a test that changes the verdict of a claim by planting a fault.

    `planted` is "implementation" where code of the packages is replaced by a wrong one, and
    "measurement" where scores or features that say otherwise stand in its place.
    """
    assert planted in PLANTS

    def mark(test: Callable) -> Callable:
        test.flips = (name, planted)
        return test

    return mark


def tried(name: str, bench: Bench) -> Entry:
    """The entry of a claim, measured and judged on the bench."""
    claim = claims([name])[name]
    return entry_of(claim, claim.measure(bench), 0.0)


def planting(bench: Bench, monkeypatch, paper: str) -> Callable:
    """Verdict of a claim, after something wrong has been put in the place of `name` in `where`."""

    def verdict(claim, where, name, wrong):
        monkeypatch.setattr(where, name, wrong)
        return tried(f"{paper}/{claim}", bench).verdict

    return verdict


def small_bench(folder: Path, seeds: int = 2, epochs: int = 1) -> Bench:
    """A fifth of digits; trained models are kept in `folder`."""
    views = load_views("digits")
    few = views.subset(np.arange(len(views)) % 5 == 0)
    return Bench(few, folder, tuple(range(seeds)), epochs, quick=True)


class Scored(Bench):
    """A bench whose scores are planted: {training: percent (seeds,)} for every condition."""

    def plant(self, scores: Mapping[Training, list[float]], rest: float = 50.0) -> Scored:
        object.__setattr__(self, "planted", {t.key: v for t, v in scores.items()})
        object.__setattr__(self, "rest", rest)
        return self

    def scores(self, training: Training) -> xr.Dataset:
        names = list(training.only or self.views.names)
        conditions = ["none"]
        if len(names) > 1:
            conditions += [f"missing:{m}" for m in names] + ["each"] + [f"only:{m}" for m in names]
        values = self.planted.get(training.key, [self.rest] * len(self.seeds))
        table = np.repeat(np.array(values)[:, None] / 100, len(conditions), 1)
        both = {name: (("seed", "condition"), table) for name in ("accuracy", "balanced_accuracy")}
        return xr.Dataset(both, {"seed": list(self.seeds), "condition": conditions})


def scored(bench: Bench, scores: Mapping[Training, list[float]], rest: float = 50.0) -> Scored:
    """The bench with planted scores; every other training has `rest`."""
    kept = (bench.views, bench.folder, bench.seeds, bench.epochs, bench.quick, bench.threads)
    return Scored(*kept).plant(scores, rest)
