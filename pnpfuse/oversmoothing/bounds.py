"""What an operator can do to the Dirichlet energy of any features whatever."""

from __future__ import annotations

import torch

from pnpfuse.fusion.arguments import check_count
from pnpfuse.fusion.diffusion import Attention, coefficients
from pnpfuse_analysis.graphs.edges import as_graph
from pnpfuse_analysis.graphs.formats import GraphLike

__all__ = ["energy_bounds"]


def energy_bounds(
    matrix: Attention, edge_index: GraphLike, *, form: str, steps: int, xi: float = 0.3
) -> tuple[float, float]:
    """Least and greatest factor by which a form can change the Dirichlet energy of any features.

    Parameters
    ----------
    matrix : Attention
        Of N nodes; the bounds hold for this one matrix. All is dense here: O(N^3).
    edge_index : Tensor or ndarray of whole numbers, shape (2, E), or another form
        Graph on which energies are measured, as for `pnpfuse_analysis.dirichlet_energy`;
        connected if directions are left aside.
    form, steps, xi
        As for `pnpfuse.fusion.diffusion.coefficients`.

    Returns
    -------
    least, greatest : float
        Both are reached, by the first and last generalised eigenvector of (P^T L P, L), where
        P = sum_t c_t A^t and L is the Laplacian of the graph. For symmetric A that commutes with L
        they are the least and greatest p(a)^2 over the eigenvalues a but one 1; of an attention
        of another kind, nothing but this computation tells.

    Raises
    ------
    ValueError
        If it does not, so that features exist which have no energy to begin with.
    """
    A = matrix.dense().double()  # (N, N)
    powers = [torch.linalg.matrix_power(A, t) for t in range(check_count("steps", steps, 0) + 1)]
    P = sum(c * power for c, power in zip(coefficients(form, steps, xi), powers, strict=True))
    graph = as_graph(A, edge_index)
    W = torch.zeros_like(A).index_put(tuple(graph.edges), graph.weight, accumulate=True)
    W = (W + W.T) / 2
    w, V = torch.linalg.eigh(torch.diag(W.sum(1)) - W)
    if len(w) < 2 or w[1] <= 1e-9 * w[-1]:
        raise ValueError(
            "edge_index must connect all nodes; found several components, or a single node"
        )
    root = w[1:].sqrt()
    seen = (root[:, None] * V[:, 1:].T) @ P @ (V[:, 1:] / root)  # (N - 1, N - 1)
    factors = torch.linalg.svdvals(seen).square()
    return float(factors[-1]), float(factors[0])
