"""No fusion of fixed features exceeds what they tell of the labels."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from pnpfuse.fusion.registry import create_model
from pnpfuse.ledger.bench import Bench
from pnpfuse.ledger.claim import Claim, Found, Verdict, fails, holds
from pnpfuse_analysis import conditional_entropy

ROWS, FEWER = 1500, 500
CLASSES, WIDTHS = 4, {"one": 6, "two": 4}
SHIFT = 0.8  # of the classes' means, in standard deviations
FUSIONS = ("concat", "gmf", "gmf-mae", "misa", "perceiver")
SEED, SIGMA = 0, 3.0
FOLDS, PENALTY = 3, 1e-2


def measure(bench: Bench) -> Found:
    """What probes leave of the labels behind each fusion, beyond the exact bound."""
    generator = torch.Generator().manual_seed(SEED)
    X, labels, exact = _drawn(FEWER if bench.quick else ROWS, generator)
    beyond = {}
    for name in FUSIONS:
        left = _left(_fused(name, X), labels)  # (rows,)
        gap = (left - exact).numpy()
        beyond[name] = {
            "mean": float(gap.mean()),
            "error": float(gap.std(ddof=1) / np.sqrt(len(gap))),
        }
    return {"bound": float(exact.mean()), "beyond": beyond}


def _drawn(rows: int, generator: torch.Generator) -> tuple[dict[str, Tensor], Tensor, Tensor]:
    """Gaussian classes in two modalities, labels, and -log p(label | features) of each row."""
    means = {
        m: SHIFT * torch.randn(CLASSES, width, generator=generator, dtype=torch.float64)
        for m, width in WIDTHS.items()
    }
    labels = torch.randint(CLASSES, (rows,), generator=generator)
    X, logits = {}, torch.zeros(rows, CLASSES, dtype=torch.float64)
    for m, mean in means.items():
        noise = torch.randn(rows, WIDTHS[m], generator=generator, dtype=torch.float64)
        X[m] = mean[labels] + noise
        logits -= (X[m][:, None] - mean).square().sum(2) / 2  # equal priors
    exact = -logits.log_softmax(1)[torch.arange(rows), labels]
    return X, labels, exact


def _fused(name: str, X: dict[str, Tensor]) -> Tensor:
    """What a new fusion makes of the features, (rows, width)."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(SEED)
        model = create_model(name, WIDTHS, CLASSES, encoder=None).double().eval()
        fused = model.block({m: x.clone() for m, x in X.items()}).fused
    return torch.cat(list(fused.values()), dim=1)


def _left(Z: Tensor, labels: Tensor) -> Tensor:
    """The held-out loss of a probe for each row, (rows,)."""
    found = conditional_entropy(labels, Z, folds=FOLDS, penalty=PENALTY)
    assert found.local is not None
    return found.local


def judge(found: Found) -> Verdict:
    """Holds where none falls below the bound by more than its error."""
    low = [name for name, d in found["beyond"].items() if d["mean"] < -SIGMA * d["error"]]
    if low:
        return fails(f"below the bound: {', '.join(low)}")
    return holds()


def say(found: Found) -> str:
    """The bound, and what each fusion leaves beyond it."""
    said = ", ".join(
        f"{name} {d['mean']:+.3f} ± {d['error']:.3f}" for name, d in found["beyond"].items()
    )
    return f"the features leave {found['bound']:.3f} nats of the labels; beyond it {said}"


CLAIM = Claim(
    statement="The features fix a bound on the performance, like a law of conservation, that no "
    "fusion of them exceeds.",
    source="GMF Conjecture 3.1, App. F",
    protocol=f"{ROWS} rows (quick {FEWER}) of {CLASSES} Gaussian classes in modalities of widths "
    f"{tuple(WIDTHS.values())}, whose H(Y|features) is known exactly row by row; behind each of "
    f"{', '.join(FUSIONS)}, without encoders, a cross-validated linear probe is charged for the "
    "same rows.",
    threshold=f"holds if no fusion lies below the bound by more than {SIGMA:g} standard errors of "
    "the rows' differences",
    measure=measure,
    judge=judge,
    say=say,
)
