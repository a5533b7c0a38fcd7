"""Entropy and mutual information from nearest-neighbour distances."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .neighbours import Engine, Metric, choose_engine, count_within, nearest


def kl_entropy(x: Tensor, k: int, metric: Metric = "l2", engine: Engine = "auto") -> Tensor:
    """Return the Kozachenko-Leonenko entropy of samples (N, d): local values (N,), nats.

    h_i = psi(N) - psi(k) + log c_d + d log eps_i, with eps_i the distance to the k-th neighbour and
    c_d the volume of the unit ball; -inf for a sample with k exact copies. Kozachenko and Leonenko,
    Probl. Inf. Transm. 23 (1987) 95, as in Kraskov et al., Phys. Rev. E 69 (2004) 066138, Eq. (20).
    """
    n, d = x.shape
    radius = nearest(x, k, metric=metric, engine=engine).distances[:, -1]
    if metric == "max":
        ball = d * math.log(2.0)
    else:
        ball = d / 2 * math.log(math.pi) - math.lgamma(d / 2 + 1)
    return digamma(n) - digamma(k) + ball + d * radius.log()


def ksg_information(
    x: Tensor, y: Tensor, k: int, engine: Engine = "auto", chunk: int | None = None
) -> Tensor:
    """Return the KSG information between samples (N, d_x) and (N, d_y): local values (N,), nats.

    i_i = psi(k) + psi(N) - psi(n_x + 1) - psi(n_y + 1), where n_x and n_y count the samples that
    lie in x alone, or y alone, strictly nearer than the k-th neighbour in both: Kraskov et al.,
    Phys. Rev. E 69 (2004) 066138, Eq. (8). "auto" picks the engine by d_x + d_y.
    """
    joint = torch.cat((x, y), 1)
    fixed = choose_engine(engine, joint)
    radius = nearest(joint, k, metric="max", engine=fixed, chunk=chunk).distances[:, -1]
    within = [count_within(part, radius, engine=fixed, chunk=chunk) for part in (x, y)]
    # n_x, n_y >= k - 1 for the k - 1 nearer ones, unless copies brought the radius to 0.
    inside = sum(torch.special.digamma((count + 1).to(x)) for count in within)
    return digamma(k) + digamma(len(x)) - inside


def digamma(n: int) -> float:
    """Return psi(n)."""
    return float(torch.special.digamma(torch.tensor(float(n), dtype=torch.float64)))
