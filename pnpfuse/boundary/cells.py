"""Cells of two species from numbers that may carry gradients, and what is read off them."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pnpfuse.boundary.arguments import NAMES, Home, Numbers, as_numbers, as_positions
from pnpfuse.boundary.implicit import Balance, Readings, to_numpy
from pnpfuse_solvers.arguments import check_nodes
from pnpfuse_solvers.outcome import SolverError
from pnpfuse_solvers.pair import POSITION, SHARED, WIDTH, Pairs


@dataclasses.dataclass(frozen=True, eq=False)
class Boundary:
    """What cells say of their interface; tensors of the cells' shape, with gradients.

    Attributes
    ----------
    length_ratio, voltage, charge_ratio : Tensor (...)
        Of the cells, as broadcast.
    b : Tensor (...)
        Interface over cell length; NaN where there is none or it is not determined.
    shares : Tensor (..., 2)
        Share of the shared and of the specific species on its own side of the interface. Where the
        interface is only known to lie within a stretch (a neutral bulk) the cell is split in the
        middle of it, and that split is held in the gradient; NaN where there is no interface.
    width : Tensor (...)
        Length over which the shared species falls from 90 % to 10 % of all ions, over the cell's,
        cut at the electrodes; NaN with b.
    determined : Tensor (...) of bool
        Where b is a number.
    uncertainty : Tensor (...)
        Of b; above 0.01 it is not determined. Without gradient.
    reason : array (...) of str
        Why there is no b; "" where there is one.
    """

    length_ratio: Tensor
    voltage: Tensor
    charge_ratio: Tensor
    b: Tensor
    shares: Tensor
    width: Tensor
    determined: Tensor
    uncertainty: Tensor
    reason: np.ndarray
    _pairs: Pairs = dataclasses.field(repr=False)
    _numbers: tuple[Tensor, ...] = dataclasses.field(repr=False)  # (C,) float64, on the CPU
    _home: Home = dataclasses.field(repr=False)

    @property
    def separation(self) -> Tensor:
        """Share of the species that is separated worst on its own side (...), 0 to 1.

        Where both are separated equally well (charge ratio 1) it has a kink in the charge ratio,
        and its gradient is the mean of the two.
        """
        return self.shares.amin(dim=-1)

    def balance(self, positions: Any) -> Tensor:
        """ln of shared over specific density at positions x/l: (..., P) for P positions.

        Parameters
        ----------
        positions : Tensor, array or list (P,) or (..., P), or a number
            On [0, 1]; axes before the last are broadcast against the cells, a number gives (...).

        Raises
        ------
        ValueError
            For positions outside of the cell, or of another shape.
        """
        return self._home.take(self._balance(positions))

    def share(self, positions: Any) -> Tensor:
        """c_shared/(c_shared + c_specific) at positions x/l; arguments as `balance`.

        Densities are those of ions; the share is 1/2 at b. It is there, with its gradient, also
        where b is not determined.
        """
        return self._home.take(self._balance(positions).sigmoid())

    @torch.compiler.disable
    def _balance(self, positions: Any) -> Tensor:
        at, cells = as_positions(positions), self.b.shape
        places = at[None] if at.ndim == 0 else at
        try:
            places = places.expand(*cells, places.shape[-1])
        except RuntimeError:
            raise ValueError(
                f"positions: got the shape {tuple(at.shape)} for cells of shape {tuple(cells)}; "
                "give (P,) or (*cells, P)"
            ) from None
        flat = places.reshape(cells.numel(), places.shape[-1])
        found = Balance.apply(self._pairs, *self._numbers, flat).reshape(places.shape)
        return found[..., 0] if at.ndim == 0 else found


@torch.compiler.disable
def pnp_boundary(
    length_ratio: float | Tensor,
    voltage: float | Tensor,
    charge_ratio: float | Tensor,
    *,
    nodes: int = 401,
    throw: bool = True,
) -> Boundary:
    """Return interface, separation, width and profiles of simulated cells, with exact gradients.

    The cells are closed and hold the species "shared" (valence +1, amount 1) and "specific"
    (valence -r, amount 1/r); the electrode at x = 0 is at -voltage, the one at x = l at +voltage,
    so that the shared species gathers at x = 0 (`cell_for`). Gradients come from the implicit
    function theorem, not from the solver's iterations: the linearised equation is solved once for
    all three numbers, on the solver's own meshes.

    Parameters
    ----------
    length_ratio : float or Tensor
        Cell length over Debye length, n of a fusion block.
    voltage : float or Tensor
        In kB T/e.
    charge_ratio : float or Tensor
        r = |valence of specific| = l*/l_m. All three: above 0, broadcast against each other.
    nodes : int
        Nodes of the coarsest of the three nested meshes.
    throw : bool
        Raise where a cell cannot be solved; otherwise it is NaN with a reason.

    Returns
    -------
    Boundary
        On the device and of the floating dtype of the arguments (the default dtype for plain
        numbers); the solve itself is in float64 on the CPU.

    Raises
    ------
    ValueError
        For an argument out of range.
    SolverError
        Where ``throw`` and a cell did not converge, with its numbers.

    Notes
    -----
    An undetermined b is NaN, and its gradient 0: it spoils no other cell of a batch, but a loss has
    to leave it out, as by ``boundary.b[boundary.determined]``. Gradients cannot be differentiated
    again.

    Examples
    --------
    >>> charge = torch.tensor(0.375, dtype=torch.float64, requires_grad=True)
    >>> b = pnp_boundary(4.0, 20.0, charge).b
    >>> b.backward()
    >>> round(b.item(), 4), round(charge.grad.item(), 4)
    (0.2727, 0.5289)
    """
    check_nodes(nodes)
    numbers, home = as_numbers(length_ratio, voltage, charge_ratio)
    return solved(numbers, home, nodes, throw)


def solved(numbers: Numbers, home: Home, nodes: int, throw: bool) -> Boundary:
    """Solve cells whose numbers are checked; results go home."""
    shape = numbers[0].shape
    flat = tuple(one.reshape(-1) for one in numbers)
    pairs = Pairs(*(to_numpy(one) for one in flat), nodes=nodes)
    failed = [k for k, outcome in enumerate(pairs.outcome) if not outcome.ok]
    if failed and throw:
        k = failed[0]
        each = zip(NAMES, flat, strict=True)
        where = ", ".join(f"{name} {one[k].item():.6g}" for name, one in each)
        raise SolverError(
            pairs.outcome[k], f"({where}; {len(failed)} of {len(pairs.outcome)} cells)"
        )
    values = Readings.apply(pairs, *flat)
    values = home.take(values.reshape(*shape, values.shape[-1]))
    length, voltage, charge = (home.take(one) for one in numbers)
    b = values[..., POSITION]
    return Boundary(
        length_ratio=length,
        voltage=voltage,
        charge_ratio=charge,
        b=b,
        shares=values[..., SHARED:WIDTH],
        width=values[..., WIDTH],
        determined=~b.detach().isnan(),
        uncertainty=home.take(torch.from_numpy(pairs.uncertainty).reshape(shape)),
        reason=np.array(pairs.reason, dtype=object).reshape(shape),
        _pairs=pairs,
        _numbers=flat,
        _home=home,
    )
