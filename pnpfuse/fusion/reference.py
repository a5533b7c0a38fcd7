"""Training rows that a model keeps, so that a sample can be judged beside them."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from pnpfuse.fusion.presence import zero_absent


class Reference(NamedTuple):
    """Rows of a bank, encoded.

    Attributes
    ----------
    features : {modality: (rows, l_m)}
    present : {modality: bool (rows,)}; a row that is not filled counts as complete here
    filled : bool (rows,), which rows there are
    """

    features: dict[str, Tensor]
    present: dict[str, Tensor]
    filled: Tensor


class Bank(nn.Module):
    """Raw features of some training rows, as buffers: they travel with the weights.

    Rows and not what the encoders make of them, so that they never are older than the weights.

    Parameters
    ----------
    dims : {modality: d}, widths of the raw features
    rows : how many there is room for; those not filled count as absent

    Notes
    -----
    Whoever has the model can read these rows.
    """

    def __init__(self, dims: Mapping[str, int], rows: int):
        super().__init__()
        self.rows, self.names = rows, list(dims)
        for i, width in enumerate(dims.values()):
            self.register_buffer(f"features{i}", torch.zeros(rows, width))
            self.register_buffer(f"present{i}", torch.zeros(rows, dtype=torch.bool))

    @torch.no_grad()
    def fill(self, features: Mapping[str, Tensor], present: Mapping[str, Tensor] | None) -> None:
        """Take features {modality: (n, d)}, the first `rows` of them, in place of those before.

        What an absent row holds is not kept.
        """
        count = min(len(next(iter(features.values()))), self.rows)
        for i, m in enumerate(self.names):
            X, kept = getattr(self, f"features{i}"), getattr(self, f"present{i}")
            here = torch.ones_like(kept[:count])
            if present is not None:
                here = present[m][:count].to(X.device)
            X.zero_()
            kept.zero_()
            X[:count] = zero_absent(features[m][:count].to(X), here)
            kept[:count] = here

    def forward(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Features {modality: (rows, d)} and presence {modality: bool (rows,)}."""
        features = {m: getattr(self, f"features{i}") for i, m in enumerate(self.names)}
        return features, {m: getattr(self, f"present{i}") for i, m in enumerate(self.names)}

    def extra_repr(self) -> str:
        return f"rows={self.rows}"
