"""Inner products of per-sample gradients at parameters, without any sample's gradient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from .gradients import reached
from .samples import widest
from .uses import Use

# Bytes of widened activations and deltas at a time.
_BLOCK_BYTES = 64 << 20
# How far from proportional the gradients of independent samples may look, by machine epsilon.
_LOOSE = 1e4


def ghost_gramian(
    losses: Sequence[Tensor],
    found: Sequence[Use],
    parameters: Mapping[str, Tensor],
    samples: int | None = None,
    coupled: bool = False,
) -> Tensor:
    """Return the inner products (N, K, K) of K losses' gradients for each sample.

    Parameters
    ----------
    losses : sequence of Tensor, all of shape (N,) or all scalars
    found : sequence of Use
        All uses of the parameters.
    parameters : mapping of str to Tensor
    samples : int or None
        N for scalar losses; None takes the smallest batch that an operator has seen.
    coupled : bool
        Do not look for coupling of samples; rows are then those of samples one after the other.

    Raises
    ------
    ValueError
        If samples are coupled, or do not use a parameter alike.
    """
    deltas = _deltas(losses, found, None)
    each = losses[0].ndim == 1
    count = len(losses[0]) if each else samples or min(len(d[0]) for d in deltas if d is not None)
    for use, delta in zip(found, deltas, strict=True):
        _check_rows(use.parameter, parameters[use.parameter], delta, count)
    lasts = [False] * len(found)
    if each and not coupled:
        weights = torch.linspace(1, 2, count, device=losses[0].device)
        lasts = [
            _positions_first(*both, weights, use.parameter)
            for use, *both in zip(found, deltas, _deltas(losses, found, weights), strict=True)
        ]
    device, size = losses[0].device, len(losses)
    gram = torch.zeros(count, size, size, dtype=widest(device), device=device)
    for name, parameter in parameters.items():
        mine = [
            part
            for part in zip(found, deltas, lasts, strict=True)
            if part[0].parameter == name and part[1] is not None
        ]
        if len({use.turned for use, _, _ in mine}) > 1:
            raise ValueError(
                f"{name!r} must not be used both as it is and transposed for method='ghost'; leave "
                "it out with modules=, or pass method='vmap'"
            )
        if mine:
            _add(gram, mine, parameter)
    return gram


def _deltas(losses, found, weights):
    """For each use its deltas (K, rows, ...), weighted sample by sample; None if none arrives."""
    scalars = [
        loss.sum() if weights is None else (loss * weights.to(loss.dtype)).sum() for loss in losses
    ]
    edges = list(dict.fromkeys(use.edge for use in found))
    columns = dict(zip(edges, zip(*reached(scalars, edges), strict=True), strict=True))
    return [_stacked(use, columns[use.edge]) for use in found]


def _stacked(use, column):
    like = next((one for one in column if one is not None), None)
    if like is None:
        return None
    whole = torch.stack([torch.zeros_like(like) if one is None else one for one in column])
    return whole if use.spatial else whole.flatten(1, -2)


def _check_rows(name, parameter, delta, count):
    if delta is None:
        return
    rows, width = delta.shape[1], delta.shape[2]
    if rows % count or (parameter.ndim == 1 and width != len(parameter)):
        raise ValueError(
            f"{name!r} must be used for each of the {count} samples alike for method='ghost', "
            f"found {rows} rows of {width}; leave it out with modules=, or pass method='vmap'"
        )


def _positions_first(plain, weighted, weights, name):
    """Whether rows run over the samples within positions, and not the other way round.

    Raises ValueError if neither fits, as where samples are coupled.
    """
    if plain is None:
        return False
    rows, count = plain.shape[1], len(weights)
    tolerance = min(0.2, _LOOSE * torch.finfo(plain.dtype).eps)
    plain, weighted = (delta.flatten(2).to(weights.dtype) for delta in (plain, weighted))
    for last, each in (
        (False, weights.repeat_interleave(rows // count)),
        (True, weights.repeat(rows // count)),
    ):
        if rows % count:
            break
        apart = (weighted - plain * each[:, None]).flatten(1).norm(dim=1)
        if bool((apart <= tolerance * weighted.flatten(1).norm(dim=1)).all()):
            return last
    raise ValueError(
        f"losses must be each sample's own, found samples coupled on their way from {name!r}, as "
        "by a contrastive loss, or not along the first or second axis; pass coupled=True for what "
        "rows contribute to the batch's gradient, samples along the first axis"
    )


@torch.no_grad()
def _add(gram, parts, parameter):
    """Add the inner products of one parameter's gradients, over all of its uses."""
    count = len(gram)
    positions = sum(delta[0].numel() // (count * delta.shape[2]) for _, delta, _ in parts)
    # Activations, deltas and, at worst, one gradient for each loss.
    entries = (len(gram[0]) + 1) * (parameter.numel() + positions * sum(parameter.shape))
    step = max(1, _BLOCK_BYTES // (8 * entries))
    for start in range(0, count, step):
        chunk = slice(start, start + step)
        pairs = [_of_samples(*part, count, chunk, gram.dtype) for part in parts]
        outer = torch.cat([deltas for _, deltas in pairs], 3)  # (n, K, g, T, o)
        if pairs[0][0] is None:
            flat = outer.sum(3).flatten(2)  # (n, K, o)
            gram[chunk] += flat @ flat.mT
        else:
            gram[chunk] += _weight_gram(torch.cat([a for a, _ in pairs], 2), outer)


def _of_samples(use, delta, last, count, chunk, dtype):
    """Activations (n, g, T, i) or None, and deltas (n, K, g, T, o), of a chunk of samples."""
    rows = torch.arange(delta.shape[1], device=delta.device)
    rows = (rows.view(-1, count).T if last else rows.view(count, -1))[chunk]  # (n, T)

    def joined(factor):
        factor = factor.unflatten(0, rows.shape).to(dtype)  # (n, T, g, t, i)
        return factor.transpose(1, 2).flatten(2, 3)

    each = [use.factors(one, rows.reshape(-1)) for one in delta]
    activation = None if each[0][0] is None else joined(each[0][0])
    return activation, torch.stack([joined(outer) for _, outer in each], 1)


def _weight_gram(activation, delta):
    """Gramians (n, K, K) of sum_t delta_t a_t^T, from (n, g, T, i) and (n, K, g, T, o)."""
    losses, _, positions, outputs = delta.shape[1:]
    inputs = activation.shape[3]
    a = activation[:, None]
    if positions * (inputs + losses * outputs) <= losses * inputs * outputs:
        # <d_k a^T, d_l a^T> = tr(d_k^T (a a^T) d_l): positions against positions.
        return delta.flatten(2) @ ((a @ a.mT) @ delta).flatten(2).mT
    whole = (delta.mT @ a).flatten(2)  # (n, K, g * o * i)
    return whole @ whole.mT
