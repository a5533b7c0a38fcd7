"""Classifiers on top of the fused features."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from pnpfuse.fusion.arguments import check_choice, check_count
from pnpfuse.fusion.outputs import FusionOutput
from pnpfuse.fusion.widths import WIDEST

PARTS = {"all": "fused", "specific": "specific", "shared": "shared"}


class ConcatHead(nn.Module):
    """The parts of all modalities side by side, then one linear map to the classes.

    Parameters
    ----------
    widths : {modality: width} of the chosen part
    classes : number of classes
    parts : "all" takes `fused`; "specific" takes the specific parts alone (the classifier width
        2048 + 768 printed in PMR Table 6); "shared" takes the shared parts alone
    """

    def __init__(self, widths: Mapping[str, int], classes: int, parts: str = "all"):
        super().__init__()
        self.names = list(widths)
        self.parts = check_choice("parts", parts, PARTS)
        classes = check_count("classes", classes, least=2, most=WIDEST)
        self.linear = nn.Linear(sum(widths.values()), classes)

    def forward(self, fusion: FusionOutput) -> Tensor:
        """Logits, (batch, classes)."""
        parts: dict[str, Tensor] = getattr(fusion, PARTS[self.parts])
        joined = torch.cat([parts[m] for m in self.names], dim=-1)  # (batch, sum of widths)
        return self.linear(joined)  # (batch, classes)

    def extra_repr(self) -> str:
        return f"modalities={self.names}, parts={self.parts!r}"
