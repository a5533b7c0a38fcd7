"""SCOPE's balanced fusion from explicit matrices: edges one by one, and powers of the whole A."""

import torch


def linked(graphs, rows, columns):
    """Which of `columns` each of `rows` is linked to in any graph, bool (rows, columns)."""
    found = torch.zeros(rows, columns, dtype=torch.bool)
    for graph in graphs:
        for i in range(rows):
            for slot in range(graph.index.shape[1]):
                if graph.valid[i, slot]:
                    found[i, graph.index[i, slot]] = True
    return found


def blocks(graphs, inner, batch, reference):
    """M and who may be seen at all, bool (N, N): [[diagonal, any], [nothing, any]] if reference."""
    if not reference:
        M, seen = linked(graphs, batch, batch), torch.ones(batch, batch, dtype=torch.bool)
    else:
        nothing = torch.zeros(reference, batch, dtype=torch.bool)
        own = torch.eye(batch, dtype=torch.bool)
        W, among = linked(graphs, batch, reference), linked(inner, reference, reference)
        M = torch.cat([torch.cat([own, W], 1), torch.cat([nothing, among], 1)])
        every = [torch.ones_like(W), torch.ones_like(among)]
        seen = torch.cat([torch.cat([own, every[0]], 1), torch.cat([nothing, every[1]], 1)])
    return M | torch.eye(len(M), dtype=torch.bool), seen


def attention(query, key, M, seen, mask):
    """Dense A (N, N)."""
    scores = query @ key.T / query.shape[1] ** 0.5
    if mask == "printed":
        inner = torch.where(seen, scores, -torch.inf).softmax(1)
        return torch.where(seen, M * inner, -torch.inf).softmax(1)
    return torch.where(M, scores, -torch.inf).softmax(1)


def diffusion(A, form, steps, xi):
    """A~ (N, N)."""
    s = [xi * (1 - xi) ** t for t in range(steps + 1)]
    total = sum(c * torch.linalg.matrix_power(A, t) for t, c in enumerate(s))
    return total / sum(s) if form == "renormalised" else total
