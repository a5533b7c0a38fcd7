"""The companion of a model: a critic for each pair of modalities, and what it says of them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from pnpfuse.fusion.arguments import check_choice, check_count, check_number
from pnpfuse.fusion.infobridge.bound import Evidence, evidence, infonce_bounds, nce_bounds
from pnpfuse.fusion.infobridge.context import REFERENCE_ROWS, Context
from pnpfuse.fusion.infobridge.contrast import (
    contrast_all,
    contrast_drawn,
    infonce,
    itself,
    mean_kept,
)
from pnpfuse.fusion.infobridge.critic import ConcatCritic, SeparableCritic, throttled
from pnpfuse.fusion.infobridge.memory import Memory
from pnpfuse.fusion.infobridge.negatives import draw_negatives, gathered
from pnpfuse.fusion.infobridge.scale import RunningScale
from pnpfuse.fusion.precision import widen, without_autocast
from pnpfuse.fusion.widths import check_dims, check_width

CRITICS: dict[str, type[SeparableCritic | ConcatCritic]] = {
    "separable": SeparableCritic,
    "concat": ConcatCritic,
}
OBJECTIVES = ("nce", "infonce")
UPDATES = ("joint", "alternating")
ROWS = 512  # in evaluation the loss compares so many rows with each other
SCORES = 2**23  # that a block of the bound's score matrix holds


class InfoBridge(nn.Module):
    """Conditional noise-contrastive estimation between the encoded modalities (Sec. 3).

    h(z1, z2, T) = sigmoid(s(z1, z2, T) - margin) tells pairs of one sample from pairs of two
    samples with the same T; see docs/infobridge.md.

    Parameters
    ----------
    dims : {modality: l_m}, widths of the encoded features, two modalities or more
    inputs : {modality: d_m}, widths of what the encoders see
    classes : number of classes
    condition : T: "label", "cluster", "similarity", or "none", one value for all
    objective : "nce" (Eq. 1), or "infonce", a softmax over the batch's rows of the same T
    negatives : N0 / N1
    margin : of h; None, log(N0 / N1). "infonce" has none.
    memory : rows of earlier batches kept for negatives
    clusters, levels : number of values of T
    width : of the critics
    updates : "joint", or "alternating": critic and encoders take turns, step by step
    critic : "separable" or "concat", see `pnpfuse.fusion.infobridge.critic`

    Attributes
    ----------
    pairs : [(modality, modality)], in the order of `dims`
    """

    steps: Tensor
    alone: Tensor
    anchors: Tensor

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
        critic: str = "separable",
    ):
        super().__init__()
        self.dims = check_dims(dims, at_least=2)
        self.objective = check_choice("objective", objective, OBJECTIVES)
        self.updates = check_choice("updates", updates, UPDATES)
        self.ratio = check_count("negatives", negatives)
        own = math.log(self.ratio)
        self.margin = own if margin is None else check_number("margin", margin, -math.inf)
        self.context = Context(condition, dict(inputs), classes, clusters, levels)
        widths, self.widest = list(self.dims.values()), max(self.dims.values())
        make = CRITICS[check_choice("critic", critic, CRITICS)]
        self.critic: SeparableCritic | ConcatCritic = make(
            widths, self.context.contexts, check_width(width)
        )
        names = list(self.dims)
        self.pairs = [(names[a], names[b]) for a, b in self.critic.pairs]
        size = check_count("memory", memory, least=0) if objective == "nce" else 0
        self.memory = Memory(len(names), self.widest, size)
        self.scale = RunningScale(len(names), self.context.contexts, self.widest)
        for name in ("steps", "alone", "anchors"):
            self.register_buffer(name, torch.zeros((), dtype=torch.int64))

    @property
    def condition(self) -> str:
        """Of which kind T is."""
        return self.context.condition

    @property
    def reference_rows(self) -> int:
        """How many training rows `set_reference` takes at most; 0, none are needed."""
        return REFERENCE_ROWS if self.condition == "cluster" else 0

    @property
    def fallback_share(self) -> float:
        """Share of the training's pairs so far that found no partner of their context.

        Their negatives are of any context instead ("nce"), or there are none ("infonce"). Reading
        it waits for the device.
        """
        return int(self.alone) / max(int(self.anchors), 1)

    def set_reference(self, inputs: dict[str, Tensor], masks: dict[str, Tensor] | None) -> None:
        """Set the clusters by training rows, {modality: (rows, d)}, as `forward` sees them."""
        self.context.fit(inputs, masks)

    def forward(
        self,
        V: dict[str, Tensor],
        masks: dict[str, Tensor] | None,
        labels: Tensor | None,
        inputs: dict[str, Tensor],
    ) -> dict[str, Tensor]:
        """{"nce": ()}, the mean over the pairs of modalities.

        In training the negatives are drawn from batch and memory, and the memory takes the batch
        in. In evaluation every row is compared with all rows of its context, among 512 at a time;
        nothing is drawn, nothing is kept.

        Parameters
        ----------
        V : {modality: (batch, l_m)}
        masks : {modality: bool (batch,)}, or None if nothing is absent
        labels : int64 (batch,); without, there is no loss where T needs them, nor in evaluation
        inputs : {modality: (batch, d_m)}, for the clusters
        """
        if labels is None and (self.condition == "label" or not self.training):
            return {}
        with without_autocast(next(iter(V.values()))):
            z, present = self._rows(V, masks)
            similarity = self._similarity(z, present)
            if self.training and similarity is not None:
                self.context.follow(*similarity)
            T = self.context(inputs, masks, labels, similarity)
            if not self.training:
                return {"nce": self._evaluated(z, present, T)}
            self.scale.update(z.detach(), present, T)
            w, kept = self.critic.weights(), z.detach()
            if self.updates == "alternating":
                odd = (self.steps % 2).to(z.dtype)
                z, w = throttled(z, odd), self.critic.weights(1 - odd)
                self.steps.add_(1)
            loss = self._trained(z, present, T, w)
            self.memory.push(kept, present, T)
        return {"nce": loss}

    @torch.no_grad()
    def bound(
        self,
        V: dict[str, Tensor],
        masks: dict[str, Tensor] | None,
        labels: Tensor | None,
        inputs: dict[str, Tensor],
        negatives: int | None = None,
    ) -> dict[str, Tensor]:
        """{name: ()}, bounds of I(z1; z2 | T) in nats, the mean over the pairs of modalities.

        As `pair_bounds`.
        """
        found = self.pair_bounds(V, masks, labels, inputs, negatives)
        names = next(iter(found.values()))
        return {k: torch.stack([one[k] for one in found.values()]).mean() for k in names}

    @torch.no_grad()
    def pair_bounds(
        self,
        V: dict[str, Tensor],
        masks: dict[str, Tensor] | None,
        labels: Tensor | None,
        inputs: dict[str, Tensor],
        negatives: int | None = None,
    ) -> dict[tuple[str, str], dict[str, Tensor]]:
        """Bounds of I(z1; z2 | T) of each pair of modalities, {pair: {name: ()}}, in nats.

        From all pairs of the given rows with the same T, in either mode: rows that the critic was
        not trained with, or it is no bound. The features V are taken for what they are.

        Parameters
        ----------
        V, masks, labels, inputs : as for `forward`
        negatives : N0 / N1 of the bound; None, that of the training. The same critic serves any:
            its score is an estimate of the log-ratio, and log(N0 / N1) the most that can be seen.

        Returns
        -------
        dict
            "bound", "tight_bound", "printed_bound" and "ceiling", see `nce_bounds` in
            `pnpfuse.fusion.infobridge.bound`; for "infonce" "bound" and "ceiling", which hang on
            the number of rows
        """
        ratio = self.ratio if negatives is None else check_count("negatives", negatives)
        with without_autocast(next(iter(V.values()))):
            z, present = self._rows(V, masks)
            T = self.context(inputs, masks, labels, self._similarity(z, present))
            found = self._evidence(z, present, T, ratio)
        nce = self.objective == "nce"
        bounds = nce_bounds(found, ratio) if nce else infonce_bounds(found)
        return {p: {k: v[i] for k, v in bounds.items()} for i, p in enumerate(self.pairs)}

    def extra_repr(self) -> str:
        return f"condition={self.condition!r}, objective={self.objective!r}, negatives={self.ratio}"

    def _rows(self, V: dict[str, Tensor], masks: dict[str, Tensor] | None) -> tuple[Tensor, Tensor]:
        """Features (M, batch, L), padded with zeros, and presence (M, batch)."""
        padded = [pad(widen(v), (0, self.widest - v.shape[1])) for v in V.values()]
        z = torch.stack(padded)
        if masks is None:
            return z, torch.ones(z.shape[:2], dtype=torch.bool, device=z.device)
        return z, torch.stack([masks[m] for m in V])

    @torch.no_grad()
    def _similarity(self, z: Tensor, present: Tensor) -> tuple[Tensor, Tensor] | None:
        """How well a row's modalities go together (batch,), and for which rows that is known."""
        if self.condition != "similarity":
            return None
        w = self.critic.weights()
        scores = self.critic.paired(w, self.critic.embed(w, self.scale(z, None), None), None)
        both = self._both(present)  # (P, batch)
        return torch.where(both, scores, 0.0).sum(0) / both.sum(0).clamp(min=1), both.any(0)

    def _both(self, present: Tensor) -> Tensor:
        """Which rows have both modalities, (P, batch) of (M, batch)."""
        a, b = self.critic.ends
        return present[a] & present[b]

    def _trained(self, z: Tensor, present: Tensor, T: Tensor, w: dict[str, Tensor]) -> Tensor:
        """The loss of a training batch."""
        rows = self.critic.embed(w, self.scale(z, T), T)  # (M, B, .)
        both = self._both(present)  # (P, B)
        if self.objective == "infonce":
            scores = self.critic.matrix(w, rows, T, slice(None))  # (P, B, B)
            same = T == T[:, None]
            alone = (same & both[:, None]).sum(2) < 2
            self._count(both, alone)
            return mean_kept(infonce(scores, same & both[:, None]), both).mean()
        after = self.critic.second - 1
        pool = torch.cat([z[1:], self.memory.features[1:].to(z)], 1)  # (M-1, B + memory, L)
        here = torch.cat([present[1:], self.memory.present[1:]], 1)
        drawn = draw_negatives(torch.cat([T, self.memory.contexts]), here, len(T), self.ratio)
        found = self.scale(gathered(pool, drawn.rows), T, slice(1, None))  # (M-1, B, N, L)
        others = self.critic.embed_drawn(w, found, T)
        true = self.critic.paired(w, rows, T) - self.margin  # (P, B)
        false = self.critic.drawn(w, rows, others, T) - self.margin  # (P, B, N)
        kept = both & drawn.possible[after]
        self._count(kept, drawn.alone[after])
        return mean_kept(contrast_drawn(true, false, self.ratio), kept).mean()

    def _count(self, kept: Tensor, alone: Tensor) -> None:
        self.anchors.add_(kept.sum())
        self.alone.add_((kept & alone).sum())

    def _evaluated(self, z: Tensor, present: Tensor, T: Tensor) -> Tensor:
        """The loss over all pairs of rows of the same context, among `ROWS` at a time."""
        w = self.critic.weights()
        total, count = z.new_zeros(len(self.pairs)), T.new_zeros(len(self.pairs))
        for start in range(0, len(T), ROWS):
            part = slice(start, start + ROWS)
            one, here, contexts = z[:, part], present[:, part], T[part]
            rows, both = self.critic.embed(w, self.scale(one, contexts), contexts), self._both(here)
            scores = self.critic.matrix(w, rows, contexts, slice(None))  # (P, B, B)
            same = contexts == contexts[:, None]
            if self.objective == "infonce":
                kept, errors = both, infonce(scores, same & both[:, None])
            else:
                partner = same & ~itself(contexts) & here[self.critic.second, None]
                kept = both & partner.any(2)
                errors = contrast_all(scores - self.margin, partner, self.ratio)
            total = total + torch.where(kept, errors, 0.0).sum(1)
            count = count + kept.sum(1)
        return (total / count.clamp(min=1)).mean()

    def _evidence(self, z: Tensor, present: Tensor, T: Tensor, ratio: int) -> Evidence:
        """What every row says beside all others."""
        w = self.critic.weights()
        rows, both = self.critic.embed(w, self.scale(z, T), T), self._both(present)
        # s - margin is the logit of h, and that the log-ratio less log(N0/N1) of the training.
        known = math.log(self.ratio) - self.margin if self.objective == "nce" else 0.0
        found = []
        for block in self._blocks(len(T)):
            ratios = self.critic.matrix(w, rows, T, block) + known
            found.append(evidence(ratios, T[block, None] == T, both, block, ratio))
        return Evidence(*(torch.cat(parts, 1) for parts in zip(*found, strict=True)))

    def _blocks(self, rows: int) -> Iterator[slice]:
        wide = self.critic.width if isinstance(self.critic, ConcatCritic) else 1
        size = max(1, SCORES // (rows * len(self.pairs) * wide))
        for start in range(0, rows, size):
            yield slice(start, min(start + size, rows))
