"""Where the graph of autograd uses a parameter, and what its gradient is made of there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from torch import Tensor
from torch.autograd.graph import GradientEdge, Node
from torch.nn import functional as F

from .coupling import nodes

# Between a parameter and its use; True where it turns a matrix around.
_TRANSPARENT = {
    "ToCopyBackward0": False,
    "AliasBackward0": False,
    "TBackward0": True,
    "TransposeBackward0": True,
}


class Use(NamedTuple):
    """One operator that takes a parameter.

    Attributes
    ----------
    parameter : str
    edge : GradientEdge
        Where the gradient delta with respect to the operator's output arrives.
    factors : callable
        Takes delta and rows of it, returns activations (m, g, T, i), or None for a bias, and deltas
        (m, g, T, o): a row's gradient is sum_T delta activation^T for each of g groups, and that
        of a bias sum_T delta.
    spatial : bool
        Whether the axes of delta are (rows, channels, ...), else (..., channels).
    turned : bool
        Whether the operator takes the matrix transposed.
    """

    parameter: str
    edge: GradientEdge
    factors: Callable[[Tensor, Tensor], tuple[Tensor | None, Tensor]]
    spatial: bool
    turned: bool


def uses(losses: Iterable[Tensor], parameters: Mapping[str, Tensor]) -> list[Use]:
    """Return all uses of the parameters that the losses depend on.

    Raises
    ------
    ValueError
        If one of them is used by another operator than a linear map, a convolution or layer
        normalisation.
    """
    above: dict[Node, list[tuple[Node, int]]] = {}
    leaves: dict[int, Node] = {}
    for node in nodes(losses):
        if hasattr(node, "variable"):
            leaves[id(node.variable)] = node
        for slot, (below, _) in enumerate(node.next_functions):
            if below is not None:
                above.setdefault(below, []).append((node, slot))
    found = []
    for name, parameter in parameters.items():
        if id(parameter) not in leaves:
            continue
        waiting = [(leaves[id(parameter)], False)]
        while waiting:
            below, turned = waiting.pop()
            for node, slot in above.get(below, ()):
                if node.name() in _TRANSPARENT:
                    waiting.append((node, turned != _TRANSPARENT[node.name()]))
                else:
                    factors = _factors(node, slot, parameter)
                    if factors is None:
                        raise ValueError(
                            f"{name!r} must be used by linear maps, convolutions and layer "
                            f"normalisation only for method='ghost', found {node.name()}; leave it out with modules=, or "
                            "pass method='vmap'"
                        )
                    found.append(Use(name, GradientEdge(node, 0), factors, _spatial(node), turned))
    return found


def _factors(node, slot, parameter):
    """The factors of a parameter in one slot of an operator, or None if that is not known."""
    kind = node.name()
    if kind == "AddmmBackward0" and node._saved_alpha == 1 and node._saved_beta == 1:
        if slot == 2:
            return _linear(node._saved_mat1)
        return _bias if slot == 0 and parameter.ndim == 1 else None
    if kind == "MmBackward0" and slot == 1:
        return _linear(node._saved_self)
    if kind == "AddBackward0" and parameter.ndim == 1 and (slot == 0 or node._saved_alpha == 1):
        return _bias
    if kind == "NativeLayerNormBackward0" and parameter.ndim == 1:
        return _scale(node) if slot == 1 else _bias
    if _spatial(node) and not node._saved_transposed and slot > 0:
        return _convolution(node) if slot == 1 else _channels
    return None


def _spatial(node):
    return node.name() == "ConvolutionBackward0"


def _linear(activation):
    def factors(delta, rows):
        return activation[rows, None, None, :], delta[rows, None, None, :]

    return factors


def _bias(delta, rows):
    """A bias along the last axis."""
    return None, delta[rows, None, None, :]


def _scale(node):
    """The scale of layer normalisation: a bias to what has been multiplied by it."""

    def factors(delta, rows):
        normal = (node._saved_input - node._saved_result1) * node._saved_result2
        return None, (delta * normal.reshape(delta.shape))[rows, None, None, :]

    return factors


def _channels(delta, rows):
    """A bias along the axis of channels."""
    return None, delta[rows].flatten(2).mT[:, None]


def _convolution(node):
    groups, weight = node._saved_groups, node._saved_weight
    size, dims = weight.shape[2:], weight.ndim - 2
    stride, padding, dilation = node._saved_stride, node._saved_padding, node._saved_dilation

    def factors(delta, rows):
        around = [pad for side in reversed(padding) for pad in (side, side)]
        patches = F.pad(node._saved_input[rows], around)  # (m, c, *space)
        for axis in range(dims):
            reach = dilation[axis] * (size[axis] - 1) + 1
            patches = patches.unfold(2 + axis, reach, stride[axis])
            patches = patches[..., :: dilation[axis]]  # (m, c, *places, *window so far)
        m, c = patches.shape[:2]
        patches = patches.flatten(2, 1 + dims)  # (m, c, T, *window)
        patches = patches.reshape(m, groups, c // groups, *patches.shape[2:])
        patches = patches.transpose(2, 3).flatten(3)  # (m, g, T, c / g * window)
        outer = delta[rows].reshape(m, groups, delta.shape[1] // groups, -1).mT
        return patches, outer  # (m, g, T, o / g)

    return factors
