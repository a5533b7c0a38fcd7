"""Lower bounds of mutual information from the scores that a critic gives to pairs, in nats.

Scores form a matrix (..., B, B): row i, column j is the critic's log-ratio for x_i with y_j, so
that the diagonal holds the true pairs. Each bound comes as contributions (..., B), whose mean is
its value and whose spread gives the standard error, shared negatives included.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from pnpfuse_analysis.samples import Array, as_tensor, widest


def nce_bound(
    pos_logits: Array,
    neg_logits: Array,
    *,
    n0: float,
    n1: float = 1,
    paper_margin: bool = False,
) -> Tensor:
    """Return the bound I >= log(N0/N1) + E_pos log h of noise-contrastive estimation.

    h = sigmoid(logit) is the critic's probability that a pair is a true one, when N0 drawn pairs
    come with N1 true ones; the right critic has logit = log p(x, y) / (p(x) p(y)) - log(N0/N1). For
    it the value is a lower bound: InfoBridge, Eqs. (3) and (4).

    Parameters
    ----------
    pos_logits : Tensor or ndarray, any shape
        Logits of true pairs.
    neg_logits : Tensor or ndarray, any shape
        Logits of drawn pairs; for a conditional information drawn under the same condition. They
        have no part in the value but in its gradient, which is that of the objective, Eq. (7):
        E_pos log h + N0/N1 E_neg log(1 - h). Without them ascent would lead to h = 1 everywhere,
        the value log(N0/N1), and no bound. A critic is over-confident, and the value no bound
        either, if N0/N1 times the mean of sigmoid(neg_logits) exceeds 1.
    n0, n1 : float
        Weights of drawn and true pairs, as a rule their numbers.
    paper_margin : bool
        Take the margin as printed, log(N1/N0), in Eqs. (5) and (8). It contradicts Eq. (4), from
        which it is derived; where N0 > N1 the value is then lower by 2 log(N0/N1).

    Returns
    -------
    Tensor, shape ()
        In float64; never above log(N0/N1), with the right margin.

    Raises
    ------
    ValueError
        If the logits are empty, not real floating point numbers or on different devices, or n0 or
        n1 is not a positive number.
    """
    pos, neg = _logits(pos_logits, "pos_logits"), _logits(neg_logits, "neg_logits")
    if pos.device != neg.device:
        raise ValueError(
            f"pos_logits and neg_logits must be on one device, found {pos.device} and {neg.device}"
        )
    for name, weight in (("n0", n0), ("n1", n1)):
        if isinstance(weight, bool | str) or not 0 < float(weight) < math.inf:
            raise ValueError(f"{name} must be a positive number, found {weight!r}")
    margin = math.log(n1 / n0) if paper_margin else math.log(n0 / n1)
    drawn = (n0 / n1) * logsigmoid(-neg).mean()
    return margin + logsigmoid(pos).mean() + (drawn - drawn.detach())


def infonce(scores: Tensor) -> Tensor:
    """Return I >= E log(e^f_ii / mean_j e^f_ij), at most log B: contributions (..., B).

    Van den Oord, Li and Vinyals, arXiv:1807.03748, in the form of Poole et al., arXiv:1905.06922,
    Eq. (12).
    """
    true = scores.diagonal(dim1=-2, dim2=-1)
    return true - scores.logsumexp(-1) + math.log(scores.shape[-1])


def nwj(scores: Tensor, log_mean: Tensor | None = None) -> Tensor:
    """Return I >= 1 + E_pos f - E_neg e^f: contributions (..., B).

    Nguyen, Wainwright and Jordan, IEEE Trans. Inf. Theory 56 (2010) 5847; Poole et al.,
    arXiv:1905.06922, Eq. (8) with their critic f + 1, so that f = 0 gives 0 here as in the other
    bounds. `log_mean`: see `smile`.
    """
    drawn = _drawn(scores)
    mean = (drawn.log_mean if log_mean is None else log_mean).exp()[..., None]
    true = scores.diagonal(dim1=-2, dim2=-1)
    shares = drawn.rows.exp() + drawn.columns.exp() - mean
    return true + 1 - torch.where(mean.isinf(), mean, shares)


def dv(scores: Tensor, log_mean: Tensor | None = None) -> Tensor:
    """Return I >= E_pos f - log E_neg e^f: contributions (..., B).

    Donsker and Varadhan (1983), as MINE uses it: Belghazi et al., arXiv:1801.04062, Eq. (5).
    `log_mean`: see `smile`.
    """
    return smile(scores, math.inf, log_mean)


def smile(scores: Tensor, clip: float = 5.0, log_mean: Tensor | None = None) -> Tensor:
    """Return E_pos f - log E_neg clip(e^f, e^-tau, e^tau): contributions (..., B).

    Song and Ermon, arXiv:1910.06222, Eq. (17): the bound of Donsker and Varadhan with less variance
    and a bias of either sign, which makes it an estimate and no bound.

    Parameters
    ----------
    scores : Tensor, shape (..., B, B)
    clip : float
        tau; scores of drawn pairs are cut off at -tau and tau.
    log_mean : Tensor of shape (...) or None
        log E_neg e^f if known from more pairs than these: the logarithm of a mean over few pairs
        is too low, and the bound then too high.
    """
    drawn = _drawn(scores.clamp(-clip, clip))
    level = (drawn.log_mean if log_mean is None else log_mean)[..., None]
    # The last terms have mean 0: what sample i adds to the mean over drawn pairs, as x and as y.
    shares = (drawn.rows - level).exp() + (drawn.columns - level).exp()
    return scores.diagonal(dim1=-2, dim2=-1) - level - shares + 2


def jensen_shannon(scores: Tensor) -> Tensor:
    """Return 2 log 2 + E_pos log s(f) + E_neg log(1 - s(f)), s the sigmoid: contributions (..., B).

    No bound of the information but of twice the Jensen-Shannon divergence. Its critic tends to the
    same log-ratio in a stable way, and so trains `smile`: Poole et al., arXiv:1905.06922, Sec. 2.3.
    """
    size = scores.shape[-1]
    others = logsigmoid(-scores).masked_fill(_own(scores), 0.0).sum(-1) / (size - 1)
    return 2 * math.log(2) + logsigmoid(scores.diagonal(dim1=-2, dim2=-1)) + others


def drawn_log_mean(scores: Tensor, clip: float = math.inf) -> Tensor:
    """Return log E_neg e^f, over all pairs off the diagonal of scores (..., B, B): (...)."""
    size = scores.shape[-1]
    others = scores.clamp(-clip, clip).masked_fill(_own(scores), -math.inf)
    return others.logsumexp((-2, -1)) - math.log(size * (size - 1))


class _Drawn(NamedTuple):
    """log of the mean of e^f over drawn pairs: of each row and column (..., B), and of all (...)"""

    rows: Tensor
    columns: Tensor
    log_mean: Tensor


def _drawn(scores: Tensor) -> _Drawn:
    size = scores.shape[-1]
    others = scores.masked_fill(_own(scores), -math.inf)
    rows, columns = (others.logsumexp(axis) - math.log(size - 1) for axis in (-1, -2))
    return _Drawn(rows, columns, rows.logsumexp(-1) - math.log(size))


def _own(scores: Tensor) -> Tensor:
    """Mask (B, B) of the true pairs."""
    return torch.eye(scores.shape[-1], dtype=torch.bool, device=scores.device)


def _logits(logits: Array, name: str) -> Tensor:
    """The logits as a float64 tensor that keeps its graph; ValueError unless real, not empty."""
    found = as_tensor(logits, name)
    if not found.is_floating_point():
        raise ValueError(f"{name} must be floating point, found {found.dtype}")
    if not found.numel():
        raise ValueError(f"{name} must hold at least one logit, found shape {tuple(found.shape)}")
    return found.to(widest(found.device))
