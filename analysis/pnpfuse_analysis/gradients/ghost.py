"""Inner products of per-sample gradients at parameters, without any sample's gradient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from pnpfuse_analysis.samples import widest

from .passes import reached
from .uses import Unfit, Use

# Bytes of widened activations and deltas at a time.
_BLOCK_BYTES = 16 << 20
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
    Unfit
        If samples do not use a parameter alike.
    ValueError
        If samples are coupled.
    """
    deltas = _deltas(losses, found)
    each = losses[0].ndim == 1
    seen = [delta.shape[1] for delta in deltas.values()]
    count = len(losses[0]) if each else samples or min(seen, default=1)
    there = [use for use in found if use.edge in deltas]
    for use in there:
        _check_rows(use.parameter, parameters[use.parameter], deltas[use.edge], count)
    lasts = dict.fromkeys(deltas, False)
    if each and not coupled:
        lasts = _positions_first(losses, there, deltas)
    device, size = losses[0].device, len(losses)
    gram = torch.zeros(count, size, size, dtype=widest(device), device=device)
    for name, parameter in parameters.items():
        mine = [(use, deltas[use.edge], lasts[use.edge]) for use in there if use.parameter == name]
        if mine:
            _add(gram, mine, parameter)
    return gram


def _deltas(losses, found):
    """{edge: its deltas (K, rows, ...)}, without those that none arrives at."""
    operators = {use.edge: use for use in found}
    columns = zip(*reached([loss.sum() for loss in losses], list(operators)), strict=True)
    return {
        edge: _stacked(use, column)
        for (edge, use), column in zip(operators.items(), columns, strict=True)
        if any(one is not None for one in column)
    }


def _stacked(use, column):
    like = next(one for one in column if one is not None)
    if like.ndim < 2:
        raise Unfit(
            f"{use.parameter!r} must be used along an axis of samples for method='ghost', found "
            f"{use.edge.node.name()} of shape {tuple(like.shape)}; leave it out with modules=, or "
            "pass method='vmap'"
        )
    whole = torch.stack([torch.zeros_like(like) if one is None else one for one in column])
    return whole if use.spatial else whole.flatten(1, -2)


def _check_rows(name, parameter, delta, count):
    rows, width = delta.shape[1], delta.shape[2]
    if rows % count or (parameter.ndim == 1 and width != len(parameter)):
        raise Unfit(
            f"{name!r} must be used for each of the {count} samples alike for method='ghost', "
            f"found {rows} rows of {width}; leave it out with modules=, or pass method='vmap'"
        )


def _positions_first(losses, found, deltas):
    """{edge: whether its rows run over the samples within positions, not the other way}.

    Found by a pass with a weight for each sample: deltas of independent samples scale alike.
    """
    wide = widest(losses[0].device)
    # Of one size, so that one pass will do for all losses.
    norms = [
        _finite(delta).flatten(1).norm(dim=1, dtype=wide) for delta in deltas.values()
    ]  # each (K,)
    size = torch.stack(norms).norm(dim=0)
    shares = torch.where(size > 0, 1 / size, 0)  # (K,)
    weights = torch.linspace(1, 2, len(losses[0]), dtype=wide, device=size.device)
    mixed = sum(
        loss @ (share * weights).to(loss.dtype) for loss, share in zip(losses, shares, strict=True)
    )
    weighted, lasts = _deltas([mixed], found), dict.fromkeys(deltas, False)
    names = {use.edge: use.parameter for use in found}
    for edge in weighted:
        plain = deltas[edge]
        plain = torch.tensordot(shares.to(plain.dtype), plain, 1).flatten(1)  # (rows, d)
        lasts[edge] = _fitting(plain, weighted[edge][0].flatten(1), weights, names[edge])
    return lasts


def _finite(values):
    """A sample whose gradient is not finite says nothing about the others."""
    return values.nan_to_num(0, 0, 0)


def _fitting(plain, weighted, weights, name):
    tolerance = min(0.2, _LOOSE * torch.finfo(plain.dtype).eps)
    positions = len(plain) // len(weights)
    for last, each in (
        (False, weights.repeat_interleave(positions)),
        (True, weights.repeat(positions)),
    ):
        apart = _finite(weighted - plain * each[:, None].to(plain.dtype))
        if bool(apart.norm() <= tolerance * _finite(weighted).norm()):
            return last
    raise ValueError(
        f"losses must be each sample's own, found samples coupled on their way from {name!r}, as "
        "by a contrastive loss, or not along the first or second axis; pass coupled=True for what "
        "rows contribute to the batch's gradient, samples along the first axis"
    )


@torch.no_grad()
def _add(gram, parts, parameter):
    """Add the inner products of one parameter's gradients, over all of its uses."""
    count, losses = gram.shape[:2]
    groups, outputs = parts[0][0].groups, parts[0][1].shape[2]
    inputs = groups * parameter.numel() // outputs
    positions = sum(delta[0].numel() // (count * outputs) for _, delta, _ in parts)
    # Positions against positions, or gradient against gradient, whichever is less work.
    close = positions * (inputs + losses * outputs) * groups <= losses * inputs * outputs
    larger = groups * positions**2 if close else losses * parameter.numel()
    step = max(1, _BLOCK_BYTES // (8 * (positions * (inputs + losses * outputs) + larger)))
    for start in range(0, count, step):
        chunk = range(start, min(start + step, count))
        pairs = [_of_samples(*part, count, chunk, gram.dtype) for part in parts]
        outer = torch.cat([deltas for _, deltas in pairs], 3)  # (n, K, g, T, o)
        if pairs[0][0] is None:
            flat = outer.sum(3).flatten(2)  # (n, K, o)
            gram[start : chunk.stop] += flat @ flat.mT
        else:
            inner = torch.cat([activation for activation, _ in pairs], 2)
            gram[start : chunk.stop] += _weight_gram(inner, outer, close)


def _of_samples(use, delta, last, count, chunk, dtype):
    """Activations (n, g, T, i) or None, and deltas (n, K, g, T, o), of a chunk of samples."""
    positions = delta.shape[1] // count
    rows = slice(chunk.start * positions, chunk.stop * positions)
    if last and positions > 1:
        order = torch.arange(delta.shape[1], device=delta.device).view(positions, count)
        rows = order[:, chunk.start : chunk.stop].T.reshape(-1)

    def joined(factor):
        factor = factor.to(dtype).unflatten(0, (len(chunk), positions))  # (n, T, g, t, i)
        return factor.transpose(1, 2).flatten(2, 3)

    activation = None if use.activation is None else joined(use.activation(rows))
    return activation, torch.stack([joined(use.outer(one, rows)) for one in delta], 1)


def _weight_gram(activation, delta, close):
    """Gramians (n, K, K) of sum_t delta_t a_t^T, from (n, g, T, i) and (n, K, g, T, o)."""
    a = activation[:, None]
    if close:
        # <d_k a^T, d_l a^T> = tr(d_k^T (a a^T) d_l)
        return delta.flatten(2) @ ((a @ a.mT) @ delta).flatten(2).mT
    whole = (delta.mT @ a).flatten(2)  # (n, K, g * o * i)
    return whole @ whole.mT
