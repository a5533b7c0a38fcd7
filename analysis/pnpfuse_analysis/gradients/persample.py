"""Conflict between losses at parameters, sample by sample."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn

from pnpfuse_analysis.samples import check_choice

from .conflict import GradReport, Tally, check_eps, cosines, gramian, sample_gramian
from .coupling import BY_WORD, coupling
from .ghost import ghost_gramian
from .passes import filled, reached
from .points import check_flag, check_model, kept_graph
from .taps import resolve
from .uses import Unfit, uses

# Bytes of single samples' gradients at a time.
_BLOCK_BYTES = 64 << 20

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
        The losses of each sample, with their graphs. "ghost" takes scalars as well, means or sums
        over the samples; then it cannot find out whether these are coupled.
    modules : None, or sequence of str or nn.Module
        The modules whose parameters count; None takes all that require a gradient.
    main : str or None
        The loss that the others are compared with; None takes the first.
    method : {"auto", "ghost", "vmap"}
        "ghost" works for parameters of linear maps, convolutions and layer normalisation, and
        costs two passes back through the activations for each loss. "vmap" runs N backward
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
    order, names = _ordered(losses, main)
    check_eps(eps)
    options = {"method": method, "samples": samples, "coupled": coupled}
    return cosines(_gramians(order, _parameters(model, modules), **options), eps)


def sample_param_report(
    model: nn.Module,
    losses: Mapping[str, Tensor],
    modules: Any = None,
    *,
    main: str | None = None,
    method: Method = "auto",
    samples: int | None = None,
    eps: float = 0.0,
    coupled: bool = False,
) -> GradReport:
    """Return the whole report of which `sample_param_cosine` is a part.

    Arguments and errors are those of `sample_param_cosine`. `gram`, `norms` and `cosine` are those
    of the summed losses, which takes one backward pass more for each; unlike at activations, the
    samples' inner products do not sum to them.
    """
    order, names = _ordered(losses, main)
    check_eps(eps)
    parameters = _parameters(model, modules)
    options = {"method": method, "samples": samples, "coupled": coupled}
    sample_gram = _gramians(order, parameters, **options)
    sample_cosine = cosines(sample_gram, eps)
    points = list(parameters.values())
    rows = filled(points, reached([loss.sum() for loss in order], points))
    counts = Tally.of(sample_gram.sum(0), sample_cosine).counts
    return Tally(gramian(rows), counts).report(
        names[0],
        names[1:],
        eps,
        sample_cosine=sample_cosine,
        sample_gram=sample_gram,
        warnings=(BY_WORD,) if coupled else (),
    )


def _gramians(order, parameters, method, samples, coupled):
    """Gramians (N, K, K) by the method that fits."""
    check_choice(method, "method", ("auto", "ghost", "vmap"))
    check_flag(coupled, "coupled")
    each = order[0].ndim == 1
    if method == "vmap" and not each:
        raise ValueError(
            "losses must have shape (N,) for method='vmap', found scalars; compute them with "
            "reduction='none'"
        )
    if method != "vmap":
        try:
            return _by_ghost(order, parameters, samples, coupled)
        except Unfit:
            if method == "ghost" or not each:
                raise
    _refuse_coupling(order, parameters.values(), coupled)
    return _by_sample(order, list(parameters.values()))


def _by_ghost(order, parameters, samples, coupled):
    """Gramians (N, K, K) from activations and the gradients behind them."""
    with kept_graph():
        found = uses(order, parameters)
    if not found:
        raise ValueError("losses must depend on the model's parameters, found none that does")
    _refuse_coupling(order, [use.edge.node for use in found], coupled)
    return ghost_gramian(order, found, parameters, samples, coupled)


def _refuse_coupling(order, points, coupled):
    if not coupled and coupling(order, points):
        raise ValueError(
            "model must not couple samples, found batch normalisation in training mode; call "
            "model.eval(), or pass coupled=True"
        )


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
                with kept_graph():
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


def _parameters(model, modules):
    """The named parameters that require a gradient, of some modules or all."""
    check_model(model)
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


def _ordered(losses, main):
    """The losses, all (N,) or all scalars, and their names, the main one first."""
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
    names = (main, *(name for name in losses if name != main))
    return [losses[name] for name in names], names
