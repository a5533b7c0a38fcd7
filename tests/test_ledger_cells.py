"""The claims about cells notice a wrong solver."""

import pytest
import xarray as xr
from ledger_flips import flips, small_bench, tried

from pnpfuse.ledger import FAILS, HOLDS
from pnpfuse.ledger.pmr import residual


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    return small_bench(tmp_path_factory.mktemp("trained"))


@flips("pmr/residual", "implementation")
def test_residual(bench, monkeypatch):
    assert tried("pmr/residual", bench).verdict == HOLDS
    solve = residual.solve_equilibrium

    def stopped_early(cell) -> xr.Dataset:
        solution = solve(cell)
        return solution.assign(residual=solution["residual"] + 1e-6)

    monkeypatch.setattr(residual, "solve_equilibrium", stopped_early)
    assert tried("pmr/residual", bench).verdict == FAILS
