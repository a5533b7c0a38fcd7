"""PMR above the plain heads with all modalities."""

from __future__ import annotations

from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, corrected, fails, holds
from pnpfuse.ledger.measures.several import ALL_ABOVE, against, hurried, say_scores, shortfall
from pnpfuse.ledger.measures.table7 import OURS_CMMP, aligned
from pnpfuse.ledger.measures.wording import listed
from pnpfuse.ledger.training import Training

FORMS = {"r": "the relaxed form", "s": "the strict form"}  # by the first letter of a name


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
    """Holds where both forms are above both heads; corrected for a head or a form of which all."""
    short = {
        (head, one[0]): said
        for head, of in found.items()
        for one in of["ours"]
        if (said := shortfall(of, one))
    }
    if not short:
        return holds()
    told = "; ".join(short.values()) + hurried(found["Concat"])
    whole = [head for head in found if not any(head == of for of, _ in short)]
    whole += [said for form, said in FORMS.items() if not any(form == of for _, of in short)]
    if whole:
        return corrected(f"it is so for {listed(whole)} only: {told}")
    above = [one for head, of in found.items() for one in of["ours"] if (head, one[0]) not in short]
    return fails(f"only {listed(above)} is above its head: {told}" if above else told)


def say(found: Found) -> str:
    """Both heads."""
    return "; ".join(say_scores(of) for of in found.values())


CLAIM = Claim(
    statement="With all modalities present PMR improves the plain head that it stands before, "
    "Concat as well as CMMP, in its strict and in its relaxed form.",
    source="PMR Tables 5 and 6",
    protocol="sPMR and rPMR before the concatenation head beside Concat; and before the "
    "contrastive head beside linear maps to the narrowest width, summed and aligned by InfoNCE, "
    "so that both classifiers read that width as in the paper's Table 6; the same encoders, seeds, "
    "epochs and optimiser; test scores with all modalities.",
    threshold=f"of both heads: {ALL_ABOVE}; corrected where it is so for one head with both forms, "
    "or for one form before both heads",
    measure=measure,
    judge=judge,
    say=say,
    trainings=trainings,
)
