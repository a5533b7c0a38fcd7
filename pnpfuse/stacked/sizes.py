"""Which models train together: alike in n, near in b, and as many as a cache holds."""

from collections.abc import Sequence

from pnpfuse.fusion.model import FusionModel
from pnpfuse.fusion.pmr import PMR

CACHE = 12 * 2**20  # bytes


def points_at_once(model: FusionModel) -> int:
    """How many models like `model` a stack holds at best: about what fits the cache."""
    weight = next(model.parameters())
    if weight.is_cuda:
        return 512
    # A weight, its gradient and two moments.
    size = 4 * sum(one.numel() for one in model.parameters()) * weight.element_size()
    return max(1, CACHE // size)


def stacks(models: Sequence[FusionModel]) -> list[list[int]]:
    """Positions of the models that train together, stack by stack."""
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
