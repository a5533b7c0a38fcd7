"""How losses become one step: fixed weights, learned variances, aggregators."""

import json

import numpy as np
import pytest
import torch

from pnpfuse.console import history_lines
from pnpfuse.data import Views
from pnpfuse.fusion import create_model
from pnpfuse.objective import Objective
from pnpfuse.training import fit
from pnpfuse.weighting import FixedWeights, Homoscedastic, PrintedWeights, resolve_weights


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


def test_printed_weights_trained_as_printed_go_to_the_smallest_loss():
    """1000 steps on losses that stand still leave the prediction next to nothing."""
    weigh = PrintedWeights(["task", "x", "y"], seed=0, trained=True)
    values = {"task": 0.9, "x": 0.5, "y": 0.05}
    losses = {name: torch.tensor(value) for name, value in values.items()}
    at_first = weigh.weights(values)
    assert min(at_first.values()) > 0.15 and sum(at_first.values()) == pytest.approx(1)
    descent = torch.optim.Adam(weigh.parameters(), lr=1e-2)
    for _ in range(1000):
        descent.zero_grad()
        weigh(losses).backward()
        descent.step()
    at_last = weigh.weights(values)
    assert at_last["task"] < 2e-3 and at_last["y"] > 0.99
    assert weigh(losses).item() == pytest.approx(sum(at_last[k] * v for k, v in values.items()))


def test_printed_weights_without_a_gradient_are_a_function_of_the_losses_alone():
    weigh = PrintedWeights(["task", "x"], seed=3, trained=False).double()
    losses = {k: torch.tensor(v, dtype=torch.float64) for k, v in (("task", 2.0), ("x", 0.5))}
    first, second = (weigh.mlp[i] for i in (0, 2))
    inner = np.maximum(first.weight.numpy() @ [2.0, 0.5] + first.bias.numpy(), 0)
    scores = np.exp(second.weight.numpy() @ inner + second.bias.numpy())
    phi = scores / scores.sum()
    held = {name: value.requires_grad_() for name, value in losses.items()}
    total = weigh(held)
    total.backward()
    assert total.item() == pytest.approx(phi @ [2.0, 0.5])
    # No gradient goes through phi: the losses are weighed by it as by constants.
    assert [held[k].grad.item() for k in held] == pytest.approx(phi)
    assert all(not weight.requires_grad for weight in weigh.parameters())
    drawn = [PrintedWeights(["task", "x"], seed=s, trained=False).weights for s in (3, 3, 4)]
    one, same, other = (draw({"task": 2.0, "x": 0.5}) for draw in drawn)
    assert one == same != other


@pytest.mark.parametrize("weighting", ["printed", "printed-trained"])
def test_printed_weights_of_a_training_are_recorded_and_resume(views, weighting, tmp_path):
    options = {"weighting": weighting, "lr": 0.05, "seed": 5}
    model, history = train(views, epochs=4, **options)
    again, resumed = train(views, epochs=4, checkpoint=tmp_path, **options)
    assert resumed == history and torch.equal(weights_of(model), weights_of(again))
    assert train(views, epochs=4, checkpoint=tmp_path, **options)[1] == history
    assert set(history.weights) == {"task", "preservation"} and not history.variances
    for column in zip(*history.weights.values(), strict=True):
        assert sum(column) == pytest.approx(1)
    line = next(line for line in history_lines(history) if line.startswith("weights of the"))
    assert f"task {history.weights['task'][-1]:.3g}, preservation" in line
    dataset = history.to_dataset()
    assert dataset["task_weight"].sizes == {"epoch": 4}
    assert dataset.attrs["weighting"] == weighting
    names, seed = list(history.weights), options["seed"]
    drawn = PrintedWeights(names, seed, trained=False)
    means = {name: column[-1] for name, column in history.losses.items()}
    stayed = drawn.weights(means)["task"] == pytest.approx(history.weights["task"][-1], rel=1e-5)
    assert stayed == (weighting == "printed")
    with pytest.raises(ValueError, match=f"with '{weighting}' leave it out"):
        train(views, weighting=weighting, weights={"preservation": 1.0})


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
