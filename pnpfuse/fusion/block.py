"""What every fusion block is: encoded features of named modalities in, a FusionOutput out."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from pnpfuse.fusion.arguments import check_choice
from pnpfuse.fusion.fill import Fill
from pnpfuse.fusion.outputs import FusionOutput
from pnpfuse.fusion.presence import Features, Presence, resolve_present, working_dtype
from pnpfuse.fusion.widths import check_dims

JOINT = "joint"  # the name of a representation that belongs to no modality alone


class Block(nn.Module):
    """Base of the fusion blocks: checks, presence and fill at the border.

    A block implements `_fuse`, on checked features in the order of `dims`, and `part_widths`.

    Parameters
    ----------
    dims : {modality: l_m}, in the order of the cycle where there is one
    fill : what stands for an absent feature vector, see `pnpfuse.fusion.fill.Fill`
    at_least : how many modalities the block needs

    Attributes
    ----------
    check_values : whether to look for NaN on the CPU; False for a caller that has looked already
    wants_inputs : whether the block is an autoencoder's, which is told the widths of the raw
        features (``inputs``) and the features themselves (``target``)
    reference_rows : how many training rows the block wants to judge a sample beside; 0, none
    losses_off : losses of its method that its options have switched off; a head may have them too
    """

    wants_inputs = False
    reference_rows = 0
    losses_off: frozenset[str] = frozenset()

    def __init__(self, dims: Mapping[str, int], fill: str = "zero", at_least: int = 1):
        super().__init__()
        self.dims = check_dims(dims, at_least)
        self.check_values = True
        self.fill = Fill(self.dims, fill)

    def forward(self, features: Features, present: Presence | None = None) -> FusionOutput:
        """Fuse a batch.

        Parameters
        ----------
        features : {modality: (batch, l_m)}, in any order; a modality that is absent for the whole
            batch may be left out
        present : {modality: bool (batch,)}, a modality that it does not name is present; None if
            nothing is absent

        Raises
        ------
        ValueError
            as `pnpfuse.fusion.presence.resolve_present`
        """
        return self._fuse(*self._resolved(features, present))

    def hide(self, X: dict[str, Tensor]) -> dict[str, Tensor]:
        """What the encoders in front are to see of X {modality: (batch, d)}: all of it."""
        return X

    def part_widths(self, parts: str = "all") -> dict[str, int]:
        """{entry: width} of `FusionOutput.fused`; this block has no other parts."""
        check_choice("parts", parts, ["all"])
        return self._fused_widths()

    def extra_repr(self) -> str:
        return f"dims={self.dims}"

    def _resolved(
        self, features: Features, present: Presence | None
    ) -> tuple[dict[str, Tensor], dict[str, Tensor] | None]:
        """Checked V {modality: (batch, l_m)} with the fill where absent, and complete masks."""
        V, masks = resolve_present(
            features,
            present,
            self.dims,
            dtype=working_dtype(self),
            check_values=self.check_values,
        )
        return self.fill(V, masks), masks

    def _fused_widths(self) -> dict[str, int]:
        return dict(self.dims)

    def _fuse(self, V: dict[str, Tensor], masks: dict[str, Tensor] | None) -> FusionOutput:
        """V {modality: (batch, l_m)} and complete masks {modality: bool (batch,)}, or None."""
        raise NotImplementedError


def present_mean(parts: list[Tensor], masks: list[Tensor] | None) -> Tensor:
    """Mean (batch, ...) over the parts that each sample has; every part is (batch, ...).

    A row without any part gives zero, not 0/0.
    """
    stacked = torch.stack(parts)  # (M, batch, ...)
    if masks is None:
        return stacked.mean(0)
    weight = torch.stack(masks).to(stacked.dtype)  # (M, batch)
    weight = weight / weight.sum(0).clamp(min=1)
    weight = weight.reshape(*weight.shape, *[1] * (stacked.ndim - 2))  # (M, batch, 1...)
    # where: what an absent row holds may be anything, and 0 * NaN is NaN.
    return torch.where(weight > 0, weight * stacked, torch.zeros_like(stacked)).sum(0)
