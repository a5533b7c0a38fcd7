"""Whether diffusion keeps more of what differs between samples than stacking, at any scale."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from pnpfuse.ledger.bench import Bench, CannotTry
from pnpfuse.ledger.claim import Claim, Found, Verdict, fails, holds
from pnpfuse.ledger.measures.paired import INTERVAL, interval
from pnpfuse.ledger.measures.scope_states import ROWS, WHOLE, XI, state
from pnpfuse.ledger.training import Training
from pnpfuse_analysis import rayleigh_quotient

STEPS = (3, 5)
FORMS = ("stack", "residual", "renormalised")


def trainings(bench: Bench) -> list[Training]:
    """SCOPE."""
    bench.need(2)
    return [WHOLE]


def measure(bench: Bench) -> Found:
    """Shares (seeds, steps) by form, their logarithm over stacking's, and the quotients."""
    bench.need(2)
    states = [state(bench, seed) for seed in bench.seeds]
    found: Found = {"before": [_share(one.z) for one in states]}
    for form in FORMS:
        found[form] = [[_share(one.after(form, T)) for T in STEPS] for one in states]
    if not (np.array([found[form] for form in FORMS]) > 0).all():
        raise CannotTry("the samples are all alike before or after a form: nothing to preserve")
    stacked = np.log(found["stack"])
    found["log_ratio"] = {
        form: [interval(column) for column in (np.log(found[form]) - stacked).T]
        for form in FORMS[1:]
    }
    found["quotient"] = {
        form: float(
            np.mean([rayleigh_quotient(one.after(form, STEPS[-1]), one.edges) for one in states])
        )
        for form in FORMS
    }
    if not np.isfinite(list(found["quotient"].values())).all():
        raise CannotTry("the samples vary too little for the quotient of energy and variance")
    return found


def _share(x: Tensor) -> float:
    """Variance of the samples x (N, d) over their mean square: 0 where all are alike."""
    return float((x - x.mean(0)).square().sum() / x.square().sum())


def judge(found: Found) -> Verdict:
    """Holds where both forms of the diffusion keep more beyond the spread, at each T."""
    lacking = [
        f"{form} at T = {T}"
        for form, intervals in found["log_ratio"].items()
        for T, one in zip(STEPS, intervals, strict=True)
        if not one["low"] > 0
    ]
    return (
        fails(f"no more than stacking beyond the spread: {', '.join(lacking)}")
        if lacking
        else holds()
    )


def say(found: Found) -> str:
    """The shares, and the quotients beside them."""
    said = [
        f"{form} {', '.join(f'{mean:.3f}' for mean in np.mean(found[form], 0))}" for form in FORMS
    ]
    quotients = ", ".join(f"{form} {value:.2f}" for form, value in found["quotient"].items())
    return (
        f"variance over mean square from {np.mean(found['before']):.3f} to, at T = "
        f"{', '.join(map(str, STEPS))}: {'; '.join(said)} (energy over variance at last: "
        f"{quotients})"
    )


CLAIM = Claim(
    statement="Diffusion that decays with the hops preserves the variation of features better than "
    "deep stacking.",
    source="SCOPE Sec. 4.3, remark",
    protocol=f"Joint features of {ROWS} test rows in a trained SCOPE, before its fusion, and its "
    f"trained attention A: A^T stacked; diffused as printed, with the residual; and with weights "
    f"of sum 1; xi = {XI}. How much the samples vary, as variance over mean square, which does not "
    "depend on the scale and is 0 where all are alike; beside it energy over variance on the graph "
    "of the attention.",
    threshold=f"the {INTERVAL} of the logarithm of that share over stacking's lies above 0 for "
    f"both forms at T = {' and '.join(map(str, STEPS))}",
    measure=measure,
    judge=judge,
    say=say,
    trainings=trainings,
)
