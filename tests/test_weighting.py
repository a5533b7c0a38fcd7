"""How losses become one step: fixed weights, learned variances, aggregators."""

import json

import numpy as np
import pytest
import torch

from pnpfuse.data import Views
from pnpfuse.fusion import create_model
from pnpfuse.objective import Objective
from pnpfuse.training import fit
from pnpfuse.weighting import FixedWeights, Homoscedastic, resolve_weights


@pytest.fixture(scope="module")
def views():
    random = np.random.default_rng(0)
    labels = np.arange(90) % 3
    a = random.normal(size=(90, 6)) + labels[:, None]
    return Views.from_arrays({"a": a, "b": random.normal(size=(90, 4))}, labels)


def train(views, name="spmr", **options):
    torch.manual_seed(0)
    model = create_model(name, views.dims, views.classes, dropout=0.0).double()
    options = {"epochs": 4, "batch_size": 32, "progress": False, "device": "cpu"} | options
    return model, fit(model, views, **options)


def weights_of(model):
    return torch.cat([value.flatten() for value in model.parameters()])


def test_fixed_weights_are_the_weighted_sum():
    losses = {"task": torch.tensor(2.0), "x": torch.tensor(3.0), "y": torch.tensor(5.0)}
    assert FixedWeights({"x": 0.1, "y": 0.0})(losses) == pytest.approx(2.3)
    with pytest.raises(ValueError, match="no entry for the loss 'y'"):
        FixedWeights({"x": 0.1})(losses)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", ["rpmr", "cmmp", "misa"])
def test_losses_of_a_model_in_half_precision_are_float32(views, dtype, name):
    model = create_model(name, views.dims, views.classes).to(dtype)
    X = {m: torch.from_numpy(x[:8]).to(dtype) for m, x in views.features.items()}
    labels = torch.from_numpy(views.labels[:8])
    total, losses = Objective(model, FixedWeights(model.loss_weights), "float32")(X, None, labels)
    assert {value.dtype for value in losses.values()} == {torch.float32} == {total.dtype}


def test_weights_override_those_of_the_method():
    model = create_model("rpmr", {"a": 3, "b": 4}, 2)
    model.loss_weights = {"preservation": 0.1, "contrastive": 0.5}
    assert resolve_weights(model, None) == {"preservation": 0.1, "contrastive": 0.5}
    assert resolve_weights(model, {"contrastive": 2}) == {"preservation": 0.1, "contrastive": 2.0}
    assert resolve_weights(model, {}) == resolve_weights(model, None)
    with pytest.raises(ValueError, match=r"unknown loss x; rpmr has \['preservation', 'contr"):
        resolve_weights(model, {"x": 1.0})


def test_an_unknown_loss_stops_before_anything_is_touched(views):
    torch.manual_seed(0)
    model = create_model("spmr", views.dims, views.classes)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(ValueError, match="unknown loss"):
        fit(model, views, weights={"nothing": 1.0}, progress=False)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


@pytest.mark.parametrize("L", [[0.25, 1.0, 7.0], [1e-3, 40.0, 0.6]])
def test_homoscedastic_variances_go_to_the_losses(L):
    """For losses that stand still the sum is smallest at sigma^2 = L, where it is (1 + log L)/2."""
    names = ["task", "x", "y"]
    weigh = Homoscedastic(names).double()
    losses = dict(zip(names, torch.tensor(L, dtype=torch.float64), strict=True))
    descent = torch.optim.LBFGS(weigh.parameters(), max_iter=200, line_search_fn="strong_wolfe")

    def closure():
        descent.zero_grad()
        total = weigh(losses)
        total.backward()
        return total

    descent.step(closure)
    assert list(weigh.variances().values()) == pytest.approx(L, rel=1e-4)
    assert weigh(losses).item() == pytest.approx(sum((1 + np.log(L)) / 2), rel=1e-8)


def test_homoscedastic_weights_a_gradient_by_its_variance():
    weigh = Homoscedastic(["task", "x"])
    with torch.no_grad():
        weigh.log_variance.copy_(torch.log(torch.tensor([0.5, 4.0])))
    losses = {name: torch.tensor(3.0, requires_grad=True) for name in ("task", "x")}
    weigh(losses).backward()
    assert losses["task"].grad == pytest.approx(1 / (2 * 0.5))
    assert losses["x"].grad == pytest.approx(1 / (2 * 4.0))


def test_homoscedastic_training_records_its_variances(views):
    _, history = train(views, weighting="homoscedastic", lr=0.05, epochs=60)
    assert set(history.variances) == {"task", "preservation"}
    dataset = history.to_dataset()
    assert dataset["task_variance"].sizes == {"epoch": 60}
    assert dataset.attrs["weighting"] == "homoscedastic"
    # The variances follow the losses down.
    for name, losses in history.losses.items():
        assert history.variances[name][-1] < 0.7
        assert history.variances[name][-1] > 0.2 * losses[-1]


def test_an_aggregator_that_adds_up_is_the_fixed_sum(views):
    def summed(losses, model):
        (losses["task"] + 0.1 * losses["preservation"]).backward()

    found, history = train(views, weighting=summed)
    expected, plain = train(views)
    torch.testing.assert_close(weights_of(found), weights_of(expected), rtol=0, atol=0)
    assert history.losses == plain.losses
    assert (history.settings["weighting"], plain.settings["weighting"]) == ("summed", "fixed")
    assert json.loads(plain.settings["weights"]) == {"preservation": 0.1}


def test_an_aggregator_may_be_a_module(views):
    class Summed(torch.nn.Module):
        def forward(self, losses, model):
            sum(losses.values()).backward()

    found, history = train(views, weighting=Summed())
    expected, _ = train(views, weights={"preservation": 1.0})
    torch.testing.assert_close(weights_of(found), weights_of(expected), rtol=1e-12, atol=0)
    assert history.settings["weighting"] == "Summed"


def test_an_aggregator_sees_every_loss_and_the_model(views):
    seen = []

    def look(losses, model):
        seen.append((list(losses), model.name, {value.shape for value in losses.values()}))
        sum(losses.values()).backward()

    train(views, weighting=look, epochs=1, batch_size=1000)
    assert seen == [(["task", "preservation"], "spmr", {torch.Size([])})]
