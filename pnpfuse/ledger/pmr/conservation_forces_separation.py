"""Whether a preservation loss of zero says anything of the shared parts."""

from __future__ import annotations

import torch

from pnpfuse.fusion import PMR
from pnpfuse.fusion.maps import Maps
from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, fails, holds

WIDTHS = {"a": 24, "b": 16, "c": 8}
ROWS, DRAWS = 64, 3
LIMIT = 1e-20  # of a mean squared error of numbers of order 1 in double precision
SHARED = ("random", "cut", "copy of the specific part")


def measure(bench: Bench) -> Found:
    """Preservation losses of blocks whose shared part is set by hand."""
    return {
        "losses": {shared: [_loss(shared, seed) for seed in range(DRAWS)] for shared in SHARED},
        "as drawn": [_loss(None, seed) for seed in range(DRAWS)],
    }


def judge(found: Found) -> Verdict:
    """Fails where the loss is zero whatever the shared part."""
    conserved = [name for name, losses in found["losses"].items() if max(losses) < LIMIT]
    if not conserved:
        return holds()
    return fails(
        f"the loss is zero, n = 4 and b = 1/2, with a shared part that is {', '.join(conserved)}: "
        "the specific part alone can hold all of V"
    )


def say(found: Found) -> str:
    """The losses."""
    said = ", ".join(f"{name} {max(losses):.0e}" for name, losses in found["losses"].items())
    return f"preservation loss by shared part: {said}; as initialised {min(found['as drawn']):.1f}"


@torch.no_grad()
def _loss(shared: str | None, seed: int) -> float:
    """The loss of the block on random features; None leaves its weights as they are drawn."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        block = PMR(WIDTHS).double().eval()
        V = {m: torch.randn(ROWS, width, dtype=torch.float64) for m, width in WIDTHS.items()}
    for maps in block.stacks if shared is not None else []:
        assert isinstance(maps, Maps) and maps.recon_bias is not None
        common = _of(maps, "shared").shape[1]
        if shared == "cut":
            _of(maps, "shared").zero_()
        if shared == "copy of the specific part":
            # The first l* rows of both products are then the same.
            product = (_of(maps, "specific") @ _of(maps, "dissolve_specific"))[:, :common]
            _of(maps, "shared").copy_(product @ torch.linalg.pinv(_of(maps, "dissolve_shared")))
        # The way back reads the specific part alone and undoes its path.
        path, offset = maps.products()[1]
        assert offset is not None
        back = torch.linalg.inv(path)
        maps.recon[:, :, :common] = 0
        maps.recon[:, :, common:] = back
        maps.recon_bias.copy_(-(back @ offset[..., None])[..., 0])
    return float(block(V).losses["preservation"])


def _of(maps: Maps, name: str) -> torch.Tensor:
    return maps.get_parameter(name)


CLAIM = Claim(
    statement="Conservation enforces the separation into shared and specific features, as a "
    "reordering and not a discard.",
    source="PMR Sec. 5.4; App. E.4",
    protocol=f"Blocks for widths {tuple(WIDTHS.values())} (n = 4, b = 1/2) in which P_recon undoes "
    f"the specific path, with a shared path that is {', '.join(SHARED)}; preservation loss, a "
    f"squared error, on {ROWS} random rows in double precision, the largest of {DRAWS} draws.",
    threshold=f"not below {LIMIT:g} for a shared part that is set so",
    measure=measure,
    judge=judge,
    say=say,
)
