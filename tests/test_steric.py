"""Ions with a size: Bikerman's and Kilic's closed forms, SciPy, limits and certificates."""

import numpy as np
import pytest
import scipy.optimize
from hypothesis import given, settings
from hypothesis import strategies as st

from pnpfuse_solvers import Cell, Ion, Outcome, solve_equilibrium, solve_steady
from pnpfuse_solvers.crowded import on_placed_mesh
from pnpfuse_solvers.mixture import mixture

DENSITY = 1e20  # of Cell.dimensionless


def crowded(ratio, voltage, sizes, contact="reservoir", **changes):
    """Cell of ions whose volumes a^3, times DENSITY, are ``sizes``."""
    cell = Cell.dimensionless(ratio, voltage, contact=contact)
    ions = tuple(
        Ion(ion.name, ion.valence, ion.concentration, diameter=float(np.cbrt(size / DENSITY)))
        for ion, size in zip(cell.ions, sizes, strict=True)
    )
    return cell.replace(ions=ions, **changes)


def kilic_charge(cell, u, nu):
    """Charge of a wall at ``u`` (Kilic, Bazant and Ajdari 2007, Eq. 21) [C/m^2]."""
    k = cell.constants
    unit = 2 * k.charge * DENSITY * cell.debye_length
    return np.sign(u) * unit * np.sqrt(2 / nu * np.log1p(2 * nu * np.sinh(u / 2) ** 2))


@pytest.mark.parametrize("order, most", [(2, 2e-3), (6, 2e-8)])
@pytest.mark.parametrize("nu", [1e-4, 0.05, 0.8])
@pytest.mark.parametrize("voltage", [0.5, 5, 20, 100])
def test_charge_of_a_wall(voltage, nu, order, most):
    cell = crowded(100, voltage, (nu / 2, nu / 2))
    sigma = solve_equilibrium(cell, nodes=401, order=order).surface_charge.values
    exact = kilic_charge(cell, voltage, nu)
    np.testing.assert_allclose(sigma, [exact, -exact], rtol=most)


@pytest.mark.parametrize("voltage", [3, 40])
def test_bikermans_profile(voltage):
    nu = 0.3
    solution = solve_equilibrium(crowded(30, voltage, (nu / 2, nu / 2)), order=4)
    u = solution.reduced_potential.values
    for z, c in zip((1, -1), solution.concentration.values, strict=True):
        exact = DENSITY * np.exp(-z * u) / (1 + 2 * nu * np.sinh(u / 2) ** 2)
        np.testing.assert_allclose(c, exact, rtol=1e-10)
    packing = nu / 2 / DENSITY * solution.concentration.sum("species")
    np.testing.assert_allclose(solution.packing, packing, atol=1e-14)
    np.testing.assert_allclose(
        solution.excess_potential[0] - solution.excess_potential[1], 0.0, atol=1e-10
    )


@pytest.mark.parametrize("contact", ["closed", "reservoir"])
def test_each_ion_packs_by_its_own_size(contact):
    sizes = (0.02, 0.3)
    solution = solve_equilibrium(crowded(50, 60, sizes, contact))
    largest = solution.concentration.values.max(axis=1)
    assert (largest * sizes <= DENSITY * (1 + 1e-12)).all()
    np.testing.assert_allclose(largest * sizes / DENSITY, 1.0, rtol=1e-6)
    assert solution.concentration[1, 0] > solution.concentration[1, -1]  # anions at +


@pytest.mark.parametrize("contact", ["closed", "reservoir"])
def test_a_vanishing_size_is_a_point(contact):
    point = Cell.dimensionless(10, 4, contact=contact)
    exact = solve_equilibrium(point, order=6)
    before = np.inf
    for size in (1e-3, 1e-6, 1e-9):
        tiny = solve_equilibrium(crowded(10, 4, (size, size), contact), order=6)
        gap = abs(float(tiny.surface_charge[0] / exact.surface_charge[0]) - 1)
        assert gap < 0.01 * before
        before = gap
    assert gap < 1e-7
    assert float(tiny.free_energy) == pytest.approx(float(exact.free_energy), rel=1e-7)
    assert float(tiny.interface_width) == pytest.approx(float(exact.interface_width), rel=1e-3)


@pytest.mark.parametrize("order", [2, 4, 6])
@pytest.mark.parametrize("ratio, voltage", [(0.1, 1), (4, 30), (100, 100)])
def test_closed_cells_keep_their_ions(ratio, voltage, order):
    solution = solve_equilibrium(crowded(ratio, voltage, (0.1, 0.4), "closed"), order=order)
    mean = np.trapezoid(solution.concentration, solution.x, axis=1) / float(solution.length)
    np.testing.assert_allclose(mean, DENSITY, rtol=1e-12)
    assert float(solution.mass_error) < 1e-12


def free_energy_density(c, volume):
    """Ideal and steric free energy [kB T per volume], as it stands in the head of ``steric``."""
    c = np.maximum(c, 1e-300)
    total = (c * (np.log(c) - 1)).sum(axis=0)
    if volume.any():
        packing = volume @ c
        free = np.maximum(1 - packing, 1e-300)
        total += (free * np.log(free) + packing) / volume[volume > 0].mean()
    return total


def slow_equilibrium(p, volume, u):
    """Minimise over u, by SciPy, with the pressure itself found by SciPy at every node."""

    def pressure(s):
        def negative(y):
            c = np.exp(y)
            if volume @ c >= 1:
                return 1e10
            return free_energy_density(c, volume) - c @ s

        guess = np.minimum(s, np.log(0.2 / np.maximum(volume, 1e-3)))
        best = scipy.optimize.minimize(negative, guess, method="BFGS", options={"gtol": 1e-9})
        return -best.fun, np.exp(best.x)

    mu = np.log(p.amount) - volume / volume[volume > 0].mean() * np.log1p(-volume @ p.amount)

    def value(inner):
        full = np.concatenate([p.v[:1], inner, p.v[1:]])
        found = [pressure(mu - p.z * each) for each in full]
        total = 0.5 * p.a @ np.diff(full) ** 2 + p.w @ [each[0] for each in found]
        slope = -p.w * (p.z @ np.transpose([each[1] for each in found]))
        flow = p.a * np.diff(full)
        slope[:-1] -= flow
        slope[1:] += flow
        return total, slope[1:-1]

    found = scipy.optimize.minimize(value, u[1:-1], jac=True, method="BFGS", options={"gtol": 1e-5})
    return np.concatenate([p.v[:1], found.x, p.v[1:]])


def test_against_a_slow_minimisation():
    """The discrete functional of three species, two with sizes, minimised by SciPy."""
    ions = (
        Ion("a", 2, 1e20, diameter=1.2e-7), Ion("b", 1, 0.5e20), Ion("c", -1, 2.5e20, diameter=8e-8)
    )  # fmt: skip
    cell = Cell(3e-7, ions, potential=(0.15, -0.1), contact="reservoir")
    ours = on_placed_mesh(cell, mixture(cell), 11, 1e-10)
    p = ours.problem
    volume = np.array([ion.diameter**3 for ion in ions]) / p.unit
    slow = slow_equilibrium(p, volume, np.linspace(*p.v, 11))
    np.testing.assert_allclose(ours.u, slow, atol=1e-4)


def test_closed_cell_minimises_its_free_energy():
    """No exchange of ions between nodes that keeps the amounts lowers the free energy."""
    cell = crowded(6, 8, (0.05, 0.35), "closed")
    found = on_placed_mesh(cell, mixture(cell), 41, 1e-11)
    p = found.problem
    volume = np.array([ion.diameter**3 for ion in cell.ions]) / p.unit

    def energy(c):
        charge = p.w * (p.z @ c)
        # Poisson's equation with held ends, then field energy less the electrodes' work.
        left = np.diag(p.a[:-1] + p.a[1:]) - np.diag(p.a[1:-1], 1) - np.diag(p.a[1:-1], -1)
        right = charge[1:-1].copy()
        right[0] += p.a[0] * p.v[0]
        right[-1] += p.a[-1] * p.v[1]
        u = np.concatenate([p.v[:1], np.linalg.solve(left, right), p.v[1:]])
        flow = p.a * np.diff(u)
        electrodes = p.v[0] * (-flow[0] - charge[0]) + p.v[1] * (flow[-1] - charge[-1])
        field = 0.5 * flow @ np.diff(u) - electrodes
        return p.w @ free_energy_density(c, volume) + field, u

    least, u = energy(found.c)
    np.testing.assert_allclose(u, found.u, atol=1e-8)
    rng = np.random.default_rng(3)
    for _ in range(50):
        s, (i, j) = rng.integers(2), rng.choice(41, 2, replace=False)
        c = found.c.copy()
        moved = 0.01 * min(c[s, i] * p.w[i], c[s, j] * p.w[j])
        c[s, i] -= moved / p.w[i]
        c[s, j] += moved / p.w[j]
        assert energy(c)[0] >= least - 1e-12 * abs(least)


@pytest.mark.parametrize("contact", ["closed", "reservoir"])
def test_energy_agrees_with_charge_and_potential(contact):
    """d Omega / d phi_end = - sigma_end, with sizes, Stern layers, permittivity, fixed charge."""
    ions = (
        Ion("Ca2+", 2, 3e26, diameter=8e-10), Ion("Na+", 1, 1e26, diameter=7e-10),
        Ion("Cl-", -1, 7e26, diameter=6e-10),
    )  # fmt: skip
    cell = Cell(
        5e-9, ions, relative_permittivity="20 + 1.2e10*x", potential=(0.4, -0.3), contact=contact,
        fixed_charge="2e26*sin(3e9*x)", stern_thickness=(2e-10, 0.0),
    )  # fmt: skip
    sigma = solve_equilibrium(cell, order=6).surface_charge.values
    for end in (0, 1):
        energies = []
        for sign in (1, -1):
            potential = list(cell.potential)
            potential[end] += sign * 1e-3
            moved = cell.replace(potential=tuple(potential))
            energies.append(float(solve_equilibrium(moved, order=6).free_energy))
        force = (energies[0] - energies[1]) / 2e-3
        assert force == pytest.approx(-sigma[end], rel=1e-5)


@pytest.mark.parametrize("order, rate, most", [(2, 1.9, 2e-6), (4, 3.4, 5e-10), (6, 4.5, 1e-12)])
@pytest.mark.parametrize("contact", ["closed", "reservoir"])
def test_order_of_convergence(contact, order, rate, most):
    """Electrode charges; the meshes follow the solution and are not nested, see test_symbolic."""
    cell = crowded(8, 15, (0.1, 0.25), contact)
    exact = solve_equilibrium(cell, nodes=1601, order=6).surface_charge.values
    coarse, fine = (
        np.abs(solve_equilibrium(cell, nodes=n, order=order).surface_charge.values / exact - 1)
        for n in (101, 401)
    )
    assert fine.max() < most
    assert fine.max() < 1e-12 or np.log2(coarse.max() / fine.max()) / 2 > rate


cells = st.fixed_dictionaries(
    {
        "valences": st.lists(
            st.floats(0.2, 4).flatmap(lambda z: st.sampled_from([z, -z, 0.0])),
            min_size=1, max_size=4,
        ).filter(any),
        "decades": st.lists(st.floats(-8, 4), min_size=4, max_size=4),
        "shares": st.lists(st.sampled_from([0.0, 1e-9, 1e-3, 0.1, 1.0]), min_size=4, max_size=4),
        "packing": st.floats(1e-6, 0.99),
        "ratio": st.floats(-3, 4).map(lambda power: 10.0**power),
        "voltages": st.tuples(st.floats(-100, 100), st.floats(-100, 100)),
        "stern": st.tuples(st.sampled_from([0.0, 0.01]), st.sampled_from([0.0, 0.5])),
        "contact": st.sampled_from(["closed", "reservoir"]),
        "charge": st.sampled_from([0.0, 0.0, 1e-3, -0.5]),
    }
)  # fmt: skip


@settings(max_examples=60, deadline=None, derandomize=True)
@given(cells)
def test_any_cell_converges_with_certificates_or_says_why(drawn):
    count = len(drawn["valences"])
    density = 1e20 * 10.0 ** np.array(drawn["decades"][:count])
    shares = np.array(drawn["shares"][:count])
    # Volumes such that all the ions together fill the packing asked for.
    volume = drawn["packing"] * shares / max(shares.sum(), 1.0) / density
    ions = [
        Ion(f"ion{i}", z, n, diameter=float(np.cbrt(v)))
        for i, (z, n, v) in enumerate(zip(drawn["valences"], density, volume, strict=True))
    ]
    unit = Cell(1.0, ions, contact=drawn["contact"])
    length = drawn["ratio"] * unit.debye_length
    cell = unit.replace(
        length=length,
        potential=tuple(v * unit.thermal_voltage for v in drawn["voltages"]),
        stern_thickness=tuple(part * length for part in drawn["stern"]),
        fixed_charge=drawn["charge"] * float(np.abs([i.valence for i in ions]) @ density),
    )
    try:
        solution = solve_equilibrium(cell, nodes=201, throw=False, order=2)
    except ValueError as error:
        assert "potential: got" in str(error)  # points against a reservoir
        return
    if solution.attrs["outcome"] != Outcome.CONVERGED:
        assert solution.attrs["message"]
        return
    assert np.isfinite(solution.reduced_potential).all()
    assert np.isfinite(solution.concentration).all()
    assert float(solution.residual) < 1e-6
    assert float(solution.layer_resolution) <= 1.0
    if cell.contact == "closed":
        mean = np.trapezoid(solution.concentration, solution.x, axis=1) / cell.length
        np.testing.assert_allclose(mean, density, rtol=1e-12)
    sized = [i for i, ion in enumerate(ions) if ion.diameter > 0]
    fill = sum(ions[i].diameter ** 3 * solution.concentration.values[i] for i in sized)
    # Potentials of 1e6 kB T/e, which packed long cells reach, are known to 1e-10 and so is this.
    assert np.max(fill, initial=0.0) <= 1.0 + 1e-9


def test_overfull_cells_are_refused():
    cell = crowded(10, 1, (0.5, 0.6))
    with pytest.raises(ValueError, match="diameter: got ions that fill 1.1 of the space"):
        solve_equilibrium(cell)
    with pytest.raises(ValueError, match="diameter of ion 'cation'.*solve_steady"):
        ends = {"cation": 1e20, "anion": 1e20}
        solve_steady(crowded(10, 1, (0.1, 0.1)), ends, ends)


def test_points_beside_ions_with_a_size_stay_below_overflow():
    cell = crowded(10, 650, (0.1, 0.0))
    with pytest.raises(ValueError, match="potential: got 650 kB T/e"):
        solve_equilibrium(cell)
    assert solve_equilibrium(crowded(10, 650, (0.1, 0.1))).attrs["outcome"] == "converged"
