"""Slow and obvious gradients: one backward pass for each loss, or for each sample and loss."""

import numpy as np
import torch


def gradient(loss, tensors):
    """The gradient at all tensors as one vector, float64."""
    found = torch.autograd.grad(loss, tensors, retain_graph=True, allow_unused=True)
    parts = [torch.zeros_like(t) if g is None else g for t, g in zip(tensors, found, strict=True)]
    return torch.cat([part.reshape(-1) for part in parts]).double().numpy(force=True)


def gram(losses, tensors):
    """(K, K) inner products of the losses' gradients."""
    rows = np.stack([gradient(loss, tensors) for loss in losses])
    return rows @ rows.T


def sample_gram(losses, parameters):
    """(N, K, K) for losses of shape (N,), a backward pass for each entry."""
    parameters = list(parameters)
    return np.stack([gram([loss[n] for loss in losses], parameters) for n in range(len(losses[0]))])


def cosines(gram):
    """(..., L) of the others with the first."""
    norms = np.sqrt(np.diagonal(gram, axis1=-2, axis2=-1))
    return gram[..., 0, 1:] / (norms[..., :1] * norms[..., 1:])
