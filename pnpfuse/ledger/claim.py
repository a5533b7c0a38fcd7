"""A claim of a paper, as something to run, and the four verdicts on it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from pnpfuse.ledger.bench import Bench
    from pnpfuse.ledger.training import Training

HOLDS = "holds"
CORRECTED = "holds with a correction"
FAILS = "does not hold here"
UNTRIED = "cannot be tried here"
VERDICTS = (HOLDS, CORRECTED, FAILS, UNTRIED)

# What a claim measured: numbers, texts, and lists and dicts of them, as JSON can keep them.
Found = dict[str, Any]


@dataclass(frozen=True)
class Verdict:
    """Where a claim stands.

    Attributes
    ----------
    kind : one of `VERDICTS`
    why : the correction, the conditions under which it does not hold, or what is lacking
    """

    kind: str
    why: str = ""

    def __post_init__(self) -> None:
        if self.kind not in VERDICTS:
            raise ValueError(f"kind must be one of {list(VERDICTS)}; found {self.kind!r}")
        if self.kind != HOLDS and not self.why:
            raise ValueError(f"why is needed for a verdict {self.kind!r}")


@dataclass(frozen=True)
class Claim:
    """One statement of a paper and how it is tried; a file of this package holds one.

    Attributes
    ----------
    statement : what the paper says, in this project's words
    source : where it says so: section, equation, theorem, table or figure
    protocol : what is done to try it
    threshold : what decides, fixed before anything is measured
    measure : does it: Bench -> Found. `CannotTry` where the data do not allow it.
    judge : the verdict on what was measured, from that alone
    say : what was measured, in one line
    draw : a figure of what was measured, or None
    trainings : the trained models that `measure` asks the bench for, so that they can be trained
        beforehand and side by side: Bench -> trainings
    name : "paper/file", as the catalogue sets it
    """

    statement: str
    source: str
    protocol: str
    threshold: str
    measure: Callable[[Bench], Found]
    judge: Callable[[Found], Verdict]
    say: Callable[[Found], str]
    draw: Callable[[Found], Figure] | None = None
    trainings: Callable[[Bench], Sequence[Training]] | None = None
    name: str = ""

    @property
    def paper(self) -> str:
        """The folder it stands in."""
        return self.name.partition("/")[0]


def holds(why: str = "") -> Verdict:
    """It holds as the paper says it."""
    return Verdict(HOLDS, why)


def corrected(correction: str) -> Verdict:
    """It holds once the correction is made."""
    return Verdict(CORRECTED, correction)


def fails(why: str) -> Verdict:
    """It does not, under the conditions of the ledger and those named."""
    return Verdict(FAILS, why)


def untried(why: str) -> Verdict:
    """It cannot be tried: what is lacking."""
    return Verdict(UNTRIED, why)
