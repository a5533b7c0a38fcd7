"""Slow and obvious versions of attention over a graph and of the ways to propagate over it."""

import numpy as np


def softmax(row):
    raised = np.exp(row - row.max())
    return raised / raised.sum()


def attention(query, key, edges, mask):
    """Dense A (N, N)."""
    nodes, width = query.shape
    scores = query @ key.T / np.sqrt(width)
    allowed = np.zeros((nodes, nodes), bool)
    for i, j in np.asarray(edges).T:
        allowed[i, j] = True
    if mask == "printed":
        inner = np.array([softmax(row) for row in scores])
        return np.array([softmax(row) for row in allowed * inner])
    return np.array([softmax(row) for row in np.where(allowed, scores, -np.inf)])


def propagated(x, A, form, steps, xi):
    """x after T steps, each form in its own words."""
    if form == "stack":
        for _ in range(steps):
            x = A @ x
        return x
    if form == "iterated":
        z = x
        for _ in range(steps):
            z = (1 - xi) * A @ z + xi * x
        return z
    total, weights, hop = np.zeros_like(x), 0.0, x
    for t in range(steps + 1):
        total, weights = total + xi * (1 - xi) ** t * hop, weights + xi * (1 - xi) ** t
        hop = A @ hop
    return {"residual": x + total, "truncated": total, "renormalised": total / weights}[form]


def ring(nodes, mode):
    """Both directions of a ring, and x_i = sin(2 pi m i / n) with its eigenvalue 2 - 2 cos."""
    i = np.arange(nodes)
    edges = np.array([[*i, *i], [*((i + 1) % nodes), *((i - 1) % nodes)]])
    angle = 2 * np.pi * mode / nodes
    return edges, np.sin(angle * i)[:, None], 2 - 2 * np.cos(angle)


def ring_factor(form, a, steps, xi):
    """By what a mode with the eigenvalue a is multiplied, geometric series summed by hand."""
    q = (1 - xi) * a
    series = xi * (1 - q ** (steps + 1)) / (1 - q)
    return {
        "stack": a**steps,
        "residual": 1 + series,
        "truncated": series,
        "renormalised": series / (1 - (1 - xi) ** (steps + 1)),
        "iterated": xi * (1 - q**steps) / (1 - q) + q**steps,
    }[form]
