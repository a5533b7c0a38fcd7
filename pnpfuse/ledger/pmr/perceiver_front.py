"""PMR before a Perceiver beside the Perceiver."""

from __future__ import annotations

from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import HOLDS, Claim, Found, Verdict, corrected
from pnpfuse.ledger.measures.several import ALL_ABOVE, against, judge_above, say_scores
from pnpfuse.ledger.training import Training

OURS, ROWS = {"sG-Perceiver": Training("g-perceiver")}, {"Perceiver": Training("perceiver")}
CONDITIONS = {"none": "with all modalities", "each": "with one missing"}


def trainings(bench: Bench) -> list[Training]:
    """Both."""
    bench.need(2)
    return [*OURS.values(), *ROWS.values()]


def measure(bench: Bench) -> Found:
    """Test scores of both, with all modalities and with one missing."""
    bench.need(2)
    return {said: against(bench, OURS, ROWS, name) for name, said in CONDITIONS.items()}


def judge(found: Found) -> Verdict:
    """Holds where sG-Perceiver is above in both conditions; corrected where in one."""
    verdicts = {said: judge_above(of) for said, of in found.items()}
    short = [said for said, verdict in verdicts.items() if verdict.kind != HOLDS]
    if len(short) == 1:
        other = next(said for said in verdicts if said not in short)
        return corrected(f"it is so {other} only; {short[0]} {verdicts[short[0]].why}")
    return verdicts[short[0]] if short else next(iter(verdicts.values()))


def say(found: Found) -> str:
    """Both conditions."""
    return "; ".join(f"{said}, {say_scores(of)}" for said, of in found.items())


CLAIM = Claim(
    statement="A Perceiver behind PMR is better than the Perceiver alone, with all modalities and "
    "with one missing.",
    source="PMR Sec. 5.3.1, Table 5: sG-Perceiver, Perceiver",
    protocol="sG-Perceiver, whose back-end reads the specific parts and whose classifier reads the "
    "shared parts directly, beside the same Perceiver on the encodings; the same encoders, seeds, "
    "epochs and optimiser; test scores with all modalities, and the mean over the conditions with "
    "one modality missing.",
    threshold=f"in both conditions: {ALL_ABOVE}; corrected where it is so in one of them alone",
    measure=measure,
    judge=judge,
    say=say,
    trainings=trainings,
)
