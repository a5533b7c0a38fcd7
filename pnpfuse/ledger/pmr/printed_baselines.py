"""The baseline of Table 5 beside the same baseline in GMF."""

from __future__ import annotations

from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, fails, holds
from pnpfuse.ledger.measures.printed_pmr import GMF_TABLE7, TABLE5
from pnpfuse.ledger.measures.wording import listed

AV = 2  # both modalities


def measure(bench: Bench) -> Found:
    """AUC with both modalities in both papers, for the methods that both have."""
    both = [method for method in TABLE5 if method in GMF_TABLE7]
    return {
        "pmr": {method: TABLE5[method][1][AV] for method in both},
        "gmf": {method: GMF_TABLE7[method][AV] for method in both},
    }


def judge(found: Found) -> Verdict:
    """Holds where no method is printed with numbers further apart than the gain."""
    gain, apart = _gain(found), _apart(found)
    far = [method for method, by in apart.items() if by >= gain]
    if not far:
        return holds()
    return fails(
        f"{listed(far)} has {found['gmf'][far[0]]} in GMF and {found['pmr'][far[0]]} in PMR, which "
        f"is {apart[far[0]]:.2f} apart, the gain over it {gain:.2f}"
    )


def say(found: Found) -> str:
    """The gain in both papers, and how many numbers agree."""
    same = [method for method, by in _apart(found).items() if by == 0]
    gmf = found["gmf"]["sG-Concat"] - found["gmf"]["Concat"]
    return (
        f"gain in AUC {_gain(found):.2f} in PMR, {gmf:.2f} in GMF; {listed(same)} are the same in "
        "both papers"
    )


def _gain(found: Found) -> float:
    return found["pmr"]["sG-Concat"] - found["pmr"]["Concat"]


def _apart(found: Found) -> dict[str, float]:
    return {m: round(abs(value - found["gmf"][m]), 2) for m, value in found["pmr"].items()}


CLAIM = Claim(
    statement="On FakeAVCeleb the strict form raises the AUC of concatenated R(2+1)D features.",
    source="PMR Table 5; GMF App. H, Table 7",
    protocol="From the printed numbers alone: the AUC with both modalities that PMR and GMF print "
    "for the same method, data and backbone, for every method that both have.",
    threshold="two printings of the same number are closer than the gain over the baseline",
    measure=measure,
    judge=judge,
    say=say,
)
