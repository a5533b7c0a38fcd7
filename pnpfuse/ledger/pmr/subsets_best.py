"""PMR with experts matches or surpasses other fusions in all seven subsets."""

from __future__ import annotations

from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, fails, holds, untried
from pnpfuse.ledger.measures.paired import INTERVAL, said_interval, seed_margin
from pnpfuse.ledger.measures.several import hurried
from pnpfuse.ledger.measures.subsets import MEAN, draw_subsets, on_three, over_subsets
from pnpfuse.ledger.training import Training

OURS = {"rG-UMoE": Training("rg-cmmp", {"experts": "moe"})}
ROWS = {"Concat": Training("concat"), "late fusion": Training("late"), "MISA": Training("misa")}


def trainings(bench: Bench) -> list[Training]:
    """All, on three modalities."""
    return [on_three(bench, one) for one in (*OURS.values(), *ROWS.values())]


def measure(bench: Bench) -> Found:
    """Test scores of all in all subsets."""
    return over_subsets(bench, OURS, ROWS)


def judge(found: Found) -> Verdict:
    """Holds where it is below no other in no subset by more than a seed makes."""
    below: list[tuple[str, str]] = []
    unsure: list[tuple[str, str]] = []
    for row, differences in found["differences"].items():
        for name, of in differences.items():
            if of["low"] < -seed_margin(found["scores"][row][name], found["step"]):
                (below if of["high"] < 0 else unsure).append((row, name))
    if not below and not unsure:
        return holds()
    if not below:
        return untried("too few seeds to say that it is no lower in every subset")
    told = []
    for row in found["differences"]:
        names = [name for of, name in below if of == row]
        if count := len([name for name in names if name != MEAN]):
            mean = " and on their mean" if MEAN in names else ""
            told.append(f"below {row} in {count} of the seven subsets{mean}")
        elif names:
            told.append(f"below {row} on the mean over the subsets")
    return fails("; ".join(told) + hurried(found))


def say(found: Found) -> str:
    """The difference of the means over the subsets to each."""
    said = [f"{row} {said_interval(of[MEAN])}" for row, of in found["differences"].items()]
    return (
        f"{found['one']} minus the others on the mean over the seven subsets, in points of "
        f"{found['score']}: {', '.join(said)}"
    )


CLAIM = Claim(
    statement="PMR with a mixture of experts matches or surpasses the other methods in all seven "
    "subsets of three modalities, and on their average.",
    source="PMR App. I, Table 10: rG-UMoE",
    protocol="rG-CMMP with a mixture of experts on the shared parts beside Concat, late fusion and "
    "MISA, which can be had here in place of the table's methods, trained once with the first "
    "three modalities of the data complete (the fixed missing protocol), the same encoders, seeds, "
    "epochs and optimiser; test scores with each of the seven subsets present, and their mean.",
    threshold=f"in every subset and on the mean the {INTERVAL} of the paired difference does not "
    "reach below minus the standard deviation that the other model has over its seeds, one test "
    "row at least",
    measure=measure,
    judge=judge,
    say=say,
    draw=draw_subsets,
    trainings=trainings,
)
