"""The solvers against closed forms of electrochemistry and against symmetries of the equations."""

import numpy as np
import pytest
from scipy.optimize import brentq

from pnpfuse_solvers import Cell, Ion, solve_equilibrium, solve_steady, solve_transient

WATER = 78.0


def salt(ratio=1.0, voltage=0.0, **options):
    """A reservoir cell of a 1:1 salt: length over Debye length, electrodes at +-voltage kB T/e."""
    return Cell.dimensionless(ratio, voltage, contact="reservoir", **options)


def same_potentials(cell, u):
    return cell.replace(potential=(u * cell.thermal_voltage,) * 2)


def charge(cell, **options):
    """Charge of the left electrode in units of eps (kB T/e) / lambda_D."""
    epsilon = cell.constants.permittivity * cell.relative_permittivity
    unit = epsilon * cell.thermal_voltage / cell.debye_length
    return float(solve_equilibrium(cell, order=4, **options).surface_charge[0]) / unit


# --- layers at an electrode -----------------------------------------------------------------------


@pytest.mark.parametrize("ratio", [0.3, 2.0, 20.0])
def test_debye_hueckel_capacitance(ratio):
    """Weak voltages: sigma = tanh(k/2) u for equal electrodes, coth(k/2) u for opposite ones."""
    assert charge(same_potentials(salt(ratio), 1e-3)) / 1e-3 == pytest.approx(
        np.tanh(ratio / 2), rel=1e-6
    )
    assert charge(salt(ratio, 1e-3)) / 1e-3 == pytest.approx(1 / np.tanh(ratio / 2), rel=1e-6)


@pytest.mark.parametrize("u, stern", [(0.0, 0.0), (3.0, 0.0), (6.0, 0.0), (3.0, 0.2)])
def test_differential_capacitance_of_gouy_chapman_and_stern(u, stern):
    """C = cosh(u/2) in series with the Stern layer's 1/d (lengths in Debye lengths)."""
    cell = salt(40.0)
    cell = cell.replace(stern_thickness=(stern * cell.debye_length,) * 2)
    step = 1e-3

    def metal(wall):
        return wall + 2 * np.sinh(wall / 2) * stern  # potential of the metal above the layer's

    low, high = (charge(same_potentials(cell, metal(u + s))) for s in (-step, step))
    capacity = (high - low) / (metal(u + step) - metal(u - step))
    assert 1 / capacity == pytest.approx(1 / np.cosh(u / 2) + stern, rel=1e-6)


@pytest.mark.parametrize(
    "z, c", [((2, -1), (1, 2)), ((1, 3, -2), (2, 1, 2.5)), ((1.5, -0.5), (1, 3))]
)
@pytest.mark.parametrize("u", [-4.0, 4.0])
def test_grahame_for_any_salt(z, c, u):
    """sigma^2 = 2 eps kB T sum c_i (exp(-z_i u) - 1), whatever the valences."""
    cell = same_potentials(salt(40.0, valences=z, concentrations=c), u)
    excess = sum(ci * (np.exp(-zi * u) - 1) for zi, ci in zip(z, c, strict=True))
    strength = sum(ci * zi**2 for zi, ci in zip(z, c, strict=True))
    assert charge(cell) == pytest.approx(np.sign(u) * np.sqrt(2 * excess / strength), rel=1e-6)


@pytest.mark.parametrize("contact", ["closed", "reservoir"])
def test_pressure_is_the_same_everywhere(contact):
    """The first integral kB T sum c - eps E^2 / 2, here for three species between unlike walls."""
    ions = (Ion("Ca2+", 2, 2e24), Ion("Na+", 1, 1e24), Ion("Cl-", -1, 5e24))
    cell = Cell(1e-8, ions, relative_permittivity=WATER, potential=(0.1, -0.06), contact=contact)
    found = solve_equilibrium(cell, nodes=1601, order=4)
    k = cell.constants
    osmotic = k.boltzmann * cell.temperature * found.concentration.sum("species")
    pressure = osmotic - WATER * k.permittivity * found.electric_field**2 / 2
    np.testing.assert_allclose(pressure, pressure[800], atol=2e-4 * float(osmotic.max()))


# --- charged membranes and junctions --------------------------------------------------------------


@pytest.mark.parametrize("z, c", [((1, -1), (1, 1)), ((2, -1), (1, 2)), ((1, 2, -1), (1, 1, 3))])
@pytest.mark.parametrize("fixed", [-5.0, 0.7])
def test_donnan_concentrations(z, c, fixed):
    """Deep inside a charged bulk: sum z_i c_i exp(-z_i u) + X = 0."""
    z, c = np.array(z), np.array(c)
    donnan = brentq(lambda u: z @ (c * np.exp(-z * u)) + fixed, -20, 20, xtol=1e-14)
    cell = salt(80.0, valences=z, concentrations=c).replace(fixed_charge=fixed * 1e20)
    middle = solve_equilibrium(cell, order=4).isel(x=200)
    assert float(middle.reduced_potential) == pytest.approx(donnan, abs=1e-9)
    np.testing.assert_allclose(middle.concentration, 1e20 * c * np.exp(-z * donnan), rtol=1e-8)


def junction(ions, left, right, debye):
    """Zero-current potential of the right solution against the left one, kB T/e."""
    strength = sum(ion.valence**2 * c for ion, c in zip(ions, left, strict=True)) * 1e24
    cell = Cell(1.0, ions, relative_permittivity=WATER)
    k = cell.constants
    inverse = k.charge**2 * strength / (WATER * k.permittivity * k.boltzmann * cell.temperature)
    cell = cell.replace(length=1 / (debye * np.sqrt(inverse)))
    sides = [
        {ion.name: 1e24 * c for ion, c in zip(ions, side, strict=True)} for side in (left, right)
    ]

    def current(u):
        volts = (0.0, u * cell.thermal_voltage)
        return float(solve_steady(cell.replace(potential=volts), *sides, order=2).current_density)

    return brentq(current, -6.0, 6.0, xtol=1e-7)


K, NA, CL = Ion("K+", 1, 1e24, 1.96e-9), Ion("Na+", 1, 1e24, 1.33e-9), Ion("Cl-", -1, 1e24, 2.03e-9)
H = Ion("H+", 1, 1e24, 9.31e-9)


def test_goldman_hodgkin_katz_potential():
    """A membrane much thinner than a Debye length, squid axon's ions (P_K : P_Na : P_Cl by D)."""
    inside, outside = (0.40, 0.05, 0.052), (0.02, 0.44, 0.56)
    d = np.array([1.96, 1.33, 2.03])
    up = d[:2] @ inside[:2] + d[2] * outside[2]
    down = d[:2] @ outside[:2] + d[2] * inside[2]
    found = junction((K, NA, CL), inside, outside, debye=100.0)
    assert found == pytest.approx(np.log(up / down), abs=1e-4)


def test_henderson_and_lewis_sargent():
    """HCl | KCl of one concentration: ln of the ratio of conductivities, in the neutral limit."""
    exact = np.log((9.31 + 2.03) / (1.96 + 2.03))
    found = junction((H, K, CL), (1.0, 1e-9, 1.0), (1e-9, 1.0, 1.0), debye=3e-4)
    assert found == pytest.approx(exact, abs=1e-3)


def test_planck_for_unequal_solutions():
    """Planck's transcendental equation (1890): HCl | KCl, ten times as dilute on the right."""
    left, right = (1.0, 1e-9, 1.0), (1e-9, 0.1, 0.1)
    u = [9.31 * side[0] + 1.96 * side[1] for side in (left, right)]
    v = [2.03 * side[2] for side in (left, right)]
    step = np.log(0.1)

    def planck(x):
        xi = np.exp(x)
        return (xi * u[1] - u[0]) * (step + x) * (0.1 - xi) - (v[1] - xi * v[0]) * (step - x) * (
            0.1 * xi - 1.0
        )

    # x = ln 10 is a root of the equation without fractions only.
    exact = brentq(planck, 0.1, 2.2, xtol=1e-12)
    # Henderson's linear mixture comes near, and is no solution of Planck's equations.
    sums = (u[0] + v[0], u[1] + v[1])
    henderson = -((u[1] - u[0]) - (v[1] - v[0])) / (sums[1] - sums[0]) * np.log(sums[1] / sums[0])
    found = junction((H, K, CL), left, right, debye=3e-4)
    assert found == pytest.approx(exact, abs=1e-3)
    assert abs(henderson - exact) > 5e-3


def test_limiting_current_of_a_salt():
    """Anions at rest carry nothing: the cations' flux is 2 D (c_L - c_R)/l, with u_L - u_R = ln."""
    cell = Cell(1e-4, (NA, CL), relative_permittivity=WATER)
    for share in (0.3, 0.1):
        volts = (-np.log(share) * cell.thermal_voltage, 0.0)
        sides = ({"Na+": 1e24, "Cl-": 1e24}, {"Na+": share * 1e24, "Cl-": share * 1e24})
        found = solve_steady(cell.replace(potential=volts), *sides, order=4)
        limit = 2 * 1.33e-9 * 1e24 * (1 - share) / cell.length
        assert float(found.flux[0]) == pytest.approx(limit, rel=1e-4)
        assert abs(float(found.flux[1])) < 1e-4 * limit
        e = cell.constants.charge
        assert float(found.current_density) == pytest.approx(e * limit, rel=2e-4)


def test_linear_response_of_a_charged_membrane():
    """Near equilibrium J_i = D_i X_i / int dx/c_i, and no species feels another's force X.

    The kinetic matrix is diagonal, as a symmetric one must be here (Onsager): conserved fluxes
    over the profiles at rest, with potentials held.
    """
    ions = (Ion("Ca2+", 2, 1e24, 0.79e-9), NA, CL)
    cell = Cell(1e-8, ions, relative_permittivity=WATER,
                fixed_charge=lambda x: np.where(x > 4e-9, -2e24, 0.0))  # fmt: skip
    names, c = [ion.name for ion in ions], np.array([0.5, 1.0, 2.0]) * 1e24
    right = dict(zip(names, c, strict=True))
    rest = solve_steady(cell, right, right, nodes=801, order=4)
    d = np.array([ion.diffusivity for ion in ions])
    resistance = np.trapezoid(1 / rest.concentration, rest.x, axis=1) / d
    matrix, step = np.empty((3, 3)), 1e-3
    for j in range(3):
        moved = []
        for sign in (1, -1):
            left = c * np.exp(sign * step * (np.arange(3) == j))
            found = solve_steady(cell, dict(zip(names, left, strict=True)), right, order=4)
            moved.append(found.flux.values)
        matrix[:, j] = (moved[0] - moved[1]) / (2 * step)
    np.testing.assert_allclose(matrix * resistance, np.eye(3), atol=1e-5)


# --- in time --------------------------------------------------------------------------------------


def test_charging_time():
    """Weak voltages relax with lambda_D l / (2 D), up to lambda_D/l (Bazant, Thornton, Ajdari)."""
    for ratio in (20.0, 80.0):
        cell = Cell.dimensionless(ratio, 1e-3)
        clock = cell.debye_length * cell.length / 2 / 1e-9
        q = solve_transient(cell, clock * np.array([1.0, 2.0, 30.0]), rtol=1e-7, nodes=201)
        rest = (q.electrode_charge[-1, 0] - q.electrode_charge[:2, 0]).values
        time = clock / np.log(rest[0] / rest[1])
        assert abs(time / clock - 1) < 1.5 * 2 / ratio


def test_ambipolar_diffusion():
    """A wave of salt spreads with 2 D+ D- / (D+ + D-) (Nernst, 1888)."""
    ions = (Ion("a", 1, 1e24, 1e-9), Ion("b", -1, 1e24, 4e-9))
    cell = Cell(1e-6, ions, relative_permittivity=WATER)
    rest = solve_equilibrium(cell, nodes=201, order=2)
    wave = np.cos(np.pi * rest.x / cell.length)
    start = rest.assign(concentration=rest.concentration * (1 + 0.01 * wave))
    rate = 1.6e-9 * (np.pi / cell.length) ** 2
    later = solve_transient(cell, [1 / rate], initial=start, rtol=1e-8, nodes=201)
    # Not at the walls, where layers hold the counterpart of the diffusion potential.
    place = later.x[int(np.abs(later.x.values / cell.length - 0.25).argmin())]
    left = later.concentration[0].sel(x=place).values / 1e24 - 1
    wave = 0.01 * np.cos(np.pi * float(place) / cell.length)
    np.testing.assert_allclose(left, wave / np.e, rtol=1e-2)


# --- symmetries -----------------------------------------------------------------------------------

LAYERED = {
    "relative_permittivity": lambda x: 40.0 + 38.0 * np.tanh((x - 4e-9) / 1e-9),
    "fixed_charge": lambda x: 3e24 * np.exp(-(((x - 7e-9) / 1e-9) ** 2)),
}
MIXTURE = (Ion("Ca2+", 2, 1e24, 0.79e-9), Ion("Na+", 1, 2e24, 1.33e-9), Ion("Cl-", -1, 4e24, 2e-9))
CELL = Cell(1e-8, MIXTURE, potential=(0.08, -0.12), stern_thickness=(2e-10, 5e-10), **LAYERED)


def mirrored(cell):
    return cell.replace(
        potential=cell.potential[::-1], stern_thickness=cell.stern_thickness[::-1],
        **{n: lambda x, f=f: f(cell.length - x) for n, f in LAYERED.items()},
    )  # fmt: skip


@pytest.mark.parametrize("contact", ["closed", "reservoir"])
def test_mirror_image_of_an_equilibrium(contact):
    cell = CELL.replace(contact=contact)
    here, there = (solve_equilibrium(c, order=4) for c in (cell, mirrored(cell)))
    np.testing.assert_allclose(here.surface_charge, there.surface_charge[::-1], rtol=1e-7)
    turned = np.interp(cell.length - here.x, there.x, there.reduced_potential)
    np.testing.assert_allclose(here.reduced_potential, turned, atol=2e-4)
    assert float(here.free_energy) == pytest.approx(float(there.free_energy), rel=1e-8)


def test_mirror_image_of_a_run():
    times = [1e-9, 1e-8]
    here, there = (solve_transient(c, times, nodes=201) for c in (CELL, mirrored(CELL)))
    np.testing.assert_allclose(here.electrode_charge, there.electrode_charge[:, ::-1], rtol=1e-4)
    np.testing.assert_allclose(here.dissipation, there.dissipation, rtol=1e-3)


def conjugate(cell):
    """All charges and potentials with the other sign."""
    ions = [Ion(i.name, -i.valence, i.concentration, i.diffusivity) for i in cell.ions]
    fixed = cell.fixed_charge
    return cell.replace(
        ions=ions, potential=tuple(-v for v in cell.potential), fixed_charge=lambda x: -fixed(x)
    )


def test_charge_conjugation():
    here, there = (solve_equilibrium(c, order=4) for c in (CELL, conjugate(CELL)))
    np.testing.assert_allclose(here.reduced_potential, -there.reduced_potential, atol=1e-9)
    np.testing.assert_allclose(here.concentration, there.concentration, rtol=1e-9)


def test_only_dimensionless_numbers_matter():
    """Another temperature, permittivity and concentration, but the same l/lambda_D and u."""
    cell = Cell.dimensionless(12, 4, valences=(2, -1), concentrations=(1, 2))
    other = Cell(
        3e-8, (Ion("a", 2, 1e25), Ion("b", -1, 2e25)), temperature=353.0, relative_permittivity=61.0
    )
    other = other.replace(length=12 * other.debye_length).at_voltage(4)
    here, there = (solve_equilibrium(c, order=4) for c in (cell, other))
    for name in ("separation", "interface", "interface_width"):
        unit = [1.0, 1.0] if name == "separation" else [cell.length, other.length]
        np.testing.assert_allclose(here[name] / unit[0], there[name] / unit[1], rtol=1e-6)
    assert charge(cell) == pytest.approx(charge(other), rel=1e-8)
    clock = [c.debye_length * c.length / 1e-9 for c in (cell, other)]
    charges = [
        float(solve_transient(c, [t], nodes=201).electrode_charge[0, 0])
        / (c.relative_permittivity * c.thermal_voltage / c.length)
        for c, t in zip((cell, other), clock, strict=True)
    ]
    assert charges[0] == pytest.approx(charges[1], rel=1e-4)


@pytest.mark.parametrize("contact", ["closed", "reservoir"])
def test_a_neutral_species_and_a_species_in_two_parts_change_nothing(contact):
    plain = CELL.replace(contact=contact)
    neutral = plain.replace(ions=(*MIXTURE, Ion("sugar", 0, 5e24)))
    parts = [Ion(name, -1, 2e24, 2e-9) for name in ("Cl-", "Cl- too")]
    split = plain.replace(ions=(*MIXTURE[:2], *parts))
    one, with_sugar, in_two = (solve_equilibrium(c, order=4) for c in (plain, neutral, split))
    for other in (with_sugar, in_two):
        np.testing.assert_allclose(one.surface_charge, other.surface_charge, rtol=1e-7)
        u = np.interp(one.x, other.x, other.reduced_potential)
        np.testing.assert_allclose(one.reduced_potential, u, atol=1e-3)
    np.testing.assert_allclose(with_sugar.concentration[-1], 5e24, rtol=1e-9)
    np.testing.assert_allclose(in_two.concentration[2], in_two.concentration[3], rtol=1e-12)
    np.testing.assert_allclose(in_two.separation[2:], float(in_two.separation[2]), rtol=1e-12)


def test_a_species_in_two_parts_carries_the_same_current():
    cell = Cell(1e-8, (NA, CL), relative_permittivity=WATER, potential=(0.05, 0.0))
    sides = {"Na+": 1e24, "Cl-": 1e24}, {"Na+": 2e23, "Cl-": 2e23}
    whole = solve_steady(cell, *sides, order=4)
    parts = (NA, *(Ion(name, -1, 1e24, 2.03e-9) for name in ("x", "y")))
    halves = [{"Na+": s["Na+"], "x": s["Cl-"] / 2, "y": s["Cl-"] / 2} for s in sides]
    found = solve_steady(cell.replace(ions=parts), *halves, order=4)
    np.testing.assert_allclose(found.flux[0], whole.flux[0], rtol=1e-9)
    np.testing.assert_allclose(found.flux[1:].sum(), whole.flux[1], rtol=1e-9)
