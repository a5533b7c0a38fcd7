"""The entropy of features before and after GMF."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from pnpfuse.diagnosis.measures import leading
from pnpfuse.ledger.bench import Bench, CannotTry
from pnpfuse.ledger.claim import Claim, Found, Verdict, corrected, fails, holds
from pnpfuse.ledger.measures.encodings import encoded, joined
from pnpfuse.ledger.measures.paired import INTERVAL, interval, said_interval
from pnpfuse.ledger.training import Training
from pnpfuse_analysis import entropy

GMF, CONCAT = Training("gmf"), Training("concat")
COMPONENTS = 3  # as many as neighbours can follow among some hundred rows


def trainings(bench: Bench) -> list[Training]:
    """GMF, and the features joined without it."""
    bench.need(2)
    return [GMF, CONCAT]


def measure(bench: Bench) -> Found:
    """Entropies behind GMF less those before it, and less those without it."""
    bench.need(2)
    rows: dict[str, list[list[float]]] = {"after": [], "before": [], "concat": []}
    for seed in bench.seeds:
        own = encoded(bench, GMF, seed, complete=True)
        rows["after"].append(_entropies(joined(own.fused)))
        rows["before"].append(_entropies(joined(own.features)))
        plain = encoded(bench, CONCAT, seed, complete=True)
        rows["concat"].append(_entropies(joined(plain.features)))
    tables = {name: torch.tensor(values) for name, values in rows.items()}  # (seeds, 2)
    return {
        "entropies": {name: table.mean(0).tolist() for name, table in tables.items()},
        "differences": {
            reading: {
                other: interval((tables["after"] - tables[other])[:, i])
                for other in ("before", "concat")
            }
            for i, reading in enumerate(("as it is", "at unit spread"))
        },
    }


def _entropies(X: Tensor) -> list[float]:
    """Of the leading components of (rows, width), as they are and with variance 1 in all, nats."""
    kept = leading(X, COMPONENTS)
    size = kept.square().sum(1).mean().sqrt()
    try:
        found = [float(entropy(kept)), float(entropy(kept / size))]
    except ValueError as error:
        raise CannotTry(f"the features have no entropy: {error}") from error
    if not np.isfinite(found).all():
        raise CannotTry("the features have no finite entropy: rows or columns repeat")
    return found


def judge(found: Found) -> Verdict:
    """Holds where it falls, whatever the scale; corrected where by scale alone."""
    fallen = {
        reading: all(d["high"] < 0 for d in of.values())
        for reading, of in found["differences"].items()
    }
    if all(fallen.values()):
        return holds()
    if fallen["as it is"]:
        return corrected("the features only shrink: at unit spread their entropy does not fall")
    if fallen["at unit spread"]:
        return corrected("at unit spread; as they are, the features are larger and have more")
    risen = all(d["low"] > 0 for d in found["differences"]["as it is"].values())
    return fails(
        "the entropy is higher behind GMF" if risen else "the entropy is not lower than both"
    )


def say(found: Found) -> str:
    """The differences by both readings."""
    said = "; ".join(
        f"{reading}: {said_interval(of['before'], 2)} beside what enters GMF, "
        f"{said_interval(of['concat'], 2)} beside concatenation"
        for reading, of in found["differences"].items()
    )
    return f"entropy behind GMF, nats, {said}"


CLAIM = Claim(
    statement="GMF lowers the joint entropy of the features.",
    source="GMF Sec. 3.2 and 4; Sec. 6",
    protocol="The outputs of GMF, the encoded features that enter it, and those of a "
    f"concatenation, on test rows; the entropy of their {COMPONENTS} leading principal components "
    "by nearest neighbours, as they are and once more with the rows' mean square brought to 1, "
    "since an entropy of continuous features falls with their scale.",
    threshold=f"holds if the {INTERVAL} of both differences lies below 0 by both readings, "
    "corrected if by one",
    measure=measure,
    judge=judge,
    say=say,
    trainings=trainings,
)
