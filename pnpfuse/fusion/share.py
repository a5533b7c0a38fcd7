"""Which share of each dissolved channel is shared: concentration profiles over the channels."""

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor, nn

Array = np.ndarray


def positions(channels: int) -> Array:
    """x/l at the middle of each of `channels` equal channels, (channels,)."""
    return (np.arange(channels) + 0.5) / channels


@lru_cache(maxsize=1024)  # a sweep builds the same block for every seed
def simulated_share(n: float, boundary: int, channels: int, voltage: float) -> Array:
    """w_j = c_shared/(c_shared + c_specific) at the middle of each channel, (channels,) float64.

    Of the cell, n Debye lengths long, whose interface lies between channels `boundary` - 1 and
    `boundary`: w falls from above to below 1/2 there, and is the hard cut's 1, ..., 1, 0, ..., 0
    in the limit of high voltages.

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
    away = potential(positions(channels) * cell.length) - potential(float(solution["interface"]))
    shared, specific = cell.ions
    share = expit(-(shared.valence - specific.valence) * away)
    share.flags.writeable = False  # it is handed out again
    return share


class FixedShare(nn.Module):
    """The share of every channel as a constant; buffer ``values`` (n l,).

    Parameters
    ----------
    share : (n l,), as of `simulated_share`
    """

    values: Tensor

    def __init__(self, share: Array):
        super().__init__()
        self.register_buffer("values", torch.tensor(share, dtype=torch.get_default_dtype()))

    def forward(self) -> Tensor:
        """w (1, n l), the same for all modalities of a stack."""
        return self.values[None]
