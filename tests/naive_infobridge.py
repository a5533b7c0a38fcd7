"""InfoBridge's scores, losses and bounds row by row, in NumPy loops."""

import math

import numpy as np


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def silu(x):
    return x / (1 + np.exp(-x))


def standardised(bridge, z, m, context):
    """One row of modality m, by the stored moments of its context."""
    scale = bridge.scale
    place = scale.mean[m, context].numpy()[: len(z)]
    return (z - place) / np.sqrt(scale.variance[m].numpy()[: len(z)])


def separable(bridge, a, b, z_a, z_b, context, fast):
    """The score of one pair of rows of modalities a and b."""
    critic = bridge.critic
    w = {name: p.detach().numpy() for name, p in critic.named_parameters()}
    f, r = {}, {}
    for m, z in ((a, z_a), (b, z_b)):
        x = standardised(bridge, z, m, context)
        u = x @ w["front"][m][: len(x)] + w["shift"][context, m]
        inner = silu(u[: critic.width])
        out = u[critic.width :] + inner @ w["back"][m]
        f[m], r[m] = out[: critic.width], out[critic.width :]
    total = fast * w["offset"][context, critic.pairs.index((a, b))] + r[a][b] + r[b][a]
    for k in range(critic.width):
        total += critic.scale * (1 + fast * w["gain"][context, a, k]) * f[a][k] * f[b][k]
    total += fast * critic.scale * w["bend"][context, a, b] * (f[a] ** 2).sum()
    return total + fast * critic.scale * w["bend"][context, b, a] * (f[b] ** 2).sum()


def concatenated(bridge, a, b, z_a, z_b, context, fast):
    """The same for a network of both rows."""
    critic = bridge.critic
    w = {name: p.detach().numpy() for name, p in critic.named_parameters()}
    p, u = critic.pairs.index((a, b)), 0
    for m, z, role in ((a, z_a, 0), (b, z_b, 1)):
        x = standardised(bridge, z, m, context)
        both = x @ w["front"][m][: len(x)] + w["shift"][context, m]
        u = u + both[role * critic.width : (role + 1) * critic.width]
    inner = silu(silu(u) @ w["middle"][p] + w["bias"][p, 0])
    return inner @ w["last"][p, :, 0] + fast * w["offset"][context, p]


def nce(scores, T, first, second, ratio, margin):
    """-E_pos log h - N0/N1 E_neg log(1 - h) over all pairs of rows with the same T."""
    errors = []
    for i in range(len(T)):
        partners = [j for j in range(len(T)) if j != i and T[j] == T[i] and second[j]]
        if first[i] and second[i] and partners:
            drawn = [math.log(1 - sigmoid(scores[i][j] - margin)) for j in partners]
            own = math.log(sigmoid(scores[i][i] - margin))
            errors.append(-own - ratio * sum(drawn) / len(drawn))
    return sum(errors) / len(errors) if errors else 0.0


def infonce(scores, T, both):
    """Cross-entropy of each row's own partner among those of the same T."""
    errors = []
    for i in range(len(T)):
        if both[i]:
            among = [j for j in range(len(T)) if both[j] and T[j] == T[i]]
            errors.append(math.log(sum(math.exp(scores[i][j]) for j in among)) - scores[i][i])
    return sum(errors) / len(errors) if errors else 0.0


def nce_bound(ratios, T, both, ratio):
    """log(N0/N1) + E_pos log h - max(0, log(N0/N1 E_neg h)) of log-ratios (B, B); the tight one."""
    true, drawn = [], []
    for i in range(len(T)):
        partners = [j for j in range(len(T)) if j != i and T[j] == T[i] and both[j]]
        if both[i] and partners:
            true.append(math.log(sigmoid(ratios[i][i] - math.log(ratio))))
            h = [sigmoid(ratios[i][j] - math.log(ratio)) for j in [i, *partners]]
            drawn.append(sum(h) / len(h))
    over = max(0, math.log(ratio * np.mean(drawn)))
    return math.log(ratio) + np.mean(true) - over, np.mean(true) - math.log(np.mean(drawn))


def infonce_bound(scores, T, both):
    """E log(e^s_ii / mean_j e^s_ij), j among the rows of the same T, and E log of their number."""
    values, ceilings = [], []
    for i in range(len(T)):
        among = [j for j in range(len(T)) if both[j] and T[j] == T[i]]
        if both[i] and len(among) > 1:
            values.append(scores[i][i] - math.log(np.mean([math.exp(scores[i][j]) for j in among])))
            ceilings.append(math.log(len(among)))
    return np.mean(values), np.mean(ceilings)
