"""The same network trained anew for every T: what must be equal is, what is drawn is repeatable."""

import numpy as np
import pytest
import torch
import xarray as xr

from pnpfuse import Views, load_views
from pnpfuse.oversmoothing import smoothing_figure
from pnpfuse.oversmoothing.retrained import NETWORKS, Propagated, retrained_study
from pnpfuse_analysis import dirichlet_energy, knn_graph


@pytest.fixture(scope="module")
def views():
    digits = load_views("digits")
    few = np.arange(len(digits)) < 400
    return digits.subset(few)


@pytest.fixture(scope="module")
def study(views):
    return retrained_study(
        views, operators=list(NETWORKS), steps=(0, 2), epochs=2, seeds=2, k=10, device="cpu"
    )


def test_the_network_without_steps_is_one_for_five_operators(study):
    start = study.sel(steps=0, operator=["gat", "gat, values", "stack", "renormalised", "iterated"])
    for name in ("dirichlet_energy", "rayleigh_quotient", "accuracy"):
        values = start[name].values
        np.testing.assert_array_equal(values, values[:1].repeat(5, axis=0))
    np.testing.assert_array_equal(start.dirichlet_energy, start.energy_before)


def test_a_scale_is_all_that_the_sums_are_at_their_first_term(study):
    start = study.sel(steps=0)
    for operator, factor in (("residual", 1.3**2), ("truncated", 0.3**2)):
        one = start.sel(operator=operator)
        np.testing.assert_allclose(one.dirichlet_energy, factor * one.energy_before, rtol=1e-5)


def test_the_printed_update_raises_the_energy_after_training_too(study):
    one = study.sel(operator="residual", steps=2)
    assert (one.dirichlet_energy > 1.3**2 * one.energy_before).all()
    stacked = study.sel(operator="stack", steps=2)
    assert (stacked.dirichlet_energy < stacked.energy_before).all()


def test_training_teaches(study):
    assert (study.accuracy.sel(steps=0, operator="gat") > 0.2).all()  # ten classes
    assert (study.accuracy.sel(operator="residual") > 0.2).all()


def test_the_same_seed_gives_the_same_numbers(views, study):
    state = torch.get_rng_state()
    options = {"steps": 2, "epochs": 2, "k": 10, "device": "cpu"}
    again = retrained_study(views, operators="gat", seeds=[1], **options)
    assert torch.equal(state, torch.get_rng_state())
    same = study.sel(operator=["gat"], seed=[1], steps=[2])
    xr.testing.assert_allclose(same, again, rtol=1e-6)


def test_the_graph_of_a_batch_is_the_knn_graph():
    h = torch.randn(30, 4, generator=torch.Generator().manual_seed(0))
    model = Propagated(4, 2, "gat", 1, k=7, width=4)
    found = model.graph(h)
    expected = knn_graph(h, 7)
    assert set(map(tuple, found.T.tolist())) == set(map(tuple, expected.T.tolist()))
    assert model.graph(h[:3]).shape == (2, 6)  # two others are all there are
    assert float(dirichlet_energy(h, found)) == pytest.approx(float(dirichlet_energy(h, expected)))


@pytest.mark.parametrize("operator", NETWORKS)
def test_attention_learns(operator):
    torch.manual_seed(0)
    model = Propagated(6, 3, operator, 2, k=4, width=8)
    model(torch.randn(20, 6)).square().sum().backward()
    for name, weight in model.named_parameters():
        assert weight.grad is not None and weight.grad.abs().sum() > 0, name


def test_the_figure_has_a_third_panel(study):
    energy, quotient, accuracy = smoothing_figure(study).axes
    assert accuracy.get_ylabel() == "test accuracy"
    assert len(energy.containers) == len(NETWORKS)


def test_attributes(study):
    for variable in study.variables.values():
        assert {"units", "long_name"} <= set(variable.attrs)
    assert study.attrs["epochs"] == 2 and "batches of 60" in study.attrs["graph"]


@pytest.mark.parametrize(
    "options, message",
    [
        ({"operators": "mlp"}, "operator must be one of"),
        ({"steps": -1}, "steps must be an integer"),
        ({"xi": 2.0}, "xi must be a finite number"),
        ({"k": 0}, "k must be an integer"),
        ({"mask": "hard"}, "mask must be one of"),
        ({"epochs": 0}, "epochs must be an integer"),
        ({"batch_size": 1}, "batch_size must be an integer of at least 2"),
        ({"seeds": []}, "seeds must hold different values"),
        ({"device": "tpu"}, "device must be"),
    ],
)
def test_errors_by_name(views, options, message):
    with pytest.raises(ValueError, match=message):
        retrained_study(views, **options)


def test_views_that_do_not_do(views):
    mask = {"pixels": np.arange(len(views)) > 3}
    gaps = Views.from_arrays(views.features, views.labels, views.split, present=mask)
    with pytest.raises(ValueError, match="views has missing modalities"):
        retrained_study(gaps)
    with pytest.raises(ValueError, match="views must be Views"):
        retrained_study(views.features)
    with pytest.raises(ValueError, match="selects none"):
        retrained_study(views.test)
