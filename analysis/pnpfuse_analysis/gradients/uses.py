"""Where the graph of autograd uses a parameter, and what its gradient is made of there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from torch import Tensor
from torch.autograd.graph import GradientEdge
from torch.nn import functional as F

from .ancestry import leaves, nodes, users

# Between a parameter and its use; True where it turns a matrix around.
_TRANSPARENT = {
    "ToCopyBackward0": False,
    "AliasBackward0": False,
    "TBackward0": True,
    "TransposeBackward0": True,
}


class Unfit(ValueError):
    """A parameter that is used in a way which cannot be taken apart."""


class Use(NamedTuple):
    """One operator that takes a parameter.

    Attributes
    ----------
    parameter : str
    edge : GradientEdge
        Where the gradient delta with respect to the operator's output arrives.
    activation : callable or None
        Takes rows, returns activations (m, g, T, i). None for a bias.
    outer : callable
        Takes delta and rows, returns deltas (m, g, T, o): a row's gradient is
        sum_T delta activation^T for each of g groups, that of a bias sum_T delta.
    groups : int
        g
    spatial : bool
        Whether the axes of delta are (rows, channels, ...), else (..., channels).
    """

    parameter: str
    edge: GradientEdge
    activation: Callable[[slice | Tensor], Tensor] | None
    outer: Callable[[Tensor, slice | Tensor], Tensor]
    groups: int
    spatial: bool


def uses(losses: Iterable[Tensor], parameters: Mapping[str, Tensor]) -> list[Use]:
    """Return all uses of the parameters that the losses depend on.

    Raises
    ------
    Unfit
        If one of them is used by another operator than a linear map, a convolution or layer
        normalisation, used both ways round, or hidden by a checkpoint with
        use_reentrant=True.
    """
    if any("CheckpointFunction" in node.name() for node in nodes(losses)):
        raise Unfit(
            "model must show its parameters to autograd for method='ghost', found a checkpoint "
            "that hides some; pass use_reentrant=False to it"
        )
    above, bottom = users(losses), leaves(losses)
    found = []
    for name, parameter in parameters.items():
        if parameter not in bottom:
            continue
        waiting, ways = [(bottom[parameter], False)], set()
        while waiting:
            below, turned = waiting.pop()
            for node, slot in above.get(below, ()):
                if node.name() in _TRANSPARENT:
                    waiting.append((node, turned != _TRANSPARENT[node.name()]))
                else:
                    factors = _factors(node, slot, parameter)
                    if factors is None:
                        raise Unfit(
                            f"{name!r} must be used by linear maps, convolutions and layer "
                            f"normalisation only for method='ghost', found {node.name()}; leave "
                            "it out with modules=, or pass method='vmap'"
                        )
                    edge = GradientEdge(node, 0)
                    activation, outer = factors
                    groups, spatial = _form(node)
                    ways.add(turned)
                    found.append(Use(name, edge, activation, outer, groups, spatial))
        if len(ways) > 1:
            raise Unfit(
                f"{name!r} must not be used both as it is and transposed for method='ghost'; leave "
                "it out with modules=, or pass method='vmap'"
            )
    return found


def _factors(node, slot, parameter):
    """(activation, outer) for a parameter in one slot of an operator, None where not known."""
    kind, vector = node.name(), parameter.ndim == 1
    if kind == "AddmmBackward0" and node._saved_alpha == 1 and node._saved_beta == 1:
        if slot == 2:
            return _linear(node._saved_mat1)
        return (None, _last) if slot == 0 and vector else None
    if kind == "MmBackward0" and slot == 1:
        return _linear(node._saved_self)
    if kind == "AddBackward0" and vector and (slot == 0 or node._saved_alpha == 1):
        return None, _last
    if kind == "NativeLayerNormBackward0" and vector:
        return None, _scale(node) if slot == 1 else _last
    if _convolves(node) and not node._saved_transposed and slot > 0:
        return _convolution(node) if slot == 1 else (None, _channels)
    return None


def _form(node):
    """(groups, spatial) of an operator."""
    return (node._saved_groups, True) if _convolves(node) else (1, False)


def _convolves(node):
    return node.name() == "ConvolutionBackward0"


def _last(delta, rows):
    """Deltas with their channels last."""
    return delta[rows, None, None, :]


def _channels(delta, rows):
    """Deltas with their channels second."""
    return delta[rows].flatten(2).mT[:, None]


def _linear(activation):
    return lambda rows: activation[rows, None, None, :], _last


def _scale(node):
    """The scale of layer normalisation is a bias to what has been multiplied by it."""

    def outer(delta, rows):
        normal = (node._saved_input - node._saved_result1) * node._saved_result2
        return _last(delta * normal.reshape(delta.shape), rows)

    return outer


def _convolution(node):
    groups, weight = node._saved_groups, node._saved_weight
    window, dims = weight.shape[2:], weight.ndim - 2
    stride, padding, dilation = node._saved_stride, node._saved_padding, node._saved_dilation

    def patches(rows):
        around = [pad for side in reversed(padding) for pad in (side, side)]
        found = F.pad(node._saved_input[rows], around)  # (m, c, *space)
        for axis in range(dims):
            reach = dilation[axis] * (window[axis] - 1) + 1
            found = found.unfold(2 + axis, reach, stride[axis])[..., :: dilation[axis]]
        found = found.flatten(2, 1 + dims).flatten(3)  # (m, c, T, window)
        found = found.unflatten(1, (groups, -1))  # (m, g, c / g, T, window)
        return found.transpose(2, 3).flatten(3)  # (m, g, T, c / g * window)

    def outer(delta, rows):
        return delta[rows].flatten(2).unflatten(1, (groups, -1)).mT  # (m, g, T, o / g)

    return patches, outer
