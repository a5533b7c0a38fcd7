"""What trained SCOPE models make of rows: their features, and the attention over them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from pnpfuse.fusion.diffusion import Attention, propagate
from pnpfuse.fusion.model import FusionModel
from pnpfuse.fusion.outputs import FusionOutput
from pnpfuse.fusion.scope.block import SCOPE, integrated
from pnpfuse.fusion.scope.semantic import semantic_graph
from pnpfuse.ledger.bench import Bench, CannotTry
from pnpfuse.ledger.training import Training
from pnpfuse.views import Views

WHOLE = Training("scope")
ROWS = 128  # as many as a batch of `fit`
XI = 0.3  # the default of the model


class State(NamedTuple):
    """Joint features before the diffusion (N, d), trained attention, edges without self-loops."""

    z: Tensor
    attention: Attention
    edges: Tensor

    def after(self, form: str, steps: int) -> Tensor:
        """Features (N, d) after T steps of a form, see `pnpfuse.fusion.diffusion.coefficients`."""
        return propagate(self.z, self.attention, steps, form=form, xi=XI)


def some(views: Views, count: int, seed: int = 0) -> np.ndarray:
    """Numbers of at most `count` rows, drawn at random."""
    return np.random.default_rng(seed).permutation(len(views))[:count]


def inputs(views: Views, rows: np.ndarray) -> tuple[dict[str, Tensor], dict[str, Tensor] | None]:
    """Features (rows, d) in double precision, and masks (rows,) or None."""
    X = {m: torch.from_numpy(x).double() for m, x in views.read(rows).items()}
    had = views.read_present(rows)
    if had is None:
        return X, None
    return X, {m: torch.from_numpy(mask) for m, mask in had.items()}


@torch.inference_mode()
def fused(model: FusionModel, views: Views, rows: np.ndarray) -> FusionOutput:
    """The block's output in double precision; `refined` has h^m."""
    X, present = inputs(views, rows)
    model = model.cpu().double()
    return model.fuse(model.encode(X, present), present)


def whole_rows(views: Views, count: int) -> np.ndarray:
    """Numbers of at most `count` rows that lack nothing, drawn at random; CannotTry if few."""
    rows = np.random.default_rng(0).permutation(len(views))
    if views.present is not None:
        rows = rows[np.all([mask[rows] for mask in views.present.values()], axis=0)]
    if len(rows) < 20:
        raise CannotTry(f"needs 20 rows with all modalities; found {len(rows)}")
    return rows[:count]


def state(bench: Bench, seed: int) -> State:
    """Of test rows, their graph over each other as in the paper."""
    test = bench.views.test
    rows = whole_rows(test, ROWS)
    return _state(bench.model(WHOLE, seed).cpu().double(), test, rows)


@torch.inference_mode()
def _state(model: FusionModel, test: Views, rows: np.ndarray) -> State:
    block = model.block
    assert isinstance(block, SCOPE)
    h, rho = block.refine(model.encode(inputs(test, rows)[0]), None)  # (M, N, d), (N, M)
    z = integrated(h, rho)  # (N, d)
    attention = block.balanced.attention(z, semantic_graph(h, block.k).unbind())
    i, j = attention.edges
    counted = i != j
    if attention.counted is not None:
        counted = counted & attention.counted
    return State(z, attention, attention.edges[:, counted])
