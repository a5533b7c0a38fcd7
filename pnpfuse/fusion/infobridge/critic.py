"""How well the features of two modalities go together in a context: the score of a pair."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding, silu

from pnpfuse.fusion.precision import widen

# Factor of the weights that all rows of a context share: a sharp dependence needs large ones, and
# Adam moves each by its rate alone. With more, SGD at its usual rate oscillates.
FAST = 8
Weights = dict[str, Tensor]
Rows = tuple[Tensor, ...]  # what a critic keeps of each row, made once for all comparisons


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

    first: Tensor
    second: Tensor

    def __init__(self, widths: Sequence[int], contexts: int, width: int, outputs: int):
        super().__init__()
        count = len(widths)
        self.count, self.width = count, width
        self.pairs = list(combinations(range(count), 2))
        # On the features' device: a list as an index would be copied there in every step.
        self.register_buffer("first", torch.tensor([a for a, _ in self.pairs]), persistent=False)
        self.register_buffer("second", torch.tensor([b for _, b in self.pairs]), persistent=False)
        front = torch.zeros(count, max(widths), outputs)
        for one, inputs in zip(front, widths, strict=True):
            one[:inputs].uniform_(-1, 1).div_(math.sqrt(inputs))
        self.front = nn.Parameter(front)
        self.shift = nn.Parameter(torch.zeros(contexts, count, outputs))
        self.offset = nn.Parameter(torch.zeros(contexts, len(self.pairs)))

    @property
    def ends(self) -> tuple[Tensor, Tensor]:
        """The first and the second modality of each pair, int64 (P,)."""
        return self.first, self.second

    def weights(self, share: Tensor | None = None) -> Weights:
        """The parameters, in float32 or wider; their gradient times `share`, ()."""
        named = {name: widen(weight) for name, weight in self.named_parameters()}
        return named if share is None else {k: throttled(v, share) for k, v in named.items()}

    def _fronted(self, w: Weights, z: Tensor, T: Tensor | None) -> Tensor:
        """u (M, R, outputs) of z (M, R, L)."""
        u = torch.bmm(z, w["front"])
        return u if T is None else u + self._shift(w, T)

    def _fronted_drawn(self, w: Weights, z: Tensor, T: Tensor) -> Tensor:
        """u (M-1, B, N, outputs) of z (M-1, B, N, L)."""
        u = torch.bmm(z.flatten(1, 2), w["front"][1:]).unflatten(1, z.shape[1:3])
        return u + self._shift(w, T)[1:, :, None]

    def _shift(self, w: Weights, T: Tensor) -> Tensor:
        """c_m,T, (M, R, outputs), of T (R,)."""
        rows = embedding(T, w["shift"].flatten(1))  # (R, M outputs)
        return rows.unflatten(1, w["shift"].shape[1:]).transpose(0, 1)

    def _offset(self, w: Weights, T: Tensor | None, scores: Tensor) -> Tensor:
        """Scores (P, ..., R) with the pair's offset in T (R,)."""
        if T is None:
            return scores
        offset = embedding(T, w["offset"]).T * FAST  # (P, R)
        return scores + (offset if scores.dim() == 2 else offset[:, None])


class SeparableCritic(Critic):
    """Products of embedded rows, and what each row says by itself ::

        s = sum_k (1 + g_aTk) f_ak f_bk + r_ab(z_a) + q_abT |f_a|^2
                                        + r_ba(z_b) + q_baT |f_b|^2 + o_abT

    f and r together are a linear map of z and T plus a network of one hidden layer. The squares
    and the factors 1 + g are what Gaussian features need, whose correlation hangs on T: found in
    few steps. A row is embedded once, for all that it is compared with.
    """

    def __init__(self, widths: Sequence[int], contexts: int, width: int = 64):
        count = len(widths)
        super().__init__(widths, contexts, width, 2 * width + count)
        self.scale = bound = 1 / math.sqrt(width)
        self.back = nn.Parameter(torch.empty(count, width, width + count).uniform_(-bound, bound))
        self.gain = nn.Parameter(torch.zeros(contexts, count, width))
        self.bend = nn.Parameter(torch.zeros(contexts, count, count))
        with torch.no_grad():  # what one row says by itself begins at zero
            self.front[..., 2 * width :] = 0
            self.back[..., width:] = 0

    def embed(self, w: Weights, z: Tensor, T: Tensor | None) -> Rows:
        """f (M, R, width), r (M, R, M) and |f|^2 (M, R) of z (M, R, L) in T (R,) or none."""
        return self._embedded(self._fronted(w, z, T), w["back"])

    def embed_drawn(self, w: Weights, z: Tensor, T: Tensor) -> Rows:
        """The same of z (M-1, B, N, L), drawn for anchors in T (B,): all but the first modality."""
        rows = self._embedded(self._fronted_drawn(w, z, T).flatten(1, 2), w["back"][1:])
        return tuple(x.unflatten(1, z.shape[1:3]) for x in rows)

    def _embedded(self, u: Tensor, back: Tensor) -> Rows:
        # Split, not sliced: the gradient of a slice is a tensor of zeros around it.
        inner, straight = u.split([self.width, u.shape[-1] - self.width], -1)
        f, r = torch.baddbmm(straight, silu(inner), back).split([self.width, self.count], -1)
        return f, r, f.square().sum(-1)

    def paired(self, w: Weights, rows: Rows, T: Tensor | None) -> Tensor:
        """Scores (P, R) of rows with themselves."""
        f = rows[0]
        a, b = self.ends
        first = self._first(w, f, T).transpose(0, 1)  # (R, M, width)
        products = torch.bmm(first, f.permute(1, 2, 0))[:, a, b].T  # (P, R)
        scores = products * self.scale + self._own(w, rows, T, a, b) + self._own(w, rows, T, b, a)
        return self._offset(w, T, scores)

    def drawn(self, w: Weights, rows: Rows, others: Rows, T: Tensor) -> Tensor:
        """Scores (P, B, N) of rows with others, in T (B,)."""
        a, b = self.ends
        after = b - 1
        first = self._first(w, rows[0], T).transpose(0, 1)  # (B, M, width)
        second = others[0].permute(1, 3, 0, 2).flatten(2)  # (B, width, (M-1) N)
        products = torch.bmm(first, second).unflatten(2, (len(others[0]), -1))  # (B, M, M-1, N)
        scores = products[:, a, after].permute(1, 2, 0) * self.scale  # (P, N, B)
        bend = self._bend(w, T)[b, a][:, None]  # (P, 1, B)
        terms = others[1].permute(0, 3, 2, 1)[after, a]  # (P, N, B)
        terms = torch.addcmul(terms, bend, others[2].mT[after])
        return self._offset(w, T, scores + self._own(w, rows, T, a, b)[:, None] + terms).mT

    def matrix(self, w: Weights, rows: Rows, T: Tensor, block: slice) -> Tensor:
        """Scores (P, b, R) of rows[block] with all rows, in the context of the former."""
        f, (a, b) = rows[0], self.ends
        own = self._offset(w, T, self._own(w, rows, T, a, b))[:, block]  # (P, b)
        terms = own[..., None] + self._own(w, rows, T, b, a)[:, None]  # (P, b, R)
        first = self._first(w, f[:, block], T[block])
        return torch.baddbmm(terms, first[a], f[b].mT, alpha=self.scale)

    def _own(self, w: Weights, rows: Rows, T: Tensor | None, a: Tensor, b: Tensor) -> Tensor:
        """r_ab(z_a) + q_abT |f_a|^2, (P, R)."""
        terms = rows[1].movedim(2, 1)[a, b]  # (P, R)
        return terms if T is None else torch.addcmul(terms, self._bend(w, T)[a, b], rows[2][a])

    def _bend(self, w: Weights, T: Tensor) -> Tensor:
        """q, (M, M, R), of T (R,)."""
        rows = embedding(T, w["bend"].flatten(1)).T * (FAST * self.scale)
        return rows.unflatten(0, w["bend"].shape[1:])

    def _first(self, w: Weights, f: Tensor, T: Tensor | None) -> Tensor:
        """(1 + g) f, (M, R, width)."""
        if T is None:
            return f
        gain = embedding(T, w["gain"].flatten(1)).unflatten(1, w["gain"].shape[1:])
        return torch.addcmul(f, f, gain.transpose(0, 1), value=FAST)


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

    def embed(self, w: Weights, z: Tensor, T: Tensor | None) -> Rows:
        """What rows bring to the first layer, (M, R, width) each: as the first, as the second."""
        first, second = self._fronted(w, z, T).chunk(2, -1)
        return first, second

    def embed_drawn(self, w: Weights, z: Tensor, T: Tensor) -> Rows:
        """The same of z (M-1, B, N, L), drawn for anchors in T (B,): all but the first modality."""
        first, second = self._fronted_drawn(w, z, T).chunk(2, -1)
        return first, second

    def paired(self, w: Weights, rows: Rows, T: Tensor | None) -> Tensor:
        """Scores (P, R) of rows with themselves."""
        a, b = self.ends
        u = rows[0][a] + rows[1][b]
        return self._offset(w, T, self._scores(w, u[:, :, None])[..., 0])

    def drawn(self, w: Weights, rows: Rows, others: Rows, T: Tensor) -> Tensor:
        """Scores (P, B, N) of rows with others, in T (B,)."""
        a, b = self.ends
        u = rows[0][a][:, :, None] + others[1][b - 1]
        return self._offset(w, T, self._scores(w, u).mT).mT

    def matrix(self, w: Weights, rows: Rows, T: Tensor, block: slice) -> Tensor:
        """Scores (P, b, R) of rows[block] with all rows, in the context of the former."""
        a, b = self.ends
        u = rows[0][a][:, block, None] + rows[1][b][:, None]
        return self._offset(w, T[block], self._scores(w, u).mT).mT

    def _scores(self, w: Weights, u: Tensor) -> Tensor:
        """(P, B, N) of what the first layer gives, (P, B, N, width)."""
        inner = silu(torch.baddbmm(w["bias"], silu(u).flatten(1, 2), w["middle"]))
        return torch.bmm(inner, w["last"]).unflatten(1, u.shape[1:3])[..., 0]


def throttled(x: Tensor, share: Tensor) -> Tensor:
    """`x`, its gradient times `share`, ()."""
    still = x.detach()
    return still + share * (x - still)
