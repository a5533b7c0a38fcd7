"""Entropy and information from nearest-neighbour distances: local values (N,), in nats.

Samples are float64 tensors (N, d) on one device. Nothing is standardised or clipped here.

Equal values: where the k-th neighbour is one of several at the same distance eps, only k_i - 1 < k
samples lie strictly nearer, and psi(k_i) stands for psi(k): eps is the k_i-th neighbour's distance
too, so that this is the same estimate at another k. Where the k-th neighbour is an exact copy no
sample lies nearer, and the copies are counted instead, the sample itself included, in k_i and in
every space: Gao, Kannan, Oh and Viswanath, NeurIPS 2017, arXiv:1709.06212; given z, Mesner and
Shalizi, IEEE Trans. Inf. Theory 67 (2021) 464, arXiv:1912.03387.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from pnpfuse_analysis.neighbours import Engine, Metric, choose_engine, count_within, nearest
from pnpfuse_analysis.samples import widest

Spaces = Sequence[tuple[Tensor, ...]]


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
    near, inside = _psi_inside(parts, [(part,) for part in parts], k, engine, chunk)
    return near + (len(parts) - 1) * digamma(len(parts[0])) - sum(inside)


def ksg_conditional(
    x: Tensor, y: Tensor, z: Tensor, k: int, engine: Engine = "auto", chunk: int | None = None
) -> Tensor:
    """Return the KSG information of x and y given z, all (N, d): local values (N,), nats.

    i_i = psi(k) - psi(n_xz + 1) - psi(n_yz + 1) + psi(n_z + 1), with counts strictly nearer than
    the k-th neighbour in (x, y, z): Frenzel and Pompe, Phys. Rev. Lett. 99 (2007) 204101.
    """
    near, (xz, yz, alone) = _psi_inside((x, y, z), [(x, z), (y, z), (z,)], k, engine, chunk)
    return near - xz - yz + alone


def ross_information(
    labels: Tensor, x: Tensor, k: int, engine: Engine = "auto", chunk: int | None = None
) -> Tensor:
    """Return the information of labels (N,) and samples (N, d): local values (N',), nats.

    i_i = psi(N') + psi(k_i) - psi(N_i) - psi(m_i + 1): among the N_i samples with the label of i,
    the k_i-th neighbour bounds a ball with m_i other samples of any label strictly inside, and
    k_i = min(k, N_i - 1), or less where distances are equal. Ross, PLoS ONE 9 (2014) e87357. A
    sample alone with its label has no such neighbour and is left out, as in scikit-learn, so
    N' <= N. No value exceeds that of labels which the samples determine: `ross_ceiling`.

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
    radius, near = x.new_empty(len(x)), torch.empty_like(label)
    for which in label.unique():
        rows, own = label == which, min(k, int(sizes[which]) - 1)
        radius[rows], near[rows] = _reach(x[rows], own, engine, chunk)
    inside = count_within(x, radius, engine=engine, chunk=chunk)
    return digamma(len(x)) + _psi(near, x) - _psi(sizes, x)[label] - _psi(inside + 1, x)


def ross_ceiling(labels: Tensor) -> float:
    """Return the largest value of `ross_information` for labels (N,), mean psi(N') - psi(N_i).

    To first order in 1/N it is the entropy of the labels with the Miller-Madow correction.
    """
    sizes = torch.unique(labels, return_counts=True)[1]
    sizes = sizes[sizes > 1].to(widest(labels.device))
    if not len(sizes):
        return 0.0
    n = sizes.sum()
    return float(torch.special.digamma(n) - (sizes / n * torch.special.digamma(sizes)).sum())


def mixed_information(
    x: Tensor, y: Tensor, k: int, engine: Engine = "auto", chunk: int | None = None
) -> Tensor:
    """Return the information between variables that may be discrete, continuous or mixtures.

    i_i = psi(k_i) + log N - psi(n_x + 1) - psi(n_y + 1), nats, local values (N,): Gao et al. as
    above, with psi(n) in place of log(n + 1), which would be too low by as much as log(k + 1) -
    psi(k): 0.46 nats for k = 3. It is `ksg_information` but for log N in place of psi(N).
    """
    n = len(x)
    return ksg_information(x, y, k, engine, chunk) + (math.log(n) - digamma(n))


def ksg_ceiling(n: int, k: int, ties: bool) -> float:
    """Return the largest value of `ksg_information` for n samples, that of I(x; x).

    Where distances are equal a sample's k_i may be as low as 1.
    """
    return digamma(n) - digamma(1 if ties else k)


def digamma(n: int) -> float:
    """Return psi(n)."""
    return float(torch.special.digamma(torch.tensor(float(n), dtype=torch.float64, device="cpu")))


def _psi(count, like):
    """Psi of counts, in the dtype of the samples."""
    return torch.special.digamma(count.to(like.dtype))


def _psi_inside(
    parts: Sequence[Tensor], spaces: Spaces, k: int, engine: Engine, chunk: int | None
) -> tuple[Tensor, list[Tensor]]:
    """psi(k_i), and for each space, a tuple of parts, psi(n + 1) of how many lie nearer there."""
    joint = torch.cat(tuple(parts), 1)
    fixed = choose_engine(engine, joint, k)
    radius, near = _reach(joint, k, fixed, chunk)
    inside = []
    for space in spaces:
        alone = space[0] if len(space) == 1 else torch.cat(space, 1)
        inside.append(_psi(count_within(alone, radius, engine=fixed, chunk=chunk) + 1, joint))
    return _psi(near, joint), inside


def _reach(x, k, engine, chunk):
    """A radius (N,) about each sample, and how many lie strictly within it, itself included.

    Without equal distances these are the distance to the k-th neighbour, and k.
    """
    distances = nearest(x, k, metric="max", engine=engine, chunk=chunk).distances
    radius = distances[:, -1]
    near = (distances < radius[:, None]).sum(1) + 1
    copied = radius == 0
    if not bool(copied.any()):
        return radius, near
    # Nothing but copies lies nearer than the smallest positive number.
    radius = torch.where(copied, torch.nextafter(radius, torch.ones_like(radius)), radius)
    copies = count_within(x, torch.where(copied, radius, 0), engine=engine, chunk=chunk) + 1
    return radius, torch.where(copied, copies, near)
