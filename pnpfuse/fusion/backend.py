"""A fusion network behind a reconfiguration block, for its specific parts."""

from typing import Any

import torch
from torch import Tensor, nn

from pnpfuse.fusion.arguments import check_choice
from pnpfuse.fusion.block import JOINT, Block
from pnpfuse.fusion.bottleneck import MBT
from pnpfuse.fusion.heads import HeadOutput, check_classes
from pnpfuse.fusion.outputs import FusionOutput
from pnpfuse.fusion.perceiver import Perceiver

BACKENDS: dict[str, type[Block]] = {"mbt": MBT, "perceiver": Perceiver}


class BackendHead(nn.Module):
    """GMF in front of another fusion (GMF App. G.3, Fig. 13).

    The specific parts go through the back-end; the shared parts join its output in front of the
    linear classifier. The back-end leaves absent modalities out.

    Parameters
    ----------
    block : a block with shared and specific parts
    classes : number of classes
    backend : "mbt" or "perceiver"
    **options : of `MBT` or `Perceiver`
    """

    def __init__(self, block: Block, classes: int, backend: str = "mbt", **options: Any):
        super().__init__()
        kind = BACKENDS[check_choice("backend", backend, BACKENDS)]
        self.backend = kind(block.part_widths("specific"), **options)
        self.backend.check_values = False  # the block has looked
        widths = block.part_widths("shared")
        self.names = list(widths)
        inputs = sum(widths.values()) + self.backend.part_widths()[JOINT]
        self.linear = nn.Linear(inputs, check_classes(classes))

    def forward(self, fusion: FusionOutput, labels: Tensor | None = None) -> HeadOutput:
        """Logits (batch, classes), no losses."""
        joint = self.backend(fusion.specific, fusion.present or None).fused[JOINT]
        shared = [fusion.shared[m] for m in self.names]  # each (batch, width of the shared part)
        return self.linear(torch.cat([*shared, joint], dim=-1)), {}
