"""Random cells: every solve ends in certificates that hold, or in an outcome that says why not.

Valences from -3 to 3, also fractional and 0, concentrations over 12 decades, lengths from 1e-3 to
1e4 Debye lengths, voltages to +-100 kB T/e, Stern layers, fixed charge, dielectric steps.
"""

from datetime import timedelta

import numpy as np
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from pnpfuse_solvers import (
    Cell,
    Ion,
    Outcome,
    solve_equilibrium,
    solve_many,
    solve_steady,
    solve_transient,
)  # fmt: skip

VALENCES = (-3.0, -2.0, -1.0, -0.25, -1 / 32, 0.0, 1 / 128, 0.5, 1.0, 1.5, 2.0, 3.0)
UNIT = 1e22  # 1/m^3


def few(examples):
    """Settings for so many examples, the same in every run; none may take longer than seconds."""
    return settings(
        max_examples=examples, derandomize=True, deadline=timedelta(seconds=30), database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )  # fmt: skip


class Piecewise:
    """A profile with two steps, at 0.3 and 0.61 of the cell; its repr helps when a test fails."""

    def __init__(self, length, outside, inside):
        self.length, self.outside, self.inside = length, outside, inside

    def __call__(self, x):
        part = x / self.length
        return np.where((part > 0.3) & (part < 0.61), self.inside, self.outside)

    def __repr__(self):
        return f"{self.outside:g} outside, {self.inside:g} inside 0.3..0.61 of {self.length:g} m"


@st.composite
def cells(draw, contacts=("closed", "reservoir"), neutral=False, longest=4.0, extras=True):
    """A cell; ``neutral`` balances its ions, ``longest`` is the decade of l/lambda_D."""
    z = np.array(draw(st.lists(st.sampled_from(VALENCES), min_size=1, max_size=4)))
    positive, negative = z > 0, z < 0
    assume(positive.any() or negative.any())
    c = UNIT * 10.0 ** np.array([draw(st.floats(-6, 6)) for _ in z])
    if neutral:
        assume(positive.any() and negative.any())
        c[negative] *= (z @ (c * positive)) / -(z @ (c * negative))
    ions = [
        Ion(f"ion{s}", z[s], c[s], diffusivity=10.0 ** draw(st.floats(-11, -8)))
        for s in range(z.size)
    ]
    cell = Cell(1.0, ions, relative_permittivity=78.0, contact=draw(st.sampled_from(contacts)))
    cell = cell.replace(length=10.0 ** draw(st.floats(-3, longest)) * cell.debye_length)
    u = draw(st.tuples(st.floats(-100, 100), st.floats(-100, 100)))
    changes = {"potential": tuple(v * cell.thermal_voltage for v in u)}
    if extras and draw(st.booleans()):
        thickness = st.sampled_from([0.0, 1e-6, 1e-3, 0.1, 10.0])
        changes["stern_thickness"] = tuple(draw(thickness) * cell.length for _ in range(2))
    if extras and draw(st.booleans()):
        size = float(np.abs(z) @ c) * draw(st.sampled_from([-30.0, -1.0, -1e-3, 1e-3, 1.0, 30.0]))
        changes["fixed_charge"] = Piecewise(cell.length, 0.0, size)
    if extras and draw(st.booleans()):
        changes["relative_permittivity"] = Piecewise(cell.length, 78.0, 4.0)
    return cell.replace(**changes)


def check(result):
    """What a result promises, by its outcome."""
    outcome = Outcome(result.attrs["outcome"])
    if outcome is not Outcome.CONVERGED:
        assert result.attrs["message"] == outcome.message
        return False
    assert float(result.residual) <= 1e-6
    assert float(result.mass_error) <= 1e-10
    assert float(result.layer_resolution) <= 1.0
    assert float(result.minimum_concentration) >= 0.0
    for name in ("potential", "concentration", "charge_density", "electric_field", "free_energy"):
        assert np.isfinite(result[name]).all(), name
    assert (result["concentration"] >= 0.0).all()
    return True


def check_interface(result):
    b, length = float(result.interface), float(result.length)
    assert np.isnan(b) == bool(result.interface_reason.item())
    assert np.isnan(b) or 0.0 <= b <= length
    assert not float(result.interface_width) > length * (1 + 1e-9)
    share = result.separation.values
    assert not ((share < -1e-9) | (share > 1 + 1e-9)).any()


@few(150)
@given(cell=cells(), order=st.sampled_from([2, 4, 6]), nodes=st.sampled_from([51, 201]))
def test_equilibria(cell, order, nodes):
    result = solve_equilibrium(cell, nodes=nodes, order=order, throw=False)
    if check(result):
        check_interface(result)
        assert np.isfinite(result.surface_charge).all()
        if order > 2:
            assert float(result.error_estimate) >= 0.0


@few(60)
@given(cell=cells(), order=st.sampled_from([4, 6]))
def test_estimates_are_honest(cell, order):
    """An error is not more than ten times its estimate, and converged means within 0.1 kB T/e.

    Both on the scale of the potential: the ions' own kB T/(z e), or a hundredth of its range.
    """
    coarse = solve_equilibrium(cell, nodes=101, order=order, throw=False)
    fine = solve_equilibrium(cell, nodes=1001, order=6, throw=False)
    assume(coarse.attrs["outcome"] == fine.attrs["outcome"] == "converged")
    known, here = at(fine, cell, coarse.x.values)
    error = np.abs(coarse.reduced_potential.values - known)[here].max()
    top = np.abs(fine.reduced_potential).max().item()
    assert error <= 10 * float(coarse.error_estimate) + 1e-9 * max(1.0, top)
    scale = max(1 / max(abs(ion.valence) for ion in cell.ions), 0.01 * top)
    assert error <= 0.1 * scale


def at(result, cell, x):
    """Potential at x by Hermite's cubics, and where they hold: not next to a step of a profile."""
    nodes, u = result.x.values, result.reduced_potential.values
    h = np.diff(nodes)
    slope = -result.electric_field.values / cell.thermal_voltage
    i = np.clip(np.searchsorted(nodes, x, side="right") - 1, 0, h.size - 1)
    t = (x - nodes[i]) / h[i]
    r = 1 - t
    value = r * r * ((1 + 2 * t) * u[i] + t * h[i] * slope[i]) + t * t * (
        (3 - 2 * t) * u[i + 1] - r * h[i] * slope[i + 1]
    )
    away = np.abs(nodes / nodes[-1] - np.array([[0.3], [0.61]])).min(axis=0)
    return value, np.minimum(away[i], away[i + 1]) > 1e-9


@few(60)
@given(
    cell=cells(contacts=("closed",), neutral=True), decades=st.floats(-3, 3),
    order=st.sampled_from([2, 4]),
)  # fmt: skip
def test_steady_states(cell, decades, order):
    """Two neutral solutions of different strength, whatever lies between them."""
    cell = cell.replace(stern_thickness=(0.0, 0.0))
    left = {ion.name: ion.concentration for ion in cell.ions}
    right = {name: c * 10.0**decades for name, c in left.items()}
    result = solve_steady(cell, left, right, nodes=101, order=order, throw=False)
    if check(result):
        check_interface(result)
        assert float(result.flux_spread) <= 1e-6 and np.isfinite(result.flux).all()
        assert float(result.minimum_concentration) > 0.0


@few(30)
@given(
    cell=cells(contacts=("closed",), neutral=True, longest=2.0, extras=False),
    decade=st.floats(-3, 1), method=st.sampled_from(["adaptive", "backward_euler"]),
)  # fmt: skip
def test_runs(cell, decade, method):
    """Neutral cells from the uniform state, to times around that of charging."""
    fastest = max(ion.diffusivity for ion in cell.ions)
    end = 10.0**decade * cell.debye_length * cell.length / fastest
    result = solve_transient(
        cell, np.linspace(0, end, 8), method=method, rtol=1e-3, nodes=51, throw=False
    )
    if check(result):
        counts = [ion.concentration * cell.length for ion in cell.ions]
        np.testing.assert_allclose(result.ion_count, np.tile(counts, (8, 1)), rtol=1e-10)
        assert (result.dissipation >= -1e-12 * result.dissipation.max()).all()
        if method == "backward_euler":
            work = np.abs(np.array(cell.potential)[:, None] * result.electrode_charge.T)
            size = float(np.abs(result.free_energy).max() + work.max())
            assert float(result.energy_rise) <= 1e-11 * size


@few(25)
@given(cell=cells(), ratio=st.floats(0.01, 100.0), temperature=st.floats(250, 400))
def test_many_at_once(cell, ratio, temperature):
    """Each of many cells ends as it does alone; what failed is NaN with its outcome."""
    lengths, voltages = [cell.length, ratio * cell.length], [0.0, 7.0, -60.0]
    changes = {"fixed_charge": 0.0, "relative_permittivity": 78.0, "temperature": temperature}
    cell = cell.replace(**changes)
    many = solve_many(cell, {"length": lengths, "voltage": voltages}, nodes=51)
    assert dict(many.interface.sizes) == {"length": 2, "voltage": 3}
    for i, length in enumerate(lengths):
        for j, voltage in enumerate(voltages):
            one = many.isel(length=i, voltage=j)
            alone = cell.replace(length=length).at_voltage(voltage)
            single = solve_equilibrium(alone, nodes=51, throw=False)
            assert one.outcome.item() == single.attrs["outcome"]
            if single.attrs["outcome"] == "converged":
                assert one.interface_reason.item() == single.interface_reason.item()
                for name in ("interface", "separation", "surface_charge", "free_energy"):
                    np.testing.assert_allclose(one[name], single[name], rtol=1e-6, atol=1e-300)
            else:
                assert np.isnan(one.free_energy) and one.interface_reason.item()
