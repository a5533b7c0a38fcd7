"""Methods side by side, and the words that are drawn from them."""

import json
from fractions import Fraction

import numpy as np
import pytest
import torch
import xarray as xr

from pnpfuse import Views, compare, create_model, evaluate, fit, runs
from pnpfuse.findings import difference, spread
from pnpfuse.threads import cpu_threads


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
