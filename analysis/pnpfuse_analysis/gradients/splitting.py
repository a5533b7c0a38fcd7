"""Gradients of several losses at a tensor from one ordinary backward pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.modules.module import register_module_forward_pre_hook

from .ancestry import in_backward_call
from .conflict import GradReport, check_eps, compare, inverse, products
from .coupling import BY_WORD, OPERATOR, normalises
from .magnitude import unit
from .passes import filled
from .points import as_points, check_axis, check_dim, check_flag, check_names


class split_gradients:
    """Give each loss its own alias of z, and compare what comes back through them.

    The training loop stays as it is, but for the alias that each loss is computed from: one
    ordinary backward pass of the total leaves the gradient of every loss at z, with no pass of its
    own. Inside the context the aliases stand in for z::

        split = split_gradients(z, ["task", "rebuild"])
        with split as parts:
            total = task(parts["task"]) + rebuild(parts["rebuild"])
            total.backward()
        report = split.report()

    Parameters
    ----------
    z : Tensor, or sequence or mapping of Tensor
        What the losses share. Several tensors, as those of several modalities, count as one.
    names : sequence of str
        The losses; the first is the main one unless `report` is told otherwise.
    batch_dim : int
        The axis of samples, of the same length in every tensor.
    per_sample : bool
        Compare sample by sample.
    scale : None, number, scalar Tensor or GradScaler
        What the total is multiplied by before its backward pass: inner products are divided by
        its square. Cosines do not mind. Read when the context is entered.
    coupled : bool
        The losses couple the samples of a batch by comparing them with each other: the report
        warns of it, as it does by itself of modules of batch normalisation in training mode that
        ran inside the context (a plain function it cannot see).

    Attributes
    ----------
    gradients : dict of str to tuple of Tensor
        The gradient of each loss at every tensor of z, zero where none arrived: bit for bit what
        `torch.autograd.grad` gives for the loss as it stands in the total, weight included.

    Raises
    ------
    ValueError
        For names that are not at least two different strings; a z that is not real, does not
        require a gradient or has no axis batch_dim; or, in `report`, if no call of `backward` came
        through, or z was changed in place in between.

    Notes
    -----
    What counts is what `backward` brings. `torch.autograd.grad` does not count, with a graph or
    without: inside the context it serves to make a loss, as a gradient penalty, or to weigh one.

    Backward passes add up, as in `.grad`: of several passes, or of several losses that share a
    name. For the micro-batches of an accumulated step take one `split_gradients` each: their
    Gramians add up. Works under autocast, and when the head is recomputed by checkpointing.
    Nothing waits for the device. On exit the hooks are removed, whatever happened inside.

    An operation in place on an alias (as `ReLU(inplace=True)` for the first layer of a head) would
    change z for all losses, and is refused.
    """

    def __init__(
        self,
        z: Tensor | Sequence[Tensor] | Mapping[str, Tensor],
        names: Sequence[str],
        *,
        batch_dim: int = 0,
        per_sample: bool = True,
        scale: Any = None,
        coupled: bool = False,
    ):
        check_flag(per_sample, "per_sample")
        check_flag(coupled, "coupled")
        check_dim(batch_dim)
        self._z = z
        self._tensors = as_points(z, "z")
        if per_sample:
            check_axis(self._tensors, batch_dim, "z")
        self._names = check_names(names, "names")
        self._batch_dim = batch_dim if per_sample else None
        self._scale = scale
        self._coupled = coupled
        self._handles: list[Any] = []
        self._versions = [tensor._version for tensor in self._tensors]
        self._found: dict[str, list[Tensor | None]] = {}
        self._normalised = False

    def __enter__(self) -> dict[str, Any]:
        """Return for each loss what stands in for z, of z's own form."""
        if not torch.is_grad_enabled():
            raise ValueError("z must be used where gradients are recorded, found torch.no_grad()")
        self.__exit__()
        self._versions = [tensor._version for tensor in self._tensors]
        self._factor = inverse(self._scale, self._tensors[0].device)
        self._found = {name: [None] * len(self._tensors) for name in self._names}
        self._normalised = False
        # Only the total knows the graph above z, and it is not handed in: modules are watched.
        self._handles.append(register_module_forward_pre_hook(self._watch))
        return {name: self._alias(name) for name in self._names}

    def __exit__(self, *_: object) -> None:
        while self._handles:
            self._handles.pop().remove()

    def _watch(self, module, _):
        self._normalised |= normalises(module)

    def _alias(self, name):
        """A view of z, or of each of its tensors, whose gradients are kept under the name."""
        aliases = [tensor.view_as(tensor) for tensor in self._tensors]
        for place, alias in enumerate(aliases):
            self._handles.append(alias.register_hook(self._keeper(self._found[name], place)))
        if isinstance(self._z, Tensor):
            return aliases[0]
        if isinstance(self._z, Mapping):
            return dict(zip(self._z, aliases, strict=True))
        return tuple(aliases)

    def _keeper(self, found, place):
        tensor, version = self._tensors[place], self._versions[place]

        def keep(gradient):
            if not in_backward_call(tensor):
                return
            _check_unchanged(tensor, version)
            gradient = gradient.detach()
            # A copy: autograd may hand the memory on, to be added to.
            found[place] = gradient.clone() if found[place] is None else found[place] + gradient

        return keep

    @property
    def gradients(self) -> dict[str, tuple[Tensor, ...]]:
        """The gradient of each loss at every tensor of z."""
        if not any(one is not None for each in self._found.values() for one in each):
            for tensor, version in zip(self._tensors, self._versions, strict=True):
                _check_unchanged(tensor, version)
            raise ValueError(
                "z must have had a backward pass through its aliases, found none; compute the "
                "losses from what the context hands out, and call backward() inside it "
                "(torch.autograd.grad does not count)"
            )
        rows = filled(self._tensors, list(self._found.values()))
        return dict(zip(self._found, rows, strict=True))

    def report(self, main: str | None = None, *, eps: float = 0.0) -> GradReport:
        """Return the report on the gradients that have arrived.

        Parameters
        ----------
        main : str or None
            The loss that the others are compared with; None takes the first.
        eps : float
            A gradient of norm <= eps has no direction.

        Raises
        ------
        ValueError
            If main is none of the names, eps is not a number >= 0, or no gradient has arrived.
        """
        main = self._names[0] if main is None else main
        if main not in self._names:
            raise ValueError(f"main must be one of {list(self._names)}, found {main!r}")
        check_eps(eps)
        gradients = self.gradients
        names = tuple(name for name in self._names if name != main)
        rows, sizes = unit([gradients[name] for name in (main, *names)])
        return compare(
            products(rows, self._batch_dim),
            main,
            names,
            eps=eps,
            sizes=sizes * self._factor,
            warnings=(BY_WORD,) * self._coupled + (OPERATOR,) * self._normalised,
        )


def _check_unchanged(tensor, version):
    if tensor._version != version:
        raise ValueError(
            "z must not be changed in place before the backward pass, found "
            f"{tensor._version - version} such change(s); replace the operation in place at the "
            "start of a head, as ReLU(inplace=True), by one that is not"
        )
