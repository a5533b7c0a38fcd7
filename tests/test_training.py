"""Training and evaluation on small data."""

import json

import numpy as np
import pytest
import torch
import xarray as xr
from sklearn.metrics import balanced_accuracy_score

from pnpfuse.data import Views, load_views
from pnpfuse.fusion import create_model
from pnpfuse.training import TrainingError, evaluate, fit, load_model, save_model


@pytest.fixture(scope="module")
def digits():
    return load_views("digits")


@pytest.fixture(scope="module")
def small():
    """Two classes, 90 against 30, told apart by `a` and by nothing in `b`."""
    random = np.random.default_rng(0)
    labels = np.repeat([0, 1], [90, 30])
    a = random.normal(size=(120, 6)) + 2.0 * labels[:, None]
    return Views.from_arrays({"a": a, "b": random.normal(size=(120, 4))}, labels)


def model_for(views, name="rpmr", seed=0, **options):
    torch.manual_seed(seed)
    return create_model(name, views.dims, views.classes, **options)


def weights_of(model):
    return torch.cat([value.flatten() for value in model.state_dict().values()])


@pytest.mark.parametrize("name", ["concat", "gmf", "spmr", "rpmr"])
def test_learns_the_digits(digits, name):
    model = model_for(digits, name)
    history = fit(model, digits, epochs=6, progress=False)
    scores = evaluate(model, digits, "all").accuracy
    assert scores.sel(condition="none") > 0.8  # chance is 0.1
    assert scores.sel(condition="only:pixels") > 0.4
    task = history.losses["task"]
    assert len(task) == 6 and task[-1] < 0.5 * task[0]
    assert set(history.losses) == {"task"} | ({"preservation"} if name != "concat" else set())
    assert not model.training


def test_same_seed_same_numbers_and_the_callers_random_state_is_untouched(small):
    runs = []
    for seed, noise in [(3, 0), (3, 1), (4, 0)]:
        model = model_for(small)
        torch.manual_seed(100 + noise)
        state = torch.get_rng_state()
        history = fit(model, small, epochs=3, seed=seed, batch_size=32, progress=False)
        assert torch.equal(torch.get_rng_state(), state)
        runs.append((history.losses, weights_of(model)))
    assert runs[0][0] == runs[1][0] and torch.equal(runs[0][1], runs[1][1])
    assert not torch.equal(runs[0][1], runs[2][1])


def test_first_epoch_in_one_step_is_adamw_on_the_weighted_sum(small):
    """One full-batch step without dropout, repeated by hand."""
    model, other = (model_for(small, "spmr", dropout=0.0) for _ in range(2))
    settings = {"epochs": 1, "batch_size": 1000, "lr": 1e-2, "weights": {"preservation": 0.7}}
    history = fit(model, small, progress=False, **settings)
    X = {m: torch.from_numpy(x) for m, x in small.train.features.items()}
    labels = torch.from_numpy(small.train.labels)
    other.set_scale(X)
    out = other(X)
    task = torch.nn.functional.cross_entropy(out.logits, labels)
    (task + 0.7 * out.losses["preservation"]).backward()
    torch.optim.AdamW(other.parameters(), lr=1e-2, weight_decay=1e-2).step()
    # The first step of Adam is lr * sign(gradient): rows in another order may flip tiny ones.
    torch.testing.assert_close(weights_of(model), weights_of(other), rtol=1e-4, atol=1e-4)
    assert history.losses["task"][0] == pytest.approx(task.item(), rel=1e-5)
    preservation = out.losses["preservation"].item()
    assert history.losses["preservation"][0] == pytest.approx(preservation, rel=1e-5)


def test_scale_comes_from_the_training_rows_alone(small):
    test = small.split == 1
    features = {m: np.where(test[:, None], 1e6, X) for m, X in small.features.items()}
    shifted = Views.from_arrays(features, small.labels, small.split)
    model = model_for(shifted)
    fit(model, shifted, epochs=1, progress=False)
    mean = small.train.features["a"].mean(0)
    np.testing.assert_allclose(model.scales["a"].mean.numpy(), mean, rtol=1e-5)


def test_history_explains_itself(small, tmp_path):
    history = fit(model_for(small), small, epochs=2, progress=False)
    history.to_dataset().to_netcdf(tmp_path / "history.nc")
    with xr.open_dataset(tmp_path / "history.nc") as dataset:
        assert dataset.epoch.values.tolist() == [1, 2]
        assert dataset.task_loss.values.tolist() == history.losses["task"]
        assert set(dataset.data_vars) == {"task_loss", "preservation_loss"}
        assert all({"units", "long_name"} <= set(v.attrs) for v in dataset.variables.values())
        assert (dataset.attrs["model"], dataset.attrs["seed"]) == ("rpmr", 0)
        assert json.loads(dataset.attrs["weights"]) == {"preservation": 0.1}
        assert dataset.attrs["version"] and dataset.attrs["outcome"] == "completed"


def test_evaluation_counts_right(small, tmp_path):
    model = model_for(small)
    fit(model, small, epochs=5, progress=False)
    model.train()
    scores = evaluate(model, small, "all")
    assert model.training  # put back
    model.eval()
    test = small.test
    X = {m: torch.from_numpy(x) for m, x in test.features.items()}
    for condition, gone in [("none", []), ("missing:a", ["a"]), ("only:a", ["b"])]:
        present = {m: torch.full((len(test),), m not in gone) for m in X}
        logits = model(X, present).logits
        found, row = logits.argmax(1).numpy(), scores.sel(condition=condition)
        assert row.accuracy == pytest.approx(np.mean(found == test.labels))
        recalls = [np.mean(found[test.labels == k] == k) for k in (0, 1)]
        assert row.balanced_accuracy == pytest.approx(np.mean(recalls))
        assert row.balanced_accuracy == balanced_accuracy_score(test.labels, found)
        loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(test.labels))
        assert row.loss == pytest.approx(loss.item(), rel=1e-5)
    order = ["none", "missing:a", "missing:b", "each", "only:a", "only:b"]
    assert scores.condition.values.tolist() == order
    one_missing = scores.sel(condition=["missing:a", "missing:b"]).mean("condition")
    xr.testing.assert_allclose(scores.sel(condition="each", drop=True), one_missing)
    assert all({"units", "long_name"} <= set(v.attrs) for v in scores.variables.values())
    assert scores.attrs["split"] == "test" and scores.attrs["rows"] == len(test)
    scores.to_netcdf(tmp_path / "scores.nc")


@pytest.mark.parametrize(
    ("missing", "conditions"),
    [("none", ["none"]), ("each", ["none", "missing:a", "missing:b", "each"])],
)
def test_conditions(small, missing, conditions):
    scores = evaluate(model_for(small), small, missing, split="train")
    assert scores.condition.values.tolist() == conditions
    assert scores.attrs["rows"] == len(small.train)


def test_trained_model_reopens_bit_by_bit(small, tmp_path):
    model = model_for(small, b={"a": 0.25, "b": 0.75})
    fit(model, small, epochs=2, progress=False)
    reopened = load_model(save_model(model, tmp_path))
    X = {m: torch.from_numpy(x) for m, x in small.test.features.items()}
    assert torch.equal(reopened(X).logits, model(X).logits)
    xr.testing.assert_identical(evaluate(reopened, small, "all"), evaluate(model, small, "all"))


def test_raw_features_and_double_precision(small):
    raw = model_for(small, "gmf", encoder=None).double()
    history = fit(raw, small, epochs=2, progress=False)
    assert np.isfinite(history.losses["task"]).all()
    assert evaluate(raw, small).accuracy.shape == (1,)


def test_divergence_is_an_error_that_names_epoch_and_loss(small):
    with pytest.raises(TrainingError, match=r"task.* not finite in epoch \d.*lower lr"):
        fit(model_for(small), small, epochs=20, lr=1e30, progress=False)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "epochs"),
        ({"batch_size": 0}, "batch_size"),
        ({"seed": -1}, "seed"),
        ({"lr": float("nan")}, "lr"),
        ({"weights": {}}, "no entry for the loss 'preservation'"),
        ({"weights": {"preservation": -1.0}}, "preservation"),
        ({"device": "tpu9"}, "device"),
    ],
)
def test_bad_arguments_are_named(small, options, message):
    with pytest.raises(ValueError, match=message):
        fit(model_for(small), small, progress=False, **options)


def test_views_that_do_not_fit_are_refused(small, digits):
    with pytest.raises(ValueError, match="widths"):
        fit(model_for(small), digits)
    with pytest.raises(ValueError, match="classes"):
        evaluate(create_model("gmf", small.dims, 3), small)
    with pytest.raises(ValueError, match="no test rows"):
        evaluate(model_for(small), small.train)
    with pytest.raises(ValueError, match="missing must be"):
        evaluate(model_for(small), small, "some")
    with pytest.raises(ValueError, match="split must be"):
        evaluate(model_for(small), small, split="validation")
    alone = Views.from_arrays({"a": small.features["a"]}, small.labels, small.split)
    with pytest.raises(ValueError, match="two modalities"):
        evaluate(model_for(alone, "concat"), alone, "each")
