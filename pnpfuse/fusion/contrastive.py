"""Contrastive alignment of paired modalities: InfoNCE as in CLIP, and a triplet loss."""

import math
from collections.abc import Mapping
from itertools import combinations

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from pnpfuse.fusion.arguments import check_choice, check_number
from pnpfuse.fusion.block import present_mean
from pnpfuse.fusion.embedding import Embedding
from pnpfuse.fusion.exchange import Exchange
from pnpfuse.fusion.heads import ConcatHead, HeadOutput, check_classes
from pnpfuse.fusion.outputs import FusionOutput
from pnpfuse.fusion.precision import widen
from pnpfuse.fusion.preservation import unit
from pnpfuse.fusion.widths import check_width

ALIGNMENTS = ("infonce", "triplet")
TEMPERATURE = 0.07  # at first
LARGEST_SCALE = 100.0  # 1/temperature at most, as in CLIP


class Alignment(nn.Module):
    """How badly the modalities of the same sample find each other, a mean over all pairs.

    With s_ij the cosine of modality a of sample i and modality b of sample j ::

        "infonce"   mean of -log softmax_j(s_ij / tau)_i over i, in both directions, averaged
                    (Radford et al. 2021); tau is learned, 0.07 at first, 0.01 at least
        "triplet"   mean of max(0, margin + s_ij - s_ii) over j != i, in both directions, averaged

    Parameters
    ----------
    alignment : "infonce" or "triplet"
    margin : of the triplet loss
    """

    def __init__(self, alignment: str = "infonce", margin: float = 0.2):
        super().__init__()
        self.kind = check_choice("alignment", alignment, ALIGNMENTS)
        self.margin = check_number("margin", margin)
        if alignment == "infonce":
            self.logit_scale = nn.Parameter(torch.tensor(-math.log(TEMPERATURE)))

    def forward(self, parts: list[Tensor], masks: list[Tensor] | None) -> Tensor:
        """The loss () of parts, each (batch, width), and masks, each bool (batch,), or None.

        A sample enters a pair only with both of its modalities; a pair of modalities with fewer
        than two such samples contributes 0, there is nothing to be told apart.
        """
        units = [unit(widen(part)) for part in parts]
        total = []
        # Pair by pair: the cosines of all pairs at once would not fit for a large batch.
        for a, b in combinations(range(len(parts)), 2):
            cosines = units[a] @ units[b].mT  # (batch, batch)
            keep = None if masks is None else masks[a] & masks[b]  # (batch,)
            loss = self._infonce if self.kind == "infonce" else self._triplet
            total.append((loss(cosines, keep) + loss(cosines.mT, keep)) / 2)
        return torch.stack(total).mean() if total else parts[0].new_zeros(())

    def _infonce(self, cosines: Tensor, keep: Tensor | None) -> Tensor:
        # On the cosines, not on their product: exp would overflow first.
        scale = self.logit_scale.clamp(max=math.log(LARGEST_SCALE)).exp()  # ()
        logits = scale * widen(cosines)
        own = torch.arange(logits.shape[0], device=logits.device)  # (batch,)
        if keep is None:
            return cross_entropy(logits, own)
        # A dropped row keeps its own column, so that its softmax is one of something.
        shown = keep | torch.eye(logits.shape[0], dtype=torch.bool, device=logits.device)
        logits = logits.masked_fill(~shown, -math.inf)  # (batch, batch)
        errors = cross_entropy(logits, own, reduction="none")  # (batch,)
        return torch.where(keep, errors, 0.0).sum() / keep.sum().clamp(min=1)

    def _triplet(self, cosines: Tensor, keep: Tensor | None) -> Tensor:
        batch = cosines.shape[0]
        other = ~torch.eye(batch, dtype=torch.bool, device=cosines.device)  # (batch, batch)
        if keep is not None:
            other = other & keep & keep[:, None]
        errors = (self.margin + cosines - cosines.diagonal()[:, None]).relu()  # (batch, batch)
        return torch.where(other, errors, 0.0).sum() / other.sum().clamp(min=1)

    def extra_repr(self) -> str:
        return f"{self.kind!r}, margin={self.margin}"


class CMMP(Embedding):
    """Contrastive pairing in the manner of CLIP: `fused` is V, its projections are aligned.

    Parameters
    ----------
    dims : {modality: l_m}, two or more
    width : of the projections, one linear map of each modality
    alignment, margin : see `Alignment`
    fill : what stands for an absent V, see `pnpfuse.fusion.fill.Fill`; a sample enters the loss
        of a pair of modalities only with both

    Notes
    -----
    ``shared`` holds the projections (batch, width), which `embed` gives as well; ``losses`` has
    "contrastive".
    """

    def __init__(
        self,
        dims: Mapping[str, int],
        width: int = 64,
        *,
        alignment: str = "infonce",
        margin: float = 0.2,
        fill: str = "zero",
    ):
        super().__init__(dims, fill, at_least=2)
        self.width = check_width(width)
        self.maps = nn.ModuleDict({m: nn.Linear(d, self.width) for m, d in self.dims.items()})
        self.alignment = Alignment(alignment, margin)

    def part_widths(self, parts: str = "all") -> dict[str, int]:
        """{modality: width} of `fused` ("all") or `shared`."""
        check_choice("parts", parts, ("all", "shared"))
        return dict(self.dims) if parts == "all" else dict.fromkeys(self.dims, self.width)

    def _fuse(self, V: dict[str, Tensor], masks: dict[str, Tensor] | None) -> FusionOutput:
        shared = {m: self._embed(m, v) for m, v in V.items()}  # (batch, width)
        loss = self.alignment(list(shared.values()), masks and list(masks.values()))
        return FusionOutput(V, shared, losses={"contrastive": loss}, present=masks or {})

    def _embed(self, modality: str, V: Tensor) -> Tensor:
        return self.maps[modality](V)


class ContrastiveHead(ConcatHead):
    """The shared parts of a reconfiguration block aligned, beside a linear classifier.

    Each modality's OWN shared part is aligned, the one that the block hands to its receiver.

    Parameters
    ----------
    block : a block that exchanges shared parts, such as `pnpfuse.fusion.PMR`
    classes : number of classes
    parts : what the classifier sees: "all" of `fused`, sum of l* + l_m; the "specific" parts
        alone, sum of l_m; "shared", the mean of the present shared parts, l* (the classifier
        width 768 printed for CMMP in PMR Table 6)
    alignment, margin : see `Alignment`
    """

    def __init__(
        self,
        block: Exchange,
        classes: int,
        parts: str = "all",
        *,
        alignment: str = "infonce",
        margin: float = 0.2,
    ):
        if not isinstance(block, Exchange):
            raise ValueError(
                f"block must exchange shared parts, as PMR does; found {type(block).__name__}"
            )
        super().__init__(block, classes, parts)
        if self.parts == "shared":
            common = block.part_widths("shared")[self.names[0]]
            self.linear = nn.Linear(common, check_classes(classes))
        self.alignment = Alignment(alignment, margin)
        self._source = {m: block.source_of(m) for m in self.names}

    def forward(self, fusion: FusionOutput, labels: Tensor | None = None) -> HeadOutput:
        """Logits (batch, classes) and the loss "contrastive", which needs no labels."""
        loss = self.alignment(list(fusion.shared.values()), self._masks(fusion))
        return self.linear(self.joined(fusion)), {"contrastive": loss}

    def joined(self, fusion: FusionOutput) -> Tensor:
        if self.parts != "shared":
            return super().joined(fusion)
        return present_mean(list(fusion.shared.values()), self._masks(fusion))  # (batch, l*)

    def _masks(self, fusion: FusionOutput) -> list[Tensor] | None:
        """Who has the shared part that each modality received."""
        if not fusion.present:
            return None
        return [fusion.present[self._source[m]] for m in fusion.shared]
