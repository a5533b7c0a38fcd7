"""Table 5's diffusion rows: the energy falls with T, under the update as printed."""

from __future__ import annotations

import numpy as np

from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, corrected, fails, holds
from pnpfuse.ledger.measures.paired import INTERVAL, interval
from pnpfuse.ledger.measures.scope_states import ROWS, WHOLE, XI, state
from pnpfuse.ledger.training import Training
from pnpfuse_analysis import dirichlet_energy

STEPS = (1, 3, 5)
PRINTED, OTHER = "residual", "renormalised"


def trainings(bench: Bench) -> list[Training]:
    """SCOPE."""
    bench.need(2)
    return [WHOLE]


def measure(bench: Bench) -> Found:
    """Energy over that at T = 0, (seeds, steps), by form; what each step of T adds to its log."""
    bench.need(2)
    states = [state(bench, seed) for seed in bench.seeds]
    found: Found = {}
    for form in (PRINTED, OTHER):
        ratio = np.array(
            [
                [
                    float(dirichlet_energy(one.after(form, T), one.edges))
                    / float(dirichlet_energy(one.z, one.edges))
                    for T in STEPS
                ]
                for one in states
            ]
        )
        added = np.diff(np.log(ratio), axis=1, prepend=0.0)  # (seeds, steps)
        found[form] = {"ratio": ratio, "added": [interval(column) for column in added.T]}
    return found


def judge(found: Found) -> Verdict:
    """Holds if the printed update lowers the energy; with a correction if the other does."""
    falls = {
        form: all(one["high"] < 0 for one in found[form]["added"]) for form in (PRINTED, OTHER)
    }
    if falls[PRINTED]:
        return holds()
    if falls[OTHER]:
        return corrected(
            "without the residual and with weights that sum to 1; the update as printed makes the "
            "features larger and with them their energy"
        )
    return fails("the energy does not fall with every T under either form")


def say(found: Found) -> str:
    """Mean ratios."""
    said = [
        f"{name} {', '.join(f'{mean:.2f}' for mean in np.mean(found[form]['ratio'], 0))}"
        for form, name in ((PRINTED, "as printed"), (OTHER, "renormalised, no residual"))
    ]
    return f"energy over that before, T = {', '.join(map(str, STEPS))}: {'; '.join(said)}"


CLAIM = Claim(
    statement="The Dirichlet energy of SCOPE's fused features falls as the diffusion takes more "
    "steps.",
    source="SCOPE Sec. 5.3, Table 5, and the update of Sec. 4.3",
    protocol=f"Joint features of {ROWS} test rows in a trained SCOPE, before its fusion, and its "
    f"trained attention: their energy on the graph of the attention after h + A~ h as printed, and "
    f"after A~ h with weights of sum 1, xi = {XI}, over the energy of h.",
    threshold=f"the {INTERVAL} of what the logarithm of that ratio changes by from each T to the "
    f"next, 0, {', '.join(map(str, STEPS))}, lies below 0",
    measure=measure,
    judge=judge,
    say=say,
    trainings=trainings,
)
