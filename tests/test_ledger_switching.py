"""The claims about cells in time notice leaks, wrong work and steps that take no time."""

import numpy as np
import pytest
import xarray as xr
from ledger_flips import flips, planting, small_bench, tried

from pnpfuse.ledger import CORRECTED, FAILS, HOLDS
from pnpfuse.ledger.measures import switching
from pnpfuse.ledger.pmr import external_potential, free_energy, free_energy_printed
from pnpfuse_solvers import solve_transient


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    return small_bench(tmp_path_factory.mktemp("trained"))


@pytest.fixture
def plant(bench, monkeypatch):
    return planting(bench, monkeypatch, "pmr")


@pytest.fixture
def before(bench):
    return lambda claim: tried(f"pmr/{claim}", bench).verdict


@flips("pmr/external_potential", "implementation")
def test_external_potential(plant, before):
    assert before("external_potential") == CORRECTED

    def at_rest_at_once(cell, times, **options):
        found = solve_transient(cell, times, **options)
        c = found["concentration"]
        later = c["time"] > 0
        return found.assign(concentration=xr.where(later, c.isel(time=-1, drop=True), c))

    wrong = at_rest_at_once
    assert plant("external_potential", external_potential, "solve_transient", wrong) == HOLDS


@flips("pmr/mass", "implementation")
def test_mass(plant, before):
    assert before("mass") == HOLDS

    def leaking(cell, times, **options):
        found = solve_transient(cell, times, **options)
        lost = 1e-9 * found["time"] / found["time"][-1]
        return found.assign(concentration=found["concentration"] * (1 - lost))

    assert plant("mass", switching, "solve_transient", leaking) == FAILS


@flips("pmr/free_energy", "implementation")
def test_free_energy(plant, before):
    assert before("free_energy") == CORRECTED

    def work_of_wrong_sign(run):
        parts = switching.energies(run)
        return parts | {"work": -parts["work"]}

    assert plant("free_energy", free_energy, "energies", work_of_wrong_sign) == FAILS


@flips("pmr/free_energy_printed", "implementation")
def test_free_energy_printed(plant, before):
    assert before("free_energy_printed") == CORRECTED

    def coupling_of_the_electrodes(run):
        parts = switching.energies(run)
        return parts | {"coupling": -parts["work"]}

    wrong = coupling_of_the_electrodes
    assert plant("free_energy_printed", free_energy_printed, "energies", wrong) == HOLDS


def test_energies_are_those_of_the_solver_up_to_a_constant():
    for run in switching.switched_cells()[:2]:
        parts = switching.energies(run)
        ours = parts["ideal"] + parts["field"] - parts["work"]
        theirs = run.result["free_energy"].values
        theirs = theirs / (run.cell.constants.boltzmann * run.cell.temperature)
        fall = np.ptp(theirs)
        assert np.abs((ours - ours[0]) - (theirs - theirs[0])).max() < 1e-9 * fall


def test_rise_is_measured_against_the_lowest_before():
    assert switching.largest_rise(np.array([4.0, 2.0, 3.0, 0.0])) == pytest.approx(0.25)
    assert switching.largest_rise(np.array([3.0, 2.0, 0.0])) == 0
