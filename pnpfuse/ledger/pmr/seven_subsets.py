"""PMR with experts above the FFN in all seven subsets of three modalities."""

from __future__ import annotations

from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, corrected, fails, holds
from pnpfuse.ledger.measures.paired import INTERVAL, said_interval
from pnpfuse.ledger.measures.several import hurried
from pnpfuse.ledger.measures.subsets import MEAN, draw_subsets, on_three, over_subsets
from pnpfuse.ledger.measures.wording import listed
from pnpfuse.ledger.training import Training

OURS = {"rG-UMoE": Training("rg-cmmp", {"experts": "moe"})}
ROWS = {"FFN": Training("ffn")}


def trainings(bench: Bench) -> list[Training]:
    """Both, on three modalities."""
    return [on_three(bench, one) for one in (*OURS.values(), *ROWS.values())]


def measure(bench: Bench) -> Found:
    """Test scores of both in all subsets."""
    return over_subsets(bench, OURS, ROWS)


def judge(found: Found) -> Verdict:
    """Holds where it is above in all seven subsets; corrected where on their mean alone."""
    differences = dict(found["differences"]["FFN"])
    mean = differences.pop(MEAN)
    above = [name for name, of in differences.items() if of["low"] > 0]
    below = [name for name, of in differences.items() if of["high"] < 0]
    if len(above) == len(differences):
        return holds()
    told = f"below with {listed(below)}" if below else "above in some only"
    if mean["low"] > 0:
        return corrected(f"on the mean over the subsets and in {len(above)} of them; {told}")
    return fails(
        f"above the FFN in {len(above)} of {len(differences)} subsets, {told}{hurried(found)}"
    )


def say(found: Found) -> str:
    """The difference in every subset."""
    said = [f"{name} {said_interval(of)}" for name, of in found["differences"]["FFN"].items()]
    return f"{found['one']} minus FFN in points of {found['score']}: {', '.join(said)}"


CLAIM = Claim(
    statement="In each of the seven subsets of three modalities PMR with a mixture of experts and "
    "the contrastive loss is above the plain feed-forward block.",
    source="PMR App. I, Table 10: rG-UMoE, FFN",
    protocol="rG-CMMP with a mixture of experts on the shared parts beside the FFN of as many "
    "parameters as PMR, trained once with the first three modalities of the data complete (the "
    "fixed missing protocol), the same encoders, seeds, epochs and optimiser; test scores with "
    "each of the seven subsets present.",
    threshold=f"in every subset the {INTERVAL} of the paired difference lies above 0; corrected "
    "where that is so for the mean over the subsets alone",
    measure=measure,
    judge=judge,
    say=say,
    draw=draw_subsets,
    trainings=trainings,
)
