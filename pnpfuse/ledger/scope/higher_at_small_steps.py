"""What Table 5's own numbers say of diffused and stacked attention at small T."""

from __future__ import annotations

from matplotlib.figure import Figure

from pnpfuse.figures import blank_figure
from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, fails, holds

STEPS = (1, 3, 5)
SMALL = 2  # of them: up to T = 3, the default that the paper says its table supports
# {data set: (GAT, DiffuA)}, printed, at STEPS.
TABLE5 = {
    "MVSA": ((4.9997, 1.2786, 0.0314), (5.2531, 2.4588, 1.1961)),
    "TumEmo": ((5.5519, 0.5765, 0.0499), (9.0993, 4.5649, 2.3025)),
    "CREMA-D": ((2.3846, 1.2349, 0.1774), (3.6404, 2.8509, 2.4025)),
    "IEMOCAP": ((2.4087, 0.5753, 0.0064), (2.2312, 1.4259, 1.1924)),
}


def measure(bench: Bench) -> Found:
    """Diffused over stacked energy at each T, and their difference, by data set."""
    pairs = {name: list(zip(*rows, strict=True)) for name, rows in TABLE5.items()}
    return {
        "ratios": {m: [ours / theirs for theirs, ours in row] for m, row in pairs.items()},
        "gaps": {m: [ours - theirs for theirs, ours in row] for m, row in pairs.items()},
    }


def judge(found: Found) -> Verdict:
    """Holds if the diffused energy is higher everywhere, and most so at a small T."""
    ratios, gaps = found["ratios"], found["gaps"]
    lower = [
        f"{name} at T = {T}"
        for name, row in ratios.items()
        for T, ratio in zip(STEPS, row, strict=True)
        if ratio <= 1
    ]
    later = [m for m in ratios if _late(ratios[m]) and _late(gaps[m])]
    said = [f"it is lower for {', '.join(lower)}"] if lower else []
    if later:
        said.append(
            f"neither factor nor difference is largest up to T = {STEPS[SMALL - 1]} for "
            f"{', '.join(later)}"
        )
    return fails("in the table itself " + ", and ".join(said)) if said else holds()


def _late(row: list[float]) -> bool:
    """Whether the largest is not at a small T."""
    return max(row[:SMALL]) < max(row)


def say(found: Found) -> str:
    """The factors."""
    return (
        "diffused over stacked energy, T = "
        + ", ".join(map(str, STEPS))
        + ": "
        + "; ".join(
            f"{name} {', '.join(f'{ratio:.2f}' for ratio in row)}"
            for name, row in found["ratios"].items()
        )
    )


def draw(found: Found) -> Figure:
    """The factors over T."""
    figure = blank_figure(4.5, 3.5)
    axes = figure.subplots()
    for name, row in found["ratios"].items():
        axes.semilogy(STEPS, row, "o-", label=name)
    axes.axhline(1, color="0.6", lw=1)
    axes.set_xticks(STEPS)
    axes.set_xlabel("steps T")
    axes.set_ylabel("diffused over stacked Dirichlet energy")
    axes.legend(frameon=False)
    return figure


CLAIM = Claim(
    statement="Diffusion attention preserves a higher Dirichlet energy than GAT, at small T above "
    "all.",
    source="SCOPE Sec. 5.3, Table 5, its printed numbers",
    protocol="The printed energies of diffusion attention over those of GAT, and their difference, "
    f"for each of the {len(TABLE5)} data sets and T = {', '.join(map(str, STEPS))}.",
    threshold="every factor above 1, and the largest factor or the largest difference of each data "
    f"set at T up to {STEPS[SMALL - 1]}",
    measure=measure,
    judge=judge,
    say=say,
    draw=draw,
)
