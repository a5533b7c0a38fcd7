"""Noise-contrastive bound of a conditional information: drawn pairs share their condition."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from pnpfuse_analysis.neighbours import nearest
from pnpfuse_analysis.samples import Array, as_tensor, check_count, seeded, tie_fraction

from .copula import normal_scores
from .critics import SeparableCritics
from .crossfit import Folds, batches, dealt, fit_critics, own_training
from .problem import Problem, Settings, as_parts, number_notes
from .variational import copies_note

# Drawn pairs to a true one in a training step.
_DRAWN = 8

# Up to this many classes the critic sees which one it is, one column each; above, a random code.
_CLASSES = 64

# Members that a class must have for ranks of its own: among few, ranks are not independent of each
# other, and drawn pairs then too far from true ones.
_MEMBERS = 20

# Samples for each column of z that a regression on z takes.
_PER_COLUMN = 20

_NEAR = (
    "z is continuous, and pairs of neighbours in z stand in for pairs of the same z: the value is "
    "an estimate and no bound, too high where x and y change with z within a neighbourhood. Group "
    "z into whole numbers for a bound of the information given the group."
)


@dataclass(frozen=True)
class ConditionalNCE:
    """The conditional noise-contrastive bound of I(x; y | z), judged on held-out samples only.

    I >= log(N0/N1) + E_pos log h(x, y, z), InfoBridge, Eqs. (3) and (7), with the margin's sign as
    it follows from Eq. (4), and h = sigmoid(f - log(N0/N1)). Drawn pairs (x_i, y_j) have the same
    z: drawn otherwise, a critic would learn I(x, z; y). As a trained critic is not the right one,
    max(0, log(N0/N1 E_neg h)) is taken off, which makes this a bound for any critic (Donsker and
    Varadhan's for f' = log h) and is 0 for the right one. Folds, early stopping and normal scores
    are those of `Variational`.

    Attributes
    ----------
    ratio : int
        N0/N1; its logarithm is the ceiling.
    candidates : int
        For whole-numbered z, drawn partners of each sample, from its class; for continuous z, how
        many nearest neighbours in z are taken for it.
    hidden, steps, batch, folds : int
        As for `Variational`.
    """

    ratio: int = 64
    candidates: int = 16
    hidden: int = 64
    steps: int = 400
    batch: int = 128
    folds: int = 2

    def __post_init__(self) -> None:
        least = {"ratio": 2, "batch": 2, "folds": 2}
        for name in ("ratio", "candidates", "hidden", "steps", "batch", "folds"):
            check_count(getattr(self, name), name, least.get(name, 1))

    def __call__(self, x: Array, y: Array, z: Array, settings: Settings) -> Problem:
        raw = as_parts({"x": x, "y": y, "z": z}, continuous=False)
        classes = not as_tensor(z[:0], "z").is_floating_point()
        parts = list(raw)
        if classes:
            parts[2] = torch.unique(raw[2], dim=0, return_inverse=True)[1].to(raw[2])[:, None]
        if settings.scale:
            parts = _levelled(parts[0], parts[1], parts[2], classes)
        copied = tie_fraction(torch.cat(raw, 1))
        generator = seeded(settings.generator)
        return Problem(
            parts=tuple(parts),
            measure=lambda a, b, c: self._held_out(a, b, c, classes, generator),
            method="cnce",
            d=sum(part.shape[1] for part in raw),
            least=10 * self.folds - 1,
            least_name="10 folds - 1",
            kind="lower_bound" if classes else "estimate",
            ceiling=math.log(self.ratio),
            tie_fraction=copied,
            notes=number_notes({"x": x, "y": y})
            + (() if classes else (_NEAR,))
            + copies_note(copied),
            remarks=_remarks,
            unlink=lambda given, order: _unlinked(given, order, classes, self.candidates),
        )

    def _held_out(
        self, x: Tensor, y: Tensor, z: Tensor, classes: bool, generator: torch.Generator
    ) -> Tensor:
        """Held-out contributions (N,); z (N, 1) holds class numbers, or (N, d_z) coordinates."""
        folds = dealt(len(x), self.folds, generator, x.device)
        with own_training(x.device):
            partners = self._partners(z, folds, classes, generator)  # (F, N, K)
            sight = _codes(z, generator) if classes else z
            given = torch.cat((x, sight), 1).to(torch.float32)
            target = y.to(torch.float32).clone()
            critics = SeparableCritics(
                self.folds, given.shape[1], target.shape[1], self.hidden, given, generator
            )

            def scores(rows: Tensor, columns: Tensor) -> tuple[Tensor, Tensor, Tensor]:
                """Of true pairs (F, B), of drawn ones (F, B, m), and who has a partner (F, B)."""
                fold = torch.arange(self.folds, device=rows.device)[:, None]
                drawn = partners[fold, rows][..., columns]
                own = rows[..., None]
                found = critics.candidates(given[rows], target[torch.cat((own, drawn), -1)])
                return found[..., 0], found[..., 1:], drawn[..., 0] != rows

            def value(rows: Tensor, columns: Tensor) -> Tensor:
                # Eq. (7) at N0/N1 = 1: f is right for every ratio, and learnt soonest at this one.
                true, drawn, paired = scores(rows, columns)
                gain = logsigmoid(true) + logsigmoid(-drawn).mean(-1)
                return (gain * paired).sum(-1) / paired.sum(-1).clamp(min=1)

            every = torch.arange(partners.shape[-1], device=x.device)

            def some(rows: Tensor) -> Tensor:
                mixed = _uniform((len(every),), generator, x.device)
                return value(rows, mixed.argsort()[:_DRAWN])

            fit_critics(
                critics,
                batches(folds.train, self.batch, self.steps, generator),
                some,
                lambda: value(folds.valid, every),
                folds.train.shape[1],
            )
            local = x.new_empty(len(x))
            with torch.no_grad():
                for fold, held in enumerate(folds.held):
                    rows = held.expand(self.folds, -1)
                    pieces = [scores(piece, every) for piece in rows.split(1024, 1)]
                    true, drawn, paired = (
                        torch.cat([piece[part][fold] for piece in pieces]) for part in range(3)
                    )
                    local[held] = self._bound(true.double(), drawn.double(), paired).to(x)
            return local

    def _bound(self, true: Tensor, drawn: Tensor, paired: Tensor) -> Tensor:
        """Contributions (n,) from scores (n,) and (n, K); 0 without a partner."""
        if not bool(paired.any()):
            return torch.zeros_like(true)
        margin = math.log(self.ratio)
        excess = (margin + (drawn[paired] - margin).sigmoid().mean().log()).clamp(min=0)
        return torch.where(paired, margin + logsigmoid(true - margin) - excess, 0.0)

    def _partners(
        self, z: Tensor, folds: Folds, classes: bool, generator: torch.Generator
    ) -> Tensor:
        """Rows (F, N, K) of the same class, or near in z, and of the same part of the fold."""
        table = []
        for fold, held in enumerate(folds.held):
            rows = torch.empty(len(z), self.candidates, dtype=torch.int64, device=z.device)
            for part in (folds.train[fold], folds.valid[fold], held):
                if classes:
                    found = _classmates(z[part, 0], self.candidates, generator)
                else:
                    found = _neighbours(z[part], self.candidates)
                rows[part] = part[found]
            table.append(rows)
        return torch.stack(table)


def _classmates(labels: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Indices (n, count) of drawn others with the same label (n,); of oneself if there is none."""
    n = len(labels)
    order = labels.argsort(stable=True)
    ordered = labels[order]
    start, end = (torch.searchsorted(ordered, ordered, right=right) for right in (False, True))
    others = (end - start - 1)[:, None]
    drawn = _uniform((n, count), generator, labels.device)
    place = torch.arange(n, device=labels.device)
    step = 1 + (drawn * others).long().clamp(max=others - 1).clamp(min=0)
    found = start[:, None] + ((place - start)[:, None] + step) % (others + 1)
    mates = torch.empty_like(found)
    mates[order] = order[found]
    return mates


def _uniform(shape, generator, device):
    """Draws between 0 and 1, the same whatever torch's default dtype is."""
    single = torch.float32
    return torch.rand(shape, generator=generator, device=generator.device, dtype=single).to(device)


def _neighbours(z: Tensor, count: int) -> Tensor:
    """Indices (n, count) of the nearest others in z (n, d); repeated in turn if there are fewer."""
    most = min(count, len(z) - 1)
    around = torch.arange(count, device=z.device) % most
    return nearest(z, most).indices[:, around]


def _levelled(x: Tensor, y: Tensor, z: Tensor, classes: bool) -> list[Tensor]:
    """x, y and z without what z says of x and of y alone, in normal scores.

    One-to-one maps of x and of y, which may depend on z, leave I(x; y | z) as it is: ranks are
    taken within classes, or after a linear regression on continuous z.
    """
    made = [normal_scores(part) for part in (x, y)]
    if classes:
        labels, sizes = torch.unique(z[:, 0], return_counts=True)
        for label in labels[sizes >= _MEMBERS]:
            rows = (z[:, 0] == label).nonzero()[:, 0]
            for new, part in zip(made, (x, y), strict=True):
                new[rows] = normal_scores(part[rows])
        return [*made, z]
    score = normal_scores(z)
    if len(z) >= _PER_COLUMN * z.shape[1]:
        made = [normal_scores(part - score @ torch.linalg.pinv(score) @ part) for part in made]
    return [*made, score]


def _codes(z: Tensor, generator: torch.Generator) -> Tensor:
    """Columns that tell the classes in z (N, 1) apart."""
    labels = torch.unique(z[:, 0], return_inverse=True)[1]
    count = int(labels.max()) + 1
    if count <= _CLASSES:
        return torch.nn.functional.one_hot(labels, count).to(z)
    code = torch.randn(
        count, _CLASSES, generator=generator, device=generator.device, dtype=torch.float32
    )
    return code.to(z)[labels]


def _unlinked(
    given: Sequence[Tensor], order: Tensor, classes: bool, count: int
) -> tuple[Tensor, ...]:
    """x, y and z with the y of another sample of the same class, or of a neighbour in z."""
    x, y, z = given
    if classes:
        mixed = order[z[order, 0].argsort(stable=True)]
        new = torch.empty_like(y)
        new[z[:, 0].argsort(stable=True)] = y[mixed]
        return x, new, z
    near = _neighbours(z, count)
    return x, y[near.gather(1, (order % count)[:, None])[:, 0]], z


def _remarks(local: Tensor) -> tuple[str, ...]:
    """What the held-out contributions (N,) say."""
    alone = int((local == 0).sum())
    if not alone:
        return ()
    return (
        f"{alone} of {len(local)} samples have no other one of their class in their fold; they "
        "count as 0.",
    )
