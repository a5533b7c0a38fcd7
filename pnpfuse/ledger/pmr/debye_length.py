"""The Debye length of Fig. 8's own constants."""

from __future__ import annotations

from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, fails, holds
from pnpfuse_solvers import Cell

WATER = 78.0  # relative permittivity


def measure(bench: Bench) -> Found:
    """Lengths of Fig. 8's cell."""
    cell = Cell.fig8(voltage=1.0)
    density = cell.ions[0].concentration
    return {
        "length_nm": 1e9 * cell.length,
        "debye_nm": 1e9 * cell.debye_length,
        "ratio": cell.length_ratio,
        "ratio_of_one_species": cell.length_ratio / len(cell.ions) ** 0.5,
        "ratio_in_water": cell.replace(relative_permittivity=WATER).length_ratio,
        "density": density,
        "density_needed": density / cell.length_ratio**2,
    }


def judge(found: Found) -> Verdict:
    """Holds where the cell is the longer one."""
    if found["ratio"] > 1:
        return holds()
    return fails(
        f"Fig. 8's cell is {found['ratio']:.3f} Debye lengths long; it takes "
        f"{found['density_needed']:.1e} ions/m^3 where {found['density']:.0e} are given"
    )


def say(found: Found) -> str:
    """Both lengths and their ratio."""
    return (
        f"l = {found['length_nm']:.3g} nm, lambda_D = {found['debye_nm']:.1f} nm: l/lambda_D = "
        f"{found['ratio']:.4f} ({found['ratio_of_one_species']:.4f} with one species in the sum, "
        f"{found['ratio_in_water']:.4f} in water)"
    )


CLAIM = Claim(
    statement="The cell is longer than its Debye length, also the one that is computed in Fig. 8.",
    source="PMR Sec. 3.2, Eq. 3 (l_c > lambda_D); App. E.2; App. G, Eq. 20 and Fig. 8",
    protocol="The Debye length of Eq. 20 from the constants in the caption of Fig. 8; beside it "
    f"with one species in the sum and with water's permittivity of {WATER:g}.",
    threshold="l/lambda_D above 1",
    measure=measure,
    judge=judge,
    say=say,
)
