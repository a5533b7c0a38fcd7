"""Training and evaluation on small data."""

import json
import warnings

import numpy as np
import pytest
import torch
import xarray as xr
from sklearn.metrics import balanced_accuracy_score

from pnpfuse import experiment
from pnpfuse.data import Views, load_views
from pnpfuse.evaluation import evaluate, rows_for
from pnpfuse.fusion import create_model
from pnpfuse.fusion.saved import load_model, save_model
from pnpfuse.training import TrainingError, fit


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


def test_two_steps_by_hand_with_decay_and_cosine(small):
    """AdamW written out; the second step has half the rate, (1 + cos(pi/2)) / 2."""
    lr, decay = 1e-2, 2.0
    model, other = (model_for(small, "spmr", dropout=0.0).double() for _ in range(2))
    fit(model, small, epochs=2, batch_size=1000, lr=lr, weight_decay=decay, progress=False)
    X, labels = rows_for(other, small.train)
    other.set_scale(X)
    weights = list(other.parameters())
    first, second = ([torch.zeros_like(w) for w in weights] for _ in range(2))
    for step, rate in [(1, lr), (2, lr / 2)]:
        out = other(X)
        task = torch.nn.functional.cross_entropy(out.logits, labels)
        grads = torch.autograd.grad(task + 0.1 * out.losses["preservation"], weights)
        with torch.no_grad():
            for w, g, m, v in zip(weights, grads, first, second, strict=True):
                m.mul_(0.9).add_(0.1 * g)
                v.mul_(0.999).add_(0.001 * g * g)
                w.mul_(1 - rate * decay)
                w.sub_(rate * (m / (1 - 0.9**step)) / ((v / (1 - 0.999**step)).sqrt() + 1e-8))
    torch.testing.assert_close(weights_of(model), weights_of(other), rtol=1e-6, atol=1e-8)


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
        assert set(dataset.data_vars) == {"task_loss", "preservation_loss", "learning_rate"}
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


def test_weights_that_the_last_step_spoils_are_an_error(small):
    model = model_for(small)
    with pytest.raises(TrainingError, match="weights are not finite after epoch 1"):
        fit(model, small, epochs=1, batch_size=1000, lr=1e36, weight_decay=1e9, progress=False)
    assert not model.training


def test_logits_that_are_not_finite_have_no_score(small):
    model = model_for(small)
    with torch.no_grad():
        model.head.linear.bias[0] = torch.nan
    with pytest.raises(ValueError, match=f"not finite for {len(small.test)} of"):
        evaluate(model, small)


def test_numpy_numbers_are_numbers(small):
    options = {"weights": {"preservation": np.float32(0.1)}, "lr": np.float32(1e-3)}
    history = fit(model_for(small), small, epochs=np.int64(1), progress=False, **options)
    assert json.loads(history.settings["weights"]) == {"preservation": float(np.float32(0.1))}
    assert type(history.settings["lr"]) is float


def test_classes_that_rows_lack(small, tmp_path):
    """No test row of class 1 and no training row of class 2; a warning would be an error."""
    labels, split = small.labels.copy(), small.split.copy()
    labels[:5], split[:5] = 2, 1
    split[labels == 1] = 0
    views = Views.from_arrays(small.features, labels, split, class_names=["x", "y", "z"])
    model = model_for(views)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        history = fit(model, views, epochs=1, progress=False)
        scores = evaluate(model, views)
    assert history.settings["note"] == "no training rows for the classes: z"
    history.to_dataset().to_netcdf(tmp_path / "history.nc")
    X, _ = rows_for(model, views.test)
    found = model(X).logits.argmax(1).numpy()
    recalls = [np.mean(found[views.test.labels == k] == k) for k in (0, 2)]
    assert float(scores.balanced_accuracy[0]) == pytest.approx(np.mean(recalls))
    assert "note" not in fit(model_for(small), small, epochs=1, progress=False).settings


def test_train_and_save_looks_at_the_test_rows_first(tmp_path, small, monkeypatch):
    def trained(*_, **__):
        raise AssertionError("a training was begun")

    monkeypatch.setattr(experiment, "fit", trained)
    rows = Views(small.features, small.labels, np.zeros(120, int), small.class_names)
    with pytest.raises(ValueError, match="no test rows"):
        experiment.train_and_save(rows, "rpmr", out=tmp_path / "out")
    with pytest.raises(ValueError, match="seed must be"):
        experiment.train_and_save(small, "rpmr", out=tmp_path / "out", seed="x")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("wrong", [None, torch.nn.Linear(2, 2), "block"])
def test_only_whole_models(small, wrong):
    wrong = model_for(small).block if wrong == "block" else wrong
    for use in (fit, evaluate):
        with pytest.raises(ValueError, match="model must be a whole model, as create_model"):
            use(wrong, small)
        with pytest.raises(ValueError, match="views must be Views"):
            use(model_for(small), {"a": 1})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "epochs"),
        ({"batch_size": 0}, "batch_size"),
        ({"seed": -1}, "seed"),
        ({"lr": float("nan")}, "lr"),
        ({"weights": {"perservation": 1.0}}, r"unknown loss perservation; rpmr has \['preserv"),
        ({"weighting": "uncertainty"}, "weighting must be one of .*'homoscedastic'"),
        ({"weighting": "homoscedastic", "weights": {"preservation": 1}}, "weights goes with"),
        ({"weighting": lambda losses, model: None}, "no gradient: it has to do the backward"),
        ({"optimizer": "adam"}, "optimizer must be one of"),
        ({"schedule": "linear"}, "schedule must be one of"),
        ({"block_lr": -1}, "block_lr must be"),
        ({"block_weight_decay": "x"}, "block_weight_decay must be"),
        ({"precision": "float16"}, "precision must be one of"),
        ({"clip": float("nan")}, "clip must be"),
        ({"validation": 1.0}, "validation must be views or a share below 1"),
        ({"validation": "x"}, "validation must be"),
        ({"patience": 2}, "patience needs validation rows"),
        ({"patience": 0, "validation": 0.2}, "patience must be"),
        ({"checkpoint": 3}, "checkpoint must be a folder"),
        ({"checkpoint_every": 0}, "checkpoint_every must be"),
        ({"weights": {"preservation": -1.0}}, "preservation"),
        ({"device": "tpu9"}, "device"),
        ({"device": None}, "device must be 'auto'"),
        ({"device": "meta"}, "device must be .* at hand; found 'meta'"),
        ({"device": torch.device("meta")}, "device must be"),
        ({"lr": "x"}, "lr must be a finite number"),
        ({"lr": 1e38}, r"lr must be a finite number from 0 to 1e\+37"),
        ({"weight_decay": None}, "weight_decay must be a finite number"),
        ({"weights": 5}, "weights must be a mapping"),
        ({"weights": {"preservation": "x"}}, r"weights\['preservation'\] must be"),
        ({"seed": 2**63}, "seed must be an integer from 0 to 9223372036854775807"),
    ],
)
def test_bad_arguments_are_named(small, options, message):
    model = model_for(small).eval()
    with pytest.raises(ValueError, match=message):
        fit(model, small, progress=False, **options)
    assert not model.training


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
