"""A learned boundary: where it starts, its gradients, and where a step of training moves it."""

import math

import numpy as np
import pytest
import torch
from test_pmr import THREE, block_for, features_for

from pnpfuse import evaluate, fit, load_views
from pnpfuse.fusion import PMR, create_model
from pnpfuse.fusion.saved import load_model, save_model
from pnpfuse.optimisers import param_groups
from pnpfuse.trainer import TrainingError
from pnpfuse_solvers import Cell, solve_equilibrium

NUMBERS = ("length", "voltage", "charge")


def learned(dims=THREE, n=3, b=0.4, seed=0, **options):
    return block_for(dims, n, b, seed=seed, boundary="learned", **{"voltage": 5} | options)


def loss_of(block, V):
    out = block(V)
    return out.losses["preservation"] + sum(z.square().mean() for z in out.fused.values())


def moved_by(block, entry, step):
    """Entry (name, index) of what is learned, moved by `step` in place."""
    name, index = entry
    with torch.no_grad():
        getattr(block.share.cells, f"log_{name}").view(-1)[index] += step


def slope(value, block, entry, step=1e-4):
    """Central difference of value() with respect to an entry of what is learned."""
    moved_by(block, entry, step)
    ahead = value()
    moved_by(block, entry, -2 * step)
    behind = value()
    moved_by(block, entry, step)
    return (ahead - behind) / (2 * step)


ENTRIES = [("length", 0), ("voltage", 0), ("charge", 0), ("charge", 1), ("charge", 2)]


@pytest.mark.parametrize("voltage", [2, 20])
def test_starts_as_the_soft_boundary(voltage):
    ratios = {"text": 0.3, "audio": 0.5, "video": 0.7}
    soft = block_for(THREE, 3, ratios, boundary="soft", voltage=voltage)
    block, V = learned(b=ratios, voltage=voltage), features_for(THREE)
    for m in THREE:  # the soft one was held in single precision
        torch.testing.assert_close(block.share()[m], soft.share()[m], atol=1e-7, rtol=0)
        torch.testing.assert_close(block(V).fused[m], soft(V).fused[m], atol=1e-6, rtol=1e-6)
    assert block.interface() == pytest.approx(soft.interface(), abs=1e-8)
    assert soft.interface()["text"] == 5 / 18  # floor(0.3 n l) of n l channels
    names = {name for name, _ in block.named_parameters()} - dict(soft.named_parameters()).keys()
    assert names == {f"share.cells.log_{name}" for name in NUMBERS}


@pytest.mark.parametrize("activation", [None, "tanh"])
@pytest.mark.parametrize("gradient", ["full", "block_only"])
def test_gradients_are_finite_differences(activation, gradient):
    block = learned(activation=activation, gradient=gradient)
    V = features_for(THREE)
    loss_of(block, V).backward()
    cells = block.share.cells
    found = [getattr(cells, f"log_{name}").grad.view(-1)[i].item() for name, i in ENTRIES]
    wanted = [slope(lambda: loss_of(block, V).item(), block, entry) for entry in ENTRIES]
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-8)
    assert min(map(abs, wanted)) > 1e-6


def test_a_step_moves_the_boundary_as_finite_differences_predict():
    """b of the moved cells, solved by themselves, against the differences of loss and b."""
    block, V, rate = learned(), features_for(THREE), 1e-3
    before = block.interface()
    slopes = {e: slope(lambda: loss_of(block, V).item(), block, e) for e in ENTRIES}
    predicted = dict.fromkeys(THREE, 0.0)
    for entry, steepness in slopes.items():
        for m in THREE:
            turn = slope(lambda m=m: block.interface()[m], block, entry)
            predicted[m] -= rate * steepness * turn
    optimizer = torch.optim.SGD(block.parameters(), lr=rate)
    loss_of(block, V).backward()
    optimizer.step()
    after, cells = block.interface(), block.share.cells()
    numbers = (cells.length_ratio, cells.voltage, cells.charge_ratio)
    for m, *one in zip(THREE, *(each.tolist() for each in numbers), strict=True):
        length, voltage, charge = one
        cell = Cell.dimensionless(length, -voltage, (1, -charge), (1, 1 / charge))
        solution = solve_equilibrium(cell)
        assert after[m] == pytest.approx(float(solution.interface / solution.length), abs=1e-8)
        assert abs(predicted[m]) > 1e-7
        assert after[m] - before[m] == pytest.approx(predicted[m], rel=0.01)


@pytest.mark.parametrize("learn", ["voltage", ["length", "charge"], [], "all"])
def test_learns_what_it_is_told_to(learn):
    block = learned(learn=learn)
    told = set(NUMBERS) if learn == "all" else {learn} if isinstance(learn, str) else set(learn)
    groups = param_groups(block, block=block)
    assert [group["name"] for group in groups] == ["block"]
    inside = {id(weight) for weight in groups[0]["params"]}
    for name in NUMBERS:
        number = getattr(block.share.cells, f"log_{name}")
        assert isinstance(number, torch.nn.Parameter) == (name in told) == (id(number) in inside)
    loss_of(block, features_for(THREE)).backward()


def test_a_cell_without_an_interface_still_weights_and_learns():
    """In a long cell at a low voltage the bulk is neutral: b is nowhere, w is 1/2 throughout."""
    block, V = learned(n=4, b=0.5, voltage=5), features_for(THREE)
    with torch.no_grad():
        block.share.cells.log_length.fill_(math.log(50))
        block.share.cells.log_voltage.fill_(math.log(0.2))
    assert all(math.isnan(b) for b in block.interface().values())
    w = block.share()["video"]
    torch.testing.assert_close(w[12:24], torch.full((12,), 0.5).double(), atol=1e-6, rtol=0)
    loss = loss_of(block, V)
    loss.backward()
    assert loss.isfinite() and all(p.grad.isfinite().all() for p in block.parameters())
    assert "b=nan" in repr(block.share.cells)


def test_presence_folding_embedding_and_precision():
    present = {"audio": torch.tensor([True, False, True, False, True])}
    block, V = learned(bias=False, domain="transform", experts="moe"), features_for(THREE)
    spoilt = V | {"audio": torch.where(present["audio"][:, None], V["audio"], torch.nan)}
    clean, dirty, folded = block(V, present), block(spoilt, present), block.fold()
    assert torch.equal(clean.losses["preservation"], dirty.losses["preservation"])
    torch.testing.assert_close(folded(V, present).fused, clean.fused, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(folded.embed(V), block.embed(V), rtol=1e-9, atol=1e-9)
    assert not any(p.requires_grad for p in folded.parameters())
    block, V = PMR(THREE, boundary="learned"), features_for(THREE, dtype=torch.float32)
    exact = block(V)
    with torch.autocast("cpu", torch.bfloat16):
        rough = block(V)
        rough.losses["preservation"].backward()
    torch.testing.assert_close(rough.losses, exact.losses, rtol=2e-2, atol=2e-2)
    assert block.share.cells.log_voltage.grad.isfinite()


def test_a_folded_block_is_exported():
    torch.manual_seed(0)
    block, V = PMR(THREE, boundary="learned"), features_for(THREE, dtype=torch.float32)

    class Fused(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.block = block.fold()

        def forward(self, V):
            return self.block(V).fused

    exported = torch.export.export(Fused(), (V,)).module()
    torch.testing.assert_close(exported(V), block(V).fused, rtol=1e-5, atol=1e-5)


def test_trains_is_saved_and_opened(tmp_path):
    views = load_views("digits")
    torch.manual_seed(0)
    options = {"boundary": "learned", "voltage": 5, "learn": ["charge", "voltage"]}
    model = create_model("rpmr", views.dims, views.classes, **options)
    before = model.block.interface()
    fit(model, views, epochs=3, seed=0, block_lr=1e-2)
    after = model.block.interface()
    assert all(1e-4 < abs(after[m] - before[m]) < 0.2 for m in views.dims)
    assert float(evaluate(model, views, missing="none").accuracy.mean()) > 0.8
    reopened = load_model(save_model(model, tmp_path))
    assert reopened.block.interface() == after
    X = {m: torch.from_numpy(x[:7]) for m, x in views.features.items()}
    assert torch.equal(reopened(X).logits, model.eval()(X).logits)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_on_cuda_the_cells_are_solved_on_the_cpu():
    block = PMR(THREE, boundary="learned")
    V = features_for(THREE, dtype=torch.float32)
    expected = loss_of(block, V)
    block.cuda()
    loss = loss_of(block, {m: v.cuda() for m, v in V.items()})
    loss.backward()
    torch.testing.assert_close(loss.cpu(), expected, rtol=1e-4, atol=1e-5)
    assert block.share.cells.log_voltage.grad.device.type == "cuda"


@pytest.mark.parametrize("learn", ["volts", ["voltage", "b"], [["voltage"]], 3])
def test_bad_names_of_what_is_learned(learn):
    for boundary in ("hard", "soft", "learned"):  # a typing error is told at once
        with pytest.raises(ValueError, match="learn"):
            PMR(THREE, boundary=boundary, learn=learn)


def test_a_cell_that_runs_away_ends_the_training_in_words():
    views = load_views("digits")
    views = views.subset(views.labels < 2)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = create_model("rpmr", views.dims, views.classes, boundary="learned")
    with pytest.raises(TrainingError, match="run away in epoch 1.*lower block_lr.*voltage"):
        fit(model, views, epochs=2, batch_size=64, block_lr=60.0, progress=False)
