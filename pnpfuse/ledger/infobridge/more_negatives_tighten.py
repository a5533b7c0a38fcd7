"""What Eq. (4) gives away."""

from __future__ import annotations

from matplotlib.figure import Figure

from pnpfuse.figures import blank_figure
from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, fails, holds
from pnpfuse.ledger.measures.gaussian_pairs import information, right_bound
from pnpfuse.ledger.measures.paired import INTERVAL, interval

RHO, RATIOS = 0.9, (1.0, 5.0, 64.0, 1024.0, 16384.0)
ROWS, SETS = 10_000, 8


def measure(bench: Bench) -> Found:
    """The bound over the ratio, and what each step of it adds on the same pairs."""
    bounds = [right_bound(RHO, ratio, ROWS, SETS) for ratio in RATIOS]
    return {
        "information": information([RHO]),
        "ratios": list(RATIOS),
        "bounds": [interval(one) for one in bounds],
        "steps": [interval(b - a) for a, b in zip(bounds, bounds[1:], strict=False)],
    }


def judge(found: Found) -> Verdict:
    """Holds where each step adds to the bound and the last one meets the information."""
    falls = [r for r, one in zip(found["ratios"][1:], found["steps"], strict=True)
             if not one["low"] > 0]  # fmt: skip
    if falls:
        return fails(f"the bound does not rise up to N0/N1 = {falls[0]:g}")
    last, truth = found["bounds"][-1], found["information"]
    if last["low"] <= truth <= last["high"]:
        return holds()
    return fails(f"at N0/N1 = {found['ratios'][-1]:g} it comes to {last['mean']:.3f} "
                 f"of {truth:.3f} nats")  # fmt: skip


def say(found: Found) -> str:
    """The bound at each ratio."""
    each = [f"{r:g}: {b['mean']:.3f}"
            for r, b in zip(found["ratios"], found["bounds"], strict=True)]  # fmt: skip
    return f"of {found['information']:.3f} nats, N0/N1 = {', '.join(each)}"


def draw(found: Found) -> Figure:
    """The bound over the ratio, with its truth."""
    figure = blank_figure(4.5, 3.5)
    axes = figure.subplots()
    axes.plot(found["ratios"], [one["mean"] for one in found["bounds"]], "o-", label="bound")
    axes.axhline(found["information"], color="black", linestyle="--", label="information")
    axes.set_xscale("log")
    axes.set_xlabel("N0 / N1")
    axes.set_ylabel("value / nat")
    axes.legend(fontsize="small")
    return figure


CLAIM = Claim(
    statement="The log-posterior of a true pair is at most its pointwise conditional information "
    "less log(N0/N1), and only the 1 beside N0/N1 times the inverse density ratio is dropped.",
    source="InfoBridge Sec. 3, Eq. (4)",
    protocol=f"Gaussian pairs of correlation {RHO} with their own posterior; log(N0/N1) plus its "
    f"mean logarithm over true pairs, at N0/N1 of {RATIOS}, on the same {SETS} sets of {ROWS} "
    "pairs: the more negatives, the less the 1 weighs.",
    threshold=f"every step adds, by the {INTERVAL.replace('seeds', 'sets')}, and the last "
    "interval has the information in it",
    measure=measure,
    judge=judge,
    say=say,
    draw=draw,
)
