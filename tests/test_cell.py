"""Cells and ions: scales, presets, and errors at the border."""

import dataclasses
import math

import numpy as np
import pytest
import scipy.constants

from pnpfuse_solvers import Cell, Constants, Ion
from pnpfuse_solvers.dataset import neutrality_note

SALT = (Ion("Na+", 1, 1e23), Ion("Cl-", -1, 1e23))


def test_debye_length_sums_over_all_species():
    """A 1:1 salt of 0.1 mol/l in water at 25 C: 0.96 nm (textbook value)."""
    density = 0.1 * 1e3 * scipy.constants.N_A
    ions = (Ion("Na+", 1, density), Ion("Cl-", -1, density))
    cell = Cell(1e-7, ions, temperature=298.15, relative_permittivity=78.5)
    assert cell.debye_length == pytest.approx(0.96e-9, abs=0.005e-9)
    assert cell.length_ratio == pytest.approx(1e-7 / cell.debye_length)
    assert cell.thermal_voltage == pytest.approx(25.69e-3, rel=1e-3)


def test_fig8_uses_the_papers_constants():
    cell = Cell.fig8(5)
    assert (cell.length, cell.temperature) == (1e-8, 300.0)
    assert [ion.concentration for ion in cell.ions] == [1e20, 1e20]
    expected = math.sqrt(8.854e-12 * 1.381e-23 * 300 / (1.602e-19**2 * 2e20))
    assert cell.debye_length == pytest.approx(expected, rel=1e-14)
    assert cell.potential[0] / cell.thermal_voltage == pytest.approx(5.0)
    assert cell.potential[1] == -cell.potential[0]


def test_dimensionless_gives_back_its_numbers():
    cell = Cell.dimensionless(7.5, 3.0, valences=(1, -0.25), concentrations=(2, 8))
    assert cell.length_ratio == pytest.approx(7.5, rel=1e-14)
    assert cell.potential[0] / cell.thermal_voltage == pytest.approx(3.0)
    assert [ion.name for ion in cell.ions] == ["cation", "anion"]
    assert [ion.name for ion in Cell.dimensionless(1, 1, (1, 2, -1), (1, 1, 1)).ions] == [
        "ion1", "ion2", "ion3",
    ]  # fmt: skip


def test_frozen_and_replaced():
    cell = Cell(1e-8, SALT)
    with pytest.raises(dataclasses.FrozenInstanceError):
        cell.length = 2.0
    assert cell.replace(length=2e-8).length == 2e-8
    with pytest.raises(ValueError, match="lenght: no such field"):
        cell.replace(lenght=2e-8)
    with pytest.raises(ValueError, match="length: got -1"):
        cell.replace(length=-1)


def test_profiles_may_return_one_number():
    cell = Cell(1e-8, SALT, relative_permittivity=lambda x: 4.0)
    np.testing.assert_array_equal(cell.permittivity_at(np.zeros(3)), 4.0)
    assert "lambda" in cell.describe()["relative_permittivity"]


@pytest.mark.parametrize(
    "change, match",
    [
        ({"length": -1e-8}, r"length: got -1e-08; give a value above 0 in m"),
        ({"length": 0}, "length: got 0"),
        ({"length": float("nan")}, "length: got nan; give a finite number"),
        ({"length": "long"}, "length: got 'long'"),
        ({"ions": ()}, "ions: got none; give at least one Ion"),
        ({"ions": None}, "ions: got None"),
        ({"ions": (1, 2)}, "ions: got 1 among them"),
        ({"ions": (SALT[0], SALT[0])}, "own name"),
        ({"ions": (Ion("n", 0, 1e20),)}, "uncharged"),
        ({"temperature": 0}, "temperature: got 0"),
        ({"potential": 3.0}, r"potential: got 3.0; give \(left, right\)"),
        ({"potential": (0.0, float("inf"))}, r"potential\[1\]: got inf"),
        ({"potential": "ab"}, "potential: got 'ab'"),
        ({"contact": "open"}, "contact: got 'open'; give one of closed, reservoir"),
        ({"relative_permittivity": -2}, "relative_permittivity: got -2"),
        ({"fixed_charge": float("nan")}, "fixed_charge: got nan"),
        ({"potential": b"12"}, "potential: got b'12'"),
        ({"length": True}, "length: got True; give one real number"),
        ({"length": 1e-8 + 0j}, "length: got"),
        ({"length": 10**400}, "length: got 1000"),
        ({"length": 1e250}, "check the units"),
        ({"temperature": 1e-300}, "check the units"),
        ({"stern_thickness": (1e200, 0.0)}, "check the units"),
        ({"contact": np.array(["closed", "open"])}, "contact: got"),
        ({"constants": 3}, "constants: got 3; give Constants"),
        ({"stern_thickness": (0.0, -1e-10)}, "stern_thickness: got"),
    ],
)
def test_bad_cells(change, match):
    with pytest.raises(ValueError, match=match):
        Cell(**{"length": 1e-8, "ions": SALT, **change})


@pytest.mark.parametrize(
    "change, match",
    [
        ({"name": ""}, "name: got ''"),
        ({"valence": float("nan")}, "valence of ion 'K': got nan"),
        ({"concentration": 0.0}, "concentration of ion 'K': got 0"),
        ({"concentration": -1.0}, "concentration of ion 'K': got -1"),
        ({"diffusivity": 0.0}, "diffusivity of ion 'K'"),
        ({"diameter": -1.0}, "diameter of ion 'K'"),
    ],
)
def test_bad_ions(change, match):
    with pytest.raises(ValueError, match=match):
        Ion(**{"name": "K", "valence": 1, "concentration": 1e20, **change})


@pytest.mark.parametrize(
    "arguments, match",
    [
        ((0.0, 1.0), "length_ratio: got 0"),
        ((1.0, float("nan")), "voltage: got nan"),
        ((1.0, 1.0, (1, -1), (1,)), "concentrations: got 1 for 2 valences"),
        ((1.0, 1.0, 1, 1), "valences: got 1; give a list"),
        ((1.0, 1.0, (1, "a"), (1, 1)), r"valences\[1\]: got 'a'"),
        ((1.0, 1.0, (1, -1), (1, -2)), "concentration of ion 'anion'"),
    ],
)
def test_bad_dimensionless_cells(arguments, match):
    with pytest.raises(ValueError, match=match):
        Cell.dimensionless(*arguments)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: "a",
        lambda x: 1 // 0,
        lambda x: {}["a"],
        lambda x: x.nothing,
        lambda x: np.ones(7),
        lambda x: 1j * x,
        lambda x: None,
    ],
)
def test_functions_that_fail_are_named(function):
    cell = Cell(1e-8, SALT, fixed_charge=function)
    with pytest.raises(ValueError, match="fixed_charge: the function failed"):
        cell.fixed_charge_at(np.zeros(3))


@pytest.mark.parametrize("field", ["charge", "boltzmann", "permittivity"])
@pytest.mark.parametrize("value", [0.0, -1.0, "x", None, float("nan")])
def test_bad_constants(field, value):
    with pytest.raises(ValueError, match=f"{field} of Constants: got"):
        Constants(**{field: value})


def test_neutrality_note_knows_a_step():
    """A charge and its opposite on both sides of a step are neutral; half of it is not."""

    def step(x):
        return np.where(x < 0.5e-8, 1e24, -1e24)

    assert neutrality_note(Cell(1e-8, SALT, fixed_charge=step)) == ""
    assert "not neutral" in neutrality_note(
        Cell(1e-8, SALT, fixed_charge=lambda x: step(x).clip(0))
    )
    assert "not neutral" in neutrality_note(Cell(1e-8, SALT, fixed_charge=1e20))
