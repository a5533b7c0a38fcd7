"""GMF inside autoencoders."""

from __future__ import annotations

from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found
from pnpfuse.ledger.measures.several import (
    ALL_ABOVE,
    against,
    draw_differences,
    judge_above,
    say_scores,
)
from pnpfuse.ledger.training import Training

MAE = Training("gmf-mae")
OTHERS = {"GMF": Training("gmf"), "concatenation": Training("concat")}


def trainings(bench: Bench) -> list[Training]:
    """GMF-MAE and the others."""
    bench.need(2)
    return [MAE, *OTHERS.values()]


def measure(bench: Bench) -> Found:
    """Test scores of all, seed by seed."""
    bench.need(2)
    return against(bench, {"GMF-MAE": MAE}, OTHERS)


CLAIM = Claim(
    statement="GMF built into masked autoencoders is more accurate than GMF and the baseline.",
    source="GMF App. I, Fig. 14; Tables 4 and 7, GMF-MAE",
    protocol="The extractors are trained as masked autoencoders whose decoders get the own "
    "specific and the other modality's shared latent, without a linear map; small encoders, and "
    f"no pretraining, stand for the paper's. Beside it {' and '.join(OTHERS)}, the same seeds; "
    "test scores with all modalities.",
    threshold=ALL_ABOVE,
    measure=measure,
    judge=judge_above,
    say=say_scores,
    draw=draw_differences,
    trainings=trainings,
)
