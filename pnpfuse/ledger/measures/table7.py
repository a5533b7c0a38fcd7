"""The rows of PMR's Table 7 as trainings, and which of them are not there."""

from __future__ import annotations

from typing import Any

import torch

from pnpfuse.fusion.encoders import default_width
from pnpfuse.fusion.pmr import PMR
from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.training import Training

OURS = {"rPMR": Training("rpmr"), "sPMR": Training("spmr")}
OURS_CMMP = {"rG-CMMP": Training("rg-cmmp"), "sG-CMMP": Training("sg-cmmp")}
ALIGNED: dict[str, Any] = {"objective": "infonce", "condition": "none"}  # L_con beside another
N = 4.0  # the default


def widths(bench: Bench) -> dict[str, int]:
    """{modality: l_m}, what the encoders hand to a block by default."""
    return {m: default_width(width) for m, width in bench.views.dims.items()}


def narrowest(bench: Bench) -> int:
    """l*."""
    return min(widths(bench).values())


def unequal(bench: Bench) -> bool:
    """Whether "Linear", all modalities mapped to the narrowest width, changes anything."""
    return len(set(widths(bench).values())) > 1


def matched(bench: Bench) -> float:
    """n with which a block behind "Linear" has as many parameters as the default without it."""
    narrow = dict.fromkeys(bench.views.dims, narrowest(bench))
    least, most = _count(narrow, N), _count(narrow, 2 * N)
    wanted = _count(widths(bench), N)  # affine in n but for the rounding of n l
    return round(N + (wanted - least) / (most - least) * N, 2)


def linear(bench: Bench) -> dict[str, int]:
    """The option that makes the encoders' last, linear layer end at l*."""
    return {"width": narrowest(bench)}


def aligned(bench: Bench) -> Training:
    """CMMP whose classifier reads l*: linear maps to l*, summed, the encodings aligned."""
    common = {"block_width": narrowest(bench)}
    return Training("infobridge", {"base": "sum", "base_options": common, **ALIGNED})


def _count(dims: dict[str, int], n: float) -> int:
    """Parameters of PMR's block."""
    with torch.random.fork_rng(devices=[]):
        return sum(weight.numel() for weight in PMR(dims, n).parameters())
