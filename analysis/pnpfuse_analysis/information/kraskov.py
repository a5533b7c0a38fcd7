"""Entropy and information from nearest-neighbour distances: local values (N,), in nats.

Samples are float64 tensors (N, d) on one device. Nothing is standardised or clipped here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from pnpfuse_analysis.neighbours import Engine, Metric, choose_engine, count_within, nearest


def kl_entropy(
    x: Tensor, k: int, metric: Metric = "l2", engine: Engine = "auto", chunk: int | None = None
) -> Tensor:
    """Return the Kozachenko-Leonenko entropy of samples (N, d): local values (N,), nats.

    h_i = psi(N) - psi(k) + log c_d + d log eps_i, with eps_i the distance to the k-th neighbour and
    c_d the volume of the unit ball; -inf for a sample with k exact copies. Kozachenko and Leonenko,
    Probl. Inf. Transm. 23 (1987) 95, as in Kraskov et al., Phys. Rev. E 69 (2004) 066138, Eq. (20).
    """
    n, d = x.shape
    radius = nearest(x, k, metric=metric, engine=engine, chunk=chunk).distances[:, -1]
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
    return ksg_total((x, y), k, engine, chunk)


def ksg_total(
    parts: Sequence[Tensor], k: int, engine: Engine = "auto", chunk: int | None = None
) -> Tensor:
    """Return the KSG total correlation of M >= 2 parts (N, d_m): local values (N,), nats.

    i_i = psi(k) + (M - 1) psi(N) - sum_m psi(n_m + 1), with counts as in `ksg_information`:
    Kraskov et al., Phys. Rev. E 69 (2004) 066138, Eq. (23).
    """
    n = len(parts[0])
    inside = sum(_psi_inside(parts, [(part,) for part in parts], k, engine, chunk))
    return digamma(k) + (len(parts) - 1) * digamma(n) - inside


def ksg_conditional(
    x: Tensor, y: Tensor, z: Tensor, k: int, engine: Engine = "auto", chunk: int | None = None
) -> Tensor:
    """Return the KSG information of x and y given z, all (N, d): local values (N,), nats.

    i_i = psi(k) - psi(n_xz + 1) - psi(n_yz + 1) + psi(n_z + 1), with counts strictly nearer than
    the k-th neighbour in (x, y, z): Frenzel and Pompe, Phys. Rev. Lett. 99 (2007) 204101.
    """
    xz, yz, alone = _psi_inside((x, y, z), [(x, z), (y, z), (z,)], k, engine, chunk)
    return digamma(k) - xz - yz + alone


def ross_information(
    labels: Tensor, x: Tensor, k: int, engine: Engine = "auto", chunk: int | None = None
) -> Tensor:
    """Return the information of labels (N,) and samples (N, d): local values (N',), nats.

    i_i = psi(N') + psi(k_i) - psi(N_i) - psi(m_i + 1): among the N_i samples with the label of i,
    the k_i-th neighbour bounds a ball with m_i other samples of any label strictly inside, and
    k_i = min(k, N_i - 1). Ross, PLoS ONE 9 (2014) e87357. A sample alone with its label has no such
    neighbour and is left out, as in scikit-learn, so N' <= N.

    Raises
    ------
    ValueError
        If no label occurs twice.
    """
    _, label, sizes = torch.unique(labels, return_inverse=True, return_counts=True)
    kept = sizes[label] > 1
    x, label = x[kept], label[kept]
    if not len(x):
        raise ValueError(
            f"labels must repeat, found {len(labels)} that occur once each; a continuous variable "
            "needs a continuous estimator"
        )
    near = (sizes - 1).clamp(max=k)
    radius = x.new_empty(len(x))
    for which in label.unique():
        rows, own = label == which, int(near[which])
        found = nearest(x[rows], own, metric="max", engine=engine, chunk=chunk)
        radius[rows] = found.distances[:, -1]
    inside = count_within(x, radius, engine=engine, chunk=chunk)
    of_label = _psi(near, x) - _psi(sizes, x)
    return digamma(len(x)) + of_label[label] - _psi(inside + 1, x)


def mixed_information(
    x: Tensor, y: Tensor, k: int, engine: Engine = "auto", chunk: int | None = None
) -> Tensor:
    """Return the information between variables that may be discrete, continuous or mixtures.

    i_i = psi(k_i) + log N - psi(n_x) - psi(n_y), nats, local values (N,): as in `ksg_information`,
    n_x and n_y being counts + 1, except where the k-th neighbour is an exact copy. There k_i, n_x
    and n_y are the samples equal to this one in both, in x and in y, itself included. Gao, Kannan,
    Oh and Viswanath, NeurIPS 2017, arXiv:1709.06212, with psi(n) in place of log(n + 1), which
    would be too low by as much as log(k + 1) - psi(k): 0.46 nats for k = 3.
    """
    joint = torch.cat((x, y), 1)
    fixed = choose_engine(engine, joint, k)
    radius = nearest(joint, k, metric="max", engine=fixed, chunk=chunk).distances[:, -1]
    # Nothing but copies lies nearer than the smallest positive number.
    least = torch.nextafter(torch.zeros_like(radius), torch.ones_like(radius))
    copied = torch.where(radius > 0, 0, least)
    near = count_within(joint, copied, engine=fixed, chunk=chunk) + 1
    near = torch.where(radius > 0, k, near)
    reach = torch.maximum(radius, least)
    around = [count_within(part, reach, engine=fixed, chunk=chunk) + 1 for part in (x, y)]
    return _psi(near, x) + math.log(len(x)) - sum(_psi(size, x) for size in around)


def digamma(n: int) -> float:
    """Return psi(n)."""
    return float(torch.special.digamma(torch.tensor(float(n), dtype=torch.float64)))


def _psi(count, like):
    """Psi of counts, in the dtype of the samples."""
    return torch.special.digamma(count.to(like.dtype))


def _psi_inside(parts, spaces, k, engine, chunk):
    """For each space, a tuple of parts: psi(n + 1) of how many lie nearer there than in all."""
    joint = torch.cat(tuple(parts), 1)
    fixed = choose_engine(engine, joint, k)
    radius = nearest(joint, k, metric="max", engine=fixed, chunk=chunk).distances[:, -1]
    # n >= k - 1 for the k - 1 nearer ones, unless copies brought the radius to 0.
    for space in spaces:
        alone = space[0] if len(space) == 1 else torch.cat(space, 1)
        yield _psi(count_within(alone, radius, engine=fixed, chunk=chunk) + 1, joint)
