"""Whether a prediction is the sample's own, with graphs made in the batch."""

from __future__ import annotations

import numpy as np
import torch

from pnpfuse.fusion.model import FusionModel
from pnpfuse.fusion.scope.block import SCOPE
from pnpfuse.ledger.bench import Bench, CannotTry
from pnpfuse.ledger.claim import Claim, Found, Verdict, corrected, fails, holds
from pnpfuse.ledger.measures.scope_states import WHOLE, inputs, some
from pnpfuse.ledger.training import Training

SAMPLES, BESIDE = 30, 30
LIMIT = 1e-9  # of a probability in double precision


def trainings(bench: Bench) -> list[Training]:
    """SCOPE."""
    bench.need(2)
    return [WHOLE]


def measure(bench: Bench) -> Found:
    """The largest change of a probability and the share of changed classes, by graph."""
    bench.need(2)
    test = bench.views.test
    rows = some(test, SAMPLES + 2 * BESIDE)
    count = len(rows) // 3
    if not count:
        raise CannotTry(f"needs three test rows; found {len(rows)}")
    same, one, other = rows[:count], rows[count : 2 * count], rows[2 * count :]
    batches = [inputs(test, np.concatenate([same, beside])) for beside in (one, other)]
    found: dict[str, list] = {"batch": [], "bank": []}
    for seed in bench.seeds:
        model = bench.model(WHOLE, seed).cpu().double()
        found["bank"].append(_change(model, batches, count))
        found["batch"].append(_change(_over_the_batch(model), batches, count))
    return found


def _over_the_batch(model: FusionModel) -> FusionModel:
    """The same weights with the paper's graph, over whoever is asked about at the same time."""
    assert isinstance(model.block, SCOPE)
    model.block.inference, model.bank = "batch", None
    return model


@torch.inference_mode()
def _change(model: FusionModel, batches: list, count: int) -> list[float]:
    one, other = (model(*batch).logits[:count].softmax(1) for batch in batches)
    moved = (one.argmax(1) != other.argmax(1)).double().mean()
    return [float((one - other).abs().max()), float(moved)]


def judge(found: Found) -> Verdict:
    """Holds if the company does not matter; with a correction if beside kept rows it does not."""
    if max(change for change, _ in found["batch"]) <= LIMIT:
        return holds()
    if max(change for change, _ in found["bank"]) <= LIMIT:
        return corrected("at test time the graph has to run over rows kept from training")
    return fails("the prediction depends on the batch, also beside rows kept from training")


def say(found: Found) -> str:
    """Changes with either graph."""
    change, moved = (np.array(found["batch"])[:, i] for i in (0, 1))
    return (
        f"in other company a probability changes by up to {change.max():.2f} and the class of "
        f"{moved.mean():.1%} of the samples; beside kept rows by "
        f"{max(change for change, _ in found['bank']):.1g}"
    )


CLAIM = Claim(
    statement="SCOPE predicts a sample's class from the sample and the model, f(x; Theta), with "
    "graphs made within each mini-batch.",
    source="SCOPE Sec. 3 and 4.5",
    protocol=f"Probabilities of {SAMPLES} test rows by a trained SCOPE in two batches, with "
    f"{BESIDE} others each: with the graph over the batch, and with the graph over training rows "
    "that the model keeps.",
    threshold=f"no probability changes by more than {LIMIT:g}",
    measure=measure,
    judge=judge,
    say=say,
    trainings=trainings,
)
