"""The companion of a model: a critic for each pair of modalities, and what it says of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import combinations

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from pnpfuse.fusion.arguments import check_choice, check_count, check_number
from pnpfuse.fusion.infobridge.critic import Critic
from pnpfuse.fusion.precision import widen

CONDITIONS = ("label", "cluster", "similarity", "none")
OBJECTIVES = ("nce", "infonce")
UPDATES = ("joint", "alternating")


class InfoBridge(nn.Module):
    """Conditional noise-contrastive estimation between the encoded modalities (Sec. 3).

    Parameters
    ----------
    dims : {modality: l_m}, widths of the encoded features
    inputs : {modality: d_m}, widths of the raw features
    classes : number of classes
    condition : T: "label", "cluster", "similarity", or "none", one value for all
    objective : "nce", or "infonce"
    negatives : N0 / N1
    margin : gamma of h = sigmoid(s - gamma); None, log(N0 / N1)
    memory : rows of earlier batches kept for negatives
    clusters, levels : number of values of T
    width : of the critics
    updates : "joint", or "alternating"
    """

    def __init__(
        self,
        dims: Mapping[str, int],
        inputs: Mapping[str, int],
        classes: int,
        *,
        condition: str = "label",
        objective: str = "nce",
        negatives: int = 5,
        margin: float | None = None,
        memory: int = 1024,
        clusters: int = 5,
        levels: int = 3,
        width: int = 64,
        updates: str = "joint",
    ):
        super().__init__()
        self.dims = dict(dims)
        self.condition = check_choice("condition", condition, CONDITIONS)
        self.objective = check_choice("objective", objective, OBJECTIVES)
        self.updates = check_choice("updates", updates, UPDATES)
        self.ratio = check_count("negatives", negatives)
        own = math.log(self.ratio)
        self.margin = own if margin is None else check_number("margin", margin, -math.inf)
        count = {"label": classes, "cluster": clusters, "similarity": levels, "none": 1}
        self.contexts = count[condition]
        self.pairs = list(combinations(self.dims, 2))
        self.critics = nn.ModuleList(
            Critic(self.dims[a], self.dims[b], self.contexts, width) for a, b in self.pairs
        )
        self.reference_rows = 4096 if condition == "cluster" else 0

    def forward(
        self,
        V: dict[str, Tensor],
        masks: dict[str, Tensor] | None,
        labels: Tensor | None,
        inputs: dict[str, Tensor],
    ) -> dict[str, Tensor]:
        """{"nce": ()} of V {modality: (batch, l_m)}; empty where T needs labels not given."""
        if self.condition == "label" and labels is None:
            return {}
        first = next(iter(V.values()))
        T = labels if self.condition == "label" else first.new_zeros(len(first), dtype=torch.int64)
        terms = []
        for critic, (a, b) in zip(self.critics, self.pairs, strict=True):
            kept = torch.ones_like(T, dtype=torch.bool) if masks is None else masks[a] & masks[b]
            logits = self._logits(critic, V[a], V[b], T)  # (batch, batch)
            own = torch.eye(len(T), dtype=torch.bool, device=T.device)
            drawn = (T[:, None] == T) & ~own & kept & kept[:, None]
            terms.append(
                -_mean(logsigmoid(logits.diagonal()), kept)
                - self.ratio * _mean(logsigmoid(-logits), drawn)
            )
        return {"nce": torch.stack(terms).mean() if terms else first.sum() * 0}

    @property
    def ceiling(self) -> float:
        """log(N0/N1), the highest that the bound can be, in nat."""
        return math.log(self.ratio)

    def bound(
        self,
        V: dict[str, Tensor],
        masks: dict[str, Tensor] | None,
        labels: Tensor,
        inputs: dict[str, Tensor],
    ) -> dict[str, tuple[Tensor, Tensor]]:
        """{name: (sum over rows and pairs, how many)}, for the two signs of the constant."""
        first = next(iter(V.values()))
        T = labels if self.condition == "label" else first.new_zeros(len(first), dtype=torch.int64)
        total, count = first.new_zeros(()), first.new_zeros(())
        for critic, (a, b) in zip(self.critics, self.pairs, strict=True):
            kept = torch.ones_like(T, dtype=torch.bool) if masks is None else masks[a] & masks[b]
            logits = widen(critic(V[a], V[b], T)) - self.margin  # (batch,)
            total = total + torch.where(kept, logsigmoid(logits), 0.0).sum()
            count = count + kept.sum()
        shift = count * self.ceiling
        return {"bound": (total + shift, count), "printed_bound": (total - shift, count)}

    def _logits(self, critic: nn.Module, first: Tensor, second: Tensor, T: Tensor) -> Tensor:
        """Logits (batch, batch) of every pair, in the context of its first row."""
        return widen(critic(first[:, None], second[None], T[:, None])) - self.margin


def _mean(x: Tensor, kept: Tensor) -> Tensor:
    return torch.where(kept, x, 0.0).sum() / kept.sum().clamp(min=1)
