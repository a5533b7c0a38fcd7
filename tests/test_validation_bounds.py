"""The bounds of a companion on rows held back: means over these, recorded beside their loss."""

import math

import numpy as np
import pytest
import torch
from command_line import run

from pnpfuse.console import history_lines
from pnpfuse.data import Views
from pnpfuse.fusion import create_model
from pnpfuse.training import fit

NAMES = ("bound", "printed_bound", "ceiling")


@pytest.fixture(scope="module")
def views():
    random = np.random.default_rng(0)
    labels = np.arange(120) % 2
    a = random.normal(size=(120, 3)) + labels[:, None]
    present = {"a": np.ones(120, bool), "b": np.arange(120) % 3 > 0}
    split = (np.arange(120) >= 90).astype(int)
    features = {"a": a, "b": a[:, :2] + 0.1 * random.normal(size=(120, 2))}
    return Views.from_arrays(features, labels, split, present=present)


def train(views, name="infobridge", options=None, **settings):
    torch.manual_seed(0)
    model = create_model(name, views.dims, views.classes, **options or {}).double()
    settings = {"epochs": 2, "device": "cpu", "progress": False, "validation": 0.3} | settings
    return model, fit(model, views, **settings)


def test_they_are_means_over_all_rows_held_back(views, monkeypatch):
    from pnpfuse.validation import split_validation

    model, history = train(views)
    held = split_validation(model, views.train, 0.3, 0)[1]
    X = {m: torch.from_numpy(x).double() for m, x in held.features.items()}
    present = {m: torch.from_numpy(mask) for m, mask in held.present.items()}
    V, labels = model.encode(X, present), torch.from_numpy(held.labels)
    whole = model.bridge.bound(V, present, labels, X)
    assert model.bounds(X, present, labels) == whole
    assert model.bounds(X, present, labels, 64)["bound"] != whole["bound"]
    with pytest.raises(ValueError, match="labels must be int64"):
        model.bounds(X, labels, present)  # the order is that of a call
    for name in NAMES:
        assert history.validation[name][-1] == pytest.approx(float(whole[name]))
    # In batches a mean by their rows: 27 are 10, 10 and 7.
    monkeypatch.setattr("pnpfuse.evaluation.BATCH", 10)
    again, total = train(views)[1], dict.fromkeys(NAMES, 0.0)
    for rows in torch.arange(len(held)).split(10):
        part = [{m: x[rows] for m, x in group.items()} for group in (V, present, X)]
        found = model.bridge.bound(part[0], part[1], labels[rows], part[2])
        total = {name: total[name] + len(rows) * float(found[name]) for name in NAMES}
    for name in NAMES:
        assert again.validation[name][-1] == pytest.approx(total[name] / len(held))
    assert again.validation["loss"] == pytest.approx(history.validation["loss"])


def test_they_do_not_touch_the_training(views):
    _, history = train(views, options={"objective": "none"})
    assert set(history.validation) == {"loss", "accuracy"}
    rest = views.subset(np.zeros(len(views), bool) | (views.split == 0))
    model, with_rows = train(rest, validation=views.subset(views.split == 1))
    other, without = train(rest, validation=0.0)
    assert not without.validation and set(NAMES) < set(with_rows.validation)
    assert with_rows.losses == without.losses
    for name, value in model.state_dict().items():
        assert torch.equal(value, other.state_dict()[name])


def test_rows_without_two_modalities_say_nothing(views):
    lone = Views.from_arrays(
        views.features, views.labels, views.split, present={"b": np.zeros(120, bool)}
    )
    history = train(views, validation=lone)[1]
    assert history.validation["bound"] == [0, 0]  # which holds always
    assert history.best_epoch is None and np.isfinite(history.validation["loss"]).all()


def test_they_are_recorded_in_nats_and_drawn_under_their_ceiling(views):
    history = train(views, options={"negatives": 8}, patience=5)[1]
    dataset = history.to_dataset()
    for name in NAMES:
        column = dataset[f"validation_{name}"]
        assert column.attrs["units"] == "nat" and (column <= math.log(8) + 1e-12).all()
    assert len({dataset[f"validation_{name}"].attrs["long_name"] for name in NAMES}) == 3
    assert dataset["validation_loss"].attrs["units"] == "1"
    # The lowest loss decides, not the bound.
    assert history.best_epoch == 1 + int(np.argmin(history.validation["loss"]))
    axes = {axis.get_ylabel(): axis for axis in history.plot().axes}
    drawn = axes["bound on the information / nat"]
    shown = {line.get_label(): line.get_ydata() for line in drawn.lines}
    assert np.allclose(shown["validation ceiling"], math.log(8))
    np.testing.assert_array_equal(shown["validation bound"], history.validation["bound"])
    line = next(line for line in history_lines(history) if line.startswith("validation"))
    assert line.count(" nat") == 4 and "printed bound" in line


def test_the_command_says_them(capsys, views, tmp_path):
    path = tmp_path / "data.npz"
    arrays = {f"view_{m}": X for m, X in views.features.items()}
    np.savez(path, y=views.labels, split=views.split, **arrays)
    status, out, err = run(
        capsys, "train", str(path), "--model", "infobridge", "--option", "base=rpmr",
        "--option", 'base_options={"n": 2}', "--option", "alpha=0.5", "--epochs", "1",
        "--validation", "0.2", "--out", str(tmp_path / "out"),
    )  # fmt: skip
    assert status == 0, err
    assert "bound" in out and " nat" in out and "nce" in out
