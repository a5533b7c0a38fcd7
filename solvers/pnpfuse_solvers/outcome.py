"""What became of a solve: an enumeration whose members are the messages users read."""

import enum

# The equations must hold this well, relative to the largest displacement or flux; 1e-12 is usual.
LARGEST_VIOLATION = 1e-6
LARGEST_ERROR = 0.1


class Outcome(enum.StrEnum):
    """How a solve ended: a string that files keep; ``.message`` says what to do."""

    CONVERGED = "converged"
    UNRESOLVED_LAYER = "unresolved layer"
    STALLED = "stalled"
    EXHAUSTED = "iterations exhausted"
    NOT_FINITE = "not finite"
    OUT_OF_RANGE = "out of range"
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
        "(layer_resolution above 1, or 1/2 at order 2, or error_estimate above 0.1), so that the "
        "profile there is not to be trusted: raise nodes, or lower the voltage or the cell length."
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
    Outcome.OUT_OF_RANGE: (
        "The values of this cell contradict each other or leave the range of float64, so that it "
        "was not solved: check them and their units."
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
        self.outcome, self.detail = outcome, detail
        super().__init__(f"{outcome.message} {detail}".strip())

    def __reduce__(self) -> tuple[type, tuple[Outcome, str]]:
        return type(self), (self.outcome, self.detail)


def judged(
    outcome: Outcome, resolution: float, violation: float, error: float, order: int
) -> Outcome:
    """What became of a solve whose iteration ended so, from its certificates.

    Parameters
    ----------
    outcome : Outcome
        Of the iteration.
    resolution : float
        layer_resolution. At order 2 no second mesh tells of an error: half as much is allowed.
    violation : float
        Relative violation of the equations: residual, flux_spread.
    error : float
        error_estimate [kB T/e]; NaN at order 2.
    order : int
        Order of accuracy.
    """
    if not outcome.ok:
        return outcome
    if not resolution <= (0.5 if order == 2 else 1.0) or error > LARGEST_ERROR:
        return Outcome.UNRESOLVED_LAYER
    return outcome if violation <= LARGEST_VIOLATION else Outcome.STALLED
