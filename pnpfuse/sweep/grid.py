"""The points of a sweep, and how they are divided into blocks that train together."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from pnpfuse.fusion.arguments import check_number, check_seeds

Point = tuple[float, float, int]  # n, b, seed


class Block(NamedTuple):
    """Neighbouring points of one n: a piece of the grid that is trained and written as one.

    Attributes
    ----------
    n : index along the grid's n
    b, seed : ranges of indices along its b and seeds
    """

    n: int
    b: range
    seed: range

    @property
    def place(self) -> tuple[slice, slice, slice]:
        """The block in an array over (n, b, seed, ...)."""
        return (
            slice(self.n, self.n + 1),
            slice(self.b.start, self.b.stop),
            slice(self.seed.start, self.seed.stop),
        )


class Grid(NamedTuple):
    """The values that are combined: every n with every b and every seed."""

    n: tuple[float, ...]
    b: tuple[float, ...]
    seed: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, int, int]:
        """How many values of each."""
        return len(self.n), len(self.b), len(self.seed)

    def blocks(self, size: tuple[int, int, int]) -> Iterator[Block]:
        """Blocks of at most `size` values along (n, b, seed), the first being 1."""
        _, wide, deep = size
        for i in range(len(self.n)):
            for j in range(0, len(self.b), wide):
                for k in range(0, len(self.seed), deep):
                    yield Block(
                        i,
                        range(j, min(j + wide, len(self.b))),
                        range(k, min(k + deep, len(self.seed))),
                    )

    def points(self, block: Block) -> list[Point]:
        """(n, b, seed) of each point of a block, the seed fastest."""
        return [(self.n[block.n], self.b[j], self.seed[k]) for j in block.b for k in block.seed]


def make_grid(n: Any, b: Any, seeds: Any) -> Grid:
    """A grid of checked values.

    Parameters
    ----------
    n : number or numbers above 0
    b : number or numbers strictly between 0 and 1
    seeds : a count, which means 0, 1, ..., or the seeds themselves

    Raises
    ------
    ValueError
        for no values, values out of range, or one value twice
    """
    magnifications = _values("n", n)
    ratios = _values("b", b)
    for value in magnifications:
        if value <= 0:
            raise ValueError(f"n must be above 0; found {value:g}")
    for value in ratios:
        if not 0 < value < 1:
            raise ValueError(f"b must be a ratio strictly between 0 and 1; found {value:g}")
    return Grid(magnifications, ratios, check_seeds(seeds))


def _values(argument: str, given: Any) -> tuple[float, ...]:
    try:
        listed = list(given)
    except TypeError:
        listed = [given]
    values = tuple(check_number(argument, value) for value in listed)
    if not values:
        raise ValueError(f"{argument} has no values; give at least one")
    if len(set(values)) < len(values):
        raise ValueError(f"{argument} names a value twice: {list(values)}; give each once")
    return values
