"""An exponential that loops turn into vector code."""

import numpy as np
from llvmlite import ir
from numba import config, njit, types
from numba.extending import intrinsic


@intrinsic
def _bits(typing, x):
    """The bits of a float as an integer."""
    return types.int64(types.float64), lambda _, b, s, args: b.bitcast(args[0], ir.IntType(64))


@intrinsic
def _float(typing, x):
    """The float of these bits."""
    return types.float64(types.int64), lambda _, b, s, args: b.bitcast(args[0], ir.DoubleType())


@njit(inline="always")
def exp(x):
    """exp(x) within 2 units of the last place, 1e-308 below -708: loops over it become vector code.

    The library's function is called number by number, which costs several times as much. Reduction
    to |r| <= ln(2)/2 with ln(2) in two parts, Taylor's polynomial of degree 13, and the power of 2
    added to the exponent's bits.
    """
    x = min(max(x, -708.0), 709.0)
    shifted = x * 1.4426950408889634 + 6755399441055744.0  # the integer, in the low bits
    k = shifted - 6755399441055744.0
    r = (x - k * 0.6931471803691238) - k * 1.9082149292705877e-10
    p = 1.0 / 6227020800.0
    p = p * r + 1.0 / 479001600.0
    p = p * r + 1.0 / 39916800.0
    p = p * r + 1.0 / 3628800.0
    p = p * r + 1.0 / 362880.0
    p = p * r + 1.0 / 40320.0
    p = p * r + 1.0 / 5040.0
    p = p * r + 1.0 / 720.0
    p = p * r + 1.0 / 120.0
    p = p * r + 1.0 / 24.0
    p = p * r + 1.0 / 6.0
    p = p * r + 0.5
    p = p * r + 1.0
    p = p * r + 1.0
    return _float(_bits(p) + (_bits(shifted) << 52))


if config.DISABLE_JIT:  # type: ignore[attr-defined]  # bits have no meaning in plain Python
    exp = np.exp  # type: ignore[assignment]
