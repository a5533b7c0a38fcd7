"""Impedance against Macdonald's closed form, a dense complex solve, and both its limits."""

import numpy as np
import pytest
import xarray as xr
from mpmath import mp, mpf

from pnpfuse_solvers import Cell, Ion, SolverError, capacitance, impedance, solve_transient
from pnpfuse_solvers.equilibrium import on_placed_mesh
from pnpfuse_solvers.spectrum import elastance


def complex_impedance(found):
    return found.impedance_real.values + 1j * found.impedance_imag.values


def hertz(cell, lowest=1e-8, highest=1e4, count=13):
    """Frequencies in units of the fastest ions' inverse Debye time over 2 pi."""
    fastest = max(ion.diffusivity for ion in cell.ions)
    return np.geomspace(lowest, highest, count) * fastest / cell.debye_length**2 / (2 * np.pi)


def macdonald(cell, frequencies):
    """Symmetric 1:1 salt at zero bias (Phys. Rev. 92 (1953) 4), at 40 digits."""
    out = []
    with mp.workdps(40):
        epsilon = mpf(cell.constants.permittivity) * mpf(cell.relative_permittivity)
        debye, d = mpf(cell.debye_length), mpf(cell.length)
        for f in frequencies:
            omega = 2 * mp.pi * mpf(float(f))
            drag = omega / mpf(cell.ions[0].diffusivity)
            beta = mp.sqrt(1 / debye**2 + 1j * drag)
            layers = mp.tanh(beta * d / 2) / (debye**2 * beta) + 1j * drag * d / 2
            out.append(complex(-2j / (omega * epsilon * beta**2) * layers))
    return np.array(out)


@pytest.mark.parametrize(
    "ratio, most", [(0.1, 1e-12), (1, 1e-12), (10, 1e-11), (100, 1e-9), (1e4, 2e-7)]
)
def test_macdonald_at_all_frequencies(ratio, most):
    """Real and imaginary part each, over twelve decades around the Debye frequency."""
    cell = Cell.dimensionless(ratio, 0.0)
    frequencies = hertz(cell)
    found, exact = complex_impedance(impedance(cell, frequencies)), macdonald(cell, frequencies)
    np.testing.assert_allclose(found.real, exact.real, rtol=most)
    np.testing.assert_allclose(found.imag, exact.imag, rtol=most)


def test_order_of_convergence():
    cell = Cell.dimensionless(10, 0.0)
    frequencies = hertz(cell, 1e-3, 10, 5)
    exact = macdonald(cell, frequencies)
    for order, least in ((2, 1.9), (4, 3.8), (6, 5.5)):
        errors = [
            np.abs(
                complex_impedance(impedance(cell, frequencies, nodes=n, order=order)) / exact - 1
            )
            for n in (31, 61)
        ]
        assert (np.log2(errors[0] / errors[1]) > least).all()


def biased_cells():
    salt = Cell.dimensionless(8, 3, (2, -1), (1, 2))
    debye, length = salt.debye_length, salt.length
    ions = (
        Ion("a", 2, 1e20, 1e-9),
        Ion("b", -0.5, 3e20, 3e-9),
        Ion("c", 0, 1e20),
        Ion("d", -1, 5e19),
    )
    return {
        "2:1": salt,
        "Stern": salt.replace(stern_thickness=(0.1 * debye, 0.0)),
        "many": Cell(length, ions, potential=(0.09, -0.05), stern_thickness=(0.0, 0.2 * debye)),
        "profiles": salt.replace(
            relative_permittivity=lambda x: 1 + (x / length) ** 2,
            fixed_charge=lambda x: 5e19 * np.sin(4 * x / length),
            stern_thickness=(0.1 * debye, 0.2 * debye),
        ),
    }


BIASED = biased_cells()


def dense(state, d, omega):
    """Concentrations and potentials as unknowns, one dense complex matrix: slow and obvious."""
    p = state.problem
    n, z, s = p.x.size, p.z, p.z.size
    h = np.diff(p.nodes)
    matrix = np.zeros(((s + 1) * n, (s + 1) * n), complex)
    right = np.zeros((s + 1) * n, complex)
    for i in range(n):
        for t in range(s):
            matrix[i, (1 + t) * n + i] -= p.w[i] * z[t]
            matrix[(1 + t) * n + i, (1 + t) * n + i] += 1j * omega * p.w[i]
    for e in range(n - 1):
        matrix[e : e + 2, e : e + 2] += p.a[e] * np.array([[1, -1], [-1, 1]])
        for t in range(s):
            drop = z[t] * (state.u[e + 1] - state.u[e])
            b = drop / np.expm1(drop) if drop else 1.0
            step = 1e-6  # B'(drop) from a difference: the flux is linearised as it stands
            slope = (
                (drop + step) / np.expm1(drop + step) - (drop - step) / np.expm1(drop - step)
            ) / (2 * step)
            g = d[t] / h[e]
            here, there = state.c[t, e : e + 2]
            tilt = g * z[t] * (slope * here - (slope + 1) * there)
            row = (1 + t) * n + e
            for sign, r in ((1, row), (-1, row + 1)):
                matrix[r, row] += sign * g * b
                matrix[r, row + 1] -= sign * g * (b + drop)
                matrix[r, e] -= sign * tilt
                matrix[r, e + 1] += sign * tilt
    for end, i, volt in ((0, 0, 1.0), (1, n - 1, 0.0)):
        if p.r[end]:
            matrix[i, i] += p.r[end]
            right[i] = p.r[end] * volt
        else:
            matrix[i] = 0
            matrix[i, i], right[i] = 1.0, volt
    answer = np.linalg.solve(matrix, right)
    u, c = answer[:n], answer[n:].reshape(s, n)
    charge = p.a[0] * (u[0] - u[1]) - p.w[0] * (z @ c[:, 0])
    return 1.0 / charge


@pytest.mark.parametrize("name", BIASED)
def test_against_a_dense_solve(name):
    cell = BIASED[name]
    state = on_placed_mesh(cell, 61, 1e-12)
    d = np.array([ion.diffusivity for ion in cell.ions]) / 3e-9
    omega = np.array([1e-2, 1.0, 1e2, 1e4, 1e6])
    exact = [dense(state, d, w) for w in omega]
    np.testing.assert_allclose(elastance(state, d, omega), exact, rtol=1e-8)


@pytest.mark.parametrize("name", BIASED)
def test_low_frequencies_see_the_differential_capacitance(name):
    cell = BIASED[name]
    frequency = hertz(cell, 1e-8, 1e-8, 1)
    found = impedance(cell, frequency)
    at_rest = float(capacitance(cell).capacitance[0, 0])
    assert float(found.capacitance) == pytest.approx(at_rest, rel=1e-9)
    reactance = -1 / (2 * np.pi * frequency[0] * at_rest)
    assert found.impedance_imag.item() == pytest.approx(reactance, rel=1e-9)
    assert found.impedance_real.item() > 0


@pytest.mark.parametrize("name", BIASED)
def test_high_frequencies_see_the_plates(name):
    cell = BIASED[name]
    frequency = hertz(cell, 1e7, 1e7, 1)
    found = impedance(cell, frequency)
    plates = float(found.geometric_capacitance)
    assert found.impedance_imag.item() == pytest.approx(
        -1 / (2 * np.pi * frequency[0] * plates), rel=1e-5
    )
    x = np.linspace(0, cell.length, 100001)
    walls = cell.permittivity_at(x[[0, -1]])
    thickness = np.trapezoid(1 / cell.permittivity_at(x), x) + (cell.stern_thickness / walls).sum()
    assert plates == pytest.approx(cell.constants.permittivity / thickness, rel=1e-6)


def test_the_bulk_resistance():
    """Between the charging of the layers and the dielectric: l / (e^2 sum z^2 c D / kT)."""
    ions = (Ion("a", 2, 1e24, 1e-9), Ion("b", -1, 2e24, 2e-9))
    cell = Cell(1e-5, ions, relative_permittivity=78)
    k = cell.constants
    drag = k.charge / cell.thermal_voltage  # e^2/(kB T)
    conductivity = drag * sum(ion.valence**2 * ion.concentration * ion.diffusivity for ion in ions)
    found = impedance(cell, hertz(cell, 1e-1, 1e-1, 1))
    real = found.impedance_real.item() * (1 + 0.1**2)  # in parallel with the dielectric, roughly
    assert real == pytest.approx(cell.length / conductivity, rel=2e-2)


def test_passive_at_any_bias():
    """A cell at equilibrium gives no power: the real part is positive, and falls with frequency."""
    for voltage in (0, 1, 10, 40, 200):
        for ratio in (0.1, 10, 1000):
            cell = Cell.dimensionless(ratio, voltage, (1, -2), (2, 1))
            found = impedance(cell, hertz(cell, 1e-8, 1e6, 29), throw=False)
            if found.attrs["outcome"] != "converged":
                assert np.isnan(found.impedance_real).all()
                continue
            real = found.impedance_real.values
            assert (real > 0).all() and (found.impedance_imag < 0).all()
            assert (np.diff(real) <= 1e-6 * real[:-1]).all()


def test_against_the_transient():
    """A slow sine on one electrode: its charge follows as the admittance says."""
    cell = Cell.dimensionless(6, 2)
    frequency = hertz(cell, 0.2, 0.2, 1)[0]
    amplitude, omega = 1e-2 * cell.thermal_voltage, 2 * np.pi * frequency
    left, right = cell.potential
    times = np.concatenate([[0.0], np.linspace(2, 3, 13) / frequency])
    driven = solve_transient(
        cell, times, nodes=101, rtol=1e-7,
        potential=lambda t: (left + amplitude * np.sin(omega * t), right),
    )  # fmt: skip
    charge = driven.electrode_charge.sel(electrode="left").values[1:-1]
    response = 2j * np.mean(charge * np.exp(-1j * omega * times[1:-1])) / amplitude
    found = impedance(cell, [frequency], nodes=101, order=2)
    assert response == pytest.approx(1 / (1j * omega * complex_impedance(found)[0]), rel=1e-3)


def test_saved_and_loaded(tmp_path):
    found = impedance(Cell.dimensionless(10, 1), [1.0, 10.0, 1e3])
    found.to_netcdf(tmp_path / "z.nc", engine="h5netcdf")
    with xr.open_dataset(tmp_path / "z.nc", engine="h5netcdf") as back:
        xr.testing.assert_identical(back.load(), found)
    for variable in found.variables.values():
        assert variable.attrs["units"] and variable.attrs["long_name"]
    z = complex_impedance(found)
    np.testing.assert_allclose(found.admittance_real + 1j * found.admittance_imag, 1 / z)
    np.testing.assert_allclose(found.phase, np.degrees(np.angle(z)))
    assert float(found.error_estimate.max()) < 1e-8


GOOD = Cell.dimensionless(10, 1)
SIZED = Cell(1e-8, (Ion("a", 1, 1e25, diameter=3e-10), Ion("b", -1, 1e25)))


@pytest.mark.parametrize(
    "change, match",
    [
        ({"cell": 3}, "cell: got int"),
        ({"cell": SIZED}, "diameter of ion 'a'"),
        ({"cell": GOOD.replace(contact="reservoir")}, "cell: got contact 'reservoir'"),
        ({"frequencies": []}, "frequencies: got"),
        ({"frequencies": [1.0, 0.0]}, "frequencies: got"),
        ({"frequencies": [1.0, float("nan")]}, "frequencies: got"),
        ({"frequencies": "fast"}, "frequencies: got 'fast'"),
        ({"frequencies": 5.0}, "frequencies: got 5.0"),
        ({"nodes": 3}, "nodes: got 3"),
        ({"tol": 1}, "tol: got 1"),
        ({"order": 3}, "order: got 3"),
    ],
)
def test_bad_arguments(change, match):
    with pytest.raises(ValueError, match=match):
        impedance(**{"cell": GOOD, "frequencies": [1.0], **change})


def test_an_unresolved_bias_is_said():
    cell = Cell.dimensionless(1000, 200, contact="closed")
    with pytest.raises(SolverError):
        impedance(cell, [1.0], nodes=11)
    found = impedance(cell, [1.0], nodes=11, throw=False)
    assert found.attrs["outcome"] != "converged" and np.isnan(found.impedance_real).all()
