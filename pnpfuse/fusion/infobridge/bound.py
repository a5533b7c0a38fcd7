"""What a critic's scores say of the information that two modalities share in a context, in nats."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from pnpfuse.fusion.infobridge.contrast import mean_kept


class Evidence(NamedTuple):
    """What is known of each anchor, all (P, B); sums over partners are done.

    Attributes
    ----------
    kept : bool, both modalities are there and so is a partner of the same context
    ratio : log p(z_a, z_b | T) / p(z_a | T) p(z_b | T) as the critic has it, of the true pair
    drawn : mean of the critic's h over the partners and the true pair
    among : log of the mean of e^score over the same
    partners : how many there are
    """

    kept: Tensor
    ratio: Tensor
    drawn: Tensor
    among: Tensor
    partners: Tensor


def evidence(ratios: Tensor, same: Tensor, both: Tensor, block: slice, ratio: float) -> Evidence:
    """What the rows in `block` say beside all rows.

    Parameters
    ----------
    ratios : (P, b, R), the critic's log-ratios
    same : bool (b, R), same context
    both : bool (P, R), which rows have both modalities. A partner without the first one would do
        for a draw of the second, but be of another population, and the bound none.
    block : the anchors' place among the R rows
    ratio : N0 / N1
    """
    b, R = same.shape
    own = torch.arange(R, device=same.device) == torch.arange(R, device=same.device)[block, None]
    partner = same & ~own & both[:, None]  # (P, b, R)
    partners = partner.sum(2)  # (P, b)
    true = ratios.masked_fill(~own, 0.0).sum(2)  # (P, b)
    shown, number = partner | own, (partners + 1).to(ratios)
    h = torch.sigmoid(ratios - math.log(ratio))
    drawn = torch.where(shown, h, 0.0).sum(2) / number
    among = ratios.masked_fill(~shown, -math.inf).logsumexp(2) - number.log()
    return Evidence(both[:, block] & (partners > 0), true, drawn, among, partners)


def nce_bounds(found: Evidence, ratio: float) -> dict[str, Tensor]:
    """{name: (P,)}, what a critic h of noise contrast says.

    Donsker and Varadhan: I(z_a; z_b | T = t) >= E_pos f - log E_neg e^f for any f. With f = log h,
    and the mean over t taken inside the logarithm, which by Jensen makes the right side smaller ::

        tight_bound = E_pos log h - log E_neg h

    For the right critic h = p / (p + N0/N1 q), with p and q the densities of true and of drawn
    pairs, N0/N1 E_neg h = E_pos (1 - h) <= 1, and - log E_neg h >= log(N0/N1): InfoBridge's Eq. (4)
    is the same bound with that term made smaller ::

        I(z_a; z_b | T) >= log(N0/N1) + E_pos log h

    A critic that is too sure of itself has N0/N1 E_neg h > 1, and its value is no bound. So "bound"
    is the smaller of both right sides, which holds for any critic ::

        bound = log(N0/N1) + E_pos log h - max(0, log(N0/N1 E_neg h))

    Of a few rows - log E_neg h comes out too large, without limit where no partner happens to look
    right. So the true pair counts among the partners: then both bounds lie, row by row, below that
    of `infonce_bounds` with the score log h, which in the mean over samples is a bound with any
    number of rows. "tight_bound" comes to log K at most, K rows being of the same context.

    "printed_bound" is log(N1/N0) + E_pos log h, Eqs. (5) and (8) as printed; "ceiling" log(N0/N1),
    above which no "bound" comes. Where no row has a partner, "bound" and "tight_bound" are 0, which
    holds always.
    """
    margin = math.log(ratio)
    any_row = found.kept.any(1)
    true = torch.where(any_row, mean_kept(logsigmoid(found.ratio - margin), found.kept), -margin)
    # An h that is 0 to the last bit would be a bound of -inf + inf.
    drawn = mean_kept(found.drawn, found.kept).clamp(min=torch.finfo(found.drawn.dtype).tiny).log()
    drawn = torch.where(any_row, drawn, -margin)
    return {
        "bound": margin + true - (margin + drawn).relu(),
        "tight_bound": true - drawn,
        "printed_bound": true - margin,
        "ceiling": torch.full_like(true, margin),
    }


def infonce_bounds(found: Evidence) -> dict[str, Tensor]:
    """{"bound", "ceiling"}, each (P,): E log(e^s / mean e^s), among the rows of the same context.

    At most the mean of log K over the rows, K being how many of the same context there are. Poole
    et al., arXiv:1905.06922, Eq. (12), in each context.
    """
    values = {"bound": found.ratio - found.among, "ceiling": (found.partners + 1).log()}
    return {name: mean_kept(value, found.kept) for name, value in values.items()}
