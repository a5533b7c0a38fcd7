"""Whether classes differ in the modality that tells them."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats

from pnpfuse.evaluation import masks_for, rows_for
from pnpfuse.ledger.bench import Bench, CannotTry
from pnpfuse.ledger.claim import Claim, Found, Verdict, fails, holds
from pnpfuse.ledger.training import Training

LEVEL = 0.95
SAID = 3  # pairs of modalities that the line names


def _alone(bench: Bench) -> dict[str, Training]:
    bench.need(2)
    return {m: Training("concat", only=(m,)) for m in bench.views.names}


def trainings(bench: Bench) -> list[Training]:
    """A model for each modality."""
    return list(_alone(bench).values())


def measure(bench: Bench) -> Found:
    """Recalls of each class by each modality, and differences that stand clear of both errors."""
    recalls = {m: _recalls(bench, training) for m, training in _alone(bench).items()}
    classes = bench.views.classes
    tests = classes * len(list(combinations(recalls, 2)))
    clear = {}
    for a, b in combinations(recalls, 2):
        (ours, rows), (theirs, others) = recalls[a], recalls[b]
        signs = _clear(ours - theirs, _variance(ours, rows) + _variance(theirs, others), tests)
        clear[f"{a} and {b}"] = {
            a: np.flatnonzero(signs > 0).tolist(),
            b: np.flatnonzero(signs < 0).tolist(),
        }
    names = list(bench.views.class_names)
    means = {m: (100 * recall.mean(0)).tolist() for m, (recall, _) in recalls.items()}
    return {"classes": names, "recalls": means, "clear": clear}


@torch.no_grad()
def _guesses(model, X, masks):
    return model(X, masks).logits.argmax(1)


def _recalls(bench: Bench, training: Training) -> tuple[NDArray, NDArray]:
    """Shares of each class recognised, (seeds, classes), and its test rows, (classes,)."""
    views = bench.rows(training)
    if not (views.split == 1).any():
        raise CannotTry(f"no test row has {', '.join(training.only)}")
    rows = views.test
    classes, found = range(bench.views.classes), []
    count = np.bincount(rows.labels, minlength=len(classes))
    if not (count >= 2).any():
        raise CannotTry("no class has two test rows")
    for seed in bench.seeds:
        model = bench.model(training, seed)
        X, labels = rows_for(model, rows)
        right = (_guesses(model, X, masks_for(model, rows)) == labels).cpu().numpy()
        hits = np.bincount(rows.labels, right, minlength=len(classes))
        found.append(np.where(count > 0, hits / np.maximum(count, 1), np.nan))
    return np.array(found), count


def _variance(recall: NDArray, rows: NDArray) -> NDArray:
    """Of the mean recall by the test rows that happen to be there, (classes,); never 0."""
    share = (recall.mean(0) * rows + 1) / (rows + 2)
    return share * (1 - share) / np.maximum(rows, 1)


def _clear(difference: NDArray, sampling: NDArray, tests: int) -> NDArray:
    """Sign of the mean over seeds where it stands clear of seeds and rows, (classes,); else 0.

    One variance over the seeds for all classes: each by itself has too few to tell.
    """
    seeds = len(difference)
    among = np.nanmean(difference.var(0, ddof=1)) / seeds
    freedom = (seeds - 1) * np.isfinite(difference[0]).sum()
    t = stats.t.ppf(1 - (1 - LEVEL) / (2 * tests), freedom)
    mean = difference.mean(0)
    return np.where(np.abs(mean) > t * np.sqrt(among + sampling), np.sign(mean), 0)


def judge(found: Found) -> Verdict:
    """Holds where each of two modalities is clearly the better one for some class."""
    if any(all(classes for classes in one.values()) for one in found["clear"].values()):
        return holds()
    better = [m for one in found["clear"].values() for m, classes in one.items() if classes]
    if better:
        return fails(f"where a class tells modalities apart, {', '.join(dict.fromkeys(better))} "
                     "leads the other one in all such classes")  # fmt: skip
    return fails("no class tells two modalities apart beyond the spread over seeds and test rows")


def say(found: Found) -> str:
    """How many classes each of two modalities is better for, the most divided pairs first."""
    counts = [{m: len(classes) for m, classes in one.items()} for one in found["clear"].values()]
    counts.sort(key=lambda one: (-min(one.values()), -max(one.values())))
    each = [", ".join(f"{m} in {count}" for m, count in one.items()) for one in counts[:SAID]]
    return f"clearly better of {len(found['classes'])} classes: {'; '.join(each)}"


CLAIM = Claim(
    statement="Which modality is the easier one differs from class to class.",
    source="InfoBridge Sec. 1, Fig. 1(b)",
    protocol="An encoder with a linear head for each modality alone, trained with the same seeds; "
    "the share of the test rows of each class that it recognises, and for two modalities the "
    "difference, beside its error over the seeds, one for all classes, and over the test rows.",
    threshold=f"two modalities of which each is the better one in some class, with {LEVEL:.0%} "
    "over all classes and pairs of modalities together (Bonferroni)",
    measure=measure,
    judge=judge,
    say=say,
    trainings=trainings,
)
