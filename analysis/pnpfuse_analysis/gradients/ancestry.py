"""The graph of autograd, read from the losses down."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor
from torch.autograd.graph import Node, get_gradient_edge


def maker(tensor: Tensor) -> Node:
    """Return the node that makes a tensor, or that collects a leaf's gradient."""
    # A leaf's is found by way of a view, which has no graph in inference mode.
    with torch.inference_mode(False), torch.enable_grad():
        return get_gradient_edge(tensor).node


def nodes(losses: Iterable[Tensor], ends: Iterable[Node] = ()) -> Iterator[Node]:
    """Yield the nodes of the losses' graph, each once, down to before `ends`."""
    seen = set(ends)
    waiting = [loss.grad_fn for loss in losses]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        yield node
        waiting += [below for below, _ in node.next_functions]


def users(losses: Iterable[Tensor], ends: Iterable[Node] = ()) -> dict[Node, list[tuple]]:
    """Return for each node below the losses the nodes that use it: [(user, its slot), ...]."""
    found: dict[Node, list[tuple]] = {}
    for node in nodes(losses, ends):
        for slot, (below, _) in enumerate(node.next_functions):
            if below is not None:
                found.setdefault(below, []).append((node, slot))
    return found


def between(losses: Iterable[Tensor], ends: Iterable[Node]) -> set[Node]:
    """Return the nodes on the ways from the losses to `ends`, without these."""
    ends = set(ends)
    above = users(losses, ends)
    found: set[Node] = set()
    waiting = list(ends)
    while waiting:
        fresh = {user for user, _ in above.get(waiting.pop(), ())} - found
        found |= fresh
        waiting += fresh
    return found


def leaves(losses: Iterable[Tensor]) -> dict[Tensor, Node]:
    """Return the leaves that the losses depend on, with the nodes that collect their gradients."""
    return {node.variable: node for node in nodes(losses) if hasattr(node, "variable")}


def in_backward_call(point: Tensor) -> bool:
    """Whether the pass that runs now adds to `.grad` below a point, as `backward` does.

    To be called from a hook. `torch.autograd.grad` hands its gradients out instead.
    """
    waiting, seen = [maker(point)], set()
    while waiting:
        node = waiting.pop()
        if node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable") and _runs(node):
            return True
        waiting += [below for below, _ in node.next_functions if below is not None]
    return False


def _runs(node):
    try:
        return torch._C._will_engine_execute_node(node)
    except RuntimeError:
        # Refused for a leaf whose gradient torch.autograd.grad is asked for.
        return False
