"""The charges of Eq. 10."""

from __future__ import annotations

from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, fails, holds
from pnpfuse.mapping import cell_for
from pnpfuse_solvers import solve_equilibrium

WIDTHS = ((4096, 128), (2048, 768), (512, 512), (128, 4096))
N, VOLTAGE = 4.0, 20.0
LIMIT = 1e-8


def measure(bench: Bench) -> Found:
    """Net charge of the ions over all charge: as given, and as the electrodes feel it."""
    found: Found = {"given": [], "felt": [], "equal_charges": []}
    for width, other in WIDTHS:
        cell = cell_for({"one": width, "other": other}, "one", n=N, voltage=VOLTAGE)
        charges = [ion.valence * ion.concentration for ion in cell.ions]
        scale = sum(map(abs, charges))
        found["given"].append(sum(charges) / scale)
        electrodes = solve_equilibrium(cell)["surface_charge"].values
        # Gauss's law over the whole cell: the electrodes carry the ions' counter-charge.
        ions = cell.constants.charge * cell.length * scale
        found["felt"].append(-float(electrodes.sum()) / ions)
        shared, specific = (ion.concentration for ion in cell.ions)
        found["equal_charges"].append((shared - specific) / (shared + specific))
    return found


def judge(found: Found) -> Verdict:
    """Holds where nothing is left."""
    net = max(abs(one) for name in ("given", "felt") for one in found[name])
    return holds() if net < LIMIT else fails(f"a net charge of {net:.1%} of all charge is left")


def say(found: Found) -> str:
    """What is left."""
    net = max(abs(one) for name in ("given", "felt") for one in found[name])
    each = ", ".join(f"{one:+.3f}" for one in found["equal_charges"])
    widths = ", ".join(f"{one}:{other}" for one, other in WIDTHS)
    return (
        f"net charge at most {net:.0e} of all charge (widths {widths}); with charges of 1 and -1 "
        f"it would be {each}"
    )


CLAIM = Claim(
    statement="With charges in inverse proportion to the numbers of shared and specific features "
    "the mixture is neutral as a whole.",
    source="PMR App. E.3, Eq. 10",
    protocol="The cell that the package makes of a modality of each of the paper's widths, "
    f"{N:g} Debye lengths at {VOLTAGE:g} kB T/e: the sum of its charges, and the charge that the "
    "solved cell's electrodes carry together.",
    threshold=f"net charge below {LIMIT:g} of all charge",
    measure=measure,
    judge=judge,
    say=say,
)
