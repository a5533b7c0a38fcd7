"""SCOPE sample by sample: loops over samples, heads and tokens, and dense matrices."""

import math

import numpy as np
from scipy.optimize import brentq


def array(tensor):
    return tensor.detach().double().numpy()


def softmax(row):
    raised = np.exp(row - row.max())
    return raised / raised.sum()


def normalised(x):
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)


def refined(refine, V, shown):
    """h {modality: (batch, width)} and rho (batch, M), shown bool (batch, M)."""
    names, heads = list(V), refine.heads
    kind = refine.refinement
    h = {m: [] for m in names}
    rho = np.zeros(shown.shape)
    for i, here in enumerate(shown):
        tokens = []
        for m in names:
            linear = refine.tokens.maps[m]
            flat = array(linear.weight) @ V[m][i] + array(linear.bias)
            tokens.append(flat.reshape(refine.tokens.count, -1))
        if kind in ("both", "self"):
            tokens = [_own(refine, g, x, heads) for g, x in enumerate(tokens)]
        answers = [x.mean(0) for x in tokens]
        if kind in ("both", "cross"):
            answers, received = _crossed(refine, tokens, here, heads)
            rho[i] = received[here].mean(0)
        else:
            rho[i] = here / here.sum()
        for m, answer, there in zip(names, answers, here, strict=True):
            h[m].append(answer if there else 0 * answer)
    return {m: np.array(rows) for m, rows in h.items()}, rho


def _mapped(linears, g, x):
    return x @ array(linears.weight[g]).T + array(linears.bias[g])


def _own(refine, g, x, heads):
    q, k, v = np.split(_mapped(refine.own, g, normalised(x)), 3, axis=1)
    d = x.shape[1] // heads
    found = np.zeros_like(x)
    for a in range(heads):
        part = slice(a * d, (a + 1) * d)
        for t in range(len(x)):
            weight = softmax(k[:, part] @ q[t, part] / math.sqrt(d))
            found[t, part] = weight @ v[:, part]
    return x + _mapped(refine.own_out, g, found)


def _crossed(refine, tokens, here, heads):
    """Answers to each modality, and what the modalities receive, (asking, asked)."""
    count, width = len(tokens), tokens[0].shape[1]
    d = width // heads
    keys, values, owner = [], [], []
    for g in np.flatnonzero(here):
        k, v = np.split(_mapped(refine.key_value, g, normalised(tokens[g])), 2, axis=1)
        keys.append(k)
        values.append(v)
        owner += [g] * len(k)
    keys, values, owner = np.concatenate(keys), np.concatenate(values), np.array(owner)
    answers, received = [], np.zeros((count, count))
    for g, x in enumerate(tokens):
        query = _mapped(refine.query, g, normalised(x.mean(0)))
        found = np.zeros(width)
        for a in range(heads):
            part = slice(a * d, (a + 1) * d)
            weight = softmax(keys[:, part] @ query[part] / math.sqrt(d))
            found[part] = weight @ values[:, part]
            for n in range(count):
                received[g, n] += weight[owner == n].sum() / heads
        answers.append(x.mean(0) + _mapped(refine.out, g, found))
    return answers, received


def neighbours(h, others, k, rows, among, own):
    """{row: its nearest candidates, nearest first}; nobody for a row that does not count."""
    found = {}
    for i in range(len(h)):
        allowed = [j for j in np.flatnonzero(among) if not (own and i == j)] if rows[i] else []
        cost = {j: ((h[i] - others[j]) ** 2).sum() for j in allowed}
        found[i] = sorted(cost, key=cost.get)[:k]
    return found


def graph(h, others, found):
    """Dense G (rows, candidates) with the weights of Eq. (5), lambda by Brent's method."""
    G = np.zeros((len(h), len(others)))
    for i, near in found.items():
        if near:
            cost = ((h[i] - others[near]) ** 2).sum(1)
            G[i, near] = simplex(cost)
    return G


def simplex(cost):
    if len(cost) == 1:
        return np.ones(1)

    def excess(lam):
        return np.sqrt(np.maximum(1 - 2 * cost / lam, 0)).sum() - 1

    low, high = 2 * cost.min(), 2 * cost.max() * len(cost) ** 2
    lam = brentq(excess, low, high, xtol=1e-15 * high, rtol=1e-14)
    return np.sqrt(np.maximum(1 - 2 * cost / lam, 0))


def attention(balanced, z, others, allowed):
    """Dense (own (rows,), to others (rows, candidates)) over the allowed edges and oneself."""
    q = z @ array(balanced.query.weight).T + array(balanced.query.bias)
    k_own = z @ array(balanced.key.weight).T + array(balanced.key.bias)
    k = others @ array(balanced.key.weight).T + array(balanced.key.bias)
    own, A = np.zeros(len(z)), np.zeros((len(z), len(others)))
    for i in range(len(z)):
        near = np.flatnonzero(allowed[i])
        scores = np.array([q[i] @ k_own[i], *(k[near] @ q[i])]) / math.sqrt(z.shape[1])
        weight = softmax(scores)
        own[i], A[i, near] = weight[0], weight[1:]
    return own, A


def edges(found, rows, candidates):
    """Whether any of the graphs has the edge, bool (rows, candidates)."""
    allowed = np.zeros((rows, candidates), bool)
    for one in found:
        for i, near in one.items():
            allowed[i, near] = True
    return allowed


def diffused(z, A, steps, xi):
    """z + A~ z for a dense square A."""
    weight = np.array([xi * (1 - xi) ** t for t in range(steps + 1)])
    weight /= weight.sum()
    return z + sum(w * np.linalg.matrix_power(A, t) @ z for t, w in enumerate(weight))


def scope(block, V, shown, steps, xi, bank=None, bank_shown=None):
    """The joint h of a batch: beside each other, or beside the rows of a bank.

    V {modality: (batch, l_m)}, shown bool (batch, M), the same of the bank.
    """
    names = list(V)
    h, rho = refined(block.refine, V, shown)
    z = sum(rho[:, [g]] * h[m] for g, m in enumerate(names))
    if bank is None:
        found = [
            neighbours(h[m], h[m], block.k, shown[:, g], shown[:, g], True)
            for g, m in enumerate(names)
        ]
        own, A = attention(block.balanced, z, z, edges(found, len(z), len(z)))
        graphs = [graph(h[m], h[m], one) for m, one in zip(names, found, strict=True)]
        return diffused(z, A + np.diag(own), steps, xi), h, rho, graphs
    there, rho_there = refined(block.refine, bank, bank_shown)
    zr = sum(rho_there[:, [g]] * there[m] for g, m in enumerate(names))
    outer = [
        neighbours(h[m], there[m], block.k, shown[:, g], bank_shown[:, g], False)
        for g, m in enumerate(names)
    ]
    inner = [
        neighbours(there[m], there[m], block.k, bank_shown[:, g], bank_shown[:, g], True)
        for g, m in enumerate(names)
    ]
    own, A = attention(block.balanced, z, zr, edges(outer, len(z), len(zr)))
    own_r, R = attention(block.balanced, zr, zr, edges(inner, len(zr), len(zr)))
    # One matrix over batch and bank: the bank's rows do not see the batch.
    whole = np.block([[np.diag(own), A], [np.zeros((len(zr), len(z))), R + np.diag(own_r)]])
    result = diffused(np.concatenate([z, zr]), whole, steps, xi)[: len(z)]
    return result, h, rho, [graph(h[m], there[m], o) for m, o in zip(names, outer, strict=True)]


def alignment(graphs):
    """Eq. (6), over the rows that both graphs of a pair have."""
    gaps = []
    for m in range(len(graphs)):
        for n in range(m):
            both = (graphs[m].sum(1) > 0) & (graphs[n].sum(1) > 0)
            gap = ((graphs[m] - graphs[n])[both] ** 2).sum()
            gaps.append(gap / max(both.sum(), 1) / graphs[m].shape[1])
    return np.mean(gaps)


def disentanglement(h, shown, same):
    """L_sim + L_diff as means, pair by pair; h [(batch, width)], shown bool (batch, M)."""

    def cosine(a, b):
        return a @ b / math.sqrt((a @ a) * (b @ b))

    parts = []
    for m in range(len(h)):
        for n in range(m):
            rows = [i for i in range(len(shown)) if shown[i, m]]
            columns = [j for j in range(len(shown)) if shown[j, n]]
            sim = [(1 - cosine(h[m][i], h[n][i])) ** 2 for i in rows if i in columns]
            diff = [
                cosine(h[m][i], h[n][j]) ** 2
                for i in rows
                for j in columns
                if i != j and not same[i, j]
            ]
            parts.append((np.mean(sim) if sim else 0) + (np.mean(diff) if diff else 0))
    return np.mean(parts)
