"""Products of a sparse matrix with features, and their gradients, in O(E d) without E d numbers.

Plain indexing gathers a row of d numbers for each of E entries and keeps it for the gradient. Here
rows are summed as they are read, and an entry costs a few numbers. What a weight gets back is an
inner product at its entry, and what goes back through that is again a weighted sum: two functions
are enough for derivatives of every order.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from pnpfuse.fusion.precision import without_autocast

# Up to so many products of all pairs a stored entry, all of them are quicker than those alone.
_PAIRS = 8

# Entries of which the rows are gathered at a time.
_PLACES = 2**16


class Sparsity:
    """Which entries an (N, N) matrix has, row by row.

    Parameters
    ----------
    rows, columns : int64 (E,), of each entry, rows ascending; an entry may come twice
    starts : int64 (N + 1,), where each row begins, and the end of the last
    transposed : what `transposed` returns, where it is known already
    """

    def __init__(
        self,
        rows: Tensor,
        columns: Tensor,
        starts: Tensor,
        transposed: tuple[Sparsity, Tensor] | None = None,
    ):
        self.rows, self.columns, self.starts = rows, columns, starts
        self._transposed = transposed

    @property
    def size(self) -> int:
        """N."""
        return self.starts.shape[0] - 1  # no len: a traced size has to stay a symbol

    @property
    def edges(self) -> Tensor:
        """Row and column of each entry, int64 (2, E)."""
        return torch.stack([self.rows, self.columns])

    def transposed(self) -> tuple[Sparsity, Tensor]:
        """The entries column by column, and which of these here each of them is, (E,)."""
        if self._transposed is None:
            self._transposed = by_row(self.columns, self.rows, self.size)
        return self._transposed

    def sums(self, weight: Tensor, x: Tensor) -> Tensor:
        """W x (N, d) of weight (E,) and x (N, d), of one dtype."""
        return embedding_bag(
            self.columns,
            x,
            self.starts,
            mode="sum",
            per_sample_weights=weight,
            include_last_offset=True,
        )


def by_row(rows: Tensor, columns: Tensor, size: int) -> tuple[Sparsity, Tensor]:
    """The `Sparsity` of entries in any order, and which of them each of its entries is, (E,)."""
    ordered, entry = rows.sort(stable=True)
    starts = torch.searchsorted(ordered, torch.arange(size + 1, device=rows.device))
    return Sparsity(ordered, columns.index_select(0, entry), starts), entry


def powers(weight: Tensor, x: Tensor, sparsity: Sparsity, steps: int) -> Sequence[Tensor]:
    """W x, W^2 x, ... W^steps x, each (N, d), for weight (E,) on the entries of W and x (N, d)."""
    if not steps:
        return ()
    if not _taken_apart(weight, x, sparsity.columns):
        return _Powers.apply(weight, x, sparsity, steps)
    found = [x]
    for _ in range(steps):
        gathered = weight[:, None] * found[-1][sparsity.columns]
        found.append(torch.zeros_like(x).index_add(0, sparsity.rows, gathered))
    return found[1:]


def inner_products(a: Tensor, b: Tensor, sparsity: Sparsity) -> Tensor:
    """<a_i, b_j> at each entry (i, j), (E,), for a and b (N, d) of one dtype."""
    if not _taken_apart(a, b, sparsity.columns):
        return _Products.apply(a, b, sparsity)
    return (a[sparsity.rows] * b[sparsity.columns]).sum(1)


def _taken_apart(*tensors: Tensor) -> bool:
    """Whether a compiler or a transform of `torch.func` is to see plain operations."""
    wrapped = torch._C._functorch.is_functorch_wrapped_tensor
    return torch.compiler.is_compiling() or any(map(wrapped, tensors))


class _Powers(torch.autograd.Function):
    @staticmethod
    def forward(ctx, weight, x, sparsity, steps):
        found = [x.detach()]  # where x asks for a gradient, embedding_bag prepares one
        for _ in range(steps):
            found.append(sparsity.sums(weight.detach(), found[-1]))
        ctx.save_for_backward(weight, x, *found[1:])
        ctx.sparsity = sparsity
        return tuple(found[1:])

    @staticmethod
    def backward(ctx, *grads):
        weight, *found = ctx.saved_tensors
        turned, entry = ctx.sparsity.transposed()
        turned_weight = weight.index_select(0, entry)
        to_weight = to_x = None
        back = [grads[-1]]  # what A^t x gets in all, from t = steps down
        for grad in grads[-2::-1]:
            back.append(grad + powers(turned_weight, back[-1], turned, 1)[0])
        if ctx.needs_input_grad[0]:  # one pass for all steps
            to_weight = inner_products(
                torch.cat(back[::-1], 1), torch.cat(found[:-1], 1), ctx.sparsity
            )
        if ctx.needs_input_grad[1]:
            to_x = powers(turned_weight, back[-1], turned, 1)[0]
        return to_weight, to_x, None, None


class _Products(torch.autograd.Function):
    @staticmethod
    def forward(ctx, a, b, sparsity):
        ctx.save_for_backward(a, b)
        ctx.sparsity = sparsity
        rows, columns, size = sparsity.rows, sparsity.columns, sparsity.size
        if size**2 <= _PAIRS * len(rows):
            with without_autocast(a):
                return (a @ b.T).flatten().index_select(0, rows * size + columns)
        if torch.is_inference_mode_enabled():  # where no gradient can be taken
            rows, columns = (x.split(_PLACES) for x in (rows, columns))
            return torch.cat([(a[i] * b[j]).sum(1) for i, j in zip(rows, columns, strict=True)])
        # PyTorch has it as the gradient of a weighted sum.
        with torch.enable_grad():
            weight = a.new_zeros(len(rows), requires_grad=True)
            sums = sparsity.sums(weight, b.detach())
        return torch.autograd.grad(sums, weight, a.detach())[0]

    @staticmethod
    def backward(ctx, grad):
        (a, b), sparsity = ctx.saved_tensors, ctx.sparsity
        to_a = to_b = None
        if ctx.needs_input_grad[0]:
            to_a = powers(grad, b, sparsity, 1)[0]
        if ctx.needs_input_grad[1]:
            turned, entry = sparsity.transposed()
            to_b = powers(grad.index_select(0, entry), a, turned, 1)[0]
        return to_a, to_b, None
