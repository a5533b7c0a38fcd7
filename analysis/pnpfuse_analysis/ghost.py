"""Conflict between losses at parameters, sample by sample, without any sample's gradient."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn

from .conflict import check_eps, cosines, sample_gramian
from .coupling import coupling
from .gradients import reached
from .samples import check_choice, widest
from .taps import resolve
from .uses import uses

# Bytes of widened factors, or of gradients of single samples, at a time.
_BLOCK_BYTES = 64 << 20
# How far from proportional the gradients of independent samples may look, by machine epsilon.
_LOOSE = 1e4

Method = Literal["auto", "ghost", "vmap"]


def sample_param_cosine(
    model: nn.Module,
    losses: Mapping[str, Tensor],
    modules: Any = None,
    *,
    main: str | None = None,
    method: Method = "auto",
    samples: int | None = None,
    eps: float = 0.0,
    coupled: bool = False,
) -> Tensor:
    """Return for each sample the cosines of its losses' gradients with respect to parameters.

    Two lines: losses sample by sample, and the call before any backward pass::

        losses = {"task": cross_entropy(model(x), y, reduction="none"), "rebuild": ...}
        cosine = sample_param_cosine(model, losses)

    Parameters
    ----------
    model : nn.Module
    losses : mapping of str to Tensor of shape (N,)
        The losses of each sample, with their graphs. Scalars, means or sums over the samples, are
        taken as well for method "ghost"; then nothing can be checked, see Notes.
    modules : None, or sequence of str or nn.Module
        The modules whose parameters count; None takes all that require a gradient.
    main : str or None
        The loss that the others are compared with; None takes the first.
    method : {"auto", "ghost", "vmap"}
        "ghost" works for parameters of linear maps and convolutions, and costs one pass back
        through the activations for each loss, or two with the check. "vmap" runs N backward
        passes, several at a time, and works for any model. "auto" takes "ghost" where it can.
    samples : int or None
        N, for scalar losses; None takes the smallest batch that an operator has seen.
    eps : float
        A gradient of norm <= eps has no direction.
    coupled : bool
        The losses couple the samples of a batch. Where that is found or said, a sample has no
        gradient of its own; with True, "ghost" compares the parts that its row of activations
        contributes to the gradients of the batch.

    Returns
    -------
    Tensor, shape (N, L)
        For the L other losses in their order; NaN where a gradient vanishes. float64 (float32 on
        MPS), on the device of the losses.

    Raises
    ------
    ValueError
        For losses, modules or main that do not fit; parameters that "ghost" cannot handle, by name;
        batch normalisation in training mode or other coupling of samples, unless declared.

    Notes
    -----
    A linear map's gradient for sample n is sum_t delta_nt a_nt^T, so that inner products follow
    from those of activations a and of gradients delta at the map's output, in whichever order is
    cheaper; a convolution is a linear map of its patches. A parameter that is used several times
    adds up over its uses. Goodfellow, "Efficient per-example gradient computations",
    arXiv:1510.01799; Li et al., "Large language models can be strong differentially private
    learners", arXiv:2110.05679, for further axes.

    Which rows belong to which sample is found by a second pass with unequal weights, under which
    the gradients of independent samples scale one by one. What does not scale so is refused.
    """
    losses, main = _checked(losses, main)
    check_choice(method, "method", ("auto", "ghost", "vmap"))
    check_eps(eps)
    order = [losses[main], *(loss for name, loss in losses.items() if name != main)]
    parameters = _parameters(model, modules)
    each = order[0].ndim == 1
    if method != "ghost" and not each:
        raise ValueError(
            f"losses must have shape (N,) for method={method!r}, found scalars; compute them with "
            "reduction='none', or pass method='ghost'"
        )
    if method != "vmap":
        try:
            found = uses(order, parameters)
        except ValueError:
            if method == "ghost":
                raise
        else:
            count = len(order[0]) if each else samples or _fewest(found)
            return cosines(_ghost(order, found, parameters, count, coupled), eps)
    return cosines(_by_sample(order, list(parameters.values())), eps)


def _ghost(order, found, parameters, count, coupled):
    """Gramians (N, K, K) from activations and deltas."""
    if not coupled and coupling(order, [use.edge.node for use in found]):
        raise ValueError(
            "model must not couple samples, found batch normalisation in training mode; call "
            "model.eval(), or pass coupled=True for what rows contribute to the batch's gradient"
        )
    deltas = _deltas(order, found, None)
    lasts = [False] * len(found)
    if order[0].ndim == 1 and not coupled:
        weights = torch.linspace(1, 2, count, device=order[0].device)
        lasts = [
            _positions_first(*both, weights, use.parameter)
            for use, *both in zip(found, deltas, _deltas(order, found, weights), strict=True)
        ]
    wide = widest(order[0].device)
    gram = torch.zeros(count, len(order), len(order), dtype=wide, device=order[0].device)
    for name, parameter in parameters.items():
        mine = [i for i, use in enumerate(found) if use.parameter == name]
        if len({found[i].turned for i in mine}) > 1:
            raise ValueError(
                f"{name!r} must not be used both as it is and transposed for method='ghost'; leave "
                "it out with modules=, or pass method='vmap'"
            )
        if mine:
            parts = [(found[i], deltas[i], lasts[i]) for i in mine]
            _add(gram, parts, parameter, name)
    return gram


def _deltas(order, found, weights):
    """For each use its deltas (K, rows, ...), weighted sample by sample; None if none arrives."""
    scalars = [
        loss.sum() if weights is None else (loss * weights.to(loss.dtype)).sum() for loss in order
    ]
    columns = zip(*reached(scalars, [use.edge for use in found]), strict=True)
    return [_stacked(use, column) for use, column in zip(found, columns, strict=True)]


def _stacked(use, column):
    like = next((one for one in column if one is not None), None)
    if like is None:
        return None
    whole = torch.stack([torch.zeros_like(like) if one is None else one for one in column])
    return whole if use.spatial else whole.flatten(1, -2)


def _positions_first(plain, weighted, weights, name):
    """Whether rows run over the samples within positions, and not the other way round.

    Raises ValueError if neither fits, as where samples are coupled.
    """
    if plain is None:
        return False
    rows, count = plain.shape[1], len(weights)
    tolerance = min(0.2, _LOOSE * torch.finfo(plain.dtype).eps)
    plain, weighted = (delta.flatten(2).to(weights.dtype) for delta in (plain, weighted))
    for last, each in ((False, weights.repeat_interleave(rows // count)),
                       (True, weights.repeat(rows // count))):
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


def _add(gram, parts, parameter, name):
    """Add the inner products of one parameter's gradients, over all of its uses."""
    parts = [part for part in parts if part[1] is not None]
    count = len(gram)
    positions = 0
    for use, delta, _ in parts:
        rows, width = delta.shape[1], delta.shape[2]
        if rows % count or (parameter.ndim == 1 and width != len(parameter)):
            raise ValueError(
                f"{name!r} must be used for each of the {count} samples alike for method='ghost', "
                f"found {rows} rows of {width}; leave it out with modules=, or pass method='vmap'"
            )
        positions += delta[0].numel() // (count * width)
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


def _by_sample(order, parameters):
    """Gramians (N, K, K) from backward passes of single samples, several at a time."""
    first = order[0]
    count, size = len(first), sum(map(torch.Tensor.numel, parameters))
    step = max(1, _BLOCK_BYTES // (size * max(p.element_size() for p in parameters)))
    blocks = []
    for start in range(0, count, step):
        chosen = torch.eye(count, dtype=first.dtype, device=first.device)[start : start + step]
        rows = []
        for loss in order:
            found = (None,) * len(parameters)
            if loss.requires_grad:
                found = torch.autograd.grad(
                    loss, parameters, chosen.to(loss.dtype),
                    retain_graph=True, allow_unused=True, is_grads_batched=True,
                )  # fmt: skip
            rows.append(
                [
                    p.new_zeros(len(chosen), *p.shape) if one is None else one
                    for p, one in zip(parameters, found, strict=True)
                ]
            )
        blocks.append(sample_gramian(rows))
    return torch.cat(blocks)


def _fewest(found):
    """The smallest batch that an operator has seen."""
    shapes = [use.edge.node._input_metadata[0].shape for use in found]
    return min(shape[0] for shape in shapes) if shapes else 1


def _parameters(model, modules):
    """The named parameters that require a gradient, of some modules or all."""
    named = {name: p for name, p in model.named_parameters() if p.requires_grad}
    if modules is not None:
        chosen = (modules,) if isinstance(modules, str | nn.Module) else tuple(modules)
        kept = {
            id(p)
            for place, point in enumerate(chosen)
            for p in resolve(model, point, f"modules[{place}]")[0].parameters()
        }
        named = {name: p for name, p in named.items() if id(p) in kept}
    if not named:
        raise ValueError("modules must hold parameters that require a gradient, found none")
    return named


def _checked(losses, main):
    """The losses, all (N,) or all scalars, and the name of the main one."""
    if not isinstance(losses, Mapping) or len(losses) < 2:
        found = list(losses) if isinstance(losses, Mapping) else type(losses).__name__
        raise ValueError(f"losses must map at least two names to tensors, found {found}")
    main = next(iter(losses)) if main is None else main
    if main not in losses:
        raise ValueError(f"main must be one of {list(losses)}, found {main!r}")
    shapes = {tuple(loss.shape) for loss in losses.values() if isinstance(loss, Tensor)}
    fit = all(isinstance(loss, Tensor) and loss.is_floating_point() for loss in losses.values())
    if not fit or len(shapes) > 1 or any(len(shape) > 1 or 0 in shape for shape in shapes):
        raise ValueError(
            "losses must be real tensors of one shape (N,), a loss for each sample, found shapes "
            f"{[tuple(getattr(loss, 'shape', ('no tensor',))) for loss in losses.values()]}; "
            "compute them with reduction='none', and take means over further axes"
        )
    return losses, main
