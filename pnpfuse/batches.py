"""Rows for a training: held on the device, or read batch by batch."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from pnpfuse.data import Views
from pnpfuse.evaluation import in_order, masks_for, rows_for
from pnpfuse.fusion.encoders import Standardise
from pnpfuse.fusion.model import FusionModel

AHEAD = 2  # batches read while one is computed with

# Features {modality: (batch, d)}, presence {modality: bool (batch,)} or None, labels (batch,).
Batch = tuple[dict[str, Tensor], dict[str, Tensor] | None, Tensor]


class HeldRows:
    """All rows on the model's device, moved there once."""

    def __init__(self, model: FusionModel, views: Views):
        self.features, self.labels = rows_for(model, views)  # each (rows, d), (rows,)
        self.present = masks_for(model, views)  # each (rows,)

    def set_scale(self, model: FusionModel) -> None:
        """Take the model's standardisation from these rows, those that are present."""
        model.set_scale(self.features, self.present)

    def set_reference(self, model: FusionModel, seed: int) -> None:
        """Give the model the rows that it keeps, or learns from beforehand, if it needs any."""
        if model.reference_rows:
            rows = drawn(len(self.labels), model.reference_rows, seed).to(self.labels.device)
            present = self.present and {m: mask[rows] for m, mask in self.present.items()}
            model.set_reference({m: X[rows] for m, X in self.features.items()}, present)

    def batches(self, chunks: Sequence[Tensor]) -> Iterator[Batch]:
        """A batch for each chunk of row numbers."""
        # Moved at once: a copy for every batch would stall every step.
        moved = torch.cat(list(chunks)).to(self.labels.device)  # (rows,)
        for rows in moved.split([len(chunk) for chunk in chunks]):  # each (batch,)
            present = self.present and {m: mask[rows] for m, mask in self.present.items()}
            yield {m: X[rows] for m, X in self.features.items()}, present, self.labels[rows]


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
        for rows in in_order(len(self.views), model.dims):
            masks = self.views.read_present(rows)
            for m, X in self.views.read(rows).items():
                mask = np.ones(len(rows), bool) if masks is None else masks[m]
                moments[m].add(np.asarray(X, np.float64)[mask], m, int(rows[0]))
        for m, scale in model.scales.items():
            assert isinstance(scale, Standardise)
            moments[m].give(scale)

    def set_reference(self, model: FusionModel, seed: int) -> None:
        """Give the model the rows that it keeps, or learns from beforehand, if it needs any."""
        if model.reference_rows:
            rows, back = drawn(len(self.views), model.reference_rows, seed).sort()
            features, present, _ = self._move(self._read(rows.numpy()))
            back = back.argsort().to(self.device)  # (rows,)
            present = present and {m: mask[back] for m, mask in present.items()}
            model.set_reference({m: X[back] for m, X in features.items()}, present)

    def batches(self, chunks: Sequence[Tensor]) -> Iterator[Batch]:
        """A batch for each chunk of row numbers."""
        ahead: deque = deque()
        with ThreadPoolExecutor(1, thread_name_prefix="views") as reader:
            for chunk in chunks:
                ahead.append(reader.submit(self._read, chunk.cpu().numpy()))
                if len(ahead) > AHEAD:
                    yield self._move(ahead.popleft().result())
            while ahead:
                yield self._move(ahead.popleft().result())

    def _read(self, rows: np.ndarray) -> Batch:
        features, masks = self.views.read(rows), self.views.read_present(rows)
        return (
            {m: self._pin(X) for m, X in features.items()},  # (batch, d)
            None if masks is None else {m: self._pin(mask) for m, mask in masks.items()},
            self._pin(np.asarray(self.views.labels)[rows]),  # (batch,)
        )

    def _pin(self, values: np.ndarray) -> Tensor:
        tensor = torch.from_numpy(np.ascontiguousarray(values))
        # Only pinned memory is copied while the GPU computes.
        return tensor.pin_memory() if self.device.type == "cuda" else tensor

    def _move(self, batch: Batch) -> Batch:
        features, masks, labels = batch
        return (
            {m: X.to(self.device, self.dtype, non_blocking=True) for m, X in features.items()},
            masks and {m: mask.to(self.device, non_blocking=True) for m, mask in masks.items()},
            labels.to(self.device, non_blocking=True),
        )


Rows = HeldRows | ReadRows


def drawn(count: int, most: int, seed: int) -> Tensor:
    """At most `most` of the row numbers below `count`, (rows,); the first ones are a draw, too."""
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed))[:most]


def rows_of(model: FusionModel, views: Views) -> Rows:
    """The rows of `views`, held or read as they are."""
    return (ReadRows if views.lazy else HeldRows)(model, views)


class _Moments:
    """Mean, spread and range of columns, merged chunk by chunk."""

    def __init__(self, width: int):
        self.rows = 0
        self.mean, self.squares = np.zeros(width), np.zeros(width)
        self.low, self.high = np.full(width, np.inf), np.full(width, -np.inf)

    def add(self, X: np.ndarray, modality: str, start: int) -> None:
        """Take in X (rows, width), whose first row is number `start` or later."""
        if not len(X):
            return
        bad = np.flatnonzero(~np.isfinite(X).all(1))
        if len(bad):
            raise ValueError(
                f"views has NaN or infinite values in {modality!r}, among the {len(X)} training "
                f"rows from {start}; clean or impute them"
            )
        mean, total = X.mean(0), self.rows + len(X)
        gap = mean - self.mean
        self.squares += ((X - mean) ** 2).sum(0) + gap**2 * (self.rows * len(X) / total)
        self.mean += gap * (len(X) / total)
        self.low, self.high = np.minimum(self.low, X.min(0)), np.maximum(self.high, X.max(0))
        self.rows = total

    @torch.no_grad()
    def give(self, scale: Standardise) -> None:
        """Write mean and std to `scale`, if there were rows.

        A constant column gets std 1, as in `Standardise.fit`.
        """
        if not self.rows:
            return
        std = np.where(self.low == self.high, 1.0, np.sqrt(self.squares / self.rows))
        spread = torch.from_numpy(std).to(scale.std.dtype)
        scale.mean.copy_(torch.from_numpy(self.mean))
        scale.std.copy_(torch.where(spread > 0, spread, 1.0))
