"""The diagnosis of any torch model on batches: known angles, any form of model, nothing left."""

import math
from collections import namedtuple
from dataclasses import dataclass

import numpy as np
import pytest
import torch
import xarray as xr
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset

from pnpfuse import create_model, diagnose

GRADIENTS = ("gradients", "geometry")


class TwoHeads(nn.Module):
    """An encoder that works in place, and two heads."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(6, 5), nn.Dropout(0.5), nn.ReLU(inplace=True))
        self.classify, self.rebuild = nn.Linear(5, 3), nn.Linear(5, 6)

    def forward(self, x):
        return self.rebuild(self.encoder(x)).unflatten(1, (2, 3))

    def losses(self, batch):
        x, y = batch
        z = self.encoder(x)
        rebuild = (self.rebuild(z) - x).square().mean()
        return {"class": cross_entropy(self.classify(z), y), "rebuild": rebuild}


@pytest.fixture
def model():
    torch.manual_seed(0)
    return TwoHeads()


@pytest.fixture(scope="module")
def data():
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(90, 6, generator=generator)
    return x, (x[:, 0] > 0).long() + (x[:, 1] > 0).long()


def losses(model, batch):
    return model.losses(batch)


def batches(data, *sizes):
    return list(zip(*(part.split(list(sizes)) for part in data), strict=True))


@pytest.mark.parametrize("degrees", [0, 30, 90, 150, 180])
def test_gradients_of_known_angle(degrees):
    angle = math.radians(degrees)
    first, second = torch.tensor([1.0, 0.0]), torch.tensor([math.cos(angle), math.sin(angle)])

    def given(model, batch):
        z = model(batch)
        return {"one": (z @ first).mean(), "other": 3 * (z @ second).mean()}

    model = nn.Sequential(nn.Linear(4, 2))
    found = diagnose(model, [torch.randn(20, 4)], points=["0"], losses=given, only="gradients")
    here = found.sel(point="0", loss="other")
    assert float(here.gradient_cosine) == pytest.approx(math.cos(angle), abs=1e-6)
    assert float(here.gradient_ratio) == pytest.approx(3, rel=1e-5)
    np.testing.assert_allclose(here.sample_cosine, math.cos(angle), atol=1e-6)
    if degrees not in (0, 90, 180):
        assert float(here.conflict_rate) == (degrees > 90)


def test_points_on_both_sides_of_an_operation_in_place_by_hand(model, data):
    points = {"data": ("encoder.0", "input"), "hidden": "encoder.0", "code": model.encoder}
    found = diagnose(model, [data], points=points, losses=losses, only=GRADIENTS)
    x, y = data[0].clone().requires_grad_(), data[1]
    hidden = model.encoder[0](x)
    code = hidden.relu()
    each = (
        cross_entropy(model.classify(code), y),
        (model.rebuild(code) - x.detach()).square().mean(),
    )
    for point, at in {"data": x, "hidden": hidden, "code": code}.items():
        g, h = (torch.autograd.grad(loss, at, retain_graph=True)[0].double() for loss in each)
        here = found.sel(point=point, loss="rebuild")
        whole = nn.functional.cosine_similarity(g.flatten(), h.flatten(), dim=0)
        assert float(here.gradient_cosine) == pytest.approx(whole.item(), abs=1e-6)
        rows = (g * h).sum(1) / g.norm(dim=1) / h.norm(dim=1)
        np.testing.assert_allclose(here.sample_cosine, rows.numpy(), atol=1e-5)
        assert float(here.undefined_rate) == pytest.approx(rows.isnan().double().mean().item())


def test_batches_add_up_to_all_rows(model, data):
    points = {"code": "encoder", "hidden": "encoder.0"}
    whole = diagnose(model, [data], points=points, losses=losses)
    parts = diagnose(model, batches(data, 50, 30, 0, 10), points=points, losses=losses)
    assert set(whole.data_vars) == set(parts.data_vars)
    for name in whole.data_vars:
        # Losses are means: a batch of n rows counts n times.
        np.testing.assert_allclose(whole[name], parts[name], rtol=1e-4, atol=1e-5, err_msg=name)


def test_nothing_is_left_behind(model, data):
    model.encoder[1].eval()
    modes = [module.training for module in model.modules()]
    model.classify.weight.grad = torch.ones_like(model.classify.weight)
    state, loader = torch.get_rng_state(), DataLoader(TensorDataset(*data), 16, shuffle=True)
    diagnose(model, loader, losses=losses, only=GRADIENTS)

    def broken(model, batch):
        model.losses(batch)
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        diagnose(model, loader, points=["encoder"], losses=broken)
    assert modes == [module.training for module in model.modules()]
    assert all(not m._forward_hooks and not m._forward_pre_hooks for m in model.modules())
    assert torch.equal(state, torch.get_rng_state())
    assert bool((model.classify.weight.grad == 1).all()) and model.rebuild.weight.grad is None


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_it_records_gradients_where_the_caller_does_not(model, data, mode):
    plain = diagnose(model, [data], losses=losses, only=GRADIENTS)
    with mode():
        assert diagnose(model, [data], losses=losses, only=GRADIENTS).identical(plain)
        assert torch.is_grad_enabled() is False


def test_frozen_parts_have_gradients_too(model, data):
    points = {"code": "encoder"}
    plain = diagnose(model, [data], points=points, losses=losses, only=GRADIENTS)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    frozen = diagnose(model, [data], points=points, losses=losses, only=GRADIENTS)
    xr.testing.assert_equal(frozen, plain)
    assert "Nothing that is trained lies before" in frozen.notes
    assert "Nothing that is trained" not in plain.attrs.get("notes", "")


def test_without_losses_and_points(data):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))
    loader = DataLoader(TensorDataset(*data), batch_size=32)
    found = diagnose(model, loader)
    assert list(found.point.values) == ["input of 2"] and "guessed" in found.points
    assert found.main == "cross-entropy" and "gradient_cosine" not in found
    assert "one loss" in found.notes
    z = model[1](model[0](data[0])).detach().double()
    spread = torch.linalg.svdvals(z - z.mean(0))
    share = spread / spread.sum()
    rank = float((-(share * share.log()).sum()).exp())
    here = found.sel(point="input of 2")
    assert float(here.effective_rank) == pytest.approx(rank, rel=1e-5)
    assert 0.3 < float(here.label_information) < float(here.label_entropy)


Pair = namedtuple("Pair", "words state")


@dataclass
class Output:
    name: str
    hidden: torch.Tensor


class Odd(nn.Module):
    """Passes a tensor by keyword, in whatever container it is told to."""

    def __init__(self, form):
        super().__init__()
        self.inner, self.wrap, self.head = nn.Linear(6, 4), Wrap(form), nn.Linear(4, 2)

    def forward(self, x):
        return self.head(self.wrap.unwrapped(self.wrap(x=self.inner(x))))


class Wrap(nn.Module):
    def __init__(self, form):
        super().__init__()
        self.form = form

    def forward(self, x):
        forms = {
            tuple: (x, None), list: [torch.ones(3, dtype=torch.int64), x], dict: {"n": 1, "h": x},
            Pair: Pair(x, None), Output: Output("o", x),
        }  # fmt: skip
        return forms[self.form]

    def unwrapped(self, value):
        entries = {
            tuple: lambda v: v[0], list: lambda v: v[1], dict: lambda v: v["h"],
            Pair: lambda v: v.words, Output: lambda v: v.hidden,
        }  # fmt: skip
        return entries[self.form](value)


@pytest.mark.parametrize("form", [tuple, list, dict, Pair, Output])
def test_tensors_inside_what_modules_take_and_give(form, data):
    torch.manual_seed(0)
    model = Odd(form)

    def given(model, batch):
        out = model(batch[0])
        return {"a": out.square().mean(), "b": -out[:, 0].mean()}

    points = {"in": ("wrap", "input"), "out": "wrap", "plain": "inner"}
    found = diagnose(model, [data], points=points, losses=given, only=GRADIENTS)
    for point in ("in", "out"):
        cosine = found.gradient_cosine.sel(loss="b")
        assert float(cosine.sel(point=point)) == pytest.approx(float(cosine.sel(point="plain")))
        assert float(found.cka.sel(point=point, other_point="plain")) == pytest.approx(1)


def test_images_words_and_repeated_calls():
    torch.manual_seed(0)
    shared = nn.Conv2d(1, 2, 3)
    model = nn.ModuleDict({"conv": shared, "lstm": nn.LSTM(4, 3, batch_first=True)})

    def given(model, batch):
        left, right = model["conv"](batch["left"]), model["conv"](batch["right"])
        words = model["lstm"](batch["words"])[0]
        return {"apart": (left - right).square().mean(), "words": words.mean() + left.mean()}

    batch = {
        "left": torch.randn(8, 1, 5, 5), "right": torch.randn(8, 1, 5, 5),
        "words": torch.randn(8, 7, 4), "ids": ["name"] * 8,
    }  # fmt: skip
    found = diagnose(
        model, (batch for _ in range(3)), points=["conv", "lstm"], losses=given,
        labels=lambda batch: torch.arange(8) % 2, only=GRADIENTS,
    )  # fmt: skip
    assert list(found.width.values) == [2 * 2 * 9, 7 * 3] and found.sizes["row"] == 24
    assert np.isfinite(found.gradient_cosine.sel(point="conv")).all()
    assert np.isnan(found.gradient_cosine.sel(point="lstm")).all()  # "apart" is not made there


def test_rows_are_drawn_from_a_loader_and_taken_from_others(model, data):
    loader = DataLoader(TensorDataset(*data), batch_size=16)
    one, again, other = (
        diagnose(model, loader, losses=losses, max_rows=40, seed=seed, only="gradients")
        for seed in (0, 0, 1)
    )
    assert one.identical(again) and one.sizes["row"] == 40 and "40 of 90" in one.rows
    assert not np.array_equal(one.sample_cosine, other.sample_cosine)
    first = diagnose(model, list(loader), losses=losses, max_rows=40, only=GRADIENTS)
    whole = diagnose(model, [data], losses=losses, only="gradients")
    np.testing.assert_allclose(
        first.sample_cosine, whole.sample_cosine[..., :40], rtol=1e-4, atol=1e-5
    )
    assert first.sizes["row"] == 40 and "first 40" in first.rows


def test_what_is_not_defined_is_nan_with_a_reason(data):
    class Flat(TwoHeads):
        def losses(self, batch):
            found = super().losses(batch)
            self.constant(self.encoder(batch[0]))
            return found

        def constant(self, z):
            self.still(torch.zeros_like(z))
            self.broken(z * math.nan)

    torch.manual_seed(0)
    model = Flat()
    model.still, model.broken = nn.Identity(), nn.Identity()
    found = diagnose(model, [data], points=["encoder", "still", "broken"], losses=losses)
    for name in ("gradient_cosine", "rayleigh_quotient", "entropy", "uniformity"):
        values = found[name].squeeze()
        assert np.isfinite(values.sel(point="encoder")), name
        assert values.sel(point=["still", "broken"]).isnull().all(), name
    for said in ("none of the losses depends", "constant", "finite", "still", "broken"):
        assert said in found.notes, said
    assert len(found.notes) < 6000


def test_a_fusion_model_is_a_model_like_others(data):
    torch.manual_seed(0)
    model = create_model("rpmr", {"a": 4, "b": 2}, 3)

    def given(model, batch):
        x, y = batch
        out = model({"a": x[:, :4], "b": x[:, 4:]}, None, y)
        return {"task": cross_entropy(out.logits, y), **out.losses}

    points = {m: f"encoders.{m}" for m in ("a", "b")}
    found = diagnose(model, [data], points=points, losses=given, main="preservation")
    assert found.main == "preservation" and list(found.loss.values) == ["task"]
    assert np.isfinite(found.gradient_cosine).all() and list(found.pair.values) == ["a | b"]


@pytest.mark.parametrize(
    "change, said",
    [
        ({"points": ["nowhere"]}, "nowhere"),
        ({"points": {"x": ("encoder", "middle")}}, "'input' or 'output'"),
        ({"points": {"x": nn.Linear(2, 2)}}, "no module of the model"),
        ({"points": {}}, "points is empty"),
        ({"points": 3}, "points must be"),
        ({"losses": None}, "losses is needed"),
        ({"losses": lambda model, batch: {}}, "losses must give"),
        ({"losses": lambda model, batch: {"a": model.encoder(batch[0])}}, "must be a scalar"),
        ({"main": "nothing"}, "main must be one of"),
        ({"data": []}, "no batch"),
        ({"data": [(torch.zeros(0, 6), torch.zeros(0, dtype=torch.int64))]}, "no batch"),
        ({"data": (torch.zeros(3, 6), torch.arange(3))}, "a batch alone goes into a list"),
        ({"data": "digits"}, "data must be Views or an iterable"),
        ({"data": torch.zeros(3)}, "data must be Views or an iterable"),
        ({"labels": lambda batch: torch.zeros(3)}, "labels must give whole numbers"),
        ({"points": ["unused"]}, "not passed"),
        ({"pairs": [("encoder", "none")]}, "pairs has"),
        ({"model": "encoder"}, "model must be an nn.Module"),
        ({"only": "everything"}, "only must be some of"),
    ],
)
def test_bad_arguments_are_named(model, data, change, said):
    model.unused = nn.Identity()
    given = {"model": model, "data": [data], "points": ["encoder"], "losses": losses} | change
    model, batches = given.pop("model"), given.pop("data")
    with pytest.raises(ValueError, match=said):
        diagnose(model, batches, **given)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_dtypes_give_the_same(model, data, dtype):
    points = {"hidden": "encoder.0"}
    plain = diagnose(model, [data], points=points, losses=losses)
    other = diagnose(model.to(dtype), [(data[0].to(dtype), data[1])], points=points, losses=losses)
    for name in ("gradient_cosine", "rayleigh_quotient", "effective_rank", "entropy"):
        np.testing.assert_allclose(plain[name], other[name], rtol=0.03, atol=0.03, err_msg=name)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_the_numbers_are_those_of_the_cpu(model, data):
    points = {"hidden": "encoder.0", "code": "encoder"}
    cpu = diagnose(model, [data], points=points, losses=losses)
    gpu = diagnose(model.cuda(), [data], points=points, losses=losses)
    for name in cpu.data_vars:
        np.testing.assert_allclose(cpu[name], gpu[name], rtol=1e-3, atol=1e-3, err_msg=name)
