"""Slow, obvious versions of the fusion blocks: one sample at a time, plain numpy."""

import math

import numpy as np


def weights_of(block):
    """{"<map>.<modality>": (weight, bias)} of a block's linear maps as float64 arrays.

    P_shared of a PMR block stands under its receiver, as PMR Eq. 5 indexes it.
    """
    if not hasattr(block, "maps_of"):
        state = {key: value.detach().double().numpy() for key, value in block.state_dict().items()}
        maps = {key.removesuffix(".weight") for key in state if key.endswith(".weight")}
        return {name: (state[f"{name}.weight"], state.get(f"{name}.bias", 0.0)) for name in maps}
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


def info_nce(parts, present, scale):
    """Symmetric InfoNCE: mean over the pairs of modalities, parts {modality: rows}."""
    names = list(parts)
    totals = []
    for i, a in enumerate(names):
        for b in names[i + 1 :]:
            rows = [r for r in range(len(parts[a])) if present[a][r] and present[b][r]]
            errors = []
            for one, other in ((a, b), (b, a)):
                for r in rows:
                    logits = [scale * cosine(parts[one][r], parts[other][s]) for s in rows]
                    errors.append(math.log(sum(map(math.exp, logits))))
                    errors[-1] -= scale * cosine(parts[one][r], parts[other][r])
            totals.append(sum(errors) / len(errors) if errors else 0.0)
    return sum(totals) / len(totals)


def triplet(parts, present, margin):
    """Mean over the pairs of modalities of max(0, margin + s_ij - s_ii) over j != i."""
    names = list(parts)
    totals = []
    for i, a in enumerate(names):
        for b in names[i + 1 :]:
            rows = [r for r in range(len(parts[a])) if present[a][r] and present[b][r]]
            errors = []
            for one, other in ((a, b), (b, a)):
                for r in rows:
                    found = cosine(parts[one][r], parts[other][r])
                    errors += [
                        max(0.0, margin + cosine(parts[one][r], parts[other][s]) - found)
                        for s in rows
                        if s != r
                    ]
            totals.append(sum(errors) / len(errors) if errors else 0.0)
    return sum(totals) / len(totals)


def cosine(x, y):
    return x @ y / (np.linalg.norm(x) * np.linalg.norm(y))


def cmd(x, y, span, moments=5):
    """Central moment discrepancy of two samples of rows, coordinate by coordinate."""
    total = 0.0
    for k in range(1, moments + 1):
        squared = 0.0
        for j in range(x.shape[1]):
            gap = [
                sum(rows[:, j]) / len(rows)
                if k == 1
                else sum((v - sum(rows[:, j]) / len(rows)) ** k for v in rows[:, j]) / len(rows)
                for rows in (x, y)
            ]
            squared += (gap[0] - gap[1]) ** 2
        total += math.sqrt(squared) / span**k
    return total


def overlap(x, y):
    """Mean square of X^T Y, X and Y centred with rows of length 1."""
    X, Y = (np.array([row / np.linalg.norm(row) for row in z - z.mean(0)]) for z in (x, y))
    width = x.shape[1]
    entries = [sum(X[:, i] * Y[:, j]) ** 2 for i in range(width) for j in range(width)]
    return sum(entries) / len(entries)


def ogm_coefficients(parts, labels, present, alpha):
    """Peng et al. 2022, Eq. 8-10, the other modality's score being the mean of the others'."""
    scores = {}
    for m, logits in parts.items():
        truth = []
        for row, label, there in zip(logits, labels, present[m], strict=True):
            if there:
                truth.append(math.exp(row[label]) / sum(map(math.exp, row)))
        if truth:
            scores[m] = sum(truth) / len(truth)
    found = {}
    for m in parts:
        others = [score for k, score in scores.items() if k != m]
        ratio = scores[m] / (sum(others) / len(others)) if m in scores and others else 0.0
        found[m] = 1 - math.tanh(alpha * ratio) if ratio > 1 else 1.0
    return found


def layer_norm(x):
    """x (tokens, width), each token with mean 0 and variance 1."""
    return (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-5)


def attend(state, prefix, g, x, context, heads):
    """One pre-norm attention of one sample: x (tokens, width) looks at context."""
    width = x.shape[1]
    weight = {k: state[f"{prefix}.{k}.weight"][g] for k in ("query", "key_value", "out")}
    bias = {k: state[f"{prefix}.{k}.bias"][g] for k in weight}
    query = layer_norm(x) @ weight["query"].T + bias["query"]
    both = layer_norm(context) @ weight["key_value"].T + bias["key_value"]
    key, value = both[:, :width], both[:, width:]
    size, found = width // heads, np.zeros_like(x)
    for h in range(heads):
        part = slice(h * size, (h + 1) * size)
        for t in range(len(x)):
            scores = [query[t, part] @ key[s, part] / math.sqrt(size) for s in range(len(key))]
            shares = np.exp(scores) / np.exp(scores).sum()
            found[t, part] = sum(w * value[s, part] for s, w in enumerate(shares))
    return x + found @ weight["out"].T + bias["out"]


def feed_forward(state, prefix, g, x):
    """One pre-norm feed-forward network with GELU of one sample's tokens."""
    hidden = layer_norm(x) @ state[f"{prefix}.expand.weight"][g].T
    hidden = hidden + state[f"{prefix}.expand.bias"][g]
    hidden = np.array([[v * (1 + math.erf(v / math.sqrt(2))) / 2 for v in row] for row in hidden])
    return x + hidden @ state[f"{prefix}.reduce.weight"][g].T + state[f"{prefix}.reduce.bias"][g]


def tokens_of(state, m, v, width):
    flat = state[f"tokens.maps.{m}.weight"] @ v + state[f"tokens.maps.{m}.bias"]
    return flat.reshape(-1, width)


def mbt(state, sample, names, layers, heads):
    """Nagrani et al. 2021, Eq. 8-9, for the modalities that one sample has."""
    common = state["bottlenecks"]
    streams = {m: tokens_of(state, m, v, common.shape[1]) for m, v in sample.items()}
    for layer in range(layers):
        said = []
        for m, own in streams.items():
            g = names.index(m)
            x = np.concatenate([own, common])
            x = attend(state, f"attention.{layer}", g, x, x, heads)
            x = feed_forward(state, f"feed.{layer}", g, x)
            streams[m], heard = x[: len(own)], x[len(own) :]
            said.append(heard)
        common = sum(said) / len(said)
    return sum(layer_norm(x).mean(0) for x in streams.values()) / len(streams)


def perceiver(state, sample, layers, heads):
    """Jaegle et al. 2021 for the modalities that one sample has."""
    x = state["latents"]
    tokens = np.concatenate([tokens_of(state, m, v, x.shape[1]) for m, v in sample.items()])
    for layer in range(layers):
        x = attend(state, f"cross.{layer}", 0, x, tokens, heads)
        x = feed_forward(state, f"cross_feed.{layer}", 0, x)
        x = attend(state, f"inner.{layer}", 0, x, x, heads)
        x = feed_forward(state, f"inner_feed.{layer}", 0, x)
    return layer_norm(x).mean(0)
