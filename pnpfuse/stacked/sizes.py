"""Which models train together: alike in n, near in b, and as many as a cache holds."""

from collections.abc import Sequence

from pnpfuse.fusion.model import FusionModel
from pnpfuse.fusion.pmr import PMR

# Bytes of weights, gradients and moments of a stack. Measured with 1 to 45 models of 35000 to
# 104000 weights on one core: from here on the time for a model no longer falls, and with less the
# random numbers and the calls that models share weigh more.
STACK = 32 * 2**20
ON_A_GPU = 2**31  # there a stack cannot be too large, but for the memory


def points_at_once(model: FusionModel) -> int:
    """How many models like `model` train together at best."""
    weight = next(model.parameters())
    size = 4 * weight.element_size() * sum(one.numel() for one in model.parameters())
    return max(1, (ON_A_GPU if weight.is_cuda else STACK) // size)


def stacks(models: Sequence[FusionModel]) -> list[list[int]]:
    """Positions of the models that train together best, stack by stack.

    Alike in n, and neighbours in b: what the widths of a stack differ by is padding. Each stack
    depends on `models` and their device alone, and so do its results to the last bit; in another
    stack a model gets the same up to rounding.
    """
    alike: dict[tuple[int, ...], list[int]] = {}
    for i, model in enumerate(models):
        alike.setdefault(_sizes(model)[0], []).append(i)
    found = []
    for positions in alike.values():
        positions = sorted(positions, key=lambda i: _sizes(models[i])[1])
        count = -(-len(positions) // points_at_once(models[positions[0]]))
        bounds = [len(positions) * k // count for k in range(count + 1)]
        found += [positions[a:b] for a, b in zip(bounds, bounds[1:], strict=False)]
    return found


def _sizes(model: FusionModel) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """n l and B of every modality."""
    assert isinstance(model.block, PMR)
    widths = model.block.widths
    return tuple(widths.expanded.values()), tuple(widths.boundary.values())
