"""What the accuracies on FakeAVCeleb say."""

from __future__ import annotations

from collections import Counter

from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, fails, holds

# GMF Table 4.
ACCURACY = {
    "Baseline": 97.68, "MISA": 97.68, "UAVM": 78.64, "DrFuse": 97.68, "Perceiver": 97.68,
    "GMF": 97.68, "G-Perceiver": 98.21, "GMF-MAE": 99.99,
}  # fmt: skip
AUC = {
    "Baseline": 69.33, "MISA": 79.22, "UAVM": 43.92, "DrFuse": 78.56, "Perceiver": 93.45,
    "GMF": 91.88, "G-Perceiver": 96.71, "GMF-MAE": 99.97,
}  # fmt: skip
FAKE_TO_REAL = 39  # GMF App. H.1: "approximately 1:39"
APPROXIMATELY = 0.5  # points: 1:36 and 1:44 lie as far from it


def measure(bench: Bench) -> Found:
    """Printed accuracies beside the share of the larger class, and how many are the same."""
    majority = 100 * FAKE_TO_REAL / (FAKE_TO_REAL + 1)
    same = Counter(ACCURACY.values())[ACCURACY["GMF"]]
    alike = [name for name, value in ACCURACY.items() if value == ACCURACY["GMF"]]
    spread = [AUC[name] for name in alike]
    return {
        "majority": majority,
        "gmf": ACCURACY["GMF"],
        "same": same,
        "auc": [min(spread), max(spread)],
    }


def judge(found: Found) -> Verdict:
    """Holds where GMF's accuracy is above what the larger class gives for nothing."""
    if found["gmf"] > found["majority"] + APPROXIMATELY:
        return holds()
    return fails(
        "GMF's accuracy is the share of the larger class, and the same to both decimals for "
        f"{found['same']} methods; the area under the curve tells them apart"
    )


def say(found: Found) -> str:
    """Both numbers."""
    low, high = found["auc"]
    return (
        f"printed {found['gmf']:.2f} %, all fake {found['majority']:.2f} %; {found['same']} "
        f"methods with that accuracy have areas under the curve from {low:.2f} to {high:.2f} %"
    )


CLAIM = Claim(
    statement="GMF copes with the unequal classes of FakeAVCeleb, which it classifies with an "
    f"accuracy of {ACCURACY['GMF']} %.",
    source="GMF Sec. 5.3, Table 4; App. H.1",
    protocol="The data and the backbones cannot be had here; the printed accuracies are compared "
    f"with that of calling every sample fake at the printed ratio of 1:{FAKE_TO_REAL}, and with "
    "each other.",
    threshold=f"holds if GMF's accuracy is more than {APPROXIMATELY:g} points above the share of "
    "the larger class, whose ratio is given as approximate",
    measure=measure,
    judge=judge,
    say=say,
)
