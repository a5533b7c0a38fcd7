"""T, the context in which two modalities are compared: one whole number a row."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from pnpfuse.fusion.arguments import check_choice, check_count

CONDITIONS = ("label", "cluster", "similarity", "none")
REFERENCE_ROWS = 4096  # for the clusters


class Context(nn.Module):
    """T of each row, by the `condition`.

    - "label" : the class
    - "cluster" : the nearest of k centres of the training rows, as the inputs lie
    - "similarity" : a quantile of the score that the critic gives the row's own modalities, its
      mean over the pairs that are there; cut where the training's batches say
    - "none" : 0 for all

    Parameters
    ----------
    condition : one of the above
    inputs : {modality: d}, widths of the inputs
    classes, clusters, levels : number of values of T
    """

    mean: Tensor
    std: Tensor
    centres: Tensor
    cuts: Tensor
    batches: Tensor

    def __init__(
        self, condition: str, inputs: dict[str, int], classes: int, clusters: int, levels: int
    ):
        super().__init__()
        self.condition, self.inputs = check_choice("condition", condition, CONDITIONS), inputs
        clusters, levels = check_count("clusters", clusters), check_count("levels", levels)
        count = {"label": classes, "cluster": clusters, "similarity": levels, "none": 1}
        self.contexts: int = count[condition]
        if condition == "cluster":
            width = sum(inputs.values())
            self.register_buffer("mean", torch.zeros(width))
            self.register_buffer("std", torch.ones(width))
            # All the same: before they are set there is one context.
            self.register_buffer("centres", torch.zeros(clusters, width))
        if condition == "similarity":
            self.register_buffer("cuts", torch.linspace(-1, 1, levels + 1)[1:-1].clone())
            self.register_buffer("batches", torch.zeros((), dtype=torch.int64))

    def forward(
        self,
        inputs: dict[str, Tensor],
        masks: dict[str, Tensor] | None,
        labels: Tensor | None,
        similarity: tuple[Tensor, Tensor] | None,
    ) -> Tensor:
        """T int64 (batch,).

        Parameters
        ----------
        inputs : {modality: (batch, d)}
        masks : {modality: bool (batch,)}, or None
        labels : int64 (batch,), needed for "label"
        similarity : scores (batch,) and for which rows there are any, bool (batch,)
        """
        if self.condition == "label":
            if labels is None:
                raise ValueError("labels are needed for condition='label'; found None")
            return labels
        if self.condition == "cluster":
            return self._nearest(inputs, masks)
        if self.condition == "similarity":
            assert similarity is not None
            return torch.bucketize(similarity[0], self.cuts.to(similarity[0].dtype))
        first = next(iter(inputs.values()))
        return torch.zeros(len(first), dtype=torch.int64, device=first.device)

    @torch.no_grad()
    def fit(self, inputs: dict[str, Tensor], masks: dict[str, Tensor] | None) -> None:
        """Set the centres by k-means on some training rows, {modality: (rows, d)}.

        Columns count standardised, modalities alike whatever their width; a modality that a row
        lacks stands at its mean.
        """
        if self.condition != "cluster":
            return
        from sklearn.cluster import KMeans  # here: half a second, and few need it

        x = torch.cat([inputs[m] for m in self.inputs], 1).double()  # (rows, sum d)
        kept = torch.ones_like(x) if masks is None else self._columns(masks).to(x)
        count = kept.sum(0).clamp(min=1)
        mean = (x * kept).sum(0) / count
        std = (((x - mean) * kept).square().sum(0) / count).sqrt()
        self.mean.copy_(mean)
        self.std.copy_(torch.where(std > 1e-10 * mean.abs(), std, 1.0))
        rows = (self._standardised(x) * kept).cpu().numpy()
        found = KMeans(
            min(len(self.centres), len(np.unique(rows, axis=0))), n_init=10, random_state=0
        )
        centres = torch.from_numpy(found.fit(rows).cluster_centers_)
        # One that is there twice is found once: a row goes to the first of the nearest.
        spare = centres[:1].expand(len(self.centres) - len(centres), -1)
        self.centres.copy_(torch.cat([centres, spare]))

    def _nearest(self, inputs: dict[str, Tensor], masks: dict[str, Tensor] | None) -> Tensor:
        x = self._standardised(torch.cat([inputs[m] for m in self.inputs], 1))
        centres = self.centres.to(x)
        if masks is None:
            far = centres.square().sum(1) - 2 * x @ centres.T  # (batch, k), without |x|^2
        else:  # distances in what the row has
            kept = self._columns(masks).to(x)
            far = kept @ centres.square().T - 2 * (x * kept) @ centres.T
        return far.argmin(1)

    def _standardised(self, x: Tensor) -> Tensor:
        """x (rows, sum d): columns of variance 1 / d_m."""
        size = torch.cat([x.new_full((d,), d**-0.5) for d in self.inputs.values()])
        return (x - self.mean.to(x)) / self.std.to(x) * size

    def _columns(self, masks: dict[str, Tensor]) -> Tensor:
        """Which entries of the joined rows are there, bool (rows, sum d)."""
        return torch.cat([masks[m][:, None].expand(-1, d) for m, d in self.inputs.items()], 1)

    @torch.no_grad()
    def follow(self, scores: Tensor, known: Tensor) -> None:
        """Move the cuts towards the quantiles of a batch's scores (batch,), where known."""
        ordered = torch.where(known, scores, torch.inf).sort().values
        rows, levels = known.sum(), len(self.cuts) + 1
        inner = torch.arange(1, levels, device=scores.device)
        found = ordered[(inner * rows // levels).clamp(max=len(scores) - 1)]
        # A mean over the first ten batches, then a running one: the critic goes on changing.
        share = (1 / (self.batches + 1)).clamp(min=0.1) * (rows >= levels)
        moved = torch.where(share > 0, found.to(self.cuts) - self.cuts, 0.0)
        self.cuts.add_(share * moved)
        self.batches.add_(rows >= levels)
