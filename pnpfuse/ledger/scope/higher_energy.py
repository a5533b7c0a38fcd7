"""Table 5: Dirichlet energy after diffused and after stacked attention."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from pnpfuse.figures import blank_figure
from pnpfuse.ledger.bench import Bench, CannotTry
from pnpfuse.ledger.claim import Claim, Found, Verdict, fails, holds
from pnpfuse.ledger.measures.paired import INTERVAL, interval
from pnpfuse.oversmoothing import smoothing_study

STEPS, K, XI = (1, 3, 5), 30, 0.3
ROWS, FEW = 240, 120
STACKED, DIFFUSED = "gat", "renormalised"


def measure(bench: Bench) -> Found:
    """Energies over that of the features, (seeds, steps), and log ratio with its interval."""
    test = bench.views.test
    rows = np.random.default_rng(0).permutation(len(test))[: FEW if bench.quick else ROWS]
    try:
        study = smoothing_study(
            test.read(rows), k=min(K, len(rows) - 1), steps=STEPS, xi=(XI,),
            masks=("neighbours",), operators=(STACKED, DIFFUSED), seeds=bench.seeds,
        )  # fmt: skip
    except ValueError as error:
        raise CannotTry(f"no study on these data: {error}") from error
    energy = study["energy_ratio"].isel(mask=0, xi=0).transpose("operator", "seed", "steps")
    stacked, diffused = (energy.sel(operator=name).values for name in (STACKED, DIFFUSED))
    gain = np.log(diffused / stacked)
    return {
        "stacked": stacked,
        "diffused": diffused,
        "log_ratio": [interval(gain[:, t]) for t in range(len(STEPS))],
    }


def judge(found: Found) -> Verdict:
    """Holds where the diffused energy is higher beyond the spread at each T."""
    lower = [T for T, one in zip(STEPS, found["log_ratio"], strict=True) if not one["low"] > 0]
    if not lower:
        return holds()
    return fails(f"at T = {', '.join(map(str, lower))} it is not higher beyond the spread")


def say(found: Found) -> str:
    """Both energies at each T."""
    stacked, diffused = (np.mean(found[name], 0) for name in ("stacked", "diffused"))
    said = ", ".join(
        f"{ours:.2g} against {theirs:.2g} (T = {T})"
        for T, ours, theirs in zip(STEPS, diffused, stacked, strict=True)
    )
    return f"of the features' energy is left, diffused against stacked: {said}"


def draw(found: Found) -> Figure:
    """Energy over T, a line a seed."""
    figure = blank_figure(4.5, 3.5)
    axes = figure.subplots()
    for name, color in (("stacked", "tab:orange"), ("diffused", "tab:blue")):
        for k, values in enumerate(found[name]):
            label = name if k == 0 else None
            axes.semilogy(STEPS, values, "o-", color=color, alpha=0.6, label=label)
    axes.set_xticks(STEPS)
    axes.set_xlabel("steps T")
    axes.set_ylabel("Dirichlet energy over that at T = 0")
    axes.legend(frameon=False)
    return figure


CLAIM = Claim(
    statement="Diffusion attention keeps a higher Dirichlet energy than graph attention stacked T "
    "times.",
    source="SCOPE Sec. 5.3, Table 5",
    protocol=f"Standardised test features (at most {ROWS} rows), their {K} nearest neighbours as "
    "graph, attention by random projections, a draw a seed: the Dirichlet energy after T layers "
    f"with an attention each, and after one attention diffused up to T with xi = {XI} and weights "
    f"of sum 1, at T = {', '.join(map(str, STEPS))}.",
    threshold=f"the {INTERVAL} of the logarithm of diffused over stacked energy lies above 0 at "
    "each T",
    measure=measure,
    judge=judge,
    say=say,
    draw=draw,
)
