"""Parameters of the mixture of experts: printed formula, printed total, and the module."""

from __future__ import annotations

from fractions import Fraction

from pnpfuse.fusion.experts import EXPERTS, MixtureOfExperts
from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, corrected, fails, holds

WIDTHS = (3, 16, 48)
TOTAL = 20  # l*^2, as printed
PRINTED_HIDDEN = Fraction(8, 3)  # hidden width over l* beside the formula


def measure(bench: Bench) -> Found:
    """Everything over l*^2."""
    modules = [MixtureOfExperts(width) for width in WIDTHS]
    beside = [sum(p.numel() for p in module.parameters()) for module in modules]
    weights = [module.up.weight.numel() + module.down.numel() for module in modules]
    return {
        "widths": list(WIDTHS),
        "total": TOTAL,
        "formula": float((PRINTED_HIDDEN + 2 * PRINTED_HIDDEN) * EXPERTS),
        "weights": [w / width**2 for w, width in zip(weights, WIDTHS, strict=True)],
        "biases and router": [
            all_of_them - w for all_of_them, w in zip(beside, weights, strict=True)
        ],
        "hidden": [module.hidden / module.width for module in modules],
    }


def judge(found: Found) -> Verdict:
    """Holds where the formula gives its total; with a correction where the module does."""
    if found["formula"] == found["total"]:
        return holds()
    if all(weights == found["total"] for weights in found["weights"]):
        return corrected(
            f"the formula printed gives {found['formula']:.0f} l*^2; the total is that of experts "
            f"of two matrices with the hidden width {found['hidden'][0]:g} l* of App. A, biases "
            "and the router not counted"
        )
    return fails("neither the formula nor experts as App. A has them give the total")


def say(found: Found) -> str:
    """All three counts."""
    return (
        f"formula {found['formula']:g} l*^2, printed total {found['total']} l*^2, module "
        + ", ".join(f"{one:g}" for one in found["weights"])
        + f" l*^2 at l* = {', '.join(map(str, found['widths']))}, and "
        + ", ".join(map(str, found["biases and router"]))
        + " biases and router parameters"
    )


CLAIM = Claim(
    statement="A mixture of one shared and four routed experts on the shared part adds "
    "((8/3) l* l* + 2 (8/3) l* l*) (4 + 1) = 20 l*^2 parameters.",
    source="PMR App. E.4; App. A",
    protocol="The formula evaluated beside its printed result, and the weights of the package's "
    f"mixture, one shared and four routed experts of two matrices, counted for l* of {WIDTHS}.",
    threshold="equal as whole numbers of l*^2",
    measure=measure,
    judge=judge,
    say=say,
)
