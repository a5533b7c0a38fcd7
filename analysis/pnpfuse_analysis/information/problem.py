"""An estimation problem: samples made ready, and the estimator to be run on them or on parts."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pnpfuse_analysis.neighbours import ENGINES, Engine, Metric
from pnpfuse_analysis.samples import (
    Array,
    as_samples,
    check_choice,
    check_count,
    check_flag,
    holds_labels,
    rounding,
    seeded,
    tie_fraction,
)

from .estimate import Kind


class Settings(NamedTuple):
    """Options that several estimators share; one that has no use for an option ignores it.

    Attributes
    ----------
    k : int
        Neighbour of nearest-neighbour estimators.
    metric : {"l2", "max"}
        Distance of the Kozachenko-Leonenko entropy.
    scale : bool
        Bring the samples to unit spread first.
    engine, chunk
        See `pnpfuse_analysis.neighbours.nearest`.
    generator : torch.Generator or None
        Source of whatever the estimator draws; `checked` puts one of seed 0 for None.
    """

    k: int = 3
    metric: Metric = "l2"
    scale: bool = True
    engine: Engine = "auto"
    chunk: int | None = None
    generator: torch.Generator | None = None

    def checked(self, scale: str = "standardise") -> Settings:
        """Return these settings with a generator; ValueError if one is out of its range.

        `scale` is the name under which the caller knows that setting, for messages.
        """
        check_count(self.k, "k", 1)
        check_flag(self.scale, scale)
        check_choice(self.metric, "metric", ("l2", "max"))
        check_choice(self.engine, "engine", ENGINES)
        if self.chunk is not None:
            check_count(self.chunk, "chunk", 1)
        return self._replace(generator=seeded(self.generator))


# Dimensions that a variable may fill for nearest-neighbour information to be good: two, and a
# third of little spread.
_MOST_FILLED = 2.5


def shuffled_last(parts: Sequence[Tensor], order: Tensor) -> tuple[Tensor, ...]:
    """The parts with the rows of the last one in another order: no dependence is left."""
    return (*parts[:-1], parts[-1][order])


@dataclass(frozen=True)
class Problem:
    """Samples and an estimator, which resampling may run on any part of them.

    Attributes
    ----------
    parts : tuple of Tensor, each of shape (N, ...)
        Checked samples that belong together row by row.
    measure : callable
        Takes rows of the parts, returns local values (n,) whose mean is the estimate; or the
        estimate () of a method that has no local values.
    method : str
        The estimator's name.
    d : int
        Dimensions used.
    least : int
        The estimator needs more samples than this, ...
    least_name : str
        ... because of this argument.
    kind, ceiling, tie_fraction
        As in `Estimate`.
    tight : bool
        The true quantity cannot exceed the ceiling either: a value near it is no cause for alarm.
    notes : tuple of str
        What is known before any estimate.
    remarks : callable
        Takes the local values, returns what is known only then.
    sees : str
        What the method can find at all, as it is called where it found nothing.
    unlink : callable
        Takes the parts and a random order (N,), returns parts without the dependence in question.
    """

    parts: tuple[Tensor, ...]
    measure: Callable[..., Tensor]
    method: str
    d: int
    least: int = 1
    least_name: str = "N"
    kind: Kind = "estimate"
    ceiling: float | None = None
    tie_fraction: float = 0.0
    notes: tuple[str, ...] = ()
    remarks: Callable[[Tensor], tuple[str, ...]] = lambda local: ()
    sees: str = "dependence"
    unlink: Callable[[Sequence[Tensor], Tensor], Sequence[Tensor]] = shuffled_last
    tight: bool = False


Method = Callable[[Array, Array, Settings], Problem]


def chosen_method(
    method: Any, methods: Mapping[str, Callable[..., Problem]], takes: str
) -> Callable[..., Problem]:
    """Return the method of that name, or a callable that stands for itself.

    Parameters
    ----------
    method : str or callable
    methods : mapping of str to callable
        The methods that have names.
    takes : str
        The arguments of such a method, as in "x, y, settings".

    Raises
    ------
    ValueError
        If there is no method of that name, or the callable is a class, does not take these
        arguments, or, once called, does not return a `Problem`.
    """
    if not callable(method):
        check_choice(method, "method", tuple(methods))
        return methods[method]
    name = getattr(method, "__name__", type(method).__name__)
    if isinstance(method, type):
        raise ValueError(f"method must be an instance, as {name}() is, found the class {name}")
    try:
        inspect.signature(method).bind(*takes.split(", "))
    except TypeError:
        raise ValueError(
            f"method must take ({takes}) and return a Problem here, which {name} does not; "
            f"there are also {', '.join(map(repr, methods))}"
        ) from None

    def posed(*arguments: Any) -> Problem:
        problem = method(*arguments)
        if not isinstance(problem, Problem):
            raise ValueError(
                f"method must return a Problem, found {type(problem).__name__} from {name}"
            )
        return problem

    return posed


def as_parts(named: dict[str, Array], *, continuous: bool = True) -> list[Tensor]:
    """Return samples {name: (N,) or (N, d)} as float64 (N, d); ValueError unless they match."""
    return same_rows(
        {name: as_samples(x, name, continuous=continuous) for name, x in named.items()}
    )


def same_rows(named: dict[str, Tensor]) -> list[Tensor]:
    """Return the samples {name: (N, ...)}; ValueError unless as many, and on one device."""
    parts = list(named.values())
    if len({(len(part), part.device) for part in parts}) > 1:
        names = list(named)
        found = " and ".join(f"N={len(part)} on {part.device}" for part in parts)
        raise ValueError(
            f"{', '.join(names[:-1])} and {names[-1]} must be samples of the same rows on one "
            f"device, found {found}"
        )
    return parts


_DENSITY = (
    "values were rounded or repeated, and the estimate is biased. Drop repeated rows, or add noise "
    "below the rounding step from a seeded generator."
)
COUNTED = (
    "values that belong to the variable (the zeros of a ReLU) are counted as such, but of rounded "
    "values the estimate may be some 0.1 high, and rows repeated by mistake read as dependence: "
    "drop those."
)


def ties_note(
    parts: Sequence[Tensor], consequence: str = _DENSITY
) -> tuple[float, tuple[str, ...]]:
    """Return the largest tie fraction among parts (N, d), and a warning if one that varies ties."""
    shares = [tie_fraction(part) for part in parts]
    # Of a constant it is said that it is one.
    share = max((s for s, part in zip(shares, parts, strict=True) if varies(part)), default=0.0)
    if not share:
        return max(shares), ()
    return max(shares), (
        f"{share:.1%} of the samples have exact copies, which a continuous variable lacks: "
        f"{consequence}",
    )


def constant_notes(named: dict[str, Tensor]) -> tuple[str, ...]:
    """A sentence for each of the samples {name: (N, d)} that never changes."""
    return tuple(
        f"{name} is constant, so the information is 0."
        for name, part in named.items()
        if not varies(part)
    )


def varies(x: Tensor) -> bool:
    """Whether the rows of x (N, ...) are not all the same."""
    return bool((x != x[0]).any())


def flat_note(rank: int, d: int) -> tuple[str, ...]:
    """A warning if samples in d dimensions fill only `rank` of them."""
    if rank == d:
        return ()
    return (
        f"x fills only {rank} of its {d} dimensions, so its differential entropy is -inf"
        + (f"; the value is that of the {rank}-dimensional subspace." if rank else "."),
    )


def storage_notes(named: dict[str, Array]) -> tuple[str, ...]:
    """A sentence for each of the samples {name: x} that came in half precision."""
    return tuple(
        f"{name} came in a dtype with relative steps of {rounding(x):.1g}; what differs by less "
        "was lost before the estimate began."
        for name, x in named.items()
        if not holds_labels(x, name) and rounding(x) > 1e-4
    )


def number_notes(named: dict[str, Array]) -> tuple[str, ...]:
    """A sentence for each of {name: x} that a method takes as numbers, and that may be labels.

    Those are whole numbers or booleans that repeat: few different ones in some column.
    """
    notes = []
    for name, x in named.items():
        if not holds_labels(x, name):
            continue
        rows = as_samples(x, name, continuous=False)
        few = min(len(rows) // 2, max(20, len(rows) // 10))
        values = min((len(c.unique()) for c in rows.T if varies(c)), default=few + 1)
        if values <= few:
            notes.append(
                f"{name} holds whole numbers ({values} different ones), here taken as measurements "
                f"on a scale: pass {name} as float64 if they are. For labels use method='label', "
                "'probe' or 'discrete' of mutual_information, or conditional_entropy; a method for "
                "numbers may miss most of what they tell."
            )
    return tuple(notes)


def few_samples_note(n: int, k: int) -> tuple[str, ...]:
    """A warning if n samples are few for information from the k-th neighbour."""
    if n >= 10 * (k + 1):
        return ()
    return (
        f"N={n} samples are few for neighbours (k={k}): the value reads low, as 0.12 at N=5, 0.41 "
        f"at N=10 and 0.65 at N=20 for 0.83 nats with k=3. Give {10 * (k + 1)} or more.",
    )


def dimension_note(
    parts: Sequence[Tensor],
    most: float = _MOST_FILLED,
    instead: str = "reduce='cca', 'gaussian' or 'copula', which are linear, or 'infonce'",
) -> tuple[str, ...]:
    """A warning if one of parts (N, d) at unit spread fills too many dimensions for neighbours."""
    filled = [filled_dimensions(part) for part in parts]
    if max(filled) <= most:
        return ()
    many = " + ".join(f"{one:.0f}" for one in filled)
    return (
        f"The {'variables fill' if len(filled) > 1 else 'features fill'} about {many} dimensions, "
        "in which neighbours are far apart: the value often reads low, the more so the more "
        f"information there is. Compare with {instead}.",
    )


def filled_dimensions(x: Tensor, rows: int = 1000) -> float:
    """Return (sum of variances)^2 / sum of their squares over principal directions of x (N, d)."""
    some = x[:rows]
    some = some - some.mean(0)
    gram = some @ some.T if len(some) < some.shape[1] else some.T @ some
    return float(gram.trace().square() / gram.square().sum().clamp(min=torch.finfo(x.dtype).tiny))
