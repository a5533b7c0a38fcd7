"""Which part of the block's output has the width that Table 6 prints for the classifier."""

from __future__ import annotations

from pnpfuse.fusion import create_model
from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, corrected, fails, holds

DIMS = {"image": 2048, "text": 768}
PRINTED = {"G-Concat": ("rpmr", 2816), "G-CMMP": ("rg-cmmp", 768)}
PARTS = ("all", "specific", "shared")


def measure(bench: Bench) -> Found:
    """Inputs of the classifier by the part of Z that it is given."""
    found: Found = {"printed": {name: width for name, (_, width) in PRINTED.items()}, "real": {}}
    for name, (model, _) in PRINTED.items():
        found["real"][name] = {part: _inputs(model, part) for part in PARTS}
    return found


def judge(found: Found) -> Verdict:
    """Holds where the whole of Z has the printed widths."""
    printed, real = found["printed"], found["real"]
    if all(real[name]["all"] == width for name, width in printed.items()):
        return holds()
    fitting = {
        name: [part for part, width in real[name].items() if width == printed[name]]
        for name in printed
    }
    if all(fitting.values()):
        said = ", ".join(f"the {parts[0]} parts for {name}" for name, parts in fitting.items())
        return corrected(f"the printed widths are those of {said}")
    return fails("no part of Z has the printed widths")


def say(found: Found) -> str:
    """All the widths."""
    return "; ".join(
        f"{name}: printed {found['printed'][name]}, "
        + ", ".join(f"{part} {width}" for part, width in of.items())
        for name, of in found["real"].items()
    )


def _inputs(name: str, part: str) -> int:
    """Of the linear classifier of a block for features of a sixteenth of the widths, times 16."""
    dims = {m: width // 16 for m, width in DIMS.items()}
    head = create_model(name, dims, 2, encoder=None, parts=part).head
    return 16 * head.get_parameter("linear.weight").shape[1]


CLAIM = Claim(
    statement="The fusion output of a modality is Z of width l + l*; the classifier of G-Concat on "
    "features of 2048 and 768 has 2816 inputs, that of G-CMMP 768.",
    source="PMR Sec. 4, Table 6",
    protocol="Inputs of the classifiers of rpmr and rg-cmmp for these widths (their proportion, a "
    "sixteenth in size), given all of Z, its specific parts or its shared parts.",
    threshold="the printed numbers, with all of Z",
    measure=measure,
    judge=judge,
    say=say,
)
