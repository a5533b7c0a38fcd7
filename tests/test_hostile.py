"""Input that nobody should give: one ValueError by name, never another exception or silent NaN."""

import pickle
from decimal import Decimal

import numpy as np
import pytest

from pnpfuse_solvers import (
    Cell,
    Ion,
    Outcome,
    SolverError,
    solve_equilibrium,
    solve_many,
    solve_steady,
    solve_transient,
)  # fmt: skip

SALT = (Ion("K+", 1, 6e23), Ion("Cl-", -1, 6e23, diffusivity=2e-9))
CELL = Cell(1e-7, SALT, relative_permittivity=78, potential=(0.05, -0.05))
ENDS = {"K+": 1e23, "Cl-": 1e23}
FOUND = solve_equilibrium(CELL, nodes=51)


@pytest.mark.parametrize("order", [4.0, np.float64(4), Decimal(4), 4 + 0j, np.array(2), True, "4"])
def test_orders(order):
    with pytest.raises(ValueError, match="^order: got"):
        solve_equilibrium(CELL, order=order)


@pytest.mark.parametrize("nodes", [10**400, 10**9, 3, 51.0, True])
def test_nodes(nodes):
    for solve in (
        solve_equilibrium,
        lambda cell, nodes: solve_transient(cell, [1e-9], nodes=nodes),
    ):
        with pytest.raises(ValueError, match="^nodes: got"):
            solve(CELL, nodes=nodes)


@pytest.mark.parametrize(
    "fields, said",
    [
        ({"valence": np.True_}, "valence"),
        ({"diffusivity": 1e300}, "diffusivity"),
        ({"diameter": 1e103}, "diameter"),
        ({"name": "\ud800"}, "name"),
        ({"name": "a\x00"}, "name"),
    ],
)
def test_ions(fields, said):
    with pytest.raises(ValueError, match=f"^{said}"):
        Ion(**{"name": "a", "valence": 1, "concentration": 1e23, **fields})


@pytest.mark.parametrize(
    "change, said",
    [
        ({"potential": np.array(1.0)}, "potential"),
        ({"stern_thickness": np.array(1.0)}, "stern_thickness"),
        ({"relative_permittivity": 1e-300}, "length"),
        ({"fixed_charge": "Min(" + ",".join(f"x*{i}" for i in range(100)) + ")"}, "fixed_charge"),
        ({"excess": "Abs(c_K)"}, "excess"),
        ({"excess": {"K+": "Heaviside(c_K - 6e23)"}}, "excess"),
        ({"excess": {"K+": 10**400}}, "excess"),
    ],
)
def test_cells(change, said):
    with pytest.raises(ValueError, match=f"^{said}"):
        CELL.replace(**change)


@pytest.mark.parametrize(
    "zero", ["0.0", "1e23*x/1e-7 + 0.0", "sin(0.0)", "Piecewise((0.0, x < 1e-8), (1e23, True))"]
)
def test_zero_is_a_number(zero):
    assert (
        solve_equilibrium(CELL.replace(fixed_charge=zero), nodes=51).attrs["outcome"] == "converged"
    )


@pytest.mark.parametrize("step", ["1e23*Heaviside(x)", lambda x: np.where(x > 0, 1e23, 0.0)])
def test_a_step_at_the_electrode_is_none(step):
    plain = solve_equilibrium(CELL.replace(fixed_charge=1e23))
    stepped = solve_equilibrium(CELL.replace(fixed_charge=step))
    assert float(stepped.surface_charge[0]) == pytest.approx(
        float(plain.surface_charge[0]), rel=1e-4
    )


def test_an_excess_outside_its_domain_is_no_result():
    found = solve_equilibrium(CELL.replace(excess="log(1 - c_K*1e-24)"), throw=False)
    assert found.attrs["outcome"] != "converged"


def test_errors_can_be_sent_to_another_process():
    error = pickle.loads(pickle.dumps(SolverError(Outcome.STALLED, "(nodes 3)")))
    assert error.outcome is Outcome.STALLED and str(error).endswith("(nodes 3)")


def test_a_broken_function_is_an_error_not_failed_cells():
    with pytest.raises(ValueError, match="^fixed_charge"):
        solve_many(CELL.replace(fixed_charge=lambda x: x[:3]), {"voltage": [1.0, 2.0]})


def test_too_many_cells():
    axis = np.linspace(1e-8, 1e-7, 10**5)
    with pytest.raises(ValueError, match="^vary: got 10000000000 cells"):
        solve_many(CELL, {"voltage": np.linspace(1, 2, 10**5), "length": axis})


@pytest.mark.parametrize(
    "vary",
    [{"K+.valence": [0.0], "Cl-.valence": [0.0]}, {"length": [1e300]}, {"potential_left": [1e308]},
     {"K+.diameter": [1e103]}],
)  # fmt: skip
def test_impossible_cells_of_a_batch(vary):
    found = solve_many(CELL, vary, nodes=51)
    assert not Outcome(found.outcome.values.item()).ok and np.isnan(found.free_energy).all()


@pytest.mark.parametrize(
    "initial",
    [
        FOUND.assign_coords(x=np.where(np.arange(51) == 20, -5.0, FOUND.x.values)),
        FOUND.assign_coords(x=np.full(51, np.nan)),
        FOUND.assign(electrode_potential=("electrode", ["a", "b"])),
        FOUND.isel(electrode=slice(0, 0)),
    ],
)
def test_initial_states(initial):
    with pytest.raises(ValueError, match="^initial"):
        solve_transient(CELL, [1e-12], initial=initial, nodes=51)


@pytest.mark.parametrize(
    "ask",
    [
        lambda: FOUND.pnp.gauss("a"),
        lambda: FOUND.assign_attrs(parameters="{").pnp.cell(),
        lambda: FOUND.assign_attrs(parameters="null").pnp.cell(),
        lambda: FOUND.isel(x=slice(0, 0)).pnp.gauss(),
        lambda: FOUND.drop_vars("valence").pnp.gauss(),
        lambda: FOUND.isel(species=0).pnp.summary(),
    ],
)
def test_mutilated_results(ask):
    with pytest.raises(ValueError):
        ask()


def test_a_steady_state_of_extreme_ions():
    fast = CELL.replace(ions=(Ion("K+", 1, 6e23, diffusivity=1e40), SALT[1]))
    found = solve_steady(fast, ENDS, ENDS, nodes=51, throw=False)
    assert found.attrs["outcome"] != "converged" or np.isfinite(found.flux).all()
