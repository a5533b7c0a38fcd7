"""What claims are tried on: data, seeds, and trained models that they share."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from pnpfuse.console import largest_class
from pnpfuse.fusion.model import FusionModel
from pnpfuse.fusion.saved import load_model, save_model
from pnpfuse.ledger.training import Training
from pnpfuse.runs import Run, train
from pnpfuse.storage import save_dataset
from pnpfuse.trainer import TrainingError
from pnpfuse.views import Views

SCORES = "scores.nc"
# Models this small are trained no faster on a GPU, and many processes would share it.
SETTINGS = {"device": "cpu"}


class CannotTry(Exception):
    """A claim cannot be tried on these data; the message says what is lacking."""


@dataclass(frozen=True)
class Bench:
    """The conditions of a ledger.

    Attributes
    ----------
    views : the data
    folder : where trained models are kept, to be used by all claims
    seeds : of every training, the same for all models, so that differences are paired
    epochs : of every training
    quick : smaller grids and fewer rows where a claim has a choice
    threads : CPU threads of a training
    settings : of `fit` for every training; what a training names itself goes first
    """

    views: Views
    folder: Path
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    epochs: int = 20
    quick: bool = False
    threads: int = 1
    settings: Mapping[str, Any] = field(default_factory=SETTINGS.copy)

    @property
    def score(self) -> str:
        """ "accuracy", or "balanced_accuracy" where the classes are of unequal size."""
        return "balanced_accuracy" if largest_class(self.views.test)[1] else "accuracy"

    @property
    def step(self) -> float:
        """One test row in percent: what a score cannot tell apart."""
        return 100 / max(1, len(self.views.test))

    def need(self, modalities: int) -> None:
        """CannotTry where the data have fewer modalities."""
        found = len(self.views.names)
        if found < modalities:
            raise CannotTry(f"needs {modalities} modalities; {self.views.name} has {found}")

    def model(self, training: Training, seed: int) -> FusionModel:
        """The trained model, in evaluation mode; trained now if it was not before.

        CannotTry where the data do not allow the training.
        """
        return load_model(self.train(training, seed))

    def scores(self, training: Training) -> xr.Dataset:
        """The scores of `evaluate` over (seed, condition), every modality missing in turn."""
        found = []
        for seed in self.seeds:
            with xr.open_dataset(self.train(training, seed) / SCORES) as saved:
                found.append(saved.load())
        return xr.concat(found, xr.Variable("seed", list(self.seeds)))

    def accuracy(self, training: Training, condition: str = "none") -> NDArray[np.float64]:
        """The test score in percent, (seeds,), of a condition of `evaluate`."""
        return 100 * self.scores(training)[self.score].sel(condition=condition).values

    def rows(self, training: Training) -> Views:
        """The data that a training is given; CannotTry where no row has what it is trained on."""
        views = self.views
        if not training.only:
            return views
        if views.present is not None:  # rows that have none of them are no rows of these views
            some = np.any([views.present[m] for m in training.only], axis=0)
            if not some.any():
                raise CannotTry(f"no row of {views.name} has {', '.join(training.only)}")
            views = views.subset(some)
        present = views.present and {m: views.present[m] for m in training.only}
        features = {m: views.features[m] for m in training.only}
        return dataclasses.replace(views, features=features, present=present)

    def trained(self, training: Training, seed: int) -> bool:
        """Whether the trained model is there."""
        return (self._place(training, seed) / SCORES).is_file()

    def train(self, training: Training, seed: int) -> Path:
        """The folder with the trained model and its scores, the scores written last.

        CannotTry where the data do not allow the training.
        """
        folder = self._place(training, seed)
        if not self.trained(training, seed):
            views = self.rows(training)
            missing = "all" if len(views.names) > 1 else "none"
            run = Run(
                training.model, dict(training.options), seed, views, self.epochs, missing,
                self.threads, {**self.settings, **training.settings},
            )  # fmt: skip
            try:
                model, scores = train(run)
            except (ValueError, TrainingError) as error:
                raise CannotTry(f"{training} cannot be trained on these data: {error}") from error
            save_model(model, folder)
            save_dataset(scores, folder / SCORES)
        return folder

    def _place(self, training: Training, seed: int) -> Path:
        return self.folder / training.key / str(seed)
