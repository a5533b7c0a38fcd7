"""What stands for an absent feature vector."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from pnpfuse.fusion.arguments import check_choice

FILLS = ("zero", "mean", "learned")
MOMENTUM = 0.1  # of the running mean, as in batch normalisation


class Fill(nn.Module):
    """Rows that stand for absent feature vectors.

    Parameters
    ----------
    dims : {modality: l_m}
    fill : "zero", V = 0, what the papers feed; "mean", the running mean of the rows that were
        present in training; "learned", a vector trained with the rest, zero at first

    Notes
    -----
    The vectors of all modalities lie side by side in ``values`` (sum of l_m,), a buffer for
    "mean" and a parameter for "learned".
    """

    def __init__(self, dims: Mapping[str, int], fill: str = "zero"):
        super().__init__()
        self.kind = check_choice("fill", fill, FILLS)
        self.widths = dict(dims)
        values = torch.zeros(sum(dims.values()))
        if fill == "learned":
            self.values = nn.Parameter(values)
        elif fill == "mean":
            self.register_buffer("values", values)

    def forward(self, V: dict[str, Tensor], masks: dict[str, Tensor] | None) -> dict[str, Tensor]:
        """V {modality: (batch, l_m)}, zero where absent, with the fill in its place."""
        if self.kind == "mean" and self.training:
            self._follow(V, masks)
        return self.put(V, masks)

    def put(self, V: dict[str, Tensor], masks: dict[str, Tensor] | None) -> dict[str, Tensor]:
        """The same for some of the modalities, and without moving the running mean."""
        if self.kind == "zero" or masks is None:
            return V
        rows = dict(zip(self.widths, self.values.split(list(self.widths.values())), strict=True))
        return {
            m: torch.where(masks[m][:, None], v, rows[m].to(v.dtype)) for m, v in V.items()
        }  # (batch, l_m)

    @torch.no_grad()
    def _follow(self, V: dict[str, Tensor], masks: dict[str, Tensor] | None) -> None:
        """Move the running mean towards this batch's mean over the present rows."""
        means, steps = [], []
        for m, width in self.widths.items():
            count = V[m].new_tensor(len(V[m])) if masks is None else masks[m].sum()  # ()
            means.append(V[m].sum(0) / count.clamp(min=1))  # (l_m,); absent rows are zero
            steps.append((MOMENTUM * (count > 0)).expand(width))  # none present: stay
        moved = torch.cat(means).to(self.values.dtype) - self.values  # (sum of l_m,)
        self.values.add_(torch.cat(steps).to(self.values.dtype) * moved)

    def extra_repr(self) -> str:
        return repr(self.kind)
