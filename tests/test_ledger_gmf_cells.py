"""The claims of GMF about the cell notice a wrong solver."""

import numpy as np
import pytest
from ledger_flips import flips, small_bench, tried

from pnpfuse.ledger import CORRECTED, FAILS, HOLDS
from pnpfuse.ledger.gmf import (
    complete_separation,
    electroneutral_boundary,
    eq11,
    eq25,
    opposite_fluxes,
    zero_potential_boundary,
)
from pnpfuse_solvers import gauss


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    return small_bench(tmp_path_factory.mktemp("trained"))


def changed(monkeypatch, module, change):
    """Puts `change` of its solution in the place of the solver that a claim calls."""
    solve = module.solve_equilibrium
    monkeypatch.setattr(module, "solve_equilibrium", lambda cell: change(solve(cell)))


def without_cations(solution):
    return solution.assign(
        concentration=solution["concentration"].where(solution["valence"] < 0, 1e-30)
    )


def exchanged(solution):
    """The drift with the wrong sign gathers each kind at the other electrode."""
    c = solution["concentration"]
    return solution.assign(concentration=c.copy(data=c.values[:, ::-1]))


def cations_dropped(monkeypatch):
    """Gauss's law with half of the cations alone."""
    amounts = gauss._amounts
    monkeypatch.setattr(gauss, "_amounts", lambda *given: amounts(*given) * np.array([0.5, 1.0]))


@flips("gmf/gauss_eq31", "implementation")
def test_gauss_eq31(bench, monkeypatch):
    assert tried("gmf/gauss_eq31", bench).verdict == CORRECTED
    cations_dropped(monkeypatch)
    assert tried("gmf/gauss_eq31", bench).verdict == FAILS


@flips("gmf/eq12", "implementation")
def test_eq12(bench, monkeypatch):
    assert tried("gmf/eq12", bench).verdict == CORRECTED
    cations_dropped(monkeypatch)
    assert tried("gmf/eq12", bench).verdict == FAILS


@flips("gmf/eq25", "implementation")
def test_eq25(bench, monkeypatch):
    assert tried("gmf/eq25", bench).verdict == CORRECTED
    changed(monkeypatch, eq25, without_cations)
    assert tried("gmf/eq25", bench).verdict == FAILS


@flips("gmf/eq11", "implementation")
def test_eq11(bench, monkeypatch):
    assert tried("gmf/eq11", bench).verdict == CORRECTED
    changed(monkeypatch, eq11, exchanged)
    assert tried("gmf/eq11", bench).verdict == FAILS


@flips("gmf/electroneutral_boundary", "implementation")
def test_electroneutral_boundary(bench, monkeypatch):
    assert tried("gmf/electroneutral_boundary", bench).verdict == CORRECTED
    changed(monkeypatch, electroneutral_boundary, without_cations)
    assert tried("gmf/electroneutral_boundary", bench).verdict == FAILS


@flips("gmf/zero_potential_boundary", "implementation")
def test_zero_potential_boundary(bench, monkeypatch):
    assert tried("gmf/zero_potential_boundary", bench).verdict == CORRECTED

    def grounded(solution):  # the potential counted from the negative electrode
        u = solution["reduced_potential"]
        return solution.assign(reduced_potential=u - u[-1])

    changed(monkeypatch, zero_potential_boundary, grounded)
    assert tried("gmf/zero_potential_boundary", bench).verdict == FAILS


@flips("gmf/complete_separation", "implementation")
def test_complete_separation(bench, monkeypatch):
    assert tried("gmf/complete_separation", bench).verdict == HOLDS
    solve = complete_separation.solve_many

    def unsigned(cell, vary):  # the share on the other kind's side
        solved = solve(cell, vary)
        return solved.assign(separation=1 - solved["separation"])

    monkeypatch.setattr(complete_separation, "solve_many", unsigned)
    assert tried("gmf/complete_separation", bench).verdict == FAILS


@flips("gmf/opposite_fluxes", "implementation")
def test_opposite_fluxes(bench, monkeypatch):
    assert tried("gmf/opposite_fluxes", bench).verdict == CORRECTED
    changed(monkeypatch, opposite_fluxes, exchanged)
    assert tried("gmf/opposite_fluxes", bench).verdict == FAILS
