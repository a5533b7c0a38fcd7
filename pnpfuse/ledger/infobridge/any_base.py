"""The companion beside every model of the package."""

from __future__ import annotations

import torch
from torch import Tensor

from pnpfuse.fusion.methods import METHODS
from pnpfuse.fusion.registry import create_model
from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, fails, holds

DIMS, CLASSES, ROWS = {"a": 12, "b": 8}, 3, 24
QUICK = ("concat", "late", "rpmr", "scope")


def measure(bench: Bench) -> Found:
    """What fails of each model: its building, its losses, its answers."""
    names = [n for n in sorted(METHODS) if METHODS[n].bridge is None]
    with torch.random.fork_rng(devices=[]):
        tried = {n: _tried(n) for n in (QUICK if bench.quick else names)}
    return {
        "bases": [n for n, wrong in tried.items() if wrong != "needs none"],
        "wrong": {n: wrong for n, wrong in tried.items() if wrong not in ("", "needs none")},
    }


def _tried(base: str) -> str:
    """What is wrong with the companion of a model; nothing if all is well."""
    torch.manual_seed(0)
    labels = torch.arange(ROWS) % CLASSES
    X = {m: torch.randn(ROWS, d) + labels[:, None] for m, d in DIMS.items()}
    try:
        model = create_model("infobridge", DIMS, CLASSES, base=base)
    except ValueError as error:
        return str(error)
    model.set_scale(X)
    if model.reference_rows:
        model.set_reference(X)
    loss = model.train()(X, labels=labels).losses["nce"]
    assert model.encoders is not None
    for m, encoder in model.encoders.items():
        slopes = torch.autograd.grad(
            loss, list(encoder.parameters()), retain_graph=True, allow_unused=True
        )
        if not any(slope is not None and bool((slope != 0).any()) for slope in slopes):
            return f"the objective does not reach the encoder of {m}"
    return _answers(model.eval(), X, labels)


@torch.no_grad()
def _answers(model, X: dict[str, Tensor], labels: Tensor) -> str:
    """Whether the logits hang on the companion or on the labels."""
    logits = model(X).logits
    if not torch.equal(logits, model(X, labels=labels).logits):
        return "the logits hang on the labels"
    model.bridge = None
    return "" if torch.equal(logits, model(X).logits) else "the logits hang on the companion"


def judge(found: Found) -> Verdict:
    """Holds where nothing is wrong with any."""
    if not found["wrong"]:
        return holds()
    base, wrong = next(iter(found["wrong"].items()))
    more = len(found["wrong"]) - 1
    return fails(f"{base}: {wrong}" + (f", and {more} more" if more else ""))


def say(found: Found) -> str:
    """How many bases."""
    count = len(found["bases"])
    return f"{count - len(found['wrong'])} of {count} models: {', '.join(found['bases'])}"


CLAIM = Claim(
    statement="The method goes with any scheme of fusion and any classifier.",
    source="InfoBridge Sec. 4.2",
    protocol=f"InfoBridge beside each model of the package (quick: {', '.join(QUICK)}) on "
    f"{ROWS} random rows of {len(DIMS)} modalities: it can be built, its loss reaches the "
    "weights of every encoder, and the logits are the same with the labels, without them, and "
    "with the companion taken away.",
    threshold="no model where one of these fails",
    measure=measure,
    judge=judge,
    say=say,
)
