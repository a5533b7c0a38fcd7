"""The smoothing study: closed forms on the ring, what energy hides, odd input, saved attributes."""

import json

import matplotlib.figure
import naive_smoothing as naive
import numpy as np
import pytest
import torch
import xarray as xr

from pnpfuse import load_views
from pnpfuse.oversmoothing import smoothing_figure, smoothing_study
from pnpfuse.oversmoothing.study import OPERATORS
from pnpfuse_analysis import dirichlet_energy, knn_graph, rayleigh_quotient

STEPS = (0, 1, 3, 5)
DIMS = ("operator", "mask", "xi", "seed", "steps")


@pytest.fixture(scope="module")
def digits():
    return {m: X[:150] for m, X in load_views("digits").test.features.items()}


@pytest.fixture(scope="module")
def study(digits):
    return smoothing_study(digits, seeds=2)


def noise(rows=20, width=3, seed=0):
    return np.random.default_rng(seed).normal(size=(rows, width))


def test_closed_forms_on_the_ring():
    ring, x, laplacian = naive.ring(48, 5)
    found = smoothing_study(
        x, edge_index=ring, projection="none", standardise=False, masks="neighbours", seeds=1
    ).squeeze()
    a = (1 + 2 * np.cos(2 * np.pi * 5 / 48)) / 3
    for operator in OPERATORS:
        form = "stack" if operator == "gat" else operator  # uniform attention is never another one
        for xi in (0.1, 0.3, 0.5):
            one = found.sel(operator=operator, xi=xi)
            factor = np.array([naive.ring_factor(form, a, T, xi) for T in STEPS])
            np.testing.assert_allclose(one.dirichlet_energy, factor**2 * laplacian, rtol=1e-12)
            np.testing.assert_allclose(one.energy_ratio, factor**2, rtol=1e-12)
            # One mode: however far the energy moves, nothing gets smoother or rougher.
            np.testing.assert_allclose(one.rayleigh_quotient, laplacian, rtol=1e-12)


def test_the_numbers_of_the_documentation():
    """Table of docs/oversmoothing.md, ring of 48 nodes, mode 5, xi = 0.3: E at T = 0, 1, 3, 5."""
    ring, x, _ = naive.ring(48, 5)
    found = smoothing_study(
        x,
        edge_index=ring,
        projection="none",
        standardise=False,
        masks="neighbours",
        seeds=1,
        xi=0.3,
    ).squeeze()
    for operator, expected in {
        "gat": (0.4133, 0.3073, 0.1698, 0.0939),
        "residual": (0.6985, 0.9066, 1.1338, 1.2229),
        "truncated": (0.0372, 0.0956, 0.1780, 0.2143),
        "renormalised": (0.4133, 0.3677, 0.3083, 0.2753),
        "iterated": (0.4133, 0.3374, 0.2713, 0.2490),
    }.items():
        energies = found.dirichlet_energy.sel(operator=operator)
        np.testing.assert_allclose(energies, expected, atol=6e-5)


def test_two_modes_grow_in_energy_and_become_smoother():
    """The residual on a ring: the energy rises with T while the Rayleigh quotient falls."""
    ring, low, _ = naive.ring(48, 3)
    x = low + naive.ring(48, 10)[1]
    found = smoothing_study(
        x, edge_index=ring, projection="none", standardise=False, masks="neighbours", seeds=1,
        xi=0.3, steps=range(0, 12), operators="residual",
    ).squeeze()  # fmt: skip
    assert found.dirichlet_energy[-1] > found.dirichlet_energy[0]
    assert (np.diff(found.rayleigh_quotient) < 0).all()


def test_measures_are_those_of_the_slow_version(digits):
    x = np.concatenate(list(digits.values()), axis=1).astype(float)
    x = x[:, x.std(0) > 0]
    x = (x - x.mean(0)) / x.std(0, ddof=1)
    graph = knn_graph(x, 30)
    dense = naive.attention(np.zeros((150, 1)), np.zeros((150, 1)), _loops(graph), "neighbours")
    found = smoothing_study(digits, projection="none", masks="neighbours", seeds=1, xi=0.3)
    found = found.squeeze()
    for form in ("stack", "residual", "truncated", "renormalised", "iterated"):
        for T in STEPS:
            h = naive.propagated(x, dense, form, T, 0.3)
            one = found.sel(operator=form, steps=T)
            assert float(one.dirichlet_energy) == pytest.approx(float(dirichlet_energy(h, graph)))
            assert float(one.rayleigh_quotient) == pytest.approx(float(rayleigh_quotient(h, graph)))
            unit = h / np.linalg.norm(h, axis=1, keepdims=True)
            apart = [1 - unit[i] @ unit[j] for i, j in graph.T]
            assert float(one.mean_average_distance) == pytest.approx(np.mean(apart), rel=1e-9)


def _loops(graph):
    own = np.arange(int(graph.max()) + 1)
    return np.concatenate((graph.numpy(), [own, own]), axis=1)


def test_what_the_study_says_on_real_features(study):
    ratio, rayleigh = (
        study[name].sel(mask="neighbours") for name in ("energy_ratio", "rayleigh_quotient")
    )
    rising = ratio.sel(operator="residual")
    assert (rising >= (1 + study.xi) ** 2 * (1 - 1e-12)).all()
    assert (rising.diff("steps") > 0).all()
    for operator in ("renormalised", "iterated"):
        fall = ratio.sel(operator=operator)
        np.testing.assert_allclose(fall.sel(steps=0), 1, rtol=1e-12)
        assert (fall.diff("steps") < 0).all()
        assert (fall.sel(steps=5) > 2 * ratio.sel(operator="gat", steps=5)).all()
    # Truncated and renormalised differ in scale alone; the energy takes that for smoothness.
    both = rayleigh.sel(operator=["truncated", "renormalised"])
    np.testing.assert_allclose(both[0], both[1], rtol=1e-9)
    assert (ratio.sel(operator="truncated").diff("steps") > 0).all()
    assert (both.diff("steps") < 0).all()


def test_the_printed_mask_shrinks_and_does_not_smooth(study):
    assert (study.edge_mass.sel(mask="neighbours") > 1 - 1e-12).all()
    assert (study.edge_mass.sel(mask="printed") < 0.25).all()
    one = study.sel(mask="printed", operator="renormalised")
    assert (one.energy_ratio.sel(steps=5) < 0.3).all()
    start = one.rayleigh_quotient.sel(steps=0)
    assert (abs(one.rayleigh_quotient / start - 1) < 1e-3).all()
    stack = study.sel(mask="printed", operator="stack")
    assert (stack.energy_ratio.sel(steps=1) < 1e-4).all()


def test_gat_starts_as_the_stack_and_goes_its_own_way(study):
    both = study.dirichlet_energy.sel(operator=["gat", "stack"], mask="neighbours")
    np.testing.assert_array_equal(both[0].sel(steps=[0, 1]), both[1].sel(steps=[0, 1]))
    assert (both[0].sel(steps=5) != both[1].sel(steps=5)).all()
    np.testing.assert_array_equal(both.isel(xi=0), both.isel(xi=2))


def test_layer_norm_turns_the_energy_into_a_quotient(digits):
    found = smoothing_study(digits, norm=True, seeds=1, xi=0.3, masks="neighbours").squeeze()
    start = found.energy_ratio.sel(steps=0)
    np.testing.assert_allclose(start, 1, rtol=1e-3)  # the scale is gone, (1 + xi)^2 too
    np.testing.assert_allclose(
        found.dirichlet_energy.sel(operator="truncated"),
        found.dirichlet_energy.sel(operator="renormalised"), rtol=1e-2,
    )  # fmt: skip
    assert (found.energy_ratio.sel(operator="residual").diff("steps") < 0).all()


def test_seeds_and_scales(digits):
    first = smoothing_study(digits, seeds=[3, 1], xi=0.3, steps=(0, 2), masks="neighbours")
    again = smoothing_study(
        {m: 1e6 * X.astype(float) + 7 for m, X in digits.items()},
        seeds=[1], xi=0.3, steps=(0, 2), masks="neighbours",
    )  # fmt: skip
    xr.testing.assert_allclose(first.sel(seed=[1]), again, rtol=1e-6)
    assert (first.sel(seed=1).energy_ratio != first.sel(seed=3).energy_ratio).any()


@pytest.mark.parametrize(
    "features",
    [
        noise().astype(np.float16),
        torch.from_numpy(noise()).to(torch.bfloat16).requires_grad_(),
        (10 * noise()).astype(int),
        noise()[::-1, ::-1],
        1e150 * noise(),
        1e-150 * noise(),
        np.column_stack((noise(), np.full(20, 3.0))),
        np.repeat(noise(10), 2, axis=0),
        noise(width=200),
        noise(2, 1),
    ],
    ids=lambda x: f"{x.dtype}{tuple(x.shape)}",
)
def test_odd_features(features):
    found = smoothing_study(features, k=1 if len(features) == 2 else 3, seeds=1)
    assert np.isfinite(found.dirichlet_energy).all() and np.isfinite(found.edge_mass).all()
    np.testing.assert_allclose(found.energy_ratio.sel(operator="iterated", steps=0), 1)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"features": noise(1)}, "features must have two rows"),
        ({"features": np.ones((5, 2))}, "features must vary"),
        ({"features": np.full((5, 2), np.nan)}, "features must be finite"),
        ({"features": [[1.0]]}, "features must be a torch tensor or a NumPy array"),
        ({"features": {"a": noise(4), "b": noise(5)}}, "same rows in all modalities"),
        ({"features": {"a": np.full((5, 2), np.inf)}}, r"features\['a'\] must be finite"),
        ({"k": 20}, "k must be an integer from 1 to 19; found 20"),
        ({"k": 0}, "k must be an integer"),
        ({"steps": (0, -1)}, "steps must be an integer"),
        ({"steps": ()}, "steps must hold different values"),
        ({"xi": (0.3, 0.3)}, "xi must hold different values"),
        ({"xi": 0}, "xi must lie between 0 and 1"),
        ({"operators": ("gat", "mlp")}, "operators must be one of"),
        ({"masks": "hard"}, "masks must be one of"),
        ({"projection": "learned"}, "projection must be one of"),
        ({"convention": "half"}, "convention must be one of"),
        ({"seeds": 0}, "seeds must be an integer of at least 1"),
        ({"seeds": [0, 0]}, "seeds must hold different values"),
        ({"edge_index": np.array([[0], [20]])}, "edge_index must lie in 0 ... 19"),
        ({"edge_index": np.array([0, 1])}, "edge_index must have shape"),
    ],
)
def test_errors_by_name(options, message):
    given = {"features": noise(), "k": 3} | options
    with pytest.raises(ValueError, match=message):
        smoothing_study(given.pop("features"), **given)


def test_attributes_explain_a_saved_study(tmp_path):
    found = smoothing_study(noise(), k=3, seeds=1)
    assert found.dirichlet_energy.dims == DIMS
    for variable in found.variables.values():
        assert {"units", "long_name"} <= set(variable.attrs)
    found.to_netcdf(tmp_path / "study.nc", engine="h5netcdf")
    back = xr.load_dataset(tmp_path / "study.nc", engine="h5netcdf")
    assert back.attrs == found.attrs
    assert json.loads(back.attrs["operators"]) == OPERATORS
    assert "without self-loops" in back.attrs["graph"] and "W_Q" in back.attrs["attention"]


def test_the_figure_shows_the_means(study):
    one = study.sel(mask="neighbours", xi=[0.3])
    figure = smoothing_figure(one)
    assert isinstance(figure, matplotlib.figure.Figure)
    energy, quotient = figure.axes
    assert energy.get_yscale() == "log" and quotient.get_ylabel() == "Rayleigh quotient"
    for axis, name in ((energy, "dirichlet_energy"), (quotient, "rayleigh_quotient")):
        drawn = [bar.lines[0].get_ydata() for bar in axis.containers]
        np.testing.assert_allclose(drawn, one[name].squeeze().mean("seed"))
    assert len(smoothing_figure(one.isel(seed=0)).axes) == 2
    with pytest.raises(ValueError, match="one mask and one xi, found {'mask': 2, 'xi': 3}"):
        smoothing_figure(study)
    with pytest.raises(ValueError, match="study must come from smoothing_study"):
        smoothing_figure(study[["energy_ratio"]])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_the_gpu_says_the_same():
    x = torch.from_numpy(noise(100, 8))
    xr.testing.assert_allclose(smoothing_study(x, k=5), smoothing_study(x.cuda(), k=5), rtol=1e-9)
