"""The subsampled randomised Hadamard transform: expansion and reduction without parameters."""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from pnpfuse.fusion.arguments import check_count
from pnpfuse.fusion.precision import widen, without_autocast
from pnpfuse.fusion.widths import WIDEST, next_power

__all__ = ["SRHT", "hadamard"]

# On a CPU a product with H_16 takes a quarter of the passes over memory that butterflies take,
# in about a fifth of the time; up to 64 channels the whole matrix at once is faster still.
RADIX = 16
DENSE = 64


def hadamard(x: Tensor) -> Tensor:
    """The normalised Walsh-Hadamard transform H x along the last axis, in O(d log d).

    H is the Sylvester matrix over sqrt(d), symmetric and orthogonal: the transform is its own
    inverse and its own adjoint.

    Parameters
    ----------
    x : floating-point (..., d), d a power of two

    Returns
    -------
    Tensor
        (..., d) of x's dtype; half precision is computed in float32, under autocast too

    Raises
    ------
    ValueError
        for a width that is no power of two, or a tensor that is not floating-point
    """
    if not isinstance(x, Tensor) or not x.is_floating_point():
        found = x.dtype if isinstance(x, Tensor) else type(x).__name__
        raise ValueError(f"x must be a floating-point torch tensor; found {found}")
    width = x.shape[-1] if x.ndim else 0
    if width < 1 or width & (width - 1):
        raise ValueError(
            f"x must have a power of two as its last size; found shape {tuple(x.shape)}: "
            "pad it with zeros"
        )
    wide = widen(x)  # (..., d)
    factor = _sylvester(_first(width), wide.device).to(wide.dtype)
    return _transform(wide * width**-0.5, factor).to(x.dtype)  # (..., d)


class SRHT(nn.Module):
    """S = sqrt(p/k) R H D: random signs, the Hadamard transform, a random sample of rows.

    The `inputs` features are padded with zeros to p, the next power of two. For k = `outputs`
    larger than p, the transform is repeated with independent signs, r = ceil(k/p) times ::

        S = sqrt(p/k) R [H D_1; ...; H D_r]        (outputs, inputs)

    where R takes all rows of the first r - 1 repeats and a sample without replacement of the
    last one's, in random order within each repeat.

    Over the random draw, E S^T S = I. S^T S = I exactly (S is an isometry) when `outputs` is a
    multiple of p, as for l and n l where l is a power of two: then each repeat is an orthogonal
    matrix and none of its rows is left out.

    There are no parameters. The signs and the rows are buffers, drawn from torch's global
    generator at construction; they are saved and loaded with the module.

    Parameters
    ----------
    inputs, outputs : widths, 1 or more each

    Raises
    ------
    ValueError
        for a width that is no such integer
    """

    signs: Tensor
    rows: Tensor
    factor: Tensor

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.in_features = check_count("inputs", inputs, most=WIDEST)
        self.out_features = check_count("outputs", outputs, most=WIDEST)
        self.padded = next_power(self.in_features)
        self.repeats = math.ceil(self.out_features / self.padded)
        # As int8 they are exact beside features of any dtype, and `.to(dtype)` leaves them alone.
        signs = 2 * torch.randint(2, (self.repeats, self.padded)) - 1
        self.register_buffer("signs", signs.to(torch.int8))  # (r, p)
        order = [torch.randperm(self.padded) + i * self.padded for i in range(self.repeats)]
        self.register_buffer("rows", torch.cat(order)[: self.out_features])  # (k,)
        factor = _sylvester(_first(self.padded), self.rows.device)
        self.register_buffer("factor", factor, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """S x for each row, (..., inputs) to (..., outputs), in x's dtype."""
        wide = pad(widen(x), (0, self.padded - self.in_features))  # (..., p)
        signed = wide.unsqueeze(-2) * self._scaled_signs(wide)  # (..., r, p)
        stacked = _transform(signed, self.factor.to(wide.dtype)).flatten(-2)  # (..., r p)
        return stacked.index_select(-1, self.rows).to(x.dtype)  # (..., k)

    def adjoint(self, y: Tensor) -> Tensor:
        """S^T y for each row, (..., outputs) to (..., inputs), in y's dtype.

        The way back: S^T S x = x where S is an isometry, and on average over the draw elsewhere.
        """
        wide = widen(y)  # (..., k)
        stacked = wide.new_zeros(*wide.shape[:-1], self.repeats * self.padded)  # (..., r p)
        stacked = stacked.index_copy(-1, self.rows, wide).unflatten(-1, (-1, self.padded))
        signed = _transform(stacked, self.factor.to(wide.dtype)) * self._scaled_signs(wide)
        return signed.sum(-2)[..., : self.in_features].to(y.dtype)  # (..., inputs)

    def _scaled_signs(self, x: Tensor) -> Tensor:
        """D times sqrt(p/k) and the transform's own 1/sqrt(p), (r, p)."""
        return self.signs.to(x.dtype) * self.out_features**-0.5

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}"


def _first(width: int) -> int:
    """Order of the Hadamard matrix that the transform of `width` multiplies by at a time."""
    return width if width <= DENSE else RADIX


def _sylvester(order: int, device: torch.device) -> Tensor:
    """The Hadamard matrix of `order` with entries +1 and -1, int8 (order, order)."""
    # Made on the device: a copy from the host would wait for its stream.
    matrix = torch.ones(1, 1, dtype=torch.int8, device=device)
    while matrix.shape[0] < order:
        matrix = torch.cat([torch.cat([matrix, matrix], 1), torch.cat([matrix, -matrix], 1)])
    return matrix


def _transform(x: Tensor, factor: Tensor) -> Tensor:
    """The transform without its 1/sqrt(d), (..., d), as H_d = H_16 (x) ... (x) H_16 (x) H_rest."""
    shape, width, done = x.shape, x.shape[-1], factor.shape[0]
    with without_autocast(x):
        x = x.reshape(-1, done) @ factor
        while done < width:
            order = min(RADIX, width // done)
            # H_order is the corner of any larger Sylvester matrix.
            x = factor[:order, :order] @ x.reshape(-1, order, done)  # (., order, done)
            done *= order
    return x.reshape(shape)
