"""GMF's size beside that of other fusions."""

from __future__ import annotations

import torch
from torch.utils.flop_counter import FlopCounterMode

from pnpfuse.fusion.cost import table9_flops, table9_parameters
from pnpfuse.fusion.registry import create_model
from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, corrected, fails, holds

WIDTHS = {"audio": 512, "video": 512}  # of the paper's features
CLASSES = 309  # of VGGSound
OTHERS = ("misa", "mbt", "perceiver")
ROWS = 2


def measure(bench: Bench) -> Found:
    """Parameters and operations a sample of all, the others as wide inside as the features."""
    width = max(WIDTHS.values())
    counts = {"gmf": _counted("gmf")}
    for name in OTHERS:
        counts[name] = _counted(name, block_width=width)
    formula = [table9_parameters(WIDTHS), table9_flops(WIDTHS)]
    return {"counts": counts, "formula": formula}


def _counted(name: str, **options: int) -> list[int]:
    """Parameters and floating-point operations a sample of a block."""
    with torch.random.fork_rng(devices=[]):
        block = create_model(name, WIDTHS, CLASSES, encoder=None, **options).block.eval()
    X = {m: torch.zeros(ROWS, width) for m, width in WIDTHS.items()}
    with FlopCounterMode(display=False) as counter:
        block(X)
    return [sum(p.numel() for p in block.parameters()), counter.get_total_flops() // ROWS]


def judge(found: Found) -> Verdict:
    """Holds where GMF is smallest in both, corrected where in one."""
    ours, others = found["counts"]["gmf"], {n: c for n, c in found["counts"].items() if n != "gmf"}
    smaller = {n: [c[i] < ours[i] for i in (0, 1)] for n, c in others.items()}
    if not any(any(both) for both in smaller.values()):
        return holds()
    for i, (what, rest) in enumerate((("parameters", "operations"), ("operations", "parameters"))):
        if not any(both[1 - i] for both in smaller.values()):
            said = ", ".join(n for n, both in smaller.items() if both[i])
            return corrected(f"fewest {rest}; fewer {what} has {said}")
    said = " and ".join(n for n, both in smaller.items() if any(both))
    return fails(f"in the form that this package gives them, {said} have less of one or both")


def say(found: Found) -> str:
    """Both counts of all."""
    said = ", ".join(
        f"{name} {parameters / 1e6:.2f} M and {flops / 1e6:.1f} MFLOP"
        for name, (parameters, flops) in found["counts"].items()
    )
    return f"{said} (GMF by PMR's Table 9: {found['formula'][0] / 1e6:.2f} M)"


CLAIM = Claim(
    statement="GMF has by far the fewest parameters and operations of the compared fusions.",
    source="GMF Sec. 5.3, Table 2, columns Params and FLOPs",
    protocol=f"The blocks of GMF, {', '.join(OTHERS)} as this package builds them, for two "
    f"modalities of width {WIDTHS['audio']} and as wide inside; parameters without classifier, "
    "and the operations of matrix products and attention for one sample.",
    threshold="holds if GMF has the fewest of both, corrected if of one",
    measure=measure,
    judge=judge,
    say=say,
)
