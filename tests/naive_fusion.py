"""Slow, obvious versions of the fusion blocks: one sample at a time, plain numpy."""

import math

import numpy as np


def weights_of(block):
    """{"<map>.<modality>": (weight, bias)} of a PMR block as float64 arrays.

    P_shared stands under its receiver, as PMR Eq. 5 indexes it.
    """
    found = {}
    for m in block.dims:
        for name, (weight, bias) in block.maps_of(m).items():
            owner = m
            if name == "shared":
                owner = next(r for r in block.dims if block.source_of(r) == m)
            offset = 0.0 if bias is None else bias.detach().double().numpy()
            found[f"{name}.{owner}"] = (weight.detach().double().numpy(), offset)
    return found


def linear(maps, name, x):
    weight, bias = maps[name]
    return weight @ x + bias


def element_split(maps, x, dim, n, b, dissolve, shared, specific):
    """GMF Algorithm 2 for one sample."""
    boundary = math.floor(b * n * dim)
    x = linear(maps, dissolve, x)
    return linear(maps, shared, x[:boundary]), linear(maps, specific, x[boundary:])


def gmf_two(maps, x1, x2, n, b):
    """GMF Algorithm 1 for one sample of two modalities called one and two.

    The map that makes x1's invariant part is stored under the receiver, two, and vice versa.
    """
    inv1, spec1 = element_split(
        maps, x1, len(x1), n, b, "dissolve.one", "shared.two", "specific.one"
    )
    inv2, spec2 = element_split(
        maps, x2, len(x2), n, b, "dissolve.two", "shared.one", "specific.two"
    )
    z1, z2 = np.concatenate([inv2, spec1]), np.concatenate([inv1, spec2])
    return z1, z2, linear(maps, "recon.one", z1), linear(maps, "recon.two", z2)


def pmr(maps, features, ratios, n, step=1):
    """PMR Eq. 4-5 and P_recon for a batch: fused and reconstruction, one sample at a time."""
    names = list(features)
    batch = len(features[names[0]])
    fused, recon = {m: [] for m in names}, {m: [] for m in names}
    for i in range(batch):
        for position, m in enumerate(names):
            k = names[(position + step) % len(names)]
            source, own = features[k][i], features[m][i]
            boundary_k = int(ratios[k] * round(n * len(source)))
            boundary_m = int(ratios[m] * round(n * len(own)))
            shared = linear(maps, f"shared.{m}", linear(maps, f"dissolve.{k}", source)[:boundary_k])
            specific = linear(
                maps, f"specific.{m}", linear(maps, f"dissolve.{m}", own)[boundary_m:]
            )
            fused[m].append(np.concatenate([shared, specific]))
            recon[m].append(linear(maps, f"recon.{m}", fused[m][-1]))
    return fused, recon


def preservation(features, recon, present, metric, step=1):
    """PMR Eq. 6 over the samples whose modality and source are both present."""
    names = list(features)
    total = 0.0
    for position, m in enumerate(names):
        k = names[(position + step) % len(names)]
        errors = []
        for i in range(len(features[m])):
            if present[m][i] and present[k][i]:
                wanted, found = features[m][i], recon[m][i]
                if metric == "mse":
                    errors.append(sum((wanted - found) ** 2) / len(wanted))
                else:
                    norms = np.linalg.norm(wanted) * np.linalg.norm(found)
                    errors.append(1 - wanted @ found / norms)
        total += sum(errors) / len(errors) if errors else 0.0
    return total
