"""What was seen at the named points of a model: features row by row, and gradients compared."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn

from pnpfuse_analysis import GradReport, grad_cosine
from pnpfuse_analysis.gradients.conflict import Tally


@dataclasses.dataclass
class Features:
    """Features at the points.

    Attributes
    ----------
    values : {point: (N, d)}, flattened, on the model's device
    present : {point: bool (N,)}, for the points that some rows do not have
    labels : int64 (N,), or None
    space : {point: name}; two points' features lie in one space if they have the same name (none
        for both is the same) and width
    notes : {what there is to say of a point: [point]}
    """

    values: dict[str, Tensor]
    present: dict[str, Tensor] = dataclasses.field(default_factory=dict)
    labels: Tensor | None = None
    space: dict[str, str] = dataclasses.field(default_factory=dict)
    notes: dict[str, list[str]] = dataclasses.field(default_factory=dict)

    def leave_out_broken(self) -> None:
        """Take rows that are not finite for absent at their point, and say so."""
        for point, values in self.values.items():
            finite = values.isfinite().all(1)  # (N,)
            broken = ~finite
            if point in self.present:
                broken &= self.present[point]
                finite = finite & self.present[point]
            if bool(broken.any()):
                first = int(broken.nonzero()[0])
                said = (
                    f"{int(broken.sum())} of {len(values)} rows are not finite (first: row "
                    f"{first} of those looked at) and left out."
                )
                self.notes.setdefault(said, []).append(point)
                self.present[point] = finite

    def rows(self, *points: str) -> list[Tensor]:
        """Features of the rows that have all these points, (rows, d) each."""
        kept = self.kept(*points)
        return [self.values[p] if kept is None else self.values[p][kept] for p in points]

    def labels_at(self, point: str) -> Tensor | None:
        """Labels of the rows that have the point."""
        kept = self.kept(point)
        return self.labels if kept is None or self.labels is None else self.labels[kept]

    def one_space(self, first: str, second: str) -> bool:
        """Whether the features of two points can be compared entry by entry."""
        same = self.space.get(first) == self.space.get(second)
        return same and self.values[first].shape[1] == self.values[second].shape[1]

    def kept(self, *points: str) -> Tensor | None:
        """Which rows have all these points, bool (N,); None for all."""
        masks = [self.present[p] for p in points if p in self.present]
        return torch.stack(masks).all(0) if masks else None


class Conflict:
    """Gradients of several losses at the points, compared batch by batch.

    The losses are taken for means over their batch: a batch of n rows has the weight n in the
    gradient of all rows.

    Parameters
    ----------
    main : the loss that the others are compared with

    Attributes
    ----------
    names : the other losses
    cosines : {point: [(rows, L)]}, row by row, a tensor a batch
    sizes : {point: numbers in the gradient of a row}
    notes : {what the reports say of themselves: [point]}
    """

    def __init__(self, main: str):
        self.main = main
        self.names: tuple[str, ...] = ()
        self.cosines: dict[str, list[Tensor]] = {}
        self.sizes: dict[str, int] = {}
        self.notes: dict[str, list[str]] = {}
        self._tallies: dict[str, Tally] = {}
        self._why: dict[str, str] = {}

    def add(
        self,
        losses: Mapping[str, Tensor],
        at: Mapping[str, Sequence[Tensor]],
        rows: int | None = None,
    ) -> None:
        """Compare the losses' gradients at {point: tensors} of the first `rows` of one batch."""
        self.names = tuple(name for name in losses if name != self.main)
        for point, tensors in at.items():
            if point not in self.sizes:
                self.sizes[point] = sum(tensor[0].numel() for tensor in tensors)
                if not _trained(tensors):
                    self._note("Nothing that is trained lies before: gradients here move no weight",
                               point)  # fmt: skip
            try:
                report = grad_cosine(
                    losses, tensors, main=self.main, per_sample=True, reduction="sum"
                )
            except ValueError as error:
                if str(error).startswith("losses"):
                    raise
                self._why[point] = "none of the losses depends on what passes here."
                cosine = torch.full((len(tensors[0]), len(self.names)), torch.nan)[:rows]
            else:
                assert report.sample_cosine is not None and report.sample_gram is not None
                cosine = report.sample_cosine[:rows]
                gram = report.sample_gram[:rows]
                whole = gram.isfinite().flatten(1).all(1)  # (rows,)
                if not bool(whole.all()):
                    self._note("Rows whose gradients are not finite are left out", point)
                found = Tally.of(gram[whole].sum(0), cosine)
                old = self._tallies.get(point)
                self._tallies[point] = found if old is None else _sum(found, old)
                for said in report.warnings:
                    self._note(said, point)
            self.cosines.setdefault(point, []).append(cosine.cpu().double())

    def report(self, point: str) -> GradReport:
        """The gradients of all rows compared; ValueError where there are none, saying why."""
        if point not in self._tallies:
            raise ValueError(self._why[point])
        return self._tallies[point].report(self.main, self.names)

    def _note(self, said: str, point: str) -> None:
        if point not in self.notes.setdefault(said, []):
            self.notes[said].append(point)


def _sum(one: Tally, other: Tally) -> Tally:
    assert one.counts is not None and other.counts is not None
    return Tally(one.gram + other.gram, one.counts + other.counts)


def _trained(tensors: Sequence[Tensor]) -> bool:
    """Whether the tensors were computed from a parameter that is trained."""
    todo, known = [tensor.grad_fn for tensor in tensors], set()
    while todo:
        node = todo.pop()
        if node is None or node in known:
            continue
        known.add(node)
        if isinstance(getattr(node, "variable", None), nn.Parameter):
            return True
        todo += [before for before, _ in node.next_functions]
    return False


class Passed(NamedTuple):
    """What passed at a point in one forward pass.

    Attributes
    ----------
    tensors : those that count as the point, (rows, ...) each
    values : all of them side by side, flattened and detached, (rows, d)
    notes : what there is to say of it
    """

    tensors: list[Tensor]
    values: Tensor
    notes: list[str]


def passed(point: str, calls: Sequence[Sequence[Tensor]]) -> Passed:
    """What passed at a point as one: all tensors, of all calls, that have a row a sample."""
    if not calls:
        raise ValueError(f"points[{point!r}] was not passed by the forward pass; name another")
    kept, notes = [], []
    for call in calls:
        rows = next((len(tensor) for tensor in call if tensor.ndim), None)
        fitting = [tensor for tensor in call if tensor.ndim and len(tensor) == rows]
        kept += fitting
        if len(fitting) > 1:
            notes.append(f"{len(fitting)} tensors pass at once; side by side they count as one")
        if len(fitting) < len(call):
            notes.append("Tensors with other rows than the first pass, too, and are left out")
    if len({len(tensor) for tensor in kept}) != 1:
        shapes = [tuple(tensor.shape) for call in calls for tensor in call]
        raise ValueError(f"points[{point!r}] needs tensors of the same rows; found shapes {shapes}")
    if len(calls) > 1:
        notes.append(
            f"The module ran {len(calls)} times in a forward pass; side by side they count as one"
        )
    flat = [t.detach().flatten(1) if t.ndim > 1 else t.detach()[:, None] for t in kept]
    return Passed(kept, torch.cat(flat, -1), notes)


def check_losses(losses: Mapping[str, Tensor], main: str | None) -> str:
    """The main loss, the first for None; ValueError for anything but named real scalars."""
    if not isinstance(losses, Mapping) or not losses:
        raise ValueError(f"losses must give {{name: scalar tensor}}; found {losses!r}")
    for name, loss in losses.items():
        if not isinstance(loss, Tensor) or loss.numel() != 1 or not loss.is_floating_point():
            found = tuple(loss.shape) if isinstance(loss, Tensor) else type(loss).__name__
            raise ValueError(f"losses[{name!r}] must be a scalar tensor; found {found}; reduce it")
    chosen = next(iter(losses)) if main is None else main
    if chosen not in losses:
        raise ValueError(f"main must be one of the losses {list(losses)}; found {main!r}")
    return chosen


@contextmanager
def left_as_found(model: nn.Module, seed: int) -> Iterator[None]:
    """Evaluation mode, gradients on and a random state from the seed; afterwards all as before."""
    modes = {module: module.training for module in model.modules()}
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else []
    with (
        torch.random.fork_rng(devices),
        torch.inference_mode(False),
        torch.enable_grad(),
    ):
        torch.manual_seed(seed)
        model.eval()
        try:
            yield
        finally:
            for module, training in modes.items():
                module.training = training
