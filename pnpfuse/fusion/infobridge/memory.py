"""Feature vectors of earlier batches, first in, first out."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn


class Memory(nn.Module):
    """The last `rows` rows seen: features {modality: (rows, l_m)}, contexts and presence.

    Parameters
    ----------
    dims : {modality: l_m}
    rows : how many; 0 keeps none
    """

    def __init__(self, dims: Mapping[str, int], rows: int):
        super().__init__()
        self.rows, self.names = rows, list(dims)
        for i, width in enumerate(dims.values()):
            self.register_buffer(f"features{i}", torch.zeros(rows, width))
            self.register_buffer(f"present{i}", torch.zeros(rows, dtype=torch.bool))

    def parts(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Features {modality: (rows, l_m)} and presence {modality: bool (rows,)}."""
        features = {m: getattr(self, f"features{i}") for i, m in enumerate(self.names)}
        return features, {m: getattr(self, f"present{i}") for i, m in enumerate(self.names)}
