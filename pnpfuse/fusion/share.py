"""By how much each dissolved channel is shared: concentration profiles over the channels."""

from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor, nn

from pnpfuse.fusion.widths import Widths

Array = np.ndarray
ALL = ("voltage", "length", "charge")  # of a cell can be learned
Learn = str | Sequence[str]


def check_learn(learn: Learn) -> Sequence[str]:
    """The names that `learn` means."""
    names = ALL if learn == "all" else [learn] if isinstance(learn, str) else learn
    if not isinstance(names, Sequence) or not all(name in ALL for name in names):
        raise ValueError(f"learn must be 'all' or some of {list(ALL)}; found {learn!r}")
    return names


def middles(channels: int) -> Array:
    """x/l at the middle of each of `channels` equal channels, (channels,)."""
    return (np.arange(channels) + 0.5) / channels


@lru_cache(maxsize=1024)  # every seed of a sweep builds the same block
def simulated_share(n: float, boundary: int, channels: int, voltage: float) -> tuple[Array, float]:
    """w_j = c_shared/(c_shared + c_specific) at the middle of each channel, and the charge ratio.

    Of the cell, n Debye lengths long, whose interface lies between the channels `boundary` - 1 and
    `boundary`: w, (channels,) float64, falls from above to below 1/2 there, and is the hard cut's
    1, ..., 1, 0, ..., 0 in the limit of high voltages.

    Raises
    ------
    ValueError
        where no cell of that voltage has its interface there
    """
    # Here, since a hard boundary needs no solver: these imports take a second.
    from scipy.interpolate import CubicHermiteSpline
    from scipy.special import expit

    from pnpfuse.mapping import cell_with
    from pnpfuse_solvers import solve_equilibrium

    try:
        cell = cell_with(n, boundary / channels, voltage=voltage)
    except ValueError as error:
        raise ValueError(
            f"voltage {voltage:g} has no cell with its interface at {boundary} of {channels} "
            f"channels: {error}"
        ) from error
    solution = solve_equilibrium(cell)
    x, u = solution["x"].values, solution["reduced_potential"].values
    slope = -solution["electric_field"].values / cell.thermal_voltage
    potential = CubicHermiteSpline(x, u, slope)
    # Boltzmann: ln(c_shared/c_specific) is linear in u and 0 at the interface. No quotient of
    # concentrations, which underflow in a strong field.
    away = potential(middles(channels) * cell.length) - potential(float(solution["interface"]))
    shared, specific = (ion.valence for ion in cell.ions)
    share = expit(-(shared - specific) * away)
    share.flags.writeable = False  # it is handed out again
    return share, -specific


def starting_shares(
    widths: Widths, n: float, voltage: float
) -> tuple[dict[str, Array], dict[str, float]]:
    """What `simulated_share` gives for each modality: {modality: w}, {modality: charge ratio}."""
    found = {
        m: simulated_share(float(n), widths.boundary[m], channels, voltage)
        for m, channels in widths.expanded.items()
    }
    return {m: w for m, (w, _) in found.items()}, {m: r for m, (_, r) in found.items()}


class FixedShare(nn.Module):
    """The shares of a soft boundary: constants, a buffer ``<modality>`` (n l,) each.

    Parameters
    ----------
    shares : {modality: (n l,)}
    """

    def __init__(self, shares: Mapping[str, Array]):
        super().__init__()
        for m, share in shares.items():
            self.register_buffer(m, torch.tensor(share, dtype=torch.get_default_dtype()))

    def forward(self) -> dict[str, Tensor]:
        """{modality: w}."""
        return dict(self.named_buffers())


class LearnedShare(nn.Module):
    """The shares of a learned boundary: those of simulated cells, one a modality, as they are now.

    Parameters
    ----------
    widths : of the block
    n, voltage : lengths of the cells in Debye lengths and voltages in kB T/e, at the start
    charge : {modality: charge ratio at the start}
    learn : one or several of "voltage", "length", "charge"; or "all"

    Attributes
    ----------
    cells : the `PNPBoundary`; what is learned are its parameters
    """

    def __init__(
        self,
        widths: Widths,
        n: float,
        voltage: float,
        charge: Mapping[str, float],
        learn: Learn,
    ):
        from pnpfuse.boundary import PNPBoundary  # here: it needs the solver

        super().__init__()
        self.cells = PNPBoundary(widths.dims, n=n, voltage=voltage, learn=check_learn(learn))
        ratios = [charge[m] for m in widths.dims]
        self.cells.start[2] = torch.tensor(ratios, dtype=torch.float64)
        self.channels = list(widths.expanded.values())
        # One row a modality; the narrower read the middle of the cell in the places they lack.
        self.places = np.full((len(ratios), max(self.channels)), 0.5)
        for row, channels in zip(self.places, self.channels, strict=True):
            row[:channels] = middles(channels)

    @torch.compiler.disable  # else the solver's NumPy is traced, and compiled anew time and again
    def forward(self) -> dict[str, Tensor]:
        """{modality: w (n l,)}, with the gradients of what is learned."""
        shares = self.cells().share(self.places)  # (M, most)
        rows = zip(self.cells.dims, shares, self.channels, strict=True)
        return {m: row[:channels] for m, row, channels in rows}

    def interface(self) -> dict[str, float]:
        """{modality: b}, NaN where the cell has no interface now."""
        with torch.no_grad():
            return dict(zip(self.cells.dims, self.cells(throw=False).b.tolist(), strict=True))
