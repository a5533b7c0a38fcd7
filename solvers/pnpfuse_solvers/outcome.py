"""What became of a solve: an enumeration whose members are the messages users read."""

import enum


class Outcome(enum.StrEnum):
    """How a solve ended: a string that files keep; ``.message`` says what to do."""

    CONVERGED = "converged"
    UNRESOLVED_LAYER = "unresolved layer"
    STALLED = "stalled"
    EXHAUSTED = "iterations exhausted"
    NOT_FINITE = "not finite"
    NOT_CONVEX = "not convex"

    @property
    def message(self) -> str:
        """The outcome in a sentence, with what would mend it."""
        return _MESSAGES[self]

    @property
    def ok(self) -> bool:
        """True where the result can be used."""
        return self is Outcome.CONVERGED


_MESSAGES = {
    Outcome.CONVERGED: "The solve converged and the mesh resolves every layer that holds ions.",
    Outcome.UNRESOLVED_LAYER: (
        "The equations were solved, but the mesh is too coarse for a boundary layer "
        "(layer_resolution above 1), so that the profile there is not to be trusted: raise nodes, "
        "or lower the voltage or the cell length."
    ),
    Outcome.STALLED: (
        "Newton's steps stopped shrinking before tol, or Gauss's law holds too badly: rounding "
        "limits this cell. Raise tol, thicken a very thin Stern layer, or lower the voltage or "
        "the cell length."
    ),
    Outcome.EXHAUSTED: (
        "Newton's method or the steps in time used up their number: check the units of length, "
        "concentration, fixed_charge, potential and times, lower the voltage, or raise nodes or "
        "tolerances."
    ),
    Outcome.NOT_FINITE: (
        "A concentration or potential left the range of float64: check the units of length, "
        "concentration, fixed_charge and potential, or lower the voltage."
    ),
    Outcome.NOT_CONVEX: (
        "The excess makes the ions' free energy non-convex at concentrations that this cell "
        "reaches, so that its equilibrium need not be unique (two phases): weaken the attraction, "
        "give the ions a diameter, or lower the voltage."
    ),
}


class SolverError(RuntimeError):
    """A solve did not give a trustworthy result.

    Attributes
    ----------
    outcome : Outcome
        What happened.
    """

    def __init__(self, outcome: Outcome, detail: str = ""):
        self.outcome = outcome
        super().__init__(f"{outcome.message} {detail}".strip())
