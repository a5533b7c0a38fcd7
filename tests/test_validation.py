"""Validation rows, early stopping, and views that are read batch by batch."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from sklearn.model_selection import train_test_split

from pnpfuse.batches import ReadRows
from pnpfuse.data import Views
from pnpfuse.evaluation import evaluate
from pnpfuse.fusion import create_model
from pnpfuse.training import TrainingError, fit
from pnpfuse.validation import split_validation


@pytest.fixture(scope="module")
def views():
    random = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], [120, 50, 30])
    a = random.normal(size=(200, 6)) + labels[:, None]
    return Views.from_arrays({"a": a, "b": random.normal(size=(200, 4))}, labels)


def new_model(views, name="rpmr", **options):
    torch.manual_seed(0)
    return create_model(name, views.dims, views.classes, **options)


@dataclass(frozen=True, eq=False)
class Lazy(Views):
    """Views that hand out rows and keep count of the largest request."""

    lazy = True

    def read(self, rows):
        LARGEST.append(len(rows))
        return {m: X[rows] for m, X in self.features.items()}

    def subset(self, mask):
        part = super().subset(mask)
        return Lazy(part.features, part.labels, part.split, part.class_names, part.name)


LARGEST: list[int] = []


def as_lazy(views):
    return Lazy(views.features, views.labels, views.split, views.class_names, views.name)


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5])
def test_the_split_is_stratified_and_seeded(views, share):
    model = new_model(views)
    kept, held = split_validation(model, views.train, share, 0)
    assert len(kept) + len(held) == len(views.train)
    counts = np.bincount(views.train.labels)
    assert np.abs(np.bincount(held.labels, minlength=3) - share * counts).max() <= 1
    _, theirs = train_test_split(
        views.train.labels, test_size=share, stratify=views.train.labels, random_state=0
    )
    assert abs(len(held) - len(theirs)) <= 1
    rows = {tuple(row) for row in views.train.features["a"]}
    both = [tuple(row) for part in (kept, held) for row in part.features["a"]]
    assert len(both) == len(rows) and set(both) == rows
    again = split_validation(model, views.train, share, 0)[1].features["a"]
    other = split_validation(model, views.train, share, 1)[1].features["a"]
    assert np.array_equal(again, held.features["a"])
    assert not np.array_equal(other, held.features["a"])


def test_no_class_is_lost_to_validation():
    labels = np.array([0] * 10 + [1] + [2] * 2)
    views = Views.from_arrays({"a": np.random.rand(13, 2)}, labels, np.zeros(13, int))
    model = create_model("concat", views.dims, 3)
    for share in (0.01, 0.3, 0.9, 0.999):
        kept, held = split_validation(model, views.train, share, 0)
        assert set(kept.labels) == {0, 1, 2} and len(held) >= 1
    alone = Views.from_arrays({"a": np.eye(2)}, [0, 1], [0, 0])
    with pytest.raises(ValueError, match="leaves a class without any"):
        split_validation(create_model("concat", alone.dims, 2), alone, 0.5, 0)


def test_what_is_recorded_is_what_evaluate_finds(views):
    """Views of their own, all of whose rows count, measured after every epoch."""
    validation = views.test
    model = new_model(views)
    history = fit(model, views, epochs=4, validation=validation, progress=False, device="cpu")
    scores = evaluate(model, validation)
    assert history.validation["accuracy"][-1] == pytest.approx(float(scores.accuracy[0]))
    assert history.validation["loss"][-1] == pytest.approx(float(scores.loss[0]), rel=1e-5)
    assert history.settings["validation"] == "arrays" and history.best_epoch is None
    # Looking at rows changes nothing in the training.
    plain = fit(new_model(views), views, epochs=4, progress=False, device="cpu")
    assert plain.losses == history.losses


def test_held_rows_are_neither_trained_on_nor_measured_by(views):
    model = new_model(views)
    kept, held = split_validation(model, views.train, 0.25, 3)
    history = fit(model, views, epochs=2, seed=3, validation=0.25, progress=False, device="cpu")
    np.testing.assert_allclose(model.scales["a"].mean, kept.features["a"].mean(0), rtol=1e-5)
    other = new_model(views)
    alone = Views(kept.features, kept.labels, kept.split, kept.class_names)
    expected = fit(other, alone, epochs=2, seed=3, validation=held, progress=False, device="cpu")
    assert history.losses == expected.losses and history.validation == expected.validation


@pytest.mark.parametrize("patience", [1, 3])
def test_early_stopping_against_a_count_by_hand(views, patience):
    settings = {"lr": 0.1, "optimizer": "sgd", "schedule": "constant", "validation": 0.25}
    settings |= {"batch_size": 16, "progress": False, "device": "cpu", "epochs": 40}

    def weights(**options):
        model = new_model(views)
        history = fit(model, views, **settings | options)
        return torch.cat([v.flatten() for v in model.state_dict().values()]), history

    _, whole = weights()
    losses = whole.validation["loss"]
    lowest, best, stop = np.inf, 0, 40
    for epoch, loss in enumerate(losses, 1):
        if loss < lowest:
            lowest, best = loss, epoch
        elif epoch - best >= patience:
            stop = epoch
            break
    assert stop < 40  # or the example shows nothing
    found, history = weights(patience=patience)
    assert history.best_epoch == best and history.validation["loss"] == losses[:stop]
    assert history.losses["task"] == whole.losses["task"][:stop]
    expected, _ = weights(epochs=best)  # with a constant rate the same up to there
    assert torch.equal(found, expected)
    assert history.to_dataset().attrs["best_epoch"] == best


def test_a_validation_that_is_not_finite_is_an_error(views):
    far = {m: np.full_like(X, 3e38) for m, X in views.test.features.items()}
    bad = Views(far, views.test.labels, views.test.split, views.class_names)
    with pytest.raises(TrainingError, match="validation loss is not finite after epoch 1"):
        fit(new_model(views), views, epochs=2, validation=bad, progress=False, device="cpu")


def test_validation_views_have_to_fit(views):
    alone = Views.from_arrays({"a": views.features["a"]}, views.labels, views.split)
    with pytest.raises(ValueError, match="validation has the widths"):
        fit(new_model(views), views, validation=alone, progress=False)


def test_lazy_views_train_like_views_in_memory(views):
    LARGEST.clear()
    options = {"epochs": 3, "batch_size": 32, "validation": 0.2, "progress": False}
    held, read = new_model(views), new_model(views)
    first = fit(held, views, device="cpu", **options)
    second = fit(read, as_lazy(views), device="cpu", **options)
    for name, expected in held.state_dict().items():
        torch.testing.assert_close(read.state_dict()[name], expected, rtol=1e-4, atol=1e-6)
    assert second.validation["loss"] == pytest.approx(first.validation["loss"], rel=1e-4)
    assert LARGEST.count(32) >= 3 * 3


def test_streamed_scaling_against_numpy(monkeypatch):
    random = np.random.default_rng(0)
    X = random.normal(1e4, 1e-1, size=(1001, 5)).astype(np.float32)  # a large mean, little spread
    X[:, 2] = 7.0
    views = Views.from_arrays({"a": X}, np.arange(1001) % 2, np.zeros(1001, int))
    monkeypatch.setattr("pnpfuse.evaluation.BATCH", 64)
    model = new_model(views, "concat").double()
    ReadRows(model, as_lazy(views)).set_scale(model)
    exact = X.astype(np.float64)
    np.testing.assert_allclose(model.scales["a"].mean, exact.mean(0), rtol=1e-12)
    std = exact.std(0)
    std[2] = 1.0
    np.testing.assert_allclose(model.scales["a"].std, std, rtol=1e-9)


def test_a_lazy_row_that_is_not_finite_is_named(views):
    @dataclass(frozen=True, eq=False)
    class Broken(Lazy):
        def read(self, rows):
            found = super().read(rows)
            return found | {"b": np.where(rows[:, None] == 7, np.nan, found["b"])}

        def subset(self, mask):
            part = super().subset(mask)
            return Broken(part.features, part.labels, part.split, part.class_names)

    broken = Broken(views.features, views.labels, views.split, views.class_names)
    with pytest.raises(ValueError, match="'b', among the 150 training rows from 0"):
        fit(new_model(views), broken, epochs=1, progress=False, device="cpu")


@dataclass(frozen=True, eq=False)
class Partial(Views):
    """Views in which samples lack modalities."""

    present: dict | None = None
    lazy: bool = False

    def read(self, rows):
        return {m: X[rows] for m, X in self.features.items()}

    def read_present(self, rows):
        return {m: mask[rows] for m, mask in self.present.items()}

    def subset(self, mask):
        part = super().subset(mask)
        present = {m: had[mask] for m, had in self.present.items()}
        return Partial(
            part.features, part.labels, part.split, part.class_names, part.name, present, self.lazy
        )


def test_what_absent_rows_hold_plays_no_part(views):
    random = np.random.default_rng(1)
    present = {"a": random.random(200) < 0.7}
    present["b"] = ~present["a"] | (random.random(200) < 0.7)
    trained = []
    for lazy, inside in [(False, 0.0), (False, 1e6), (True, -7.0)]:
        features = {
            m: np.where(present[m][:, None], X, inside).astype(np.float32)
            for m, X in views.features.items()
        }
        partial = Partial(
            features, views.labels, views.split, views.class_names, "p", present, lazy
        )
        model = new_model(views)
        history = fit(model, partial, epochs=2, validation=0.2, progress=False, device="cpu")
        trained.append((model.state_dict(), history))
    X = partial.train
    kept, _ = split_validation(model, X, 0.2, 0)
    rows = kept.features["a"][kept.present["a"]]
    for state, history in trained:
        np.testing.assert_allclose(state["scales.a.mean"], rows.mean(0), rtol=1e-4)
        np.testing.assert_allclose(state["scales.a.std"], rows.std(0), rtol=1e-4)
        for name, value in trained[0][0].items():
            torch.testing.assert_close(state[name], value, rtol=1e-4, atol=1e-6)
        losses = trained[0][1].validation["loss"]
        assert history.validation["loss"] == pytest.approx(losses, rel=1e-4)
    complete = new_model(views)
    fit(complete, views, epochs=2, validation=0.2, progress=False, device="cpu")
    assert not torch.allclose(complete.head.linear.weight, state["head.linear.weight"])


def test_an_error_while_reading_reaches_the_caller(views):
    @dataclass(frozen=True, eq=False)
    class Failing(Lazy):
        def read(self, rows):
            raise OSError("the disk is gone")

        def subset(self, mask):
            part = super().subset(mask)
            return Failing(part.features, part.labels, part.split, part.class_names)

    failing = Failing(views.features, views.labels, views.split, views.class_names)
    with pytest.raises(OSError, match="the disk is gone"):
        fit(new_model(views, encoder=None), failing, epochs=1, progress=False, device="cpu")


def test_the_figure_shows_every_column(views):
    history = fit(
        new_model(views), views, epochs=3, validation=0.25, patience=3, progress=False, device="cpu"
    )
    axes = history.plot().axes
    assert [axis.get_ylabel() for axis in axes] == ["loss", "accuracy", "learning rate"]
    lines = {line.get_label(): line.get_ydata() for line in axes[0].lines}
    assert list(lines["task"]) == history.losses["task"]
    assert list(lines["validation"]) == history.validation["loss"]
