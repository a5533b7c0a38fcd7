"""Figure of an impedance spectrum."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from pnpfuse_solvers.plot_style import BLUE, GREY, RED, blank_figure, math_text, prefix

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def impedance_figure(result: xr.Dataset) -> Figure:
    """Nyquist's plot, and modulus and phase over frequency (Bode)."""
    z = result["impedance_real"].values + 1j * result["impedance_imag"].values
    f = result["frequency"].values
    units = result["impedance_real"].attrs.get("units", "ohm m2")
    made, axes = blank_figure(2, 2, (7.0, 3.6), width_ratios=(1, 1.15))
    grid = axes[0, 0].get_gridspec()
    for axis in axes[:, 0]:
        axis.remove()
    nyquist = made.add_subplot(grid[:, 0])
    modulus, phase = axes[:, 1]
    # Far below the charging time the capacitor alone is left, a line up: it would hide the arc.
    real = np.ptp(z.real) + np.abs(z.real).max()
    shown = np.abs(z.imag) <= 0.6 * real
    largest = float(np.abs(z[shown if shown.any() else slice(None)]).max())
    factor, unit = prefix(largest, units)
    nyquist.plot(z.real[shown] * factor, -z.imag[shown] * factor, "o-", ms=2.5, color=GREY)
    labelled = np.full(1, np.inf + 0j)
    for power in range(int(np.ceil(np.log10(f.min()))), int(np.log10(f.max())) + 1):
        i = int(np.abs(np.log(f / 10.0**power)).argmin())
        # Decades that crowd in a corner carry one label.
        if not shown[i] or np.abs(labelled - z[i]).min() < 0.08 * largest:
            continue
        labelled = np.append(labelled, z[i])
        at = (z.real[i] * factor, -z.imag[i] * factor)
        left = z.real[i] > 0.6 * z.real[shown].max()
        nyquist.plot(*at, "o", ms=4, color=RED)
        nyquist.annotate(
            rf"$10^{{{power}}}$ Hz", at, xytext=(-6 if left else 6, 0), textcoords="offset points",
            fontsize=7, va="center", ha="right" if left else "left",
        )  # fmt: skip
    nyquist.margins(x=0.16, y=0.06)
    nyquist.set_aspect("equal", adjustable="datalim")
    nyquist.set(xlabel=rf"Re $Z$ ({unit})", ylabel=rf"$-$Im $Z$ ({unit})")
    modulus.loglog(f, np.abs(z), color=BLUE)
    modulus.set_ylabel(f"$|Z|$ ({math_text(units)})")
    modulus.tick_params(labelbottom=False)
    phase.semilogx(f, np.degrees(np.angle(z)), color=RED)
    phase.set(xlabel="$f$ (Hz)", ylabel="phase (°)", yticks=(-90, -45, 0), ylim=(-95, 5))
    made.align_ylabels([modulus, phase])
    return made
