"""Training rows that a model keeps, so that a sample can be judged beside them."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn


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
    """

    def __init__(self, dims: Mapping[str, int], rows: int):
        super().__init__()
        self.rows, self.names = rows, list(dims)
        for i, width in enumerate(dims.values()):
            self.register_buffer(f"features{i}", torch.zeros(rows, width))
            self.register_buffer(f"present{i}", torch.zeros(rows, dtype=torch.bool))

    @torch.no_grad()
    def fill(self, features: Mapping[str, Tensor], present: Mapping[str, Tensor] | None) -> None:
        """Take features {modality: (n, d)} of at most as many rows, in place of those before."""
        for i, m in enumerate(self.names):
            X, kept = getattr(self, f"features{i}"), getattr(self, f"present{i}")
            X.zero_()
            kept.zero_()
            given = features[m]
            here = torch.ones_like(kept[: len(given)]) if present is None else present[m]
            X[: len(given)] = torch.where(here[:, None], given, 0.0).to(X)
            kept[: len(given)] = here

    def forward(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Features {modality: (rows, d)} and presence {modality: bool (rows,)}."""
        features = {m: getattr(self, f"features{i}") for i, m in enumerate(self.names)}
        return features, {m: getattr(self, f"present{i}") for i, m in enumerate(self.names)}
