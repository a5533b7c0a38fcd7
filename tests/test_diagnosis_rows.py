"""What counts as a point and as a row: several tensors, several calls, rows that are not finite."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cosine_similarity

from pnpfuse import diagnose
from pnpfuse.diagnosis.measures import contains, wilson

GRADIENTS = ("gradients", "geometry")


class Two(nn.Module):
    """Gives two codes of which each loss takes one, and runs its first layer as often as told."""

    def __init__(self, form=tuple, calls=1):
        super().__init__()
        self.first, self.both = nn.Linear(6, 4), Both(form)
        self.calls = calls

    def forward(self, x):
        for _ in range(self.calls):
            z = self.first(x)
        return self.both(z)


class Both(nn.Module):
    def __init__(self, form):
        super().__init__()
        self.a, self.b, self.form = nn.Linear(4, 3), nn.Linear(4, 2), form

    def forward(self, z):
        pair = {"loss": z.mean(), "a": self.a(z), "b": self.b(z), "states": z[None]}
        return pair if self.form is dict else tuple(pair.values())


def losses(model, batch):
    out = model(batch[0])
    a, b = (out["a"], out["b"]) if isinstance(out, dict) else out[1:3]
    return {"one": a.square().mean() + b.mean(), "two": (a.sum(1) * b.sum(1)).mean()}


@pytest.fixture(scope="module")
def data():
    x = torch.randn(50, 6, generator=torch.Generator().manual_seed(0))
    return x, (x[:, 0] > 0).long()


@pytest.mark.parametrize("form", [tuple, dict])
def test_all_tensors_of_a_point_count(form, data):
    torch.manual_seed(0)
    model = Two(form)
    found = diagnose(model, [data], points=["both"], losses=losses, only=GRADIENTS)
    z = model.first(data[0])
    a, b = model.both.a(z), model.both.b(z)
    each = (a.square().mean() + b.mean(), (a.sum(1) * b.sum(1)).mean())
    g, h = (torch.cat(torch.autograd.grad(loss, (a, b), retain_graph=True), 1) for loss in each)
    here = found.sel(point="both", loss="two")
    np.testing.assert_allclose(here.sample_cosine, cosine_similarity(g, h), atol=1e-5)
    assert float(here.median_cosine) == pytest.approx(np.median(here.sample_cosine))
    assert float(here.chance_cosine) == pytest.approx(5**-0.5)
    assert found.width == 5 and "2 tensors pass at once" in found.notes
    assert "other rows" in found.notes  # the states, a row a layer


def test_several_calls_are_one_point_and_said_to_be(data):
    torch.manual_seed(0)
    found = diagnose(Two(calls=2), [data], points=["first"], losses=losses, only=GRADIENTS)
    assert found.width == 8 and "ran 2 times in a forward pass" in found.notes


def test_batches_of_another_width_are_named(data):
    model = nn.ModuleDict({"in": nn.Identity()})
    batches = [(torch.randn(9, width), torch.arange(9) % 2) for width in (3, 4)]
    with pytest.raises(ValueError, match=r"as many features in every batch; found \[3, 4\]"):
        diagnose(model, batches, points=["in"],
                 losses=lambda model, batch: {"a": model["in"](batch[0]).mean()})  # fmt: skip


def test_rows_that_are_not_finite_are_left_out_and_named(data):
    torch.manual_seed(0)
    model = Two()
    broken = data[0].clone()
    broken[17, 2] = np.nan
    kept = torch.arange(50) != 17
    points = {"first": "first", "both": "both"}
    found = diagnose(model, [(broken, data[1])], points=points, losses=losses)
    whole = diagnose(model, [(data[0][kept], data[1][kept])], points=points, losses=losses)
    assert "1 of 50 rows are not finite (first: row 17 of those looked at)" in found.notes
    assert "Missing" not in found.notes
    for name in whole.drop_vars(["sample_cosine", "undefined_rate", "gradient_ratio"]).data_vars:
        np.testing.assert_allclose(found[name], whole[name], rtol=1e-5, atol=1e-6, err_msg=name)
    np.testing.assert_allclose(found.gradient_ratio, whole.gradient_ratio, rtol=1e-5)
    np.testing.assert_allclose(found.undefined_rate, 0.02)
    assert np.isnan(found.sample_cosine.sel(row=17)).all()


def test_a_collapse_to_a_point_is_seen(data):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    plain = diagnose(model, [data], only=("smoothness", "geometry"))
    with torch.no_grad():
        model[0].weight.mul_(1e-5)
        model[0].bias.fill_(1)
    point = diagnose(model, [data], only=("smoothness", "geometry"))
    assert plain.relative_spread > 0.1 and point.relative_spread < 1e-4
    z = model[:2](data[0]).detach().double()
    spread = ((z - z.mean(0)).square().sum() / z.square().sum()).sqrt()
    assert point.relative_spread.item() == pytest.approx(float(spread), rel=1e-6)
    assert point.rayleigh_quotient > 0.5  # which is blind to it


def test_noise_is_measured_beside_the_features():
    torch.manual_seed(0)
    noise = torch.randn(200, 5)
    batches = [(noise, torch.arange(200) % 2)]
    found = diagnose(nn.Sequential(nn.Identity(), nn.Linear(5, 2)), batches, points=["0"],
                     only="smoothness")  # fmt: skip
    for name, beside in (("rayleigh_quotient", "rayleigh_noise"),
                         ("mean_average_distance", "distance_noise")):  # fmt: skip
        assert found[name].item() == pytest.approx(found[beside].item(), rel=0.1)


def test_what_the_components_leave_out_is_noted():
    x = torch.randn(200, 30, generator=torch.Generator().manual_seed(0))
    x[:, :3] *= 1.5
    batches = [{"x": x}]
    model = nn.ModuleDict({"all": nn.Identity(), "part": nn.Identity()})

    def losses(model, batch):
        return {"a": model["all"](batch["x"]).mean() + model["part"](batch["x"][:, 5:9]).mean()}

    found = diagnose(model, batches, points=["all", "part"], losses=losses,
                     only=("information", "labels"))  # fmt: skip
    wide = x.double() - x.double().mean(0)
    share = torch.linalg.svdvals(wide).square()
    assert float(found.kept_variance.sel(point="all")) == pytest.approx(
        float(share[:3].sum() / share.sum()), rel=1e-6
    )
    for said in ("less than half of the variance", "one of the two points contains the other",
                 "Missing: label information: no labels"):  # fmt: skip
        assert said in found.notes, said


def test_one_class_and_too_many_neighbours_are_named(data):
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    batches = [(data[0][:12], torch.zeros(12, dtype=torch.int64))]
    found = diagnose(model, batches, only=("labels", "smoothness"))
    assert "Missing: label information: all rows are of one class" in found.notes
    assert "10 neighbours are most of the 12 rows" in found.notes
    found = diagnose(model, batches, only=("geometry", "smoothness"), neighbours=99)
    assert "Missing: smoothness: k must" in found.notes
    assert "relative_spread" in found and "rayleigh_quotient" not in found  # which needs no graph


def test_points_are_explained(data):
    found = diagnose(Two(), [data], points={"code": ("both", "input")}, losses=losses,
                     only="geometry")  # fmt: skip
    assert "the input of both, a Both" in found.meanings


def test_contained_columns_and_wilson():
    x = torch.randn(9, 6)
    assert contains(x, x[:, 2:5]) and contains(x[:, :1], x)
    assert not contains(x, x) and not contains(x, torch.randn(9, 3))
    # SciPy has the same interval.
    from scipy.stats import binomtest

    for hits, tries in ((8, 10), (0, 7), (7, 7), (86, 100)):
        expected = binomtest(hits, tries).proportion_ci(method="wilson")
        assert wilson(hits, tries) == pytest.approx((expected.low, expected.high), abs=1e-6)


def test_gradients_of_a_broken_row_do_not_reach_the_others(data):
    torch.manual_seed(0)
    model, broken = Two(), data[0].clone()
    broken[3] = np.inf
    found = diagnose(model, [(broken, data[1])], points=["both"], losses=losses, only="gradients")
    assert np.isfinite(found.gradient_cosine).all()
