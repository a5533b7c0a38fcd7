"""What GMF adds in front of another fusion."""

from __future__ import annotations

import torch

from pnpfuse.fusion.registry import create_model
from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, fails, holds

WIDTHS = {"audio": 64, "video": 48}
CLASSES = 10
BACKENDS = ("mbt", "perceiver")
# GMF Table 2: {fusion: (parameters / M, FLOPs / G)}.
PRINTED = {
    "gmf": (5.25, 0.01),
    "mbt": (37.83, 0.15),
    "perceiver": (45.05, 45.59),
    "g-mbt": (43.08, 0.16),
    "g-perceiver": (50.31, 45.61),
}
ROUNDED = 0.03  # three numbers cut or rounded to two decimals: at most one of the last each


def measure(bench: Bench) -> Found:
    """The sum's distance from the whole, in print and as the modules are."""
    printed = {
        name: [PRINTED[f"g-{name}"][i] - PRINTED[name][i] - PRINTED["gmf"][i] for i in (0, 1)]
        for name in BACKENDS
    }
    modules = {name: _parameters(f"g-{name}") - _parameters(name) for name in BACKENDS}
    return {"printed": printed, "modules": modules, "gmf": _parameters("gmf")}


def _parameters(name: str) -> int:
    """Of the fusion, without the linear classifier."""
    with torch.random.fork_rng(devices=[]):
        model = create_model(name, WIDTHS, CLASSES, encoder=None)
    named = model.named_parameters()
    return sum(p.numel() for name, p in named if not name.startswith("head.linear"))


def judge(found: Found) -> Verdict:
    """Holds where print and modules add up."""
    off = max(abs(value) for row in found["printed"].values() for value in row)
    if off > ROUNDED:
        return fails(f"the printed columns are {off:.2f} apart")
    if any(added != found["gmf"] for added in found["modules"].values()):
        return fails("in front of another fusion GMF costs other than alone")
    return holds()


def say(found: Found) -> str:
    """What is left over in print, and what the modules add."""
    off = max(abs(value) for row in found["printed"].values() for value in row)
    added = ", ".join(
        f"{value} parameters in front of {name}" for name, value in found["modules"].items()
    )
    return f"the printed sums are off by {off:.2f} at most; GMF adds {added}, alone {found['gmf']}"


CLAIM = Claim(
    statement="In front of another fusion GMF adds its own small cost and nothing else.",
    source="GMF Sec. 5.3, Table 2, G-MBT and G-Perceiver",
    protocol="The printed parameters and FLOPs of the fusion and of GMF are added and compared "
    "with those of both together; the same for the parameters of this package's modules, without "
    f"the linear classifier, at widths {tuple(WIDTHS.values())}.",
    threshold=f"holds if the printed sums agree to {ROUNDED:g}, what cutting to two decimals "
    "makes, and the modules' exactly",
    measure=measure,
    judge=judge,
    say=say,
)
