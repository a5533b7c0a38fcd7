"""Modality-invariant and -specific representations, held apart by losses on their statistics."""

from collections.abc import Mapping
from itertools import combinations

import torch
from torch import Tensor, nn

from pnpfuse.fusion.arguments import check_choice
from pnpfuse.fusion.embedding import Embedding
from pnpfuse.fusion.outputs import FusionOutput
from pnpfuse.fusion.precision import widen
from pnpfuse.fusion.preservation import sample_error, unit
from pnpfuse.fusion.widths import check_width

# The range that each activation can take, which scales the moments of the CMD.
SPANS = {"tanh": 2.0, "sigmoid": 1.0}
MOMENTS = 5


class MISA(Embedding):
    """The fusion-free part of MISA (Hazarika et al. 2020), for feature vectors.

    With p_m a linear map of V_m to a common width, f an activation and a linear map inside each
    encoder E ::

        shared_m = f(E_shared p_m)            one encoder for all modalities
        specific_m = f(E_m p_m)
        recon_m = D_m (shared_m + specific_m)
        fused_m = [shared_m; specific_m]

    Parameters
    ----------
    dims : {modality: l_m}, two or more
    width : of the projections and of both representations
    activation : "tanh", or the original's "sigmoid"
    fill : what stands for an absent V, see `pnpfuse.fusion.fill.Fill`; the losses run over the
        rows that are present

    Notes
    -----
    ``losses`` has "similarity", the central moment discrepancy of the shared parts, a mean over
    the pairs of modalities; "difference", how much the specific parts overlap with the shared
    part and with each other, a sum over both kinds of pairs; and "reconstruction", the mean
    squared error of recon_m against p_m, a mean over the modalities. A modality that is absent
    for the whole batch contributes 0 to each. ``reconstruction`` is of p_m.
    """

    def __init__(
        self,
        dims: Mapping[str, int],
        width: int = 64,
        *,
        activation: str = "tanh",
        fill: str = "zero",
    ):
        super().__init__(dims, fill, at_least=2)
        self.width = width = check_width(width)
        self.activation = check_choice("activation", activation, SPANS)
        self.project = nn.ModuleDict({m: nn.Linear(d, width) for m, d in self.dims.items()})
        self.shared = nn.Linear(width, width)
        self.specific = nn.ModuleDict({m: nn.Linear(width, width) for m in self.dims})
        self.decode = nn.ModuleDict({m: nn.Linear(width, width) for m in self.dims})

    def part_widths(self, parts: str = "all") -> dict[str, int]:
        """{modality: width} of `fused` ("all"), `specific` or `shared`."""
        check_choice("parts", parts, ("all", "specific", "shared"))
        return dict.fromkeys(self.dims, 2 * self.width if parts == "all" else self.width)

    def _fuse(self, V: dict[str, Tensor], masks: dict[str, Tensor] | None) -> FusionOutput:
        p = {m: self.project[m](v) for m, v in V.items()}  # (batch, width)
        shared = {m: self._activated(self.shared(x)) for m, x in p.items()}  # (batch, width)
        specific = {m: self._activated(self.specific[m](x)) for m, x in p.items()}
        recon = {m: self.decode[m](shared[m] + specific[m]) for m in p}  # (batch, width)
        first = next(iter(p.values()))
        everyone = torch.ones(first.shape[0], dtype=torch.bool, device=first.device)
        kept = dict.fromkeys(p, everyone) if masks is None else masks
        return FusionOutput(
            {m: torch.cat([shared[m], specific[m]], dim=-1) for m in p},  # (batch, 2 width)
            shared,
            specific,
            recon,
            {
                "similarity": self._similarity(shared, kept),
                "difference": _difference(shared, specific, kept),
                "reconstruction": _reconstruction(p, recon, kept),
            },
            masks or {},
        )

    def _embed(self, modality: str, V: Tensor) -> Tensor:
        """[shared; specific], both the modality's own."""
        p = self.project[modality](V)  # (batch, width)
        both = torch.cat([self.shared(p), self.specific[modality](p)], dim=-1)
        return self._activated(both)  # (batch, 2 width)

    def _activated(self, x: Tensor) -> Tensor:
        return x.tanh() if self.activation == "tanh" else x.sigmoid()

    def _similarity(self, shared: dict[str, Tensor], kept: dict[str, Tensor]) -> Tensor:
        span = SPANS[self.activation]
        pairs = [
            (kept[a].any() & kept[b].any())
            * moment_discrepancy(shared[a], shared[b], kept[a], kept[b], span)
            for a, b in combinations(shared, 2)
        ]
        return torch.stack(pairs).mean()

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, activation={self.activation!r}"


def moment_discrepancy(x: Tensor, y: Tensor, of_x: Tensor, of_y: Tensor, span: float) -> Tensor:
    """CMD (Zellinger et al. 2017, Eq. 8) of x and y (batch, width) with 5 moments, a scalar.

    The first term is the distance of the means over span, the k-th that of the k-th central
    moments over span^k; the rows that count are of_x and of_y, bool (batch,).
    """
    mean_x, mean_y = _masked_mean(x, of_x), _masked_mean(y, of_y)  # (width,)
    total = torch.linalg.vector_norm(mean_x - mean_y) / span
    x, y = x - mean_x, y - mean_y  # (batch, width)
    for k in range(2, MOMENTS + 1):
        gap = _masked_mean(x**k, of_x) - _masked_mean(y**k, of_y)  # (width,)
        total = total + torch.linalg.vector_norm(gap) / span**k
    return total


def overlap(x: Tensor, y: Tensor, kept: Tensor) -> Tensor:
    """Mean square of the entries of X^T Y (width, width), a scalar.

    X and Y are x and y (batch, width) with the mean over the kept rows, bool (batch,), taken
    off and every row scaled to length 1.
    """
    zero = torch.zeros((), dtype=x.dtype, device=x.device)
    X, Y = (
        torch.where(kept[:, None], unit(part - _masked_mean(part, kept)), zero) for part in (x, y)
    )
    return (X.mT @ Y).square().mean()


def _difference(
    shared: dict[str, Tensor], specific: dict[str, Tensor], kept: dict[str, Tensor]
) -> Tensor:
    total = [overlap(widen(shared[m]), widen(specific[m]), kept[m]) for m in shared]
    total += [
        overlap(widen(specific[a]), widen(specific[b]), kept[a] & kept[b])
        for a, b in combinations(specific, 2)
    ]
    return torch.stack(total).sum()


def _reconstruction(
    target: dict[str, Tensor], found: dict[str, Tensor], kept: dict[str, Tensor]
) -> Tensor:
    errors = [
        _masked_mean(sample_error(widen(target[m]), widen(found[m]), "mse", "mean"), kept[m])
        for m in target
    ]
    return torch.stack(errors).mean()


def _masked_mean(x: Tensor, kept: Tensor) -> Tensor:
    """Mean of x (batch, ...) over the kept rows, bool (batch,); 0 if there are none."""
    x = widen(x)  # half precision would lose the moments
    rows = kept.reshape(-1, *[1] * (x.ndim - 1))  # (batch, 1...)
    return torch.where(rows, x, torch.zeros_like(x)).sum(0) / kept.sum().clamp(min=1)
