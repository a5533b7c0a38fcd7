"""Table 5's accuracies beside those of naming the majority class."""

from __future__ import annotations

from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, corrected, fails, holds
from pnpfuse.ledger.measures.printed_pmr import ODDS, TABLE5, is_pmr
from pnpfuse.ledger.measures.wording import listed

COLUMNS = ("A", "V", "AV")
NEAR = 0.5  # points: the odds are printed as whole numbers, the test split is not


def measure(bench: Bench) -> Found:
    """The majority's accuracy, and which methods are above PMR by AUC."""
    return {
        "majority": {column: 100 * odds / (1 + odds) for column, odds in ODDS.items()},
        "accuracy": {
            column: {name: of[0][COLUMNS.index(column)] for name, of in TABLE5.items()}
            for column in ODDS
        },
        "auc": {
            column: {name: of[1][j] for name, of in TABLE5.items()}
            for j, column in enumerate(COLUMNS)
        },
    }


def judge(found: Found) -> Verdict:
    """Holds where PMR's accuracies are not the majority's; corrected where its AUC leads."""
    prior = [
        column
        for column, rate in found["majority"].items()
        if any(is_pmr(m) and abs(a - rate) < NEAR for m, a in found["accuracy"][column].items())
    ]
    if not prior:
        return holds()
    told = f"its accuracies in {listed(prior)} are those of naming the majority class"
    ahead = {column: above for column in COLUMNS if (above := _ahead(found["auc"][column]))}
    if not ahead:
        return corrected(f"{told}; by AUC, which does not depend on the odds, it leads")
    said = [f"{listed(above)} in {column}" for column, above in ahead.items()]
    return fails(f"{told}, and by AUC its weaker form is below {', and below '.join(said)}")


def say(found: Found) -> str:
    """Accuracies beside the majority's, and the AUC that goes with equal accuracies."""
    said = []
    for column, rate in found["majority"].items():
        near = [m for m, a in found["accuracy"][column].items() if abs(a - rate) < NEAR]
        auc = [found["auc"][column][m] for m in near]
        said.append(
            f"{column}: the majority {rate:.2f} %, {len(near)} of {len(found['accuracy'][column])} "
            f"methods within {NEAR:g} of it" + (f" (AUC {min(auc)} to {max(auc)})" if auc else "")
        )
    return "; ".join(said)


def _ahead(auc: dict[str, float]) -> list[str]:
    """Other methods above the weaker of PMR's two forms."""
    weaker = min(value for name, value in auc.items() if is_pmr(name))
    return [name for name, value in auc.items() if not is_pmr(name) and value > weaker]


CLAIM = Claim(
    statement="On deepfake detection, with one class far more frequent, PMR outperforms Concat and "
    "earlier fusion methods consistently, most of all with a modality missing.",
    source="PMR Sec. 5.3.1, Table 5",
    protocol="From the printed numbers alone: PMR's accuracies beside those of always naming the "
    f"majority class at the odds that the paper states ({ODDS['V']:g}:1 for video, "
    f"{ODDS['AV']:g}:1 overall), and the AUC of both of PMR's forms with the concatenation head "
    "beside that of all methods which have all columns.",
    threshold=f"no accuracy of PMR within {NEAR:g} points of the majority's; else its weaker form "
    "has the highest AUC in each of the columns A, V and AV",
    measure=measure,
    judge=judge,
    say=say,
)
