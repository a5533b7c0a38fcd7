"""Methods side by side, and the words that are drawn from them."""

import json
import multiprocessing
import pickle
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from fractions import Fraction

import numpy as np
import pytest
import torch
import xarray as xr

from pnpfuse import Views, compare, comparison, create_model, evaluate, fit, load_views, runs
from pnpfuse.figures import save_figure, spread_figure
from pnpfuse.findings import difference, spread, summary
from pnpfuse.runs import ComparisonError
from pnpfuse.threads import cpu_threads
from pnpfuse.training import TrainingError


@pytest.fixture(scope="module")
def views():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 240)
    features = {
        "a": rng.normal(size=(240, 12)) + 1.5 * np.eye(3, 12)[labels],
        "b": rng.normal(size=(240, 7)) + np.eye(3, 7)[labels],
    }
    return Views.from_arrays(features, labels)


def test_shape_labels_and_attrs(views):
    seen = []
    dataset = compare(
        {"plain": "concat", "half": ("rpmr", {"b": 0.25})}, views, seeds=[3, 5], epochs=2,
        inspect=lambda label, seed, model: seen.append((label, seed, model.name)),
    )  # fmt: skip
    assert dataset.accuracy.dims == ("model", "seed", "condition")
    assert list(dataset.model.values) == ["plain", "half"]
    assert list(dataset.seed.values) == [3, 5]
    assert set(dataset.condition.values) == {
        "none", "missing:a", "missing:b", "each", "only:a", "only:b",
    }  # fmt: skip
    assert seen == [
        ("plain", 3, "concat"), ("plain", 5, "concat"), ("half", 3, "rpmr"), ("half", 5, "rpmr"),
    ]  # fmt: skip
    assert json.loads(dataset.attrs["models"])["half"] == ["rpmr", {"b": 0.25}]
    assert not dataset.accuracy.isnull().any()
    one_missing = dataset.accuracy.sel(condition=["missing:a", "missing:b"]).mean("condition")
    np.testing.assert_allclose(dataset.accuracy.sel(condition="each"), one_missing)


def test_same_numbers_as_by_hand_and_again(views):
    dataset = compare(["rpmr"], views, seeds=[4], epochs=3)
    torch.manual_seed(4)
    model = create_model("rpmr", views.dims, views.classes)
    with cpu_threads(1):  # how sums are divided among threads shows in the last digits
        fit(model, views, epochs=3, seed=4)
        by_hand = evaluate(model, views, missing="all")
    xr.testing.assert_equal(
        dataset.isel(model=0, seed=0, drop=True).drop_vars("parameters"), by_hand
    )
    xr.testing.assert_identical(dataset, compare(["rpmr"], views, seeds=[4], epochs=3))


def test_the_callers_random_state_is_left_alone(views):
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    compare(["concat"], views, seeds=1, epochs=1)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize(
    "arguments, match",
    [
        ({"models": []}, "models: got none"),
        ({"models": ["nope"]}, "name must be one of"),
        ({"models": {"x": ("rpmr", {"c": 1})}}, "no option c"),
        ({"models": None}, "models: got None"),
        ({"models": "rpmr"}, "models: got 'rpmr'; give a list"),
        ({"models": ["rpmr", "rpmr"]}, "models: got 'rpmr' twice"),
        ({"models": {1: "rpmr", "1": "gmf"}}, "models: got '1' twice"),
        ({"models": [3]}, "models: got 3; give a name or"),
        ({"models": {"x": ("rpmr", 5)}}, "give a name or"),
        ({"seeds": 0}, "seeds must be"),
        ({"seeds": 1.5}, "seeds must be"),
        ({"seeds": None}, "seeds must be"),
        ({"seeds": [0.5]}, "seeds must be"),
        ({"seeds": [1, 1]}, "different numbers"),
        ({"views": None}, "views must be Views"),
        ({"seed": 3}, "seed: give seeds"),
        ({"epochs": 0}, "epochs must be"),
    ],
)
def test_bad_arguments(views, arguments, match):
    with pytest.raises(ValueError, match=match):
        compare(**{"models": ["concat"], "views": views, "epochs": 1, **arguments})


def test_what_cannot_be_finished_is_not_begun(views, monkeypatch):
    def trained(*_, **__):
        raise AssertionError("a training was begun")

    monkeypatch.setattr(runs, "fit", trained)
    for arguments, match in [
        ({"missing": "x"}, "missing must be one of"),
        ({"views": views.train}, "no test rows"),
        ({"views": views.test}, "no train rows"),
        ({"models": ["concat", "nope"]}, "name must be one of"),
    ]:
        with pytest.raises(ValueError, match=match):
            compare(**{"models": ["concat"], "views": views, **arguments})


def test_numpy_numbers_are_numbers(views):
    options = {"n": np.int64(2), "b": {"a": np.float32(0.5), "b": Fraction(1, 4)}}
    dataset = compare(
        {"half": ("rpmr", options)}, views, seeds=np.int64(2), epochs=np.int64(1),
        lr=np.float32(0.01), weights={"preservation": np.float32(0.1)},
    )  # fmt: skip
    assert dataset.seed.values.tolist() == [0, 1]
    plans = json.loads(dataset.attrs["models"])
    assert plans["half"] == ["rpmr", {"n": 2, "b": {"a": 0.5, "b": 0.25}}]
    assert json.loads(dataset.attrs["settings"])["weights"]["preservation"] == np.float32(0.1)


def table(one, other):
    accuracy = np.stack([one, other])[:, :, None] / 100
    return xr.Dataset(
        {"accuracy": (("model", "seed", "condition"), accuracy)},
        coords={"model": ["x", "y"], "condition": ["none"]},
    )


@pytest.mark.parametrize(
    "one, other, said",
    [
        ([90, 91, 92], [80, 82, 81], "higher with every seed"),
        ([80, 82, 81], [90, 91, 92], "lower with every seed"),
        ([90, 91, 92], [91, 90, 92], "no difference beyond the spread"),
        ([90, 80, 99], [89, 79.5, 60], "no difference beyond the spread"),
        ([90], [80], "one seed cannot tell"),
        ([90, 90], [90, 90], "no difference"),
    ],
)
def test_a_difference_inside_the_spread_is_none(one, other, said):
    assert said in difference(table(one, other), "x", "y", "none")


def test_spread_is_mean_and_sample_deviation():
    assert spread(np.array([1.0, 2.0, 3.0]), 2) == "2.00 ± 1.00"
    assert spread(np.array([1.25])) == "1.2"


def by_executor(views, executor, **options):
    return compare(
        {"plain": "concat", "half": ("rpmr", {"b": 0.25})}, views,
        **{"seeds": [3, 5], "epochs": 2, "executor": executor, **options},
    )  # fmt: skip


@pytest.fixture(scope="module")
def serial(views):
    return by_executor(views, None)


@pytest.fixture(scope="module")
def processes():
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        yield pool


def test_processes_give_the_serial_numbers(views, serial, processes):
    xr.testing.assert_identical(by_executor(views, processes), serial)


def test_processes_open_a_lazy_file_themselves(views, serial, processes, tmp_path):
    lazy = load_views(views.save(tmp_path / "views.nc"), lazy=True)
    found = by_executor(lazy, processes)
    xr.testing.assert_equal(found, serial)
    assert found.attrs["data"] == "views.nc"


def test_threads_take_turns_and_give_the_serial_numbers(views, serial):
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    with ThreadPoolExecutor(4) as pool:
        xr.testing.assert_identical(by_executor(views, pool), serial)
    assert torch.equal(torch.rand(3), expected)


def test_dask_gives_the_serial_numbers(views, serial):
    distributed = pytest.importorskip("distributed", reason="the extra dask is not installed")
    with (
        # Threads of one worker: those that would share torch's random state.
        distributed.LocalCluster(
            processes=False, n_workers=1, threads_per_worker=2, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
    ):
        xr.testing.assert_identical(by_executor(views, client.get_executor()), serial)


class Backwards(Executor):
    """Runs nothing before the last task is there, and then from the end."""

    def __init__(self, tasks):
        self.left, self.waiting = tasks, []

    def submit(self, work, /, *arguments, **options):
        self.waiting.append((Future(), work, arguments))
        self.left -= 1
        if not self.left:
            for future, work, arguments in reversed(self.waiting):
                try:
                    future.set_result(work(*arguments))
                except Exception as error:
                    future.set_exception(error)
        return self.waiting[-1][0]


def test_the_order_of_arrival_plays_no_part(views, serial):
    xr.testing.assert_identical(by_executor(views, Backwards(4)), serial)


@pytest.mark.parametrize("executor", [None, Backwards])
def test_a_failing_run_is_named_and_the_others_are_kept(views, monkeypatch, executor):
    real = runs.fit

    def fails(model, views, *, seed, **options):
        if seed == 5:
            raise TrainingError(f"{model.name} exploded")
        return real(model, views, seed=seed, **options)

    monkeypatch.setattr(runs, "fit", fails)
    with pytest.raises(ComparisonError, match="2 of 4 runs failed") as caught:
        by_executor(views, executor and executor(4), epochs=1)
    assert "plain, seed 5: concat exploded" in str(caught.value)
    assert "half, seed 5: rpmr exploded" in str(caught.value)
    assert set(caught.value.failures) == {("plain", 5), ("half", 5)}
    assert set(caught.value.finished) == {("plain", 3), ("half", 3)}
    assert "accuracy" in caught.value.finished["plain", 3]
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value)


def test_a_bad_value_for_fit_is_a_value_error_that_names_the_run(views):
    with pytest.raises(ValueError, match="concat, seed 0: lr must be"):
        compare(["concat"], views, seeds=1, epochs=1, lr=-1)


@pytest.mark.parametrize("executor", [None, Backwards])
def test_bad_values_in_some_runs_lose_none_of_the_others(views, monkeypatch, executor):
    real = runs.fit

    def fails(model, views, *, seed, **options):
        if seed == 5:
            raise ValueError("a bad row")
        return real(model, views, seed=seed, **options)

    monkeypatch.setattr(runs, "fit", fails)
    with pytest.raises(ComparisonError, match="2 of 4 runs failed: .* a bad row") as caught:
        by_executor(views, executor and executor(4), epochs=1)
    assert set(caught.value.finished) == {("plain", 3), ("half", 3)}


@pytest.mark.parametrize(
    "arguments, match",
    [
        ({"executor": 3}, "executor must be a concurrent.futures.Executor"),
        ({"executor": Backwards(1), "inspect": print}, "inspect needs the trained models"),
        ({"threads": 0}, "threads must be"),
        ({"warmth": 3}, "fit has no argument warmth; accepted are"),
        ({"weights": {"preservation": 1, "presevation": 2}}, "weights names .'presevation'."),
    ],
)
def test_what_is_known_to_fail_is_refused_at_once(views, monkeypatch, arguments, match):
    def trained(*_, **__):
        raise AssertionError("a training was begun")

    monkeypatch.setattr(runs, "fit", trained)
    with pytest.raises(ValueError, match=match):
        compare(["concat", "rpmr"], views, **arguments)


def test_each_model_takes_the_weights_it_knows(views, monkeypatch):
    seen = {}

    def noted(model, views, *, weights, **_):
        seen[model.name] = weights
        model.eval()

    own = {"concat": {"late": 0.3}, "rpmr": {"preservation": 0.1, "align": 0.5}}
    real = comparison.create_model

    def made(name, *arguments, **options):
        model = real(name, *arguments, **options)
        model.loss_weights = own[name]
        return model

    monkeypatch.setattr(runs, "fit", noted)
    monkeypatch.setattr(comparison, "create_model", made)
    compare(["concat", "rpmr"], views, seeds=1, epochs=1, weights={"preservation": 0.7})
    assert seen == {"concat": {"late": 0.3}, "rpmr": {"preservation": 0.7, "align": 0.5}}


def test_each_run_keeps_its_state_in_a_folder_of_its_own(views, monkeypatch):
    seen = []

    def noted(model, views, *, epochs, seed, checkpoint, progress):
        seen.append(checkpoint)
        model.eval()

    monkeypatch.setattr(runs, "fit", noted)
    monkeypatch.setattr(comparison, "fit", noted)
    compare({"a/b": "concat", "c": "concat"}, views, seeds=[0, 7], epochs=1, checkpoint="state")
    assert seen == ["state/a%2Fb/0", "state/a%2Fb/7", "state/c/0", "state/c/7"]


def scored(**models):
    accuracy = np.array(list(models.values()))[:, :, None] / 100  # (model, seed, condition)
    return xr.Dataset(
        {name: (("model", "seed", "condition"), accuracy) for name in ("accuracy", "loss")},
        coords={"model": list(models), "condition": ["none"]},
    )


def test_the_summary_marks_what_is_within_one_standard_error_of_the_best():
    # Standard errors: best and near 1 / sqrt(3), far 0.
    best, near, far = [90, 91, 92], [89.2, 90.2, 91.2], [90.4, 90.4, 90.4]
    frame = summary(scored(best=best, near=near, far=far))
    # The differences are 0.8 and 0.6; one standard error of them is 0.816 and 0.577.
    assert frame["none"].tolist() == ["91.0 ± 1.0 *", "90.2 ± 1.0 *", "90.4 ± 0.0"]
    assert "accuracy / %, mean ± sd (3 seeds)" in frame.attrs["caption"]
    lowest = summary(scored(best=far, worst=best), "loss")
    assert lowest["none"].tolist() == ["0.904 ± 0.000 *", "0.910 ± 0.010"]
    one = summary(scored(best=[90], other=[80]))
    assert one["none"].tolist() == ["90.0", "80.0"] and "one seed" in one.attrs["caption"]
    with pytest.raises(ValueError, match="comparison needs 'speed' over"):
        summary(scored(best=best), "speed")


@pytest.mark.parametrize("models", [1, 12])
def test_the_figure_has_a_panel_a_condition_and_a_line_a_model(models, tmp_path):
    rng = np.random.default_rng(0)
    conditions = ["none", "missing:a", "missing:b", "each", "only:a", "only:b"]
    comparison = xr.Dataset(
        {"accuracy": (("model", "seed", "condition"), rng.random((models, 3, 6)))},
        coords={"model": [f"m{i}" for i in range(models)], "condition": conditions},
    ).assign_coords(seed=[0, 1, 2])
    figure = spread_figure(comparison)
    panels = [axis for axis in figure.axes if axis.get_visible()]
    assert len(panels) == 6 and panels[0].get_title() == "all present"
    means = sorted(line.get_xdata()[0] for line in panels[3].lines if line.get_marker() == "o")
    expected = 100 * comparison.accuracy.sel(condition="each").mean("seed")
    np.testing.assert_allclose(means, np.sort(expected))
    assert save_figure(figure, tmp_path / "spread.png").stat().st_size > 1000
