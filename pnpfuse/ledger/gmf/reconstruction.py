"""Whether the dissociated features go back to the original ones."""

from __future__ import annotations

import torch

from pnpfuse.fusion.pmr import GMF
from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, corrected, fails, holds
from pnpfuse.ledger.measures.encodings import encoded
from pnpfuse.ledger.measures.mapped import lost_share
from pnpfuse.ledger.training import Training

CONCAT = Training("concat")
N = 4
WHOLE = 1e-8  # of the variance, what rounding may leave in double precision
READINGS = {
    "Eq. 18": "P_recon of [the next one's invariant; the own specific part]",
    "Eq. 14": "U_con of [the own first b channels; the next one's others], b = n l/2",
    "Eq. 14, b = l/2": "the same with b = l/2, as Sec. 5.2 has it",
}


def trainings(bench: Bench) -> list[Training]:
    """What gives the features."""
    bench.need(2)
    return [CONCAT]


def measure(bench: Bench) -> Found:
    """The share of the features' variance that the best linear map does not give back."""
    bench.need(2)
    lost: dict[str, list[float]] = {reading: [] for reading in READINGS}
    for seed in bench.seeds:
        V = encoded(bench, CONCAT, seed, complete=True).features
        block = _block({m: v.shape[1] for m, v in V.items()}, 0.5, seed)
        early = _block(block.dims, 0.5 / N, seed)
        for m, v in V.items():
            own = block.maps_of(m)
            first = {b: b.maps_of(m)["dissolve"][0][: b.widths.boundary[m]] for b in (block, early)}
            rest = own["dissolve"][0][block.widths.boundary[m] :]
            lost["Eq. 18"].append(lost_share(v, own["specific"][0] @ rest))
            lost["Eq. 14"].append(lost_share(v, first[block]))
            lost["Eq. 14, b = l/2"].append(lost_share(v, first[early]))
    return {"lost": {reading: max(values) for reading, values in lost.items()}}


def _block(dims: dict[str, int], b: float, seed: int) -> GMF:
    """GMF with new maps."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return GMF(dims, n=N, b=b).double().requires_grad_(False)


def judge(found: Found) -> Verdict:
    """Holds where all readings give the features back; corrected where the wide ones do."""
    lost = found["lost"]
    if max(lost.values()) < WHOLE:
        return holds()
    if lost["Eq. 18"] < WHOLE and lost["Eq. 14"] < WHOLE:
        return corrected(
            "the part that stays with its modality needs at least l channels: with b = l/2, as "
            "Sec. 5.2 prints it, half of them are gone from Eq. 14"
        )
    return fails("the features do not come back even with enough channels")


def say(found: Found) -> str:
    """What is lost by each reading."""
    said = "; ".join(f"{reading} {value:.0e}" for reading, value in found["lost"].items())
    return f"share of the variance that does not come back from the own channels, at most: {said}"


CLAIM = Claim(
    statement="After the dissociation the features can be brought back to their original state by "
    "a linear map.",
    source="GMF Theorem 3.4, Eq. 13 to 14; Sec. 4, Eq. 18",
    protocol=f"Encoded features of test rows pass new maps of GMF with n = {N}; what the best "
    "linear map brings back of each modality from its own channels, in closed "
    "form: " + "; ".join(f"{name}, {text}" for name, text in READINGS.items()) + ".",
    threshold=f"holds if less than {WHOLE:g} of the variance is lost by every reading, corrected "
    "if by the first two",
    measure=measure,
    judge=judge,
    say=say,
    trainings=trainings,
)
