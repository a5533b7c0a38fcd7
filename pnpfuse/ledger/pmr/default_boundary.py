"""The default boundary beside the cell's interface."""

from __future__ import annotations

from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, corrected, fails, holds
from pnpfuse.mapping import hyperparameters

DEFAULT = 0.5
N, VOLTAGE = 4.0, 200.0  # strong enough for the widest modality
WIDTHS = {
    "ActivityNet": {"video": 4096, "audio": 128},
    "VGGSound": {"video": 512, "audio": 512},
    "Food-101": {"image": 2048, "text": 768},
}
LIMIT = 1e-3


def measure(bench: Bench) -> Found:
    """b of the cell of every modality, and l*/(l* + l_m)."""
    found: Found = {"names": [], "interface": [], "ratio": []}
    for data, dims in WIDTHS.items():
        solved = hyperparameters(dims, n=N, voltage=VOLTAGE)
        boundaries = solved.b if isinstance(solved.b, dict) else {}
        for modality, width in dims.items():
            found["names"].append(f"{data} {modality} {width}")
            found["interface"].append(boundaries[modality])
            found["ratio"].append(min(dims.values()) / (min(dims.values()) + width))
    return found


def judge(found: Found) -> Verdict:
    """Holds where the interface is at the default, corrected where at the ratio of the widths."""
    interfaces = [float("nan") if b is None else b for b in found["interface"]]
    if all(abs(b - DEFAULT) < LIMIT for b in interfaces):
        return holds()
    if all(abs(b - r) < LIMIT for b, r in zip(interfaces, found["ratio"], strict=True)):
        return corrected(
            "the interface is at l*/(l* + l_m), which is the default only for a modality of the "
            "smallest width"
        )
    return fails("the interface is at neither the default nor the ratio of the widths")


def say(found: Found) -> str:
    """Interface and ratio of each."""
    each = ", ".join(
        f"{name}: {'none' if b is None else f'{b:.4f}'} ({ratio:.4f})"
        for name, b, ratio in zip(
            found["names"], found["interface"], found["ratio"], strict=True
        )
    )  # fmt: skip
    return f"b/l, and l*/(l* + l_m) in brackets: {each}; default {DEFAULT:g}"


CLAIM = Claim(
    statement="The interface of the cell is the dissociation boundary, for which one half is taken "
    "in every modality.",
    source="PMR Table 2; Eq. 4; App. A.2; App. E.3, Eq. 10",
    protocol="The cells of Eq. 10 for the widths of Table 8, "
    f"{N:g} Debye lengths at {VOLTAGE:g} kB T/e: their interface over the length.",
    threshold=f"interface within {LIMIT:g} of {DEFAULT:g} for every modality",
    measure=measure,
    judge=judge,
    say=say,
)
