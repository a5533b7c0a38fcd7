"""Current-carrying states against closed forms, SciPy's boundary value solver and symmetry."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mpmath import mp, mpf
from scipy.integrate import solve_bvp

from pnpfuse_solvers import Cell, Ion, SolverError, solve_equilibrium, solve_steady, transport

UNIT = 1e24  # 1/m^3


def salt_cell(valences, diffusivities, squared_debye, voltage, fixed=None):
    """A cell of length 1 in units where lambda^2 = squared_debye at concentration UNIT."""
    ions = tuple(
        Ion(f"i{k}", z, UNIT, diffusivity=1e-9 * d)
        for k, (z, d) in enumerate(zip(valences, diffusivities, strict=True))
    )
    k = Cell(1.0, ions).constants
    length = np.sqrt(78 * k.permittivity * k.boltzmann * 300 / (k.charge**2 * UNIT * squared_debye))
    cell = Cell(length, ions, relative_permittivity=78.0)
    if fixed is not None:
        cell = cell.replace(fixed_charge=lambda x: UNIT * fixed(x / length))
    return cell.replace(potential=(voltage * cell.thermal_voltage, 0.0))


def held(cell, values):
    return {ion.name: UNIT * c for ion, c in zip(cell.ions, values, strict=True)}


def reduced(cell, solution):
    return solution.flux.values * cell.length / (1e-9 * UNIT)


def membrane(s):
    return np.where((s > 1 / 3) & (s < 2 / 3), -0.5, 0.0)


CHARGED = {
    "a": ((1, -1), (1.0, 1.0), (1.0, 1.0)),
    "b": ((2, -1), (0.79, 2.03), (0.5, 1.0)),
    "c": ((2, 1, -1), (0.79, 1.33, 2.03), (0.25, 0.5, 1.0)),
}


def bvp_flux(z, d, left, voltage, squared_debye):
    """Fluxes by SciPy: the three parts of the cell as one system on [0, 1/3]."""
    z, d, left = map(np.array, (z, d, left))
    count = z.size
    width = 2 + 2 * count  # u, u', c, J of one part
    parts = (0.0, -0.5, 0.0)

    def rhs(t, y):
        out = []
        for k, fixed in enumerate(parts):
            u, e, *rest = y[k * width : (k + 1) * width]
            c, j = np.array(rest[:count]), np.array(rest[count:])
            slopes = -j / d[:, None] - z[:, None] * c * e
            out += [e, -(z @ c + fixed) / squared_debye, *slopes, *np.zeros_like(c)]
        return np.array(out) / 3

    def ends(a, b):
        first, last = a[:width], b[2 * width :]
        out = [first[0] - voltage, last[0], *(first[2 : 2 + count] - left)]
        out += [*(last[2 : 2 + count] - 0.1 * left)]
        out += [*(b[:width] - a[width : 2 * width]), *(b[width : 2 * width] - a[2 * width :])]
        return np.array(out)

    t = np.linspace(0, 1, 41)
    start = []
    for k in range(3):
        s = (k + t) / 3
        start += [voltage * (1 - s), -voltage + 0 * s]
        start += [c * (1 - 0.9 * s) for c in left] + [0 * s for _ in left]
    found = solve_bvp(rhs, ends, t, np.array(start), tol=1e-9, max_nodes=100000)
    assert found.success
    return found.y[2 + count : width, 0]


@pytest.mark.parametrize("name", CHARGED)
def test_charged_membrane_against_scipy(name):
    z, d, left = CHARGED[name]
    cell = salt_cell(z, d, 0.01, 5.0, membrane)
    ends = held(cell, left), held(cell, 0.1 * np.array(left))
    exact = bvp_flux(z, d, left, 5.0, 0.01)
    for order, most in ((2, 5e-5), (4, 1e-8), (6, 1e-8)):
        solution = solve_steady(cell, *ends, order=order)
        np.testing.assert_allclose(reduced(cell, solution), exact, rtol=most)
    k = cell.constants
    assert float(solution.current_density) == pytest.approx(
        k.charge * float(np.array(z) @ solution.flux.values)
    )
    # Above SciPy's own accuracy the orders agree with each other.
    fine = solve_steady(cell, *ends, nodes=1001, order=6)
    np.testing.assert_allclose(solution.flux, fine.flux, rtol=1e-11)


def test_goldman_hodgkin_katz():
    """In a field that ions do not bend: J = D z V/l (c_L - c_R exp(-zV)) / (1 - exp(-zV))."""
    z, d = np.array([1.0, -1.0, 2.0]), np.array([1.3, 2.0, 0.8])
    left, right = np.array([1.0, 0.4, 0.3]), np.array([0.2, 1.1, 0.05])
    voltage = 3.0
    cell = salt_cell(z, d, 1e7, voltage)
    solution = solve_steady(cell, held(cell, left), held(cell, right))
    drop = z * voltage
    exact = d * drop * (left - right * np.exp(-drop)) / (1 - np.exp(-drop))
    np.testing.assert_allclose(reduced(cell, solution), exact, rtol=1e-6)


def test_diffusion_potential_of_a_salt():
    """Without current a junction of one salt keeps u = (D+ - D-)/(D+ + D-) ln(c_L/c_R)."""
    d = (1.0, 4.0)
    junction = (d[0] - d[1]) / (d[0] + d[1]) * np.log(10.0)
    cell = salt_cell((1, -1), d, 1e-6, -junction)
    solution = solve_steady(cell, held(cell, (1.0, 1.0)), held(cell, (0.1, 0.1)))
    flux = reduced(cell, solution)
    ambipolar = 2 * d[0] * d[1] / (d[0] + d[1]) * 0.9
    np.testing.assert_allclose(flux, ambipolar, rtol=1e-4)
    assert abs(flux[0] - flux[1]) < 1e-4 * ambipolar


def test_equal_solutions_and_no_voltage_are_at_equilibrium():
    cell = salt_cell((1, -1), (1.0, 2.0), 0.01, 0.0, membrane)
    solution = solve_steady(cell, held(cell, (1, 1)), held(cell, (1, 1)), order=6)
    assert np.abs(reduced(cell, solution)).max() < 1e-9
    reservoir = solve_equilibrium(cell.replace(contact="reservoir"), order=6)
    u = reservoir.reduced_potential.interp(x=solution.x, method="cubic")
    np.testing.assert_allclose(solution.reduced_potential, u, atol=1e-5)


def test_mirror_image():
    cell = salt_cell((1, -1, 2), (1.0, 2.0, 0.5), 0.01, 4.0)
    left, right = held(cell, (1.0, 2.0, 0.5)), held(cell, (0.3, 0.5, 0.1))
    there = solve_steady(cell, left, right)
    back = solve_steady(cell.replace(potential=cell.potential[::-1]), right, left)
    np.testing.assert_allclose(there.flux, -back.flux, rtol=1e-9)


@pytest.mark.parametrize("voltage", [0, 1, 20, 100])
@pytest.mark.parametrize("squared_debye", [1.0, 1e-2, 1e-4, 1e-6])
def test_no_hand_holding(voltage, squared_debye):
    cell = salt_cell((1, -1), (1.0, 2.0), squared_debye, float(voltage))
    solution = solve_steady(cell, held(cell, (1, 1)), held(cell, (0.1, 0.1)))
    assert solution.attrs["outcome"] == "converged"
    assert float(solution.flux_spread) < 1e-7 and float(solution.residual) < 1e-9
    assert float(solution.minimum_concentration) > 0


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_random_cells_end_in_certificates_or_a_typed_outcome(seed):
    rng = np.random.default_rng(seed)
    count = int(rng.integers(2, 5))
    z = rng.choice([-2, -1, 1, 2, 0.5], count)
    cell = salt_cell(z, rng.uniform(0.1, 10, count), 10 ** rng.uniform(-5, 2), rng.uniform(-60, 60))
    ends = [held(cell, 10 ** rng.uniform(-3, 2, count)) for _ in range(2)]
    solution = solve_steady(cell, *ends, nodes=201, throw=False)
    if solution.attrs["outcome"] == "converged":
        assert float(solution.flux_spread) < 1e-6
        assert np.isfinite(solution.flux).all() and (solution.concentration > 0).all()
    else:
        with pytest.raises(SolverError):
            solve_steady(cell, *ends, nodes=201)


@pytest.mark.parametrize("charge", [-30.0, -1e3, -1e4, 1e4])
@pytest.mark.parametrize("voltage", [0.0, 3.0])
def test_strongly_charged_membranes(charge, voltage):
    """Counter-ions carry the current: from the bath's composition Newton's method would fail."""

    def fixed(s):
        return np.where((s > 0.4) & (s < 0.6), charge, 0.0)

    cell = salt_cell((1, -1), (1.0, 1.0), 1e-4, voltage, fixed)
    solution = solve_steady(cell, held(cell, (1, 1)), held(cell, (1, 1)))
    middle = float(solution.reduced_potential.interp(x=cell.length / 2))
    if voltage == 0.0:
        assert middle == pytest.approx(np.arcsinh(charge / 2), abs=1e-3)
    assert np.sign(middle - voltage / 2) == np.sign(charge)
    fine = solve_steady(cell, held(cell, (1, 1)), held(cell, (1, 1)), nodes=1601)
    np.testing.assert_allclose(reduced(cell, solution), reduced(cell, fine), rtol=2e-3, atol=1e-6)


def test_an_unresolved_layer_is_said():
    """An end that is not neutral, with layers far thinner than any interval."""
    cell = salt_cell((1, -1), (1.0, 1.0), 1e-12, 5.0)
    left, right = held(cell, (1.0, 0.1)), held(cell, (1, 1))
    found = solve_steady(cell, left, right, nodes=15, throw=False)
    assert found.attrs["outcome"] == "unresolved layer"
    with pytest.raises(SolverError, match="raise nodes"):
        solve_steady(cell, left, right, nodes=15)


def test_interface_and_separation_under_current():
    """Slopes of ln c hold the flux as well: the coarse mesh finds what a fine one does."""
    cell = salt_cell((1, -1), (1.0, 3.0), 0.3, 2.0)
    ends = held(cell, (1.0, 0.2)), held(cell, (0.2, 1.0))
    coarse, fine = (solve_steady(cell, *ends, nodes=n, order=6) for n in (41, 1001))
    for name in ("interface", "separation"):
        np.testing.assert_allclose(coarse[name], fine[name], rtol=2e-6, err_msg=name)


def test_bernoulli_to_rounding():
    x = np.concatenate([[0.0], np.geomspace(1e-300, 740, 400)])
    x = np.concatenate([-x[::-1], x])
    with mp.workdps(60):
        for value in x:
            exact = mpf(1) if value == 0 else mpf(value) / mp.expm1(mpf(value))
            found = transport.bernoulli(value)
            assert abs(found - exact) <= mpf("1e-14") * exact or exact < mpf("1e-307")
    slopes = np.concatenate([-np.geomspace(1e-8, 700, 200), np.geomspace(1e-8, 700, 200)])
    with mp.workdps(60):
        for value in slopes:
            v = mpf(value)
            exact = (mp.expm1(v) - v * mp.exp(v)) / mp.expm1(v) ** 2
            assert abs(transport.bernoulli_slope(value) - exact) <= mpf("2e-13") * abs(exact)


def test_block_thomas_against_numpy():
    rng = np.random.default_rng(0)
    n, k = 12, 3
    lower, upper = rng.normal(size=(2, n, k, k))
    diagonal = rng.normal(size=(n, k, k)) + 6 * np.eye(k)
    right = rng.normal(size=(n, k))
    dense = np.zeros((n * k, n * k))
    for i in range(n):
        dense[i * k : (i + 1) * k, i * k : (i + 1) * k] = diagonal[i]
        if i:
            dense[i * k : (i + 1) * k, (i - 1) * k : i * k] = lower[i]
        if i < n - 1:
            dense[i * k : (i + 1) * k, (i + 1) * k : (i + 2) * k] = upper[i]
    exact = np.linalg.solve(dense, right.ravel()).reshape(n, k)
    transport.block_thomas(lower, diagonal, upper, right)
    np.testing.assert_allclose(right, exact, rtol=1e-11)


@pytest.mark.parametrize("store", [0.0, 1.0])
@pytest.mark.parametrize("stern", [(0.0, 0.0), (3.0, 0.0), (3.0, 5.0)])
def test_jacobian_against_differences(store, stern):
    rng = np.random.default_rng(1)
    n, z, d = 9, np.array([1.0, -2.0]), np.array([1.0, 0.3])
    h = rng.uniform(0.05, 0.2, n - 1)
    a, w, f = rng.uniform(1, 2, n - 1) / h, rng.uniform(0.1, 0.2, n), rng.normal(size=n)
    known, tau = rng.uniform(0.5, 2, (2, n)), 0.37
    r, v = np.array(stern), np.array([1.0, -2.0])
    state = np.column_stack([rng.normal(size=n), rng.uniform(0.5, 2, (n, 2))])

    def blocks(state):
        out = [np.empty((n, 3, 3)) for _ in range(3)] + [np.empty((n, 3))]
        transport.assemble(
            np.ascontiguousarray(state[:, 0]), np.ascontiguousarray(state[:, 1:].T), known, store,
            tau, a, h, w, f, r, v, z, d, *out,
        )  # fmt: skip
        return out

    lower, diagonal, upper, _ = blocks(state)
    held = {(0, 0): stern[0] == 0, (n - 1, 0): stern[1] == 0}
    held |= {(end, p): store == 0 for end in (0, n - 1) for p in (1, 2)}
    for j in range(n):
        for q in range(3):
            up, down = state.copy(), state.copy()
            up[j, q] += 1e-6
            down[j, q] -= 1e-6
            slope = -(blocks(up)[3] - blocks(down)[3]) / 2e-6
            for i in range(n):
                block = {-1: lower, 0: diagonal, 1: upper}.get(j - i)
                for p in range(3):
                    found = block[i][p, q] if block is not None else 0.0
                    if held.get((i, p)):
                        assert found == float((i, p) == (j, q)) and slope[i, p] == 0.0
                    else:
                        assert found == pytest.approx(slope[i, p], abs=1e-6)


GOOD = salt_cell((1, -1), (1.0, 1.0), 0.01, 1.0)
ENDS = held(GOOD, (1, 1))


@pytest.mark.parametrize(
    "change, match",
    [
        ({"cell": 3}, "cell: got int"),
        ({"left": {"i0": 1.0}}, r"left: got \['i0'\]; give a concentration for each"),
        ({"right": {"i0": 1.0, "i1": 0.0}}, r"right\['i1'\]: got 0"),
        ({"left": {"i0": 1.0, "i1": float("nan")}}, r"left\['i1'\]: got nan"),
        ({"left": 5}, "left: got 5"),
        ({"left": {"i0": 5e-324, "i1": 1.0}}, r"left\['i0'\]: got"),
        ({"nodes": 3}, "nodes: got 3"),
        ({"tol": 0}, "tol: got 0"),
        ({"order": 5}, "order: got 5"),
        ({"cell": GOOD.replace(stern_thickness=(1e-10, 0))}, "stern_thickness: got"),
    ],
)
def test_bad_arguments(change, match):
    with pytest.raises(ValueError, match=match):
        solve_steady(**{"cell": GOOD, "left": ENDS, "right": ENDS, **change})
