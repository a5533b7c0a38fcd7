"""A feed-forward network over all features, with as many parameters as a PMR block."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from pnpfuse.fusion.block import JOINT, Block
from pnpfuse.fusion.outputs import FusionOutput
from pnpfuse.fusion.widths import Ratio, split_widths


class FFN(Block):
    """Two linear maps over the features side by side, ``fused["joint"]``, with a ReLU if so asked.

    The output is as wide as all of a `PMR` block's `fused` together, and the hidden width is the
    one whose number of parameters comes nearest to that block's: what PMR does better than this
    network it does by its structure, not by its size.

    Parameters
    ----------
    dims : {modality: l_m}, two or more
    n, b : of the PMR block to match
    linear : leave out the ReLU
    fill : what stands for an absent V, see `pnpfuse.fusion.fill.Fill`
    """

    def __init__(
        self,
        dims: Mapping[str, int],
        n: float = 4,
        b: Ratio = 0.5,
        *,
        linear: bool = False,
        fill: str = "zero",
    ):
        super().__init__(dims, fill, at_least=2)
        inputs = sum(self.dims.values())
        self.width = inputs + len(self.dims) * min(self.dims.values())
        hidden = round((_parameters(self.dims, n, b) - self.width) / (inputs + 1 + self.width))
        hidden = max(hidden, 1)
        self.expand = nn.Linear(inputs, hidden)
        self.activation = nn.Identity() if linear else nn.ReLU()
        self.reduce = nn.Linear(hidden, self.width)

    def _fused_widths(self) -> dict[str, int]:
        return {JOINT: self.width}

    def _fuse(self, V: dict[str, Tensor], masks: dict[str, Tensor] | None) -> FusionOutput:
        joined = torch.cat(list(V.values()), dim=-1)  # (batch, sum of l_m)
        hidden = self.activation(self.expand(joined))  # (batch, hidden)
        return FusionOutput({JOINT: self.reduce(hidden)}, present=masks or {})


def _parameters(dims: dict[str, int], n: float, b: Ratio) -> int:
    """What `torch.nn.Linear` maps of a PMR block hold: Table 9 with output biases."""
    widths = split_widths(dims, n, b)
    total = 0
    for m, width in widths.dims.items():
        expanded, boundary, common = widths.expanded[m], widths.boundary[m], widths.common
        total += expanded * (width + 1) + common * (boundary + 1)
        total += width * (expanded - boundary + 1) + width * (width + common + 1)
    return total
