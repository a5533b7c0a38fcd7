"""A feed-forward network for each modality, with as many parameters as a PMR block has for it."""

from collections.abc import Mapping

from torch import Tensor, nn

from pnpfuse.fusion.block import Block
from pnpfuse.fusion.outputs import FusionOutput
from pnpfuse.fusion.widths import Ratio, Widths, split_widths


class FFN(Block):
    """Two linear maps of each modality, with a ReLU between them if so asked.

    ``fused`` has the widths of a `PMR` block's, {modality: (batch, l* + l_m)}, and the hidden
    width of each modality is the one whose number of parameters comes nearest to what that block
    has for it: what PMR does better than this network it does by its structure, not by its size.

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
        widths = split_widths(self.dims, n, b)
        self.nets = nn.ModuleDict()
        for m, width in self.dims.items():
            outputs = width + widths.common
            hidden = round((_parameters(widths, m) - outputs) / (width + 1 + outputs))
            hidden = max(hidden, 1)
            self.nets[m] = nn.Sequential(
                nn.Linear(width, hidden),  # (batch, hidden)
                nn.Identity() if linear else nn.ReLU(),
                nn.Linear(hidden, outputs),  # (batch, l* + l_m)
            )
        self.common = widths.common

    def _fused_widths(self) -> dict[str, int]:
        return {m: width + self.common for m, width in self.dims.items()}

    def _fuse(self, V: dict[str, Tensor], masks: dict[str, Tensor] | None) -> FusionOutput:
        return FusionOutput({m: self.nets[m](v) for m, v in V.items()}, present=masks or {})


def _parameters(widths: Widths, m: str) -> int:
    """What `torch.nn.Linear` maps of a PMR block hold for modality m, the receiver of P_shared."""
    names = list(widths.dims)
    source = names[(names.index(m) + 1) % len(names)]
    width, expanded, common = widths.dims[m], widths.expanded[m], widths.common
    total = expanded * (width + 1) + common * (widths.boundary[source] + 1)
    total += width * (expanded - widths.boundary[m] + 1)
    return total + width * (width + common + 1)
