"""The claims about cells notice wrong physics: signs, factors, leaks, and what is left out."""

import dataclasses

import numpy as np
import pytest
import xarray as xr
from ledger_flips import flips, planting, small_bench, tried

from pnpfuse.ledger import CORRECTED, FAILS, HOLDS
from pnpfuse.ledger.measures import poisson
from pnpfuse.ledger.pmr import (
    absent_species,
    amounts,
    charge_balance,
    default_boundary,
    drift_sign,
    field_sign_change,
    finite_interval,
    interface_exists,
    interface_potential,
    long_cells,
    long_cells_fixed_field,
    opposing_forces,
    orientation,
    potential_drops,
    reference_potential,
    residual,
    short_cells,
    single_point,
    total_potential,
    vanishing_field,
)
from pnpfuse_solvers import Cell, Ion, gauss, solve_equilibrium, solve_many, solve_transient


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    return small_bench(tmp_path_factory.mktemp("trained"))


@pytest.fixture
def plant(bench, monkeypatch):
    return planting(bench, monkeypatch, "pmr")


@pytest.fixture
def before(bench):
    return lambda claim: tried(f"pmr/{claim}", bench).verdict


def drift_reversed(solve):
    """A solver that drives ions up their potential energy: concentrations go with exp(+z u)."""

    def solved(cell, *given, **options) -> xr.Dataset:
        left, right = cell.potential
        found = solve(cell.replace(potential=(-left, -right)), *given, **options)
        signed = ("potential", "reduced_potential", "electric_field", "electrode_potential")
        return found.assign({name: -found[name] for name in signed})

    return solved


def as_reservoir(cell, **options):
    """A solver that does not keep the amounts of a closed cell."""
    return solve_equilibrium(cell.replace(contact="reservoir"), **options)


def of_one_species(cell):
    """The Debye length with the first species alone in the sum."""
    ion = cell.ions[0]
    strength = sum(one.valence**2 * one.concentration for one in cell.ions)
    share = ion.valence**2 * ion.concentration / strength
    return DEBYE_LENGTH(cell) / share**0.5


DEBYE_LENGTH = Cell.debye_length.fget


@flips("pmr/residual", "implementation")
def test_residual(plant, before):
    assert before("residual") == HOLDS

    def stopped_early(cell, **options):
        return solve_equilibrium(cell, tol=1e-2, **options)

    assert plant("residual", residual, "solve_equilibrium", stopped_early) == FAILS


@flips("pmr/debye_length", "implementation")
def test_debye_length(plant, before):
    assert before("debye_length") == FAILS
    squared = property(lambda cell: DEBYE_LENGTH(cell) ** 2)  # the root left out
    assert plant("debye_length", Cell, "debye_length", squared) == HOLDS


@flips("pmr/screening_length", "implementation")
def test_screening_length(plant, before):
    assert before("screening_length") == HOLDS
    assert plant("screening_length", Cell, "debye_length", property(of_one_species)) == FAILS


@flips("pmr/prefactor", "implementation")
def test_prefactor(plant, before):
    assert before("prefactor") == CORRECTED
    assert plant("prefactor", Cell, "debye_length", property(of_one_species)) == FAILS


@flips("pmr/interface_exists", "implementation")
def test_interface_exists(plant, before):
    assert before("interface_exists") == CORRECTED
    assert plant("interface_exists", interface_exists, "solve_equilibrium", as_reservoir) == FAILS


@flips("pmr/amounts", "implementation")
def test_amounts(plant, before):
    assert before("amounts") == CORRECTED
    assert plant("amounts", amounts, "solve_equilibrium", as_reservoir) == HOLDS


@flips("pmr/long_cells", "implementation")
def test_long_cells(plant, before):
    assert before("long_cells") == FAILS

    def voltage_over_length(cell, vary, **options):
        lengths, rows = np.array(vary["length_ratio"]), []
        for voltage in vary["voltage"]:
            cells = {"cell": {"length_ratio": lengths, "voltage": voltage * lengths}}
            rows.append(solve_many(cell, cells, **options)["separation"].drop_vars("voltage"))
        return {"separation": xr.concat(rows, "voltage")}

    assert plant("long_cells", long_cells, "solve_many", voltage_over_length) == HOLDS


@flips("pmr/long_cells_fixed_field", "implementation")
def test_long_cells_fixed_field(plant, before):
    assert before("long_cells_fixed_field") == HOLDS

    def one_voltage(cell, vary, **options):
        lengths = vary["cell"]["length_ratio"]
        return solve_many(cell.at_voltage(5), {"length_ratio": lengths}, **options)

    assert (
        plant("long_cells_fixed_field", long_cells_fixed_field, "solve_many", one_voltage) == FAILS
    )


@flips("pmr/short_cells", "implementation")
def test_short_cells(plant, before):
    assert before("short_cells") == FAILS

    def in_volts(cell, vary, **options):
        volts = np.array(vary["voltage"]) / cell.thermal_voltage
        return solve_many(cell, {**vary, "voltage": volts}, **options)

    assert plant("short_cells", short_cells, "solve_many", in_volts) == HOLDS


@flips("pmr/strong_voltage", "implementation")
def test_strong_voltage(plant, before):
    assert before("strong_voltage") == CORRECTED
    at_voltage = Cell.at_voltage
    too_little = lambda cell, voltage: at_voltage(cell, voltage / 25)  # noqa: E731
    assert plant("strong_voltage", Cell, "at_voltage", too_little) == FAILS


@flips("pmr/gauss_law", "implementation")
def test_gauss_law(plant, before):
    assert before("gauss_law") == CORRECTED
    counted = gauss._amounts

    def cations_dropped(solution, cell, b):
        return counted(solution, cell, b) * (solution["valence"].values < 0)

    assert plant("gauss_law", gauss, "_amounts", cations_dropped) == FAILS


@flips("pmr/orientation", "implementation")
def test_orientation(plant, before, monkeypatch):
    assert before("orientation") == CORRECTED
    monkeypatch.setattr(orientation, "solve_transient", drift_reversed(solve_transient))
    wrong = drift_reversed(solve_equilibrium)
    assert plant("orientation", orientation, "solve_equilibrium", wrong) == HOLDS


@flips("pmr/drift_sign", "implementation")
def test_drift_sign(plant, before, monkeypatch):
    assert before("drift_sign") == CORRECTED
    wrong = drift_reversed(solve_equilibrium)
    assert plant("drift_sign", drift_sign, "solve_equilibrium", wrong) == FAILS  # in time, right
    monkeypatch.setattr(drift_sign, "solve_transient", drift_reversed(solve_transient))
    assert before("drift_sign") == HOLDS


@flips("pmr/opposing_forces", "implementation")
def test_opposing_forces(plant, before):
    assert before("opposing_forces") == FAILS
    wrong = drift_reversed(solve_equilibrium)
    assert plant("opposing_forces", opposing_forces, "solve_equilibrium", wrong) == HOLDS


@flips("pmr/interface_potential", "implementation")
def test_interface_potential(plant, before):
    assert before("interface_potential") == CORRECTED
    wrong = drift_reversed(solve_equilibrium)
    assert plant("interface_potential", interface_potential, "solve_equilibrium", wrong) == HOLDS


@flips("pmr/potential_drops", "implementation")
def test_potential_drops(plant, before):
    assert before("potential_drops") == CORRECTED
    wrong = drift_reversed(solve_equilibrium)
    assert plant("potential_drops", potential_drops, "solve_equilibrium", wrong) == FAILS


@flips("pmr/reference_potential", "implementation")
def test_reference_potential(plant, before):
    assert before("reference_potential") == CORRECTED

    def zero_in_the_middle(cell):
        left, right = cell.potential
        half = (left - right) / 2
        return solve_equilibrium(cell.replace(potential=(half, -half)))

    wrong = zero_in_the_middle
    assert plant("reference_potential", reference_potential, "solve_equilibrium", wrong) == HOLDS


@flips("pmr/total_potential", "implementation")
def test_total_potential(plant, before):
    assert before("total_potential") == CORRECTED
    no_ions = lambda solution, cell: np.zeros(solution.sizes["x"])  # noqa: E731
    assert plant("total_potential", total_potential, "ion_charge", no_ions) == HOLDS


@flips("pmr/field_sign_change", "implementation")
def test_field_sign_change(plant, before):
    assert before("field_sign_change") == CORRECTED

    def of_the_ions_alone(cell):
        found = solve_equilibrium(cell)
        left, right = cell.potential
        external = (left - right) / cell.length
        return found.assign(electric_field=found["electric_field"] - external)

    wrong = of_the_ions_alone
    assert plant("field_sign_change", field_sign_change, "solve_equilibrium", wrong) == HOLDS


@flips("pmr/vanishing_field", "implementation")
def test_vanishing_field(plant, before):
    assert before("vanishing_field") == FAILS

    def electrodes_left_out(cell):
        applied = xr.DataArray(list(cell.potential), dims="electrode")
        return solve_equilibrium(cell.at_voltage(0)).assign(electrode_potential=applied)

    wrong = electrodes_left_out
    assert plant("vanishing_field", vanishing_field, "solve_equilibrium", wrong) == HOLDS


@flips("pmr/single_point", "implementation")
def test_single_point(plant, before):
    assert before("single_point") == FAILS

    def sure_of_itself(cell):
        found = solve_equilibrium(cell)
        return found.assign(interface_uncertainty=0 * found["interface_uncertainty"])

    assert plant("single_point", single_point, "solve_equilibrium", sure_of_itself) == HOLDS


@flips("pmr/finite_interval", "implementation")
def test_finite_interval(plant, before):
    assert before("finite_interval") == HOLDS

    def sharp(cell):
        found = solve_equilibrium(cell)
        return found.assign(interface_width=found["interface_uncertainty"])

    assert plant("finite_interval", finite_interval, "solve_equilibrium", sharp) == FAILS


@flips("pmr/absent_species", "implementation")
def test_absent_species(plant, before):
    assert before("absent_species") == HOLDS

    def made_neutral(cell, **options):
        if len(cell.ions) == 1:
            counter = dataclasses.replace(cell.ions[0], name="counter", valence=-1)
            cell = cell.replace(ions=(*cell.ions, counter))
        return solve_equilibrium(cell, **options)

    assert plant("absent_species", absent_species, "solve_equilibrium", made_neutral) == FAILS


@flips("pmr/charge_balance", "implementation")
def test_charge_balance(plant, before):
    assert before("charge_balance") == HOLDS
    cell_for = charge_balance.cell_for

    def equal_charges(*given, **options):
        cell = cell_for(*given, **options)
        shared, specific = cell.ions
        return cell.replace(ions=(shared, dataclasses.replace(specific, valence=-1)))

    assert plant("charge_balance", charge_balance, "cell_for", equal_charges) == FAILS


@flips("pmr/default_boundary", "implementation")
def test_default_boundary(plant, before):
    assert before("default_boundary") == CORRECTED
    hyperparameters = default_boundary.hyperparameters

    def widths_ignored(dims, **options):
        return hyperparameters(dict.fromkeys(dims, 64), **options)

    assert plant("default_boundary", default_boundary, "hyperparameters", widths_ignored) == HOLDS


def test_residual_of_a_parabola_is_its_charge_left_out():
    # phi = -x^2/2 has the slope -x: one charge unit a box, which rho = epsilon fulfils.
    cell = Cell(1.0, (Ion("K+", 1, 1e10),))
    x = np.linspace(0, 1, 21) ** 2
    potential = xr.Dataset({"potential": ("x", -0.5 * x**2)}, {"x": x})
    charge = np.full(x.size, cell.constants.permittivity)
    assert poisson.poisson_residual(potential, cell, charge) < 1e-12
    boxes = 0.5 * (x[2:] - x[:-2])
    largest = 0.5 * (x[-1] + x[-2])
    left_out = poisson.poisson_residual(potential, cell, 0 * charge)
    assert left_out == pytest.approx(boxes.max() / largest)
