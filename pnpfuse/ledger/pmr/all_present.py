"""PMR above the plain heads with all modalities."""

from __future__ import annotations

from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, corrected, fails, holds
from pnpfuse.ledger.rows import ALL_ABOVE, against, listed, say_rows, shortfall
from pnpfuse.ledger.table7 import OURS_CMMP, aligned
from pnpfuse.ledger.training import Training


def heads(bench: Bench) -> dict[str, tuple[dict[str, Training], Training]]:
    """{head: (PMR before it, the head alone)}."""
    bench.need(2)
    concat = {"rG-Concat": Training("rpmr"), "sG-Concat": Training("spmr")}
    return {"Concat": (concat, Training("concat")), "CMMP": (OURS_CMMP, aligned(bench))}


def trainings(bench: Bench) -> list[Training]:
    """Both forms of PMR before both heads, and the heads."""
    return [one for ours, plain in heads(bench).values() for one in (*ours.values(), plain)]


def measure(bench: Bench) -> Found:
    """Test scores of all, seed by seed, {head: ...}."""
    return {
        head: against(bench, ours, {head: plain}) for head, (ours, plain) in heads(bench).items()
    }


def judge(found: Found) -> Verdict:
    """Holds where both forms are above both heads; corrected where some are."""
    ours = [(of, one) for of in found.values() for one in of["ours"]]
    short = {one: said for of, one in ours if (said := shortfall(of, one))}
    above = [one for _, one in ours if one not in short]
    if not short:
        return holds()
    told = "; ".join(short.values())
    return corrected(f"it is so for {listed(above)} only: {told}") if above else fails(told)


def say(found: Found) -> str:
    """Both heads."""
    return "; ".join(say_rows(of) for of in found.values())


CLAIM = Claim(
    statement="With all modalities present PMR improves the plain head that it stands before, "
    "Concat as well as CMMP, in its strict and in its relaxed form.",
    source="PMR Tables 5 and 6",
    protocol="sPMR and rPMR before the concatenation head beside Concat; and before the "
    "contrastive head beside linear maps to the narrowest width, summed and aligned by InfoNCE, "
    "so that both classifiers read that width as in the paper's Table 6; the same encoders, seeds, "
    "epochs and optimiser; test scores with all modalities.",
    threshold=f"of both heads: {ALL_ABOVE}",
    measure=measure,
    judge=judge,
    say=say,
    trainings=trainings,
)
