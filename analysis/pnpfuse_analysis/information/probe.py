"""What a classifier can read of a label in features: H(Y | Z) from above, I(Y; Z) from below."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from pnpfuse_analysis.samples import (
    Array,
    as_labels,
    as_samples,
    check_choice,
    check_count,
    seeded,
    standard_columns,
)

from .classifier import Kind, dealt_folds, held_out_losses
from .discrete import discrete_entropy
from .estimate import Estimate
from .inference import Interval, estimated
from .labels import labels_and_features
from .problem import Problem, Settings, same_rows, storage_notes


def conditional_entropy(
    y: Array,
    z: Array,
    *,
    probe: Kind = "linear",
    folds: int = 5,
    penalty: float | Literal["cv"] = "cv",
    groups: Array | None = None,
    ci: Interval | None = None,
    sweep: int = 0,
    generator: torch.Generator | None = None,
) -> Estimate:
    """Return H(Y | Z) of labels given features, from above: the held-out loss of a classifier.

    The classifier is trained on all folds but one and pays -log p(y | z) for each sample of that
    one. Whatever the classifier, its expected loss is at least H(Y | Z), so H(Y) minus the value is
    a lower bound of the information; `mutual_information(y, z, method="probe")` returns that, with
    a permutation null.

    Time and memory grow with samples times classes, of which some matrices are held: half a minute
    and 0.4 GB for 1000 classes of N = 20000. A fixed `penalty` saves most of the time.

    Parameters
    ----------
    y : Tensor or ndarray, shape (N,)
        Labels: whole numbers, booleans or NumPy strings.
    z : Tensor or ndarray, shape (N,) or (N, d)
        Features, brought to unit spread.
    probe : {"linear", "mlp"}
        Logistic regression, or one hidden layer of 32 tanh units.
    folds : int
        Number of parts of the cross-validation; each has its share of every class.
    penalty : float or "cv"
        Weight of |W|^2 / 2 beside the mean loss. "cv" chooses it from 1e-4 ... 10, in each fold
        anew, by a further cross-validation on the other folds. 1 / (C N) in scikit-learn's terms.
    groups : Tensor or ndarray, shape (N,), or None
        Labels of samples that belong together (one patient, one recording) and must not be on both
        sides of a split.
    ci : {None, "local", "subsample", "splits"}
        95 % interval; "local" is free and, for held-out losses, about right.
    sweep : int
        How often to halve the sample size for `Estimate.n_sweep`.
    generator : torch.Generator or None
        Source of folds, first weights and subsamples; None takes one of seed 0.

    Returns
    -------
    Estimate
        Of kind "upper_bound"; not clipped, so it may exceed H(Y), which a warning then says.
        `local` holds the loss of each sample.

    Raises
    ------
    ValueError
        On wrong or different shapes, real-valued labels, fewer samples or groups than folds, or an
        unknown option.
    """
    generator = seeded(generator)
    problem = Probe(probe, folds, penalty).entropy(y, z, groups, generator)
    return estimated(problem, ci=ci, sweep=sweep, generator=generator, signed=True)


@dataclass(frozen=True)
class Probe:
    """A cross-validated classifier as a method of `mutual_information`: a lower bound.

    Attributes
    ----------
    probe, folds, penalty
        As in `conditional_entropy`.
    """

    probe: Kind = "linear"
    folds: int = 5
    penalty: float | Literal["cv"] = "cv"

    def __post_init__(self):
        check_choice(self.probe, "probe", ("linear", "mlp"))
        check_count(self.folds, "folds", 2)
        fixed = isinstance(self.penalty, int | float) and not isinstance(self.penalty, bool)
        if not (self.penalty == "cv" or (fixed and self.penalty >= 0)):
            raise ValueError(f"penalty must be 'cv' or a number >= 0, found {self.penalty!r}")

    def __call__(self, x: Array, y: Array, settings: Settings) -> Problem:
        """Return the problem of H(label) - H(label | features)."""
        codes, features, names = labels_and_features(x, y, "probe")
        loss = self._loss(seeded(settings.generator))
        return Problem(
            (codes, standard_columns(features)),
            lambda labels, z: discrete_entropy(labels) - loss(labels, z),
            f"{self.probe} probe",
            1 + features.shape[1],
            self.folds,
            "folds",
            kind="lower_bound",
            notes=storage_notes({names[1]: {"x": x, "y": y}[names[1]]}) + self._rare(codes),
        )

    def entropy(
        self, y: Array, z: Array, groups: Array | None, generator: torch.Generator | None
    ) -> Problem:
        """Return the problem of H(y | z)."""
        features = as_samples(z, "z", continuous=False)
        codes = as_labels(y, "y").to(features.device)
        named = {"y": codes, "z": standard_columns(features)}
        if groups is not None:
            named["groups"] = as_labels(groups, "groups").to(features.device)
            count = len(named["groups"].unique())
            if count < self.folds:
                raise ValueError(
                    f"groups must be at least as many as folds={self.folds}, found {count}"
                )
        parts = tuple(same_rows(named))
        level = float(discrete_entropy(codes).mean())

        def remarks(local: Tensor) -> tuple[str, ...]:
            if float(local.mean()) <= level:
                return ()
            return (
                f"The held-out loss exceeds H(Y) = {level:.4g}: the probe found nothing in the "
                "features, and guessing by class frequency would have been better.",
            )

        return Problem(
            parts,
            self._loss(seeded(generator)),
            f"{self.probe} probe",
            features.shape[1],
            self.folds,
            "folds",
            kind="upper_bound",
            notes=storage_notes({"z": z}) + self._rare(codes),
            remarks=remarks,
        )

    def _loss(self, generator: torch.Generator) -> Callable[..., Tensor]:
        """Held-out losses (n,) as a function of labels (n,), features (n, d) and groups (n,)."""
        penalty = None if self.penalty == "cv" else float(self.penalty)

        def loss(codes: Tensor, z: Tensor, groups: Tensor | None = None) -> Tensor:
            fold = dealt_folds(codes, groups, self.folds, generator)
            return held_out_losses(
                codes,
                z,
                fold,
                kind=self.probe,
                penalty=penalty,
                groups=groups,
                generator=generator,
            )

        return loss

    def _rare(self, codes):
        """A warning if some classes of codes (N,) cannot be in every fold."""
        count = torch.bincount(codes)
        rare = count < self.folds
        if not bool(rare.any()):
            return ()
        return (
            f"{int(rare.sum())} of {len(count)} classes have fewer samples than folds={self.folds} "
            f"({int(count[rare].sum())} of N={len(codes)}): some are judged by classifiers that "
            "hardly saw them.",
        )
