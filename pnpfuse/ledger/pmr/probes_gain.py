"""Linear probes of jointly trained encoders beside each modality trained alone."""

from __future__ import annotations

import numpy as np

from pnpfuse.dominance.probing import probe
from pnpfuse.findings import spread
from pnpfuse.ledger.bench import Bench, CannotTry
from pnpfuse.ledger.claim import Claim, Found, Verdict, corrected, fails, holds
from pnpfuse.ledger.measures.laziness_probes import fewer_learned
from pnpfuse.ledger.measures.paired import INTERVAL, interval, said_interval
from pnpfuse.ledger.measures.wording import listed
from pnpfuse.ledger.training import Training

JOINT = Training("rg-cmmp")
ROWS = 2000  # of the training rows at most, for the probes


def alone(bench: Bench) -> dict[str, Training]:
    """{modality: the same encoder with a linear head, on it alone}."""
    bench.need(2)
    return {m: Training("concat", only=(m,)) for m in bench.views.names}


def trainings(bench: Bench) -> list[Training]:
    """The joint model and each modality alone."""
    return [JOINT, *alone(bench).values()]


def measure(bench: Bench) -> Found:
    """Percent (seeds,) of each modality: probe of the joint model, trained alone, probe of that."""
    joint: dict[str, list[float]] = {m: [] for m in bench.views.names}
    single: dict[str, list[float]] = {m: [] for m in bench.views.names}
    heads = {m: bench.accuracy(one) for m, one in alone(bench).items()}
    for seed in bench.seeds:
        found = _probed(bench, JOINT, seed)
        for m, one in alone(bench).items():
            joint[m].append(found[m])
            single[m].append(_probed(bench, one, seed)[m])
    step = bench.step
    return {
        m: {
            "joint": joint[m],
            "alone": heads[m],
            "alone_probe": single[m],
            "printed": interval(np.array(joint[m]) - heads[m], step),
            "like": interval(np.array(joint[m]) - np.array(single[m]), step),
        }
        for m in bench.views.names
    }


def judge(found: Found) -> Verdict:
    """Holds where probes gain on heads and on probes; corrected where on one of the two alone."""
    printed = [m for m, of in found.items() if of["printed"]["low"] > 0]
    like = [m for m, of in found.items() if of["like"]["low"] > 0]
    short = [m for m in found if m not in like]
    if len(printed) == len(found):
        if not short:
            return holds()
        return corrected(
            "only over the heads that the encoders were trained with; against a probe of the "
            f"encoder trained alone there is no gain beyond the spread for {listed(short)}"
        )
    if not short:
        return corrected("probe against probe; not against the head trained with the encoder")
    none = [m for m in found if m not in printed]
    return fails(
        f"no gain beyond the spread for {listed(none)}, and against a probe of the encoder trained "
        f"alone none for {listed(short)}"
    )


def say(found: Found) -> str:
    """All modalities."""
    said = [
        f"{m}: probe {spread(np.array(of['joint']))} %, alone {spread(np.array(of['alone']))} % "
        f"({said_interval(of['printed'])}), probe of that {spread(np.array(of['alone_probe']))} % "
        f"({said_interval(of['like'])})"
        for m, of in found.items()
    ]
    return "; ".join(said)


def _probed(bench: Bench, training: Training, seed: int) -> dict[str, float]:
    """{modality: percent} of the probes of a trained model."""
    views = fewer_learned(bench.rows(training), ROWS)
    try:
        found = probe(bench.model(training, seed), views)["probe"].sel(score=bench.score)
    except ValueError as error:
        raise CannotTry(f"no probe on these data: {error}") from error
    return {str(m): 100 * found.sel(modality=m).item() for m in found["modality"].values}


CLAIM = Claim(
    statement="Linear probes of encoders trained jointly by PMR are more accurate than each "
    "modality's encoder trained alone, because gradients across modalities guide it.",
    source="PMR Sec. 5.3.2, Table 6: rG-CMMP (image, lin.), (text, lin.); Table 5: unimodal lin.",
    protocol="A logistic regression on what the trained rG-CMMP makes of one modality, the others "
    "missing, beside the same encoder with a linear head trained on that modality alone, as the "
    "paper does, and beside a logistic regression on that encoder, like with like; the same "
    "seeds, epochs and optimiser; test scores.",
    threshold=f"for every modality the {INTERVAL} of both paired differences lies above 0; "
    "corrected where that is so for one of the two",
    measure=measure,
    judge=judge,
    say=say,
    trainings=trainings,
)
