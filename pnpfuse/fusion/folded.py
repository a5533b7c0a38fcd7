"""The inference form of a linear reconfiguration block: one map for each path."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from torch import Tensor, nn

from pnpfuse.fusion.exchange import Exchange
from pnpfuse.fusion.outputs import FusionOutput

if TYPE_CHECKING:
    from pnpfuse.fusion.pmr import PMR


class FoldedPMR(Exchange):
    """P_shared P_dis[:B] and P_specific P_dis[B:] of a `PMR` block, multiplied out.

    Made by `PMR.fold`. ``weight.<m>`` (l* + l_m, l_m) and ``bias.<m>`` (l* + l_m,) give a
    modality's own [shared; specific]. They are constants (no gradient reaches them).

    Parameters
    ----------
    block : a `PMR` block without activation
    """

    def __init__(self, block: PMR):
        super().__init__(block.widths, block.pairing)
        self.check_values = block.check_values
        self.fill, self.mixture = copy.deepcopy(block.fill), copy.deepcopy(block.mixture)
        self.weight, self.bias = nn.ParameterDict(), nn.ParameterDict()
        for group, maps, share in zip(block.groups, block.stacks, block.shares(), strict=True):
            weight, bias = maps.folded(**share)  # (g, l* + l, l), (g, l* + l)
            for i, m in enumerate(group):
                self.weight[m] = nn.Parameter(weight[i])
                if bias is not None:
                    self.bias[m] = nn.Parameter(bias[i])
        self.requires_grad_(False)
        self.train(block.training)

    def _fuse(self, V: dict[str, Tensor], masks: dict[str, Tensor] | None) -> FusionOutput:
        fused, shared, specific, _ = self._exchanged(V, masks)
        return FusionOutput(fused, shared, specific, present=masks or {}, features=V)

    def dissociate(self, V: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Each modality's shared (batch, l*) and specific part (batch, l_m), before any experts."""
        both = {
            m: nn.functional.linear(v, self.weight[m], self.bias[m] if m in self.bias else None)
            for m, v in V.items()
        }  # (batch, l* + l_m)
        common = self.widths.common
        return {m: x[:, :common] for m, x in both.items()}, {
            m: x[:, common:] for m, x in both.items()
        }

    def extra_repr(self) -> str:
        return f"dims={self.dims}, shared={self.widths.common}, pairing={self.pairing!r}"
