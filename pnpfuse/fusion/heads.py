"""Classifiers on top of a block's output: `head(fusion, labels) -> (logits, losses)`.

A head's own losses come back by name, not weighted; one that needs labels is left out without.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from pnpfuse.fusion.arguments import check_choice, check_count
from pnpfuse.fusion.block import Block, present_mean
from pnpfuse.fusion.outputs import FusionOutput
from pnpfuse.fusion.widths import WIDEST

PARTS = {"all": "fused", "specific": "specific", "shared": "shared"}
HeadOutput = tuple[Tensor, dict[str, Tensor]]


def check_classes(classes: int) -> int:
    """`classes` as an int of at least 2."""
    return check_count("classes", classes, least=2, most=WIDEST)


class ConcatHead(nn.Module):
    """The parts of all modalities side by side, then one linear map to the classes.

    Parameters
    ----------
    block : the block in front
    classes : number of classes
    parts : "all" takes `fused`; "specific" takes the specific parts alone (the classifier width
        2048 + 768 printed in PMR Table 6); "shared" takes the shared parts alone
    """

    def __init__(self, block: Block, classes: int, parts: str = "all"):
        super().__init__()
        self.parts = check_choice("parts", parts, PARTS)
        widths = block.part_widths(parts)
        self.names = list(widths)
        self.linear = nn.Linear(sum(widths.values()), check_classes(classes))

    def forward(self, fusion: FusionOutput, labels: Tensor | None = None) -> HeadOutput:
        """Logits (batch, classes), no losses."""
        return self.linear(self.joined(fusion)), {}  # (batch, classes)

    def joined(self, fusion: FusionOutput) -> Tensor:
        """What the linear map sees, (batch, sum of widths)."""
        parts: dict[str, Tensor] = getattr(fusion, PARTS[self.parts])
        return torch.cat([parts[m] for m in self.names], dim=-1)

    def extra_repr(self) -> str:
        return f"modalities={self.names}, parts={self.parts!r}"


class LateHead(nn.Module):
    """One linear classifier for each modality; the logits are the mean over the present ones.

    Parameters
    ----------
    block : the block in front, of which `fused` is taken
    classes : number of classes
    """

    def __init__(self, block: Block, classes: int):
        super().__init__()
        classes = check_classes(classes)
        self.linears = nn.ModuleDict(
            {m: nn.Linear(width, classes) for m, width in block.part_widths().items()}
        )

    def forward(self, fusion: FusionOutput, labels: Tensor | None = None) -> HeadOutput:
        """Logits (batch, classes); with labels (batch,) the loss "view".

        "view" is the cross-entropy of each modality's own logits, a mean over the samples that
        have it and a sum over the modalities.
        """
        logits = [linear(fusion.fused[m]) for m, linear in self.linears.items()]
        masks = list(fusion.present.values()) or None
        losses = {} if labels is None else {"view": view_loss(logits, labels, masks)}
        return present_mean(logits, masks), losses


def view_loss(logits: list[Tensor], labels: Tensor, masks: list[Tensor] | None) -> Tensor:
    """Cross-entropy of each modality's logits (batch, classes), summed over the modalities."""
    errors = torch.stack(
        [cross_entropy(given, labels, reduction="none") for given in logits]
    )  # (M, batch)
    if masks is None:
        return errors.mean(1).sum()
    kept = torch.stack(masks)  # (M, batch)
    errors = torch.where(kept, errors, torch.zeros_like(errors))
    return (errors.sum(1) / kept.sum(1).clamp(min=1)).sum()
