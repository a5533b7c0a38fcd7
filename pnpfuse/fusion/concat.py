"""The plainest fusions: the features side by side, or summed."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from pnpfuse.fusion.block import JOINT, Block
from pnpfuse.fusion.outputs import FusionOutput
from pnpfuse.fusion.presence import zero_absent
from pnpfuse.fusion.widths import check_width


class Concat(Block):
    """No fusion: `fused` is V itself, {modality: (batch, l_m)}. Has no parameters.

    Parameters
    ----------
    dims : {modality: l_m}, one or more
    fill : what stands for an absent V, see `pnpfuse.fusion.fill.Fill`
    """

    def _fuse(self, V: dict[str, Tensor], masks: dict[str, Tensor] | None) -> FusionOutput:
        return FusionOutput(fused=V, present=masks or {})


class Sum(Block):
    """The sum of one linear map of each present modality, ``fused["joint"]`` (batch, width).

    Parameters
    ----------
    dims : {modality: l_m}, one or more
    width : of the sum; None, the widest l_m
    fill : what stands for an absent V; with "zero" an absent modality adds nothing, not even its
        map's bias
    """

    def __init__(self, dims: Mapping[str, int], width: int | None = None, fill: str = "zero"):
        super().__init__(dims, fill)
        self.width = max(self.dims.values()) if width is None else check_width(width)
        self.maps = nn.ModuleDict({m: nn.Linear(d, self.width) for m, d in self.dims.items()})

    def _fused_widths(self) -> dict[str, int]:
        return {JOINT: self.width}

    def _fuse(self, V: dict[str, Tensor], masks: dict[str, Tensor] | None) -> FusionOutput:
        parts = {m: self.maps[m](v) for m, v in V.items()}  # (batch, width)
        if masks is not None and self.fill.kind == "zero":
            parts = {m: zero_absent(part, masks[m]) for m, part in parts.items()}
        joint = torch.stack(list(parts.values())).sum(0)  # (batch, width)
        return FusionOutput({JOINT: joint}, present=masks or {})
