"""How the printed losses grow with the batch."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from pnpfuse.fusion.preservation import unit
from pnpfuse.fusion.scope.alignment import alignment_loss
from pnpfuse.fusion.scope.disentanglement import disentanglement
from pnpfuse.fusion.scope.semantic import semantic_graph
from pnpfuse.ledger.bench import Bench, CannotTry
from pnpfuse.ledger.claim import Claim, Found, Verdict, corrected, fails, holds
from pnpfuse.ledger.measures.scope_states import WHOLE, fused, whole_rows
from pnpfuse.ledger.training import Training

SIZES, K = (30, 60, 120), 10
DRAWS = 10
LIMIT = 0.5  # sums over samples have the exponent 1, over pairs 2, means 0: half way to 0


def trainings(bench: Bench) -> list[Training]:
    """SCOPE."""
    bench.need(2)
    return [WHOLE]


def measure(bench: Bench) -> Found:
    """Exponents of each loss in the size of the batch, mean over draws."""
    bench.need(2)
    train = bench.views.train
    rows = whole_rows(train, 4 * SIZES[-1])
    refined = fused(bench.model(WHOLE, bench.seeds[0]), train, rows).refined
    h = torch.stack(list(refined.values()))  # (M, N, d)
    sizes = [size for size in SIZES if size <= len(rows)] or [10, len(rows)]
    draw = torch.Generator().manual_seed(0)
    losses = {"summed": _summed, "mean": disentanglement, "alignment": _aligned}
    values: dict[str, list[list[float]]] = {name: [] for name in losses}
    for _ in range(DRAWS):
        parts = [h[:, torch.randperm(len(rows), generator=draw)[:size]] for size in sizes]
        for name, loss in losses.items():
            values[name].append([float(loss(part)) for part in parts])
    if not (np.array(list(values.values())) > 0).all():  # what is 0 has no exponent
        raise CannotTry("a loss is 0 on these data, whose rows repeat")
    return {
        "sizes": sizes,
        "exponents": {
            name: float(np.mean([np.polyfit(np.log(sizes), np.log(one), 1)[0] for one in each]))
            for name, each in values.items()
        },
    }


def _summed(h: Tensor) -> Tensor:
    """L_sim + L_diff of h (M, N, d) as printed, sums over m != n, samples and their pairs."""
    rows = unit(h)
    total = h.new_zeros(())
    for m in range(len(h)):
        for n in range(len(h)):
            if m != n:
                cosine = rows[m] @ rows[n].mT  # (N, N)
                own = cosine.diagonal()
                total = total + (1 - own).square().sum()
                total = total + cosine.square().sum() - own.square().sum()
    return total


def _aligned(h: Tensor) -> Tensor:
    return alignment_loss(semantic_graph(h, K).unbind(), h.shape[1])


def judge(found: Found) -> Verdict:
    """Holds if the sums do not grow; with a correction if the means do not."""
    exponents = found["exponents"]
    if abs(exponents["summed"]) < LIMIT:
        return holds()
    if abs(exponents["mean"]) < LIMIT:
        return corrected("means over samples and over pairs of samples in place of the sums")
    return fails("the loss depends on the size of the batch, as sums and as means")


def say(found: Found) -> str:
    """The exponents."""
    its = found["exponents"]
    return (
        f"with the batch size N the summed loss goes as N^{its['summed']:.2f}, beside an alignment "
        f"loss as N^{its['alignment']:.2f}; means as N^{its['mean']:.2f}"
    )


CLAIM = Claim(
    statement="The disentanglement loss, a sum over the samples of a batch and over all pairs of "
    "them, is stable to optimise.",
    source="SCOPE Sec. 4.1",
    protocol="The loss as printed, and with means in place of sums, of the refined features of a "
    f"trained SCOPE in {DRAWS} batches each of {', '.join(map(str, SIZES))} training rows: the "
    "exponent with which it grows with the batch, and that of the alignment loss beside which it "
    "is trained.",
    threshold=f"an exponent within {LIMIT:g} of 0, so that the size of the batch does not weigh "
    "the losses",
    measure=measure,
    judge=judge,
    say=say,
    trainings=trainings,
)
