"""Rows for a training: held on the device, or read batch by batch."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from pnpfuse.data import Views
from pnpfuse.evaluation import rows_for
from pnpfuse.fusion.encoders import Standardise
from pnpfuse.fusion.model import FusionModel

AHEAD = 2  # batches read while one is computed with
CHUNK = 4096  # rows read at once for the standardisation

Batch = tuple[dict[str, Tensor], Tensor]


class HeldRows:
    """All rows on the model's device, moved there once."""

    def __init__(self, model: FusionModel, views: Views):
        self.features, self.labels = rows_for(model, views)  # each (rows, d), (rows,)

    def set_scale(self, model: FusionModel) -> None:
        """Take the model's standardisation from these rows."""
        model.set_scale(self.features)

    def batches(self, chunks: Sequence[Tensor]) -> Iterator[Batch]:
        """Features {modality: (batch, d)} and labels (batch,) for each chunk of row numbers."""
        # Moved at once: a copy for every batch would stall every step.
        moved = torch.cat(list(chunks)).to(self.labels.device)  # (rows,)
        for rows in moved.split([len(chunk) for chunk in chunks]):  # each (batch,)
            yield {m: X[rows] for m, X in self.features.items()}, self.labels[rows]


class ReadRows:
    """Rows larger than memory: each batch is read while the one before it is computed with."""

    def __init__(self, model: FusionModel, views: Views):
        weight = next(model.parameters())
        self.views, self.device, self.dtype = views, weight.device, weight.dtype

    def set_scale(self, model: FusionModel) -> None:
        """Take the model's standardisation from these rows, in one pass over them.

        Means and sums of squares are merged chunk by chunk (Chan, Golub & LeVeque 1983), in
        float64.
        """
        if model.scales is None:
            return
        moments = {m: _Moments(width) for m, width in model.dims.items()}
        for start in range(0, len(self.views), CHUNK):
            rows = np.arange(start, min(start + CHUNK, len(self.views)))
            for m, X in self.views.read(rows).items():  # type: ignore[attr-defined]
                moments[m].add(np.asarray(X, np.float64), m, start)
        for m, scale in model.scales.items():
            assert isinstance(scale, Standardise)
            moments[m].give(scale)

    def batches(self, chunks: Sequence[Tensor]) -> Iterator[Batch]:
        """Features {modality: (batch, d)} and labels (batch,) for each chunk of row numbers."""
        ahead: deque = deque()
        with ThreadPoolExecutor(1, thread_name_prefix="views") as reader:
            for chunk in chunks:
                ahead.append(reader.submit(self._read, chunk.cpu().numpy()))
                if len(ahead) > AHEAD:
                    yield self._move(ahead.popleft().result())
            while ahead:
                yield self._move(ahead.popleft().result())

    def _read(self, rows: np.ndarray) -> Batch:
        features = self.views.read(rows)  # type: ignore[attr-defined]
        tensors = {m: torch.from_numpy(np.asarray(X)) for m, X in features.items()}  # (batch, d)
        labels = torch.from_numpy(np.asarray(self.views.labels)[rows])  # (batch,)
        if self.device.type == "cuda":  # only pinned memory is copied while the GPU computes
            return {m: X.pin_memory() for m, X in tensors.items()}, labels.pin_memory()
        return tensors, labels

    def _move(self, batch: Batch) -> Batch:
        features, labels = batch
        moved = {
            m: X.to(self.device, self.dtype, non_blocking=True) for m, X in features.items()
        }  # each (batch, d)
        return moved, labels.to(self.device, non_blocking=True)


Rows = HeldRows | ReadRows


def rows_of(model: FusionModel, views: Views) -> Rows:
    """The rows of `views`, held or read as they are."""
    return (ReadRows if getattr(views, "lazy", False) else HeldRows)(model, views)


class _Moments:
    """Mean, spread and range of columns, merged chunk by chunk."""

    def __init__(self, width: int):
        self.rows = 0
        self.mean, self.squares = np.zeros(width), np.zeros(width)
        self.low, self.high = np.full(width, np.inf), np.full(width, -np.inf)

    def add(self, X: np.ndarray, modality: str, start: int) -> None:
        """Take in X (rows, width), whose first row is number `start`."""
        bad = np.flatnonzero(~np.isfinite(X).all(1))
        if len(bad):
            raise ValueError(
                f"views has NaN or infinite values in {modality!r}, first in training row "
                f"{start + bad[0]}; clean or impute them"
            )
        mean, total = X.mean(0), self.rows + len(X)
        gap = mean - self.mean
        self.squares += ((X - mean) ** 2).sum(0) + gap**2 * (self.rows * len(X) / total)
        self.mean += gap * (len(X) / total)
        self.low, self.high = np.minimum(self.low, X.min(0)), np.maximum(self.high, X.max(0))
        self.rows = total

    @torch.no_grad()
    def give(self, scale: Standardise) -> None:
        """Write mean and std to `scale`; a constant column gets std 1, as in `Standardise.fit`."""
        std = np.where(self.low == self.high, 1.0, np.sqrt(self.squares / self.rows))
        spread = torch.from_numpy(std).to(scale.std.dtype)
        scale.mean.copy_(torch.from_numpy(self.mean))
        scale.std.copy_(torch.where(spread > 0, spread, 1.0))
