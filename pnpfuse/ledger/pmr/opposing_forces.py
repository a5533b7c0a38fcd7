"""Whether the forces on ions can oppose each other."""

from __future__ import annotations

from itertools import product

import numpy as np

from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, fails, holds
from pnpfuse.ledger.measures.wording import listed, span
from pnpfuse_solvers import Cell, solve_equilibrium

SALTS = {"1:1": ((1, -1), (1, 1)), "2:1": ((2, -1), (1, 2))}
LENGTHS, VOLTAGES = (0.118338, 4.0, 30.0), (1.0, 5.0)


def measure(bench: Bench) -> Found:
    """Cosines along the cell: of drift and diffusion of each species, and of drift of both."""
    found: Found = {"drift_and_diffusion": [], "cations_and_anions": []}
    for given, length, voltage in product(SALTS.values(), LENGTHS, VOLTAGES):
        one = solve_equilibrium(Cell.dimensionless(length, voltage, *given))
        c, h = one["concentration"].values, np.diff(one["x"].values)
        edge = 0.5 * (c[:, 1:] + c[:, :-1])
        slope = np.diff(one["reduced_potential"].values) / h
        drift = -edge * one["valence"].values[:, None] * slope  # over D
        diffusion = -np.diff(c, axis=1) / h
        for pair in zip(drift, diffusion, strict=True):
            found["drift_and_diffusion"].append(_cosine(*pair, h))
        found["cations_and_anions"].append(_cosine(drift[0], drift[1], h))
    return found


def _cosine(one: np.ndarray, other: np.ndarray, h: np.ndarray) -> float:
    return float((one * other) @ h / np.sqrt((one**2 @ h) * (other**2 @ h)))


def judge(found: Found) -> Verdict:
    """Holds where drift and diffusion nowhere point against each other."""
    if min(found["drift_and_diffusion"]) >= 0:
        return holds()
    return fails(
        "at equilibrium drift and diffusion of every species cancel, the one against the other; a "
        "potential has one gradient, but those of its parts, here entropy and electric energy, can "
        "be opposite"
    )


def say(found: Found) -> str:
    """The cosines."""
    own, both = found["drift_and_diffusion"], found["cations_and_anions"]
    return (
        f"cosine of drift and diffusion {span(own, '.4f')}, of the drift of cations and anions "
        f"{span(both, '.2f')}, over {len(both)} cells"
    )


CLAIM = Claim(
    statement="The forces in the Poisson-Nernst-Planck equations derive from one scalar potential "
    "and so cannot oppose each other.",
    source="PMR App. E.3, claim 4",
    protocol=f"Closed cells, salts {', '.join(SALTS)}, of {listed(LENGTHS)} Debye lengths at plus "
    f"and minus {listed(VOLTAGES)} kB T/e at equilibrium; cosine of drift and diffusion of each "
    "species over the cell, and of the drift of cations and anions.",
    threshold="no cosine of drift and diffusion below 0",
    measure=measure,
    judge=judge,
    say=say,
)
