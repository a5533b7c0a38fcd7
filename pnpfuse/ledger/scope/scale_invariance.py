"""Whether the graph's weights forget the scale of the distances."""

from __future__ import annotations

from pnpfuse.fusion.scope.simplex import printed_weights, simplex_weights
from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, fails, holds
from pnpfuse.ledger.measures.neighbours import SAID, neighbour_costs

FACTORS = (1e-6, 1e-3, 1e3, 1e6)
# A weight near 0 is the root of a difference: rounding of 1e-15 is one of 3e-8 in it.
LIMIT = 1e-6
FORMS = {"printed": printed_weights, "exact": simplex_weights}


def measure(bench: Bench) -> Found:
    """The largest change of any weight, by form."""
    costs = neighbour_costs(bench).values()
    return {
        form: max(
            float((weigh(factor * cost) - weigh(cost)).abs().max())
            for cost in costs
            for factor in FACTORS
        )
        for form, weigh in FORMS.items()
    }


def judge(found: Found) -> Verdict:
    """Holds where no weight changes."""
    changed = [form for form in FORMS if found[form] > LIMIT]
    return fails(f"the scale changes the {' and '.join(changed)} weights") if changed else holds()


def say(found: Found) -> str:
    """The largest changes."""
    return ", ".join(f"{form} weights change by at most {found[form]:.1g}" for form in FORMS)


CLAIM = Claim(
    statement="The graph's weights depend on relative distances alone: a factor on all squared "
    "distances of a sample leaves them as they are.",
    source="SCOPE Theorem 1 and the remark below it",
    protocol=f"Weights with all squared distances times {', '.join(f'{f:g}' for f in FACTORS)}, "
    f"beside those without, as Theorem 1 prints them and with the multiplier solved for; {SAID}.",
    threshold=f"no weight changes by more than {LIMIT:g}",
    measure=measure,
    judge=judge,
    say=say,
)
