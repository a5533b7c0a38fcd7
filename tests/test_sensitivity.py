"""Derivatives against differences of the solvers, closed forms and scaling laws."""

import dataclasses

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from pnpfuse_solvers import (
    Cell,
    Ion,
    SolverError,
    capacitance,
    sensitivity,
    solve_equilibrium,
    solve_steady,
)
from pnpfuse_solvers.parameters import parameters_of

AT_REST = ("interface", "interface_width", "separation", "surface_charge", "free_energy")


def shifted(cell, ends, name, by):
    """The cell and its ends with one parameter moved."""
    left, right = cell.potential
    side, _, ion = name.partition(".")
    if name == "potential_left":
        return cell.replace(potential=(left + by, right)), ends
    if name == "potential_right":
        return cell.replace(potential=(left, right + by)), ends
    if name == "voltage":
        return cell.replace(potential=(left + by, right - by)), ends
    if name.startswith("stern"):
        stern = list(cell.stern_thickness)
        stern[name.endswith("right")] += by
        return cell.replace(stern_thickness=tuple(stern)), ends
    if ends and side in ends:
        return cell, {**ends, side: {**ends[side], ion: ends[side][ion] + by}}
    if "." in name:
        of, field = name.split(".")
        ions = [
            dataclasses.replace(i, **{field: getattr(i, field) + by}) if i.name == of else i
            for i in cell.ions
        ]
        return cell.replace(ions=ions), ends
    old = getattr(cell, name)
    return cell.replace(
        **{name: (lambda x: (1 + by) * old(x)) if callable(old) else old + by}
    ), ends


def differences(cell, ends, of, name, scale, nodes, step=2e-3):
    """Central differences of sixth order; where nothing can be taken away, one-sided ones."""
    if name.startswith("stern") and 0.0 in cell.stern_thickness:
        weights = dict(enumerate((-147 / 60, 6, -15 / 2, 20 / 3, -15 / 4, 6 / 5, -1 / 6)))
        step = step / 4
    else:
        weights = {1: 45 / 60, -1: -45 / 60, 2: -9 / 60, -2: 9 / 60, 3: 1 / 60, -3: -1 / 60}
    total = {quantity: 0.0 for quantity in of}
    for count, weight in weights.items():
        there, held = shifted(cell, ends, name, count * step * scale)
        found = (
            solve_steady(there, held["left"], held["right"], nodes=nodes, order=6, tol=1e-13)
            if held
            else solve_equilibrium(there, nodes=nodes, order=6, tol=1e-13)
        )
        for quantity in of:
            total[quantity] = total[quantity] + weight * found[quantity].values / (step * scale)
    return total


def check(cell, ends, of, most, to=None):
    """Every derivative against differences; what is almost 0 against the largest of its kind."""
    found = sensitivity(cell, of, to, **(ends or {}))
    table = ends and np.array([[side[ion.name] for ion in cell.ions] for side in ends.values()])
    scales = {name: parameter.scale for name, parameter in parameters_of(cell, table).items()}
    assert to or list(scales) == list(found.parameter.values)
    scales = {name: scales[name] for name in found.parameter.values}
    # Concentrations of a closed cell, and with them its interface, may be of order 2 in the mesh.
    rough = cell.contact == "closed" and not ends and "interface" in of
    for name, scale in scales.items():
        exact = differences(cell, ends, of, name, scale, 401)
        if rough:
            fine = differences(cell, ends, AT_REST[:3], name, scale, 801)
            exact |= {quantity: (4 * fine[quantity] - exact[quantity]) / 3 for quantity in fine}
        for quantity in of:
            largest = np.abs(found[quantity].values.T * list(scales.values())).max()
            atol = most * max(1e-4 * largest / scale, np.abs(exact[quantity]).max())
            np.testing.assert_allclose(
                found[quantity].sel(parameter=name), exact[quantity],
                rtol=0, atol=atol, err_msg=f"{quantity} {name}",
            )  # fmt: skip


def cells():
    one = Cell.dimensionless(4, 2)
    length, debye = one.length, one.debye_length
    two = Cell.dimensionless(4, 3, (2, -1), (1, 2))
    return {
        "closed 1:1": one,
        "closed Fig. 8": Cell.fig8(5),
        "closed 2:1": two,
        "closed fractional": Cell.dimensionless(3, 4, (1, -0.375), (0.375, 1)),
        "closed three": Cell.dimensionless(5, 3, (2, 1, -1), (0.5, 1, 2)),
        "closed Stern": two.replace(stern_thickness=(0.1 * debye, 0.3 * debye)),
        "closed charged": one.replace(fixed_charge=3e19),
        "reservoir": one.replace(contact="reservoir", potential=(0.08, -0.03)),
        "reservoir 2:1": Cell.dimensionless(3, 1.5, (2, -1), (1, 2), contact="reservoir"),
        "reservoir profiles": one.replace(
            contact="reservoir",
            fixed_charge=lambda x: 5e19 * np.sin(2 * x / length),
            relative_permittivity=lambda x: 1 + 0.5 * (x / length) ** 2,
            stern_thickness=(0.1 * length, 0.05 * length),
        ),
        "reservoir steps": one.replace(
            contact="reservoir",
            fixed_charge=lambda x: np.where(x < 0.3 * length, 5e19, -2e19),
            relative_permittivity=lambda x: np.where(x < 0.45 * length, 1.0, 2.0),
        ),
    }


CELLS = cells()
# For cells with functions of x, whose meshes take longer to place.
FEW = ("potential_left", "cation.valence", "length", "relative_permittivity", "fixed_charge")


@pytest.mark.parametrize("name", CELLS)
def test_equilibrium_against_differences(name):
    cell = CELLS[name]
    # At a step of the permittivity ln c has a kink: the solver's separation is not smooth there.
    of = [q for q in AT_REST if q != "separation" or "steps" not in name]
    check(cell, None, of, 1e-6, FEW if callable(cell.fixed_charge) else None)


def test_closed_cell_with_profiles_against_differences():
    for name in ("reservoir profiles", "reservoir steps"):
        check(CELLS[name].replace(contact="closed"), None, AT_REST[3:], 1e-6, FEW[2:])


def steady_cells():
    ions = (Ion("a", 1, 1e24, 1e-9), Ion("b", -1, 1e24, 2e-9), Ion("c", 2, 1e24, 0.5e-9))
    cell = Cell(3e-9, ions, relative_permittivity=78.0, potential=(0.05, -0.02))
    ends = {
        "left": {"a": 1e24, "b": 2.2e24, "c": 6e23},
        "right": {"a": 3e23, "b": 1.5e24, "c": 6e23},
    }
    length = cell.length
    salt = cell.replace(ions=(ions[0], dataclasses.replace(ions[1], diffusivity=3e-9)))
    return {
        "three": (cell, ends),
        "membrane": (
            cell.replace(fixed_charge=lambda x: -5e23 * ((x > length / 3) & (x < 2 * length / 3))),
            ends,
        ),
        "profiles": (
            cell.replace(
                fixed_charge=lambda x: -5e23 * np.exp(-((8 * x / length - 3) ** 2)),
                relative_permittivity=lambda x: 78 - 30 * np.sin(x / length),
            ),
            ends,
        ),
        "interface": (salt, {"left": {"a": 1e24, "b": 2e23}, "right": {"a": 2e23, "b": 1e24}}),
    }


STEADY = steady_cells()


@pytest.mark.parametrize("name", STEADY)
def test_steady_state_against_differences(name):
    of = ("flux", "current_density", "surface_charge", "free_energy")
    extra = AT_REST[:3] if name == "interface" else ()
    few = ("potential_left", "length", "relative_permittivity", "fixed_charge", "left.a")
    check(*STEADY[name], (*extra, *of), 2e-6, few if name in ("membrane", "profiles") else None)


def test_symmetry_puts_the_interface_in_the_middle():
    for voltage in (1, 10, 40):
        found = sensitivity(Cell.fig8(voltage), to=("length", "voltage"))
        assert found.interface.sel(parameter="length").item() == pytest.approx(0.5, abs=1e-10)
        assert abs(found.interface.sel(parameter="voltage").item()) < 1e-16


def test_debye_hueckel_capacitance_of_two_walls():
    """sigma_l = eps/lambda (phi_l coth(l/lambda) - phi_r / sinh(l/lambda)), small potentials."""
    errors = []
    for order in (2, 4, 6):
        cell = Cell.dimensionless(2, 0, contact="reservoir")
        matrix = capacitance(cell, order=order).capacitance.values
        per = cell.constants.permittivity / cell.debye_length
        exact = per * np.array(
            [[1 / np.tanh(2), -1 / np.sinh(2)], [-1 / np.sinh(2), 1 / np.tanh(2)]]
        )
        errors.append(np.abs(matrix / exact - 1).max())
    assert errors[0] < 1e-4 and errors[1] < 1e-9 and errors[2] < 3e-11


def test_closed_cell_takes_up_what_it_gives():
    """C = eps / (2 lambda tanh(l / 2 lambda)) at zero bias (Macdonald 1953), with both signs."""
    for ratio in (0.1, 3, 300):
        cell = Cell.dimensionless(ratio, 0)
        matrix = capacitance(cell).capacitance.values
        exact = cell.constants.permittivity / (2 * cell.debye_length * np.tanh(ratio / 2))
        np.testing.assert_allclose(matrix, exact * np.array([[1, -1], [-1, 1]]), rtol=1e-9)
    matrix = capacitance(Cell.dimensionless(20, 8, (2, -1), (1, 2))).capacitance.values
    np.testing.assert_allclose(matrix, matrix[0, 0] * np.array([[1, -1], [-1, 1]]), rtol=1e-8)


@pytest.mark.parametrize("wall", [0.1, 2.0, 10.0, 20.0])
def test_grahame_capacitance(wall):
    """C = eps/lambda cosh(u0/2) of a wall against a reservoir, in series with a Stern layer."""
    cell = Cell.dimensionless(40, 0, contact="reservoir")
    per = cell.constants.permittivity / cell.debye_length
    volt = cell.thermal_voltage
    diffuse = per * np.cosh(wall / 2)
    bare = capacitance(cell.replace(potential=(wall * volt, 0.0))).capacitance.values
    assert bare[0, 0] == pytest.approx(diffuse, rel=1e-7)
    assert bare[1, 1] == pytest.approx(per, rel=1e-7)
    stern = 0.5 * diffuse
    charge = 2 * per * volt * np.sinh(wall / 2)  # Grahame
    metal = wall * volt + charge / stern
    layered = cell.replace(
        potential=(metal, 0.0), stern_thickness=(cell.constants.permittivity / stern, 0.0)
    )
    found = capacitance(layered).capacitance.values[0, 0]
    assert found == pytest.approx(1 / (1 / stern + 1 / diffuse), rel=1e-7)


def test_donnan_potential():
    """Electrodes at the Donnan potential asinh(X/2c) carry no charge; more X asks for more."""
    cell = Cell.dimensionless(5, 0, contact="reservoir")
    x = 3.0  # fixed charge over concentration
    donnan, volt = np.arcsinh(x / 2), cell.thermal_voltage
    cell = cell.replace(fixed_charge=x * 1e20, potential=(donnan * volt, donnan * volt))
    found = sensitivity(
        cell, "surface_charge", ("fixed_charge", "potential_left", "potential_right")
    )
    slope = found.surface_charge.sel(electrode="left")
    screening = np.sqrt(np.cosh(donnan)) / cell.debye_length  # inverse Debye length inside
    stiff = cell.constants.permittivity * screening * np.tanh(screening * cell.length / 2)
    together = slope.sel(parameter=["potential_left", "potential_right"]).sum().item()
    assert together == pytest.approx(stiff, rel=1e-9)
    shift = volt / (2e20 * np.cosh(donnan))  # d(Donnan potential)/dX
    assert slope.sel(parameter="fixed_charge").item() == pytest.approx(-stiff * shift, rel=1e-9)


def test_ohm():
    """Equal solutions: dI/dV = e^2/(kB T) sum z^2 D c / l, exactly."""
    ions = (Ion("a", 2, 1e24, 1e-9), Ion("b", -1, 2e24, 2e-9))
    cell = Cell(1e-7, ions, relative_permittivity=78)
    ends = {"a": 1e24, "b": 2e24}
    found = sensitivity(cell, ("current_density", "flux"), left=ends, right=ends)
    conductance = sum(i.valence**2 * i.concentration * i.diffusivity for i in ions) / cell.length
    conductance *= cell.constants.charge / cell.thermal_voltage
    slope = found.current_density.sel(parameter=["potential_left", "potential_right", "voltage"])
    np.testing.assert_allclose(slope, conductance * np.array([1, -1, 2]), rtol=1e-9)


def test_goldman_hodgkin_katz():
    """Derivatives of J = D z u/l (c_L - c_R exp(-zu)) / (1 - exp(-zu)) in a constant field."""
    z, d, u = np.array([1.0, -2.0]), np.array([1e-9, 2e-9]), 3.0
    left, right = np.array([1e20, 4e19]), np.array([2e19, 1e20])
    ions = tuple(
        Ion(n, *rest) for n, rest in zip("ab", zip(z, (1e20, 1e20), d, strict=True), strict=True)
    )
    cell = Cell(1e-9, ions, relative_permittivity=1e6)
    cell = cell.replace(potential=(u * cell.thermal_voltage, 0.0))

    def flux(u, left, right, d):
        drop = z * u
        return d * drop / cell.length * (left - right * np.exp(-drop)) / -np.expm1(-drop)

    found = sensitivity(
        cell,
        "flux",
        left=dict(zip("ab", left, strict=True)),
        right=dict(zip("ab", right, strict=True)),
    ).flux
    step = 1e-4
    by_volt = (flux(u + step, left, right, d) - flux(u - step, left, right, d)) / (
        2 * step * cell.thermal_voltage
    )
    np.testing.assert_allclose(found.sel(parameter="potential_left"), by_volt, rtol=1e-7)
    zero = np.zeros(2)
    for k, name in enumerate("ab"):
        one = np.eye(2)[k]
        np.testing.assert_allclose(
            found.sel(parameter=f"left.{name}"), flux(u, one, zero, d), rtol=1e-6, atol=1e-8
        )
        np.testing.assert_allclose(
            found.sel(parameter=f"right.{name}"), flux(u, zero, one, d), rtol=1e-6, atol=1e-8
        )
        np.testing.assert_allclose(
            found.sel(parameter=f"{name}.diffusivity"),
            flux(u, left, right, one),
            rtol=1e-6,
            atol=1e10,
        )


def test_steady_profiles_do_not_know_the_diffusivities():
    """Between given concentrations only J/D enters: the flux is proportional to D, all else not."""
    cell, ends = STEADY["three"]
    names = [f"{ion.name}.diffusivity" for ion in cell.ions]
    found = sensitivity(cell, ("flux", "surface_charge"), names, **ends)
    flux = solve_steady(cell, ends["left"], ends["right"], order=6).flux
    slopes = found.flux.values * found.value.values[:, None]
    np.testing.assert_allclose(slopes, np.diag(flux), rtol=1e-8, atol=1e-10 * np.abs(flux).max())
    charge = np.abs(found.surface_charge.values.T * found.value.values)
    assert (charge < 1e-12 * cell.constants.charge * 1e24 * cell.length).all()


@pytest.mark.parametrize("name", [name for name in CELLS if name.startswith("closed")])
def test_lippmann(name):
    """The free energy falls with an electrode's potential by its charge."""
    cell = CELLS[name]
    found = sensitivity(cell, "free_energy", ("potential_left", "potential_right"))
    charge = solve_equilibrium(cell, order=6).surface_charge
    np.testing.assert_allclose(found.free_energy, -charge, rtol=1e-8)


def natural(found, quantity):
    """Derivatives times parameters."""
    return {
        name: found[quantity].sel(parameter=name).values * float(found.value.sel(parameter=name))
        for name in found.parameter.values
    }


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_scaling_laws_of_random_cells(seed):
    """Cells that differ by their units only: Euler's theorem for every derivative at once."""
    rng = np.random.default_rng(seed)
    count = int(rng.integers(2, 5))
    z = rng.choice([-2.0, -1.0, -0.4, 0.7, 1.0, 2.0], count)
    z[:2] = 1.0, -1.0 - rng.random()
    contact = str(rng.choice(["closed", "reservoir"]))
    ratio = float(10 ** rng.uniform(-1, 1.5))
    cell = Cell.dimensionless(ratio, rng.uniform(0, 6), z, 10 ** rng.uniform(-2, 1, count), contact)
    cell = cell.replace(
        stern_thickness=tuple(rng.uniform(0.01, 0.3, 2) * cell.debye_length),
        fixed_charge=float(1e19 * rng.normal()),
    )
    found = sensitivity(cell, ("interface", "surface_charge", "free_energy"))
    assert found.attrs["outcome"] == "converged"
    value = solve_equilibrium(cell, order=6)
    for quantity, by_length, by_heat in (
        ("interface", 1, 0),
        ("surface_charge", -1, 1),
        ("free_energy", -1, 2),
    ):
        part = natural(found, quantity)
        ions = (
            sum(v for n, v in part.items() if n.endswith(".concentration")) + part["fixed_charge"]
        )
        lengths = part["length"] + part["stern_thickness_left"] + part["stern_thickness_right"]
        volts = part["potential_left"] + part["potential_right"]
        size = sum(np.abs(v) for v in part.values()) + np.abs(value[quantity].values)
        law = lengths - 2 * ions - by_length * value[quantity].values
        heat = part["temperature"] + volts + ions - by_heat * value[quantity].values
        most = 1e-4 if quantity == "interface" else 1e-6  # a closed cell's interface: order 2
        if np.isfinite(value[quantity]).all():
            assert (np.abs(law) <= most * size).all() and (np.abs(heat) <= most * size).all()


def test_no_interface_has_no_derivative():
    found = sensitivity(Cell.dimensionless(100, 1), AT_REST)
    for quantity in AT_REST[:3]:
        assert np.isnan(found[quantity]).all()
        assert "not determined" in found[quantity].attrs["reason"]
    assert np.isfinite(found.surface_charge).all() and "reason" not in found.surface_charge.attrs
    one_sign = Cell(1e-8, (Ion("a", 1, 1e22),), potential=(0.1, 0))
    assert "none" in sensitivity(one_sign).interface.attrs["reason"]


def test_first_of_a_stern_layer():
    """The derivative where there is none yet is the limit of thin ones."""
    cell = Cell.dimensionless(4, 3, (2, -1), (1, 2))
    bare = sensitivity(cell, "surface_charge", "stern_thickness_right").surface_charge
    thin = cell.replace(stern_thickness=(0.0, 1e-7 * cell.length))
    layered = sensitivity(thin, "surface_charge", "stern_thickness_right").surface_charge
    np.testing.assert_allclose(bare, layered, rtol=1e-5)


def test_orders_and_their_estimate():
    cell = CELLS["closed 2:1"]
    of = ("surface_charge", "interface")
    best = sensitivity(cell, "surface_charge", nodes=801).surface_charge
    last = np.inf
    for order in (2, 4, 6):
        found = sensitivity(cell, of, nodes=51, order=order)
        error = float(np.abs(found.surface_charge - best).max() / np.abs(best).max())
        assert error < 0.05 * last
        last = error
    assert np.isnan(sensitivity(cell, of, order=2).error_estimate).all()
    assert 0 < float(found.error_estimate.max()) < 1e-4


def test_names_and_saving(tmp_path):
    ions = (Ion("left.K", 1, 1e24), Ion("Cl.-", -1, 1e24))
    cell = Cell(2e-9, ions, relative_permittivity=78, potential=(0.1, 0))
    ends = {"left.K": 1e24, "Cl.-": 2e24}
    to = ["left.K.valence", "left.left.K", "right.Cl.-", "voltage"]
    found = sensitivity(cell, ("flux", "interface"), to, left=ends, right=ends)
    assert list(found.parameter.values) == to
    assert list(found.unit.values) == ["e", "m-3", "m-3", "V"]
    assert found.flux.dims == ("parameter", "species")
    for variable in found.variables.values():
        assert variable.attrs["units"] and variable.attrs["long_name"]
    found.to_netcdf(tmp_path / "s.nc", engine="h5netcdf")
    with xr.open_dataset(tmp_path / "s.nc", engine="h5netcdf") as back:
        xr.testing.assert_identical(back.load(), found)
    matrix = capacitance(cell)
    matrix.to_netcdf(tmp_path / "c.nc", engine="h5netcdf")
    assert matrix.capacitance.dims == ("electrode", "driven")


GOOD = Cell.dimensionless(4, 2)
ENDS = {"cation": 1e20, "anion": 1e20}
SIZED = Cell(1e-8, (Ion("a", 1, 1e25, diameter=3e-10), Ion("b", -1, 1e25)))


@pytest.mark.parametrize(
    "change, match",
    [
        ({"cell": 3}, "cell: got int"),
        ({"cell": SIZED}, "diameter of ion 'a'"),
        ({"of": "flux"}, "of: got 'flux'; give some of interface"),
        ({"of": ["interface", 3]}, "of: got 3"),
        ({"of": 3}, "of: got 3"),
        ({"to": []}, "to: got no names"),
        ({"to": "colour"}, "to: got 'colour'; give some of potential_left"),
        ({"to": "cation.diffusivity"}, "to: got 'cation.diffusivity'"),
        ({"to": "left.cation"}, "to: got 'left.cation'"),
        ({"left": ENDS}, "right: got None"),
        ({"right": ENDS}, "left: got None"),
        ({"left": ENDS, "right": {}}, r"right: got \[\]"),
        ({"left": ENDS, "right": ENDS, "to": "cation.concentration"}, "to: got 'cation.conc"),
        ({"nodes": 5}, "nodes: got 5"),
        ({"tol": 0}, "tol: got 0"),
        ({"order": 8}, "order: got 8"),
    ],
)
def test_bad_arguments(change, match):
    with pytest.raises(ValueError, match=match):
        sensitivity(**{"cell": GOOD, **change})


def test_an_unresolved_cell_is_said():
    cell = Cell.dimensionless(1000, 200)
    with pytest.raises(SolverError):
        sensitivity(cell, nodes=11)
    found = sensitivity(cell, ("interface", "surface_charge"), nodes=11, throw=False)
    assert found.attrs["outcome"] != "converged" and np.isnan(found.surface_charge).all()
