"""How well the features of two modalities go together in a context: the score of a pair."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding, silu

from pnpfuse.fusion.precision import widen


class Critic(nn.Module):
    """Scores s(z_a, z_b, T) of all pairs a < b of M modalities at once.

    Every modality has one first map, shared by its pairs, and a shift for each context ::

        u_m = W_m z_m + c_m,T

    Parameters
    ----------
    widths : of the modalities' feature vectors; rows come padded with zeros to the widest, L
    contexts : number of values of T
    width : of the layers
    outputs : of the first map

    Notes
    -----
    Weights are handed to the methods as `weights` gives them, so that a step can hold them still.
    """

    def __init__(self, widths: Sequence[int], contexts: int, width: int, outputs: int):
        super().__init__()
        count = len(widths)
        self.width, self.outputs = width, outputs
        self.pairs = list(combinations(range(count), 2))
        front = torch.zeros(count, max(widths), outputs)
        for one, inputs in zip(front, widths, strict=True):
            one[:inputs].uniform_(-1, 1).div_(math.sqrt(inputs))
        self.front = nn.Parameter(front)
        self.shift = nn.Parameter(torch.zeros(contexts, count, outputs))
        self.offset = nn.Parameter(torch.zeros(contexts, len(self.pairs)))

    def weights(self, share: Tensor | None = None) -> dict[str, Tensor]:
        """The parameters, in float32 or wider; their gradient times `share`, ()."""
        named = {name: widen(weight) for name, weight in self.named_parameters()}
        return named if share is None else {k: throttled(v, share) for k, v in named.items()}

    def _shift(self, w: dict[str, Tensor], T: Tensor) -> Tensor:
        """c_m,T, (M, R, outputs), of T (R,)."""
        table = w["shift"]
        rows = embedding(T, table.flatten(1))  # (R, M outputs)
        return rows.unflatten(1, table.shape[1:]).transpose(0, 1)


class SeparableCritic(Critic):
    """s = sum_k (1 + g_aTk) f_ak f_bk / sqrt(width) + r_ab(z_a) + r_ba(z_b) + o_abT.

    f and r together are a linear map of z and T plus a network of one hidden layer: what a
    Gaussian has is a product of linear maps, found in few steps. A row is embedded once, for all
    that it is compared with.
    """

    def __init__(self, widths: Sequence[int], contexts: int, width: int = 64):
        count = len(widths)
        super().__init__(widths, contexts, width, 2 * width + count)
        bound = 1 / math.sqrt(width)
        self.back = nn.Parameter(torch.empty(count, width, width + count).uniform_(-bound, bound))
        self.gain = nn.Parameter(torch.zeros(contexts, count, width))
        with torch.no_grad():  # the terms of one row alone begin at zero
            self.front[..., 2 * width :] = 0
            self.back[..., width:] = 0

    def embed(self, w: dict[str, Tensor], z: Tensor, T: Tensor | None) -> Tensor:
        """f and r, (M, R, width + M), of z (M, R, L) in T (R,), or None for no context."""
        u = torch.bmm(z, w["front"])
        return self._embedded(w, u if T is None else u + self._shift(w, T), w["back"])

    def embed_drawn(self, w: dict[str, Tensor], z: Tensor, T: Tensor) -> Tensor:
        """f and r, (M-1, B, N, width + M), of z (M-1, B, N, L), all but the first modality."""
        u = torch.bmm(z.flatten(1, 2), w["front"][1:]).unflatten(1, z.shape[1:3])
        u = (u + self._shift(w, T)[1:, :, None]).flatten(1, 2)
        return self._embedded(w, u, w["back"][1:]).unflatten(1, z.shape[1:3])

    def _embedded(self, w: dict[str, Tensor], u: Tensor, back: Tensor) -> Tensor:
        return torch.baddbmm(u[..., self.width :], silu(u[..., : self.width]), back)

    def paired(self, w: dict[str, Tensor], rows: Tensor, T: Tensor | None) -> Tensor:
        """Scores (P, R) of rows with themselves, `rows` as `embed` gives them."""
        return self.drawn(w, rows, rows[1:, :, None], T)[..., 0]

    def drawn(self, w: dict[str, Tensor], rows: Tensor, others: Tensor, T: Tensor | None) -> Tensor:
        """Scores (P, B, N) of rows (M, B, .) with others (M-1, B, N, .), in T (B,) or none."""
        first = self._first(w, rows, T).transpose(0, 1)  # (B, M, width)
        second = others[..., : self.width].permute(1, 3, 0, 2).flatten(2)  # (B, width, (M-1) N)
        products = torch.bmm(first, second).unflatten(2, (others.shape[0], -1))  # (B, M, M-1, N)
        a, b = map(list, zip(*self.pairs, strict=True))
        after = [i - 1 for i in b]
        scores = products[:, a, after].transpose(0, 1)  # (P, B, N)
        own = rows[..., self.width :].movedim(2, 1)[a, b]  # (P, B)
        theirs = others[..., self.width :].movedim(3, 1)[after, a]  # (P, B, N)
        scores = scores / math.sqrt(self.width) + own[..., None] + theirs
        return scores if T is None else scores + embedding(T, w["offset"]).T[..., None]

    def matrix(self, w: dict[str, Tensor], rows: Tensor, T: Tensor, block: slice) -> Tensor:
        """Scores (P, b, R) of rows[block] with all rows, in the context of the former."""
        mine, T = rows[:, block], T[block]
        a, b = map(list, zip(*self.pairs, strict=True))
        own = mine[..., self.width :].movedim(2, 1)[a, b]  # (P, b)
        theirs = rows[..., self.width :].movedim(2, 1)[b, a]  # (P, R)
        terms = (own + embedding(T, w["offset"]).T)[..., None] + theirs[:, None]
        first, second = self._first(w, mine, T)[a], rows[b, :, : self.width]
        return torch.baddbmm(terms, first, second.mT, alpha=1 / math.sqrt(self.width))

    def _first(self, w: dict[str, Tensor], rows: Tensor, T: Tensor | None) -> Tensor:
        """(1 + g) f, (M, R, width)."""
        f = rows[..., : self.width]
        if T is None:
            return f
        gain = embedding(T, w["gain"].flatten(1)).unflatten(1, w["gain"].shape[1:])
        return torch.addcmul(f, f, gain.transpose(0, 1))


class ConcatCritic(Critic):
    """s = MLP([z_a, z_b, T]) with two hidden layers, its own behind the first for each pair.

    Freer in shape than `SeparableCritic`; every pair of rows goes through the network.
    """

    def __init__(self, widths: Sequence[int], contexts: int, width: int = 64):
        super().__init__(widths, contexts, width, 2 * width)
        bound, count = 1 / math.sqrt(width), len(self.pairs)
        self.middle = nn.Parameter(torch.empty(count, width, width).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(count, 1, width))
        self.last = nn.Parameter(torch.zeros(count, width, 1))

    def embed(self, w: dict[str, Tensor], z: Tensor, T: Tensor | None) -> Tensor:
        """The first layer's terms (M, R, 2 width): of a row as the first and as the second."""
        u = torch.bmm(z, w["front"])
        return u if T is None else u + self._shift(w, T)

    def embed_drawn(self, w: dict[str, Tensor], z: Tensor, T: Tensor) -> Tensor:
        """The same (M-1, B, N, 2 width) of z (M-1, B, N, L), all but the first modality."""
        u = torch.bmm(z.flatten(1, 2), w["front"][1:]).unflatten(1, z.shape[1:3])
        return u + self._shift(w, T)[1:, :, None]

    def paired(self, w: dict[str, Tensor], rows: Tensor, T: Tensor | None) -> Tensor:
        """Scores (P, R) of rows with themselves, `rows` as `embed` gives them."""
        return self.drawn(w, rows, rows[1:, :, None], T)[..., 0]

    def drawn(self, w: dict[str, Tensor], rows: Tensor, others: Tensor, T: Tensor | None) -> Tensor:
        """Scores (P, B, N) of rows (M, B, .) with others (M-1, B, N, .), in T (B,) or none."""
        a, b = map(list, zip(*self.pairs, strict=True))
        second = others[[i - 1 for i in b]][..., self.width :]
        scores = self._scores(w, rows[a][:, :, None, : self.width] + second)
        return scores if T is None else scores + embedding(T, w["offset"]).T[..., None]

    def matrix(self, w: dict[str, Tensor], rows: Tensor, T: Tensor, block: slice) -> Tensor:
        """Scores (P, b, R) of rows[block] with all rows, in the context of the former."""
        a, b = map(list, zip(*self.pairs, strict=True))
        first = rows[a, block, None, : self.width]
        scores = self._scores(w, first + rows[b][:, None, :, self.width :])
        return scores + embedding(T[block], w["offset"]).T[..., None]

    def _scores(self, w: dict[str, Tensor], u: Tensor) -> Tensor:
        """(P, B, N) of what the first layer gives, (P, B, N, width)."""
        inner = silu(torch.baddbmm(w["bias"], silu(u).flatten(1, 2), w["middle"]))
        return torch.bmm(inner, w["last"]).unflatten(1, u.shape[1:3])[..., 0]


def throttled(x: Tensor, share: Tensor) -> Tensor:
    """`x`, its gradient times `share`, ()."""
    still = x.detach()
    return still + share * (x - still)
