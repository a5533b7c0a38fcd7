"""Parameter groups, optimisers and schedules against torch's own and against formulas."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from pnpfuse import list_models
from pnpfuse.data import Views
from pnpfuse.evaluation import rows_for
from pnpfuse.fusion import create_model
from pnpfuse.optimisers import RECIPES, Schedule, make_optimizer, param_groups
from pnpfuse.training import fit

DIMS = {"a": 6, "b": 4}


@pytest.fixture(scope="module")
def views():
    random = np.random.default_rng(0)
    labels = np.arange(60) % 3
    a = random.normal(size=(60, 6)) + labels[:, None]
    return Views.from_arrays({"a": a, "b": random.normal(size=(60, 4))}, labels)


@pytest.mark.parametrize("name", list_models())
def test_every_parameter_is_in_exactly_one_group(name):
    model = create_model(name, DIMS, 3)
    groups = param_groups(model, lr=0.1, weight_decay=0.2, block_lr=0.3, block_weight_decay=0.4)
    found = [id(weight) for group in groups for weight in group["params"]]
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    assert sorted(found) == sorted(map(id, trained))
    by_name = {group["name"]: group for group in groups}
    block = [weight for weight in model.block.parameters() if weight.requires_grad]
    assert {id(w) for w in by_name.get("block", {"params": []})["params"]} == set(map(id, block))
    assert (by_name["rest"]["lr"], by_name["rest"]["weight_decay"]) == (0.1, 0.2)
    if block:
        assert (by_name["block"]["lr"], by_name["block"]["weight_decay"]) == (0.3, 0.4)
    for optimizer in (torch.optim.Adam, torch.optim.SGD, torch.optim.RMSprop):
        optimizer(groups)


def test_groups_of_ones_own_module():
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.fusion = nn.Linear(3, 3)
            self.head = nn.Linear(3, 2)
            self.head.bias.requires_grad_(False)
            self.again = self.fusion  # shared parameters are counted once

    own = Own()
    with pytest.raises(ValueError, match="block must be given for a Own"):
        param_groups(own)
    rest, block = param_groups(own, block=own.fusion, block_lr=1e-4)
    assert [id(w) for w in rest["params"]] == [id(own.head.weight)]
    assert len(block["params"]) == 2 and block["lr"] == 1e-4
    assert block["weight_decay"] == rest["weight_decay"] == 1e-2
    with pytest.raises(ValueError, match="block_lr must be"):
        param_groups(own, block=own.fusion, block_lr=-1)


def rates(kind, epochs, steps, losses=None):
    """The rate of every step."""
    optimizer = torch.optim.SGD([{"params": [nn.Parameter(torch.zeros(1))], "lr": 1.0}])
    schedule = Schedule(kind, optimizer, epochs, steps)
    found = []
    for epoch in range(epochs):
        for _ in range(steps):
            found.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            schedule.after_step()
        schedule.after_epoch(0.0 if losses is None else losses[epoch])
    return found


def test_cosine_and_constant():
    cosine = [(1 + math.cos(math.pi * t / 12)) / 2 for t in range(12)]
    assert rates("cosine", 4, 3) == pytest.approx(cosine)
    assert rates("constant", 4, 3) == [1.0] * 12


def test_step_falls_at_a_half_and_three_quarters():
    assert rates("step", 4, 5) == pytest.approx([1.0] * 10 + [0.1] * 5 + [0.01] * 5)


def test_a_function_of_ones_own():
    assert rates(lambda share: 1 - share, 2, 5) == pytest.approx(np.linspace(1, 0.1, 10))


def test_plateau_waits_for_1000_steps():
    """400 steps an epoch: 3 epochs of waiting. The loss falls twice and then no more."""
    losses = [2.0, 1.0] + [1.0] * 8
    found = rates("plateau", 10, 400, losses)[::400]
    assert found == pytest.approx([1.0] * 6 + [0.1] * 4)


def by_hand(views, epochs, optimizer, rate_of):
    """A training in one batch an epoch, with an optimizer and its rates from outside."""
    torch.manual_seed(0)
    model = create_model("spmr", views.dims, views.classes, dropout=0.0).double()
    X, labels = rows_for(model, views.train)
    model.set_scale(X)
    descent = optimizer(model)
    full = [group["lr"] for group in descent.param_groups]
    for t in range(epochs):
        for group, lr in zip(descent.param_groups, full, strict=True):
            group["lr"] = lr * rate_of(t)
        out = model(X)
        loss = nn.functional.cross_entropy(out.logits, labels) + 0.1 * out.losses["preservation"]
        descent.zero_grad()
        loss.backward()
        descent.step()
    return model


def assert_trained_like(views, other, **options):
    torch.manual_seed(0)
    model = create_model("spmr", views.dims, views.classes, dropout=0.0).double()
    history = fit(model, views, batch_size=1000, progress=False, device="cpu", **options)
    for (name, found), expected in zip(model.named_parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-10, msg=name)
    return history


def test_pmr_by_sgd_with_a_group_for_the_block(views):
    """PMR A.2: SGD with momentum 0.9 and MultiStep, the block with its own rate and decay."""
    recipe = RECIPES["pmr-sgd"] | {"epochs": 8}
    del recipe["batch_size"]

    def sgd(model):
        inside = set(model.block.parameters())
        rest = [w for w in model.parameters() if w not in inside]
        groups = [
            {"params": rest, "lr": 1e-2, "weight_decay": 1e-4},
            {"params": list(inside), "lr": 2.5e-4, "weight_decay": 1e-4},
        ]
        return torch.optim.SGD(groups, momentum=0.9)

    other = by_hand(views, 8, sgd, lambda t: 0.1 ** ((t >= 4) + (t >= 6)))
    history = assert_trained_like(views, other, **recipe)
    falls = [1.0] * 4 + [0.1] * 2 + [0.01] * 2
    assert history.rates["rest"] == pytest.approx([1e-2 * f for f in falls])
    assert history.rates["block"] == pytest.approx([2.5e-4 * f for f in falls])
    assert {"learning_rate", "block_learning_rate"} <= set(history.to_dataset().data_vars)


def test_clipping_against_the_norm_written_out(views):
    class Clipped(torch.optim.SGD):
        def step(self):
            weights = [w for group in self.param_groups for w in group["params"]]
            norm = torch.sqrt(sum((w.grad**2).sum() for w in weights))
            for w in weights:
                w.grad *= min(1.0, 0.05 / (norm + 1e-6))
            super().step()

    other = by_hand(
        views,
        5,
        lambda m: Clipped(m.parameters(), lr=0.5, momentum=0.9, weight_decay=1e-2),
        lambda t: 1.0,
    )
    options = {"optimizer": "sgd", "lr": 0.5, "schedule": "constant", "clip": 0.05}
    assert_trained_like(views, other, epochs=5, **options)


@pytest.mark.parametrize("recipe", RECIPES)
def test_recipes_train(views, recipe):
    torch.manual_seed(0)
    model = create_model("rpmr", views.dims, views.classes)
    history = fit(model, views, progress=False, device="cpu", **RECIPES[recipe] | {"epochs": 3})
    assert np.isfinite(history.losses["task"]).all()


def test_bf16_trains_to_about_the_same(views):
    ends = []
    for precision in ("float32", "bf16"):
        torch.manual_seed(0)
        model = create_model("rpmr", views.dims, views.classes, dropout=0.0)
        history = fit(model, views, epochs=10, precision=precision, progress=False, device="cpu")
        assert all(weight.dtype == torch.float32 for weight in model.parameters())
        ends.append(history.losses["task"][-1])
    assert ends[0] != ends[1] and ends[1] == pytest.approx(ends[0], rel=2e-2)


def test_a_model_with_nothing_to_train():
    with pytest.raises(ValueError, match="nothing to train"):
        make_optimizer("adamw", [])
