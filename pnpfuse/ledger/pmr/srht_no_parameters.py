"""Parameters of the block whose maps are Hadamard transforms."""

from __future__ import annotations

from pnpfuse.fusion import create_model
from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, fails, holds

MODELS = ("sg-srht", "rg-srht")


def measure(bench: Bench) -> Found:
    """Numbers of parameters and of buffered entries of the blocks, for the data's widths."""
    bench.need(2)
    views = bench.views
    found: Found = {"models": list(MODELS), "parameters": [], "buffered": [], "linear": 0}
    for name in MODELS:
        block = create_model(name, views.dims, views.classes).block
        found["parameters"].append(sum(p.numel() for p in block.parameters()))
        found["buffered"].append(sum(b.numel() for b in block.buffers()))
    linear = create_model("rpmr", views.dims, views.classes).block
    found["linear"] = sum(p.numel() for p in linear.parameters())
    return found


def judge(found: Found) -> Verdict:
    """Holds where there are none."""
    most = max(found["parameters"])
    return holds() if most == 0 else fails(f"a block has {most:,} learnable parameters")


def say(found: Found) -> str:
    """The counts."""
    return (
        f"{' and '.join(f'{one:,}' for one in found['parameters'])} parameters and "
        f"{found['buffered'][0]:,} buffered signs and rows; with linear maps {found['linear']:,}"
    )


CLAIM = Claim(
    statement="The variant with subsampled randomised Hadamard transforms introduces no learnable "
    "parameters.",
    source="PMR Sec. 5.2.2, App. E.4",
    protocol=f"Learnable parameters of the blocks of {' and '.join(MODELS)} for the widths of the "
    "data.",
    threshold="not a single one",
    measure=measure,
    judge=judge,
    say=say,
)
