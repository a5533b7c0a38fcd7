"""Figures carry the numbers of the results they are made of."""

import subprocess
import sys

import numpy as np
import pytest
import xarray as xr

from pnpfuse_solvers import Cell, Ion, solve_equilibrium, solve_steady, solve_transient
from pnpfuse_solvers.plot_style import blank_figure, power, prefix, quantity

pytestmark = pytest.mark.filterwarnings("error")


def lines(axis):
    return [line.get_ydata() for line in axis.lines if len(line.get_ydata()) > 2]


def drawn(figure):
    """Draw the figure, all its text included: whatever matplotlib cannot set fails here."""
    figure.draw_without_rendering()  # canvas.draw() of a bare figure does nothing
    return figure


@pytest.mark.parametrize(
    "value, units, text",
    [
        (8.45e-8, "m", "84.5 nm"),
        (-1.5e-5, "C m-2", "-15 µC m-2"),
        (1.0, "V", "1 V"),
        (999.9, "V", "999.9 V"),
        (1e3, "V", "1 kV"),
        (0.0, "J m-2", "0 J m-2"),
        (3e-30, "m", "3e-06 ym"),
        (1e20, "m-3", "1e+20 m-3"),
        (0.25, "1", "0.25"),
        (float("nan"), "m", "nan m"),
        (4.0, "kB T/e", "4 kB T/e"),
    ],
)
def test_si_prefixes(value, units, text):
    assert quantity(value, units) == text


def test_units_as_math_text():
    assert prefix(2e-5, "C m-2") == (1e6, "µC m$^{-2}$")
    assert prefix(5.0, "ohm m2") == (1.0, "Ω m$^{2}$")
    assert prefix(1e20, "m-3") == (1.0, "m$^{-3}$")
    assert power(5359.0) == "5359" and power(0.0) == "0"
    assert power(-2.5e21) == r"$-2.5\times10^{21}$"


def test_an_equilibrium():
    result = solve_equilibrium(Cell.fig8(5), order=4)
    figure = drawn(result.pnp.plot())
    potential, concentrations, charge = figure.axes
    np.testing.assert_allclose(lines(potential)[0], 1e3 * result.potential)
    np.testing.assert_allclose(lines(concentrations), result.concentration)
    np.testing.assert_allclose(lines(charge)[0], result.charge_density)
    assert concentrations.get_yscale() == "log"  # they spread over 4 decades
    assert charge.get_xlabel() == "$x$ (nm)" and potential.get_ylabel() == r"$\phi$ (mV)"
    # The interface and its width: a line at 5 nm in a band of ln 9 / 5 of the cell about it.
    for axis in figure.axes:
        assert axis.lines[-1].get_xdata() == pytest.approx([5.0, 5.0])
        band = axis.patches[-1]
        assert band.get_x() == pytest.approx(5.0 - band.get_width() / 2, rel=1e-3)
        assert band.get_width() == pytest.approx(1e9 * float(result.interface_width), rel=1e-3)
    assert "$b$ = 5 nm" in figure.get_suptitle()


def test_thin_layers_get_logarithmic_distances():
    result = solve_equilibrium(Cell.dimensionless(3000, 3), order=4)
    figure = drawn(result.pnp.plot())
    assert len(figure.axes) == 6 and figure.axes[0].get_xscale() == "log"
    left, right = figure.axes[4:]
    assert left.get_xlabel() == "distance from left (µm)"
    assert right.xaxis_inverted() and not left.xaxis_inverted()
    half = result.x.values <= float(result.length) / 2
    np.testing.assert_allclose(lines(figure.axes[0])[0], 1e3 * result.potential[half][1:])
    assert "not determined" in figure.get_suptitle()


def test_a_steady_state_tells_its_fluxes():
    salt = (Ion("Na+", 1, 1e24, 1.33e-9), Ion("Cl-", -1, 1e24, 2.03e-9))
    cell = Cell(2e-8, salt, relative_permittivity=78.0, potential=(0.1, 0.0))
    ends = {"Na+": 1e24, "Cl-": 1e24}
    result = solve_steady(cell, ends, ends, nodes=101, order=4)
    text = drawn(result.pnp.plot()).get_supxlabel()
    current = float(result.current_density) / 1e3
    assert "$J$(Na+)" in text and f"{current:.4g} kA m$^{{-2}}$" in text


@pytest.mark.parametrize("method", ["adaptive", "backward_euler"])
def test_a_run(method):
    cell = Cell.dimensionless(20, 5)
    clock = cell.debye_length * cell.length / 1e-9
    times = clock * (np.geomspace(1e-2, 5, 9) if method == "adaptive" else np.linspace(0, 3, 9))
    result = solve_transient(cell, times, method=method, nodes=51, rtol=1e-3)
    figure = drawn(result.pnp.plot())
    charge, energy, heat = (figure.axes[k] for k in (0, 2, 4))
    np.testing.assert_allclose(lines(charge), 1e6 * result.electrode_charge.T)
    np.testing.assert_allclose(lines(energy)[0], 1e6 * result.free_energy)
    np.testing.assert_allclose(lines(heat)[0], 1e3 * result.dissipation)
    assert charge.get_xscale() == ("log" if method == "adaptive" else "linear")
    profiles = lines(figure.axes[3])
    np.testing.assert_allclose(profiles[-1], result.concentration[-1, 0])
    assert 4 <= len(profiles) <= 6
    colors = {line.get_color() for line in figure.axes[3].lines}
    assert len(colors) == len(profiles)


def test_a_run_that_stopped_early_and_one_that_never_went():
    result = solve_transient(Cell.dimensionless(20, 5), [1e-5, 1e-4, 1e-3], nodes=51)
    stopped = result.where(result.time < 5e-4)
    assert len(lines(drawn(stopped.pnp.plot()).axes[3])) == 2
    with pytest.raises(ValueError, match="no time of this result was reached"):
        result.where(result.time < 0).pnp.plot()
    assert len(drawn(result.isel(time=[0]).pnp.plot()).axes) > 3
    assert len(drawn(result.isel(time=-1).pnp.plot()).axes) == 3


def test_an_impedance():
    f = np.geomspace(1, 1e7, 50)
    z = 1e-3 / (1 + 2j * np.pi * f * 1e-7) + 1 / (2j * np.pi * f * 1e-2)
    units = {"units": "ohm m2", "long_name": "impedance"}
    spectrum = xr.Dataset(
        {"impedance_real": ("frequency", z.real, units),
         "impedance_imag": ("frequency", z.imag, units)}, coords={"frequency": f},
    )  # fmt: skip
    modulus, phase, nyquist = drawn(spectrum.pnp.plot()).axes
    np.testing.assert_allclose(lines(modulus)[0], np.abs(z))
    np.testing.assert_allclose(lines(phase)[0], np.degrees(np.angle(z)))
    shown = lines(nyquist)[0]
    np.testing.assert_allclose(shown, -1e3 * z.imag[-len(shown) :])
    assert nyquist.get_xlabel() == r"Re $Z$ (mΩ m$^{2}$)"


VOLTAGES, LENGTHS = np.array([1.0, 5.0, 20.0]), np.array([1e-8, 1e-7, 1e-6, 1e-5])


@pytest.fixture
def swept():
    rng = np.random.default_rng(0)
    size = (3, 4)
    failed = np.array([[0, 0, 0, 1]] * 3, bool)
    return xr.Dataset(
        {
            "length": ("length", LENGTHS, {"units": "m"}),
            "interface": (
                ("voltage", "length"), np.where(failed, np.nan, 0.5 * LENGTHS), {"units": "m"}
            ),
            "separation": (
                ("voltage", "length", "species"), rng.random((*size, 2)), {"units": "1"}
            ),
            "surface_charge": (
                ("voltage", "length", "electrode"), 1e-5 * rng.normal(size=(*size, 2)),
                {"units": "C m-2"},
            ),
            "outcome": (("voltage", "length"), np.full(size, "converged")),
        },
        coords={
            "voltage": ("voltage", VOLTAGES, {"units": "kB T/e"}),
            "species": ["cation", "anion"], "electrode": ["left", "right"],
        },
    )  # fmt: skip


def test_lines_over_one_parameter(swept):
    one = swept.isel(voltage=1)
    interface, separation, charge = drawn(one.pnp.plot()).axes
    np.testing.assert_allclose(lines(interface)[0], [0.5, 0.5, 0.5, np.nan])
    np.testing.assert_allclose(lines(separation), one.separation.T)
    np.testing.assert_allclose(lines(charge), 1e6 * one.surface_charge.T)
    assert charge.get_xscale() == "log" and charge.get_xlabel() == "length (µm)"
    assert interface.get_ylim()[0] < 0 and interface.get_ylim()[1] > 1
    [only] = drawn(one.pnp.plot("separation")).axes
    np.testing.assert_allclose(lines(only), one.separation.T)


def test_maps_over_two_parameters(swept):
    figure = drawn(swept.pnp.plot())
    drawings = [artist for axis in figure.axes for artist in axis.collections]
    arrays = [a.get_array() for a in drawings]
    values = [a for a in arrays if a is not None and a.size == 12]
    assert len(values) == 5  # interface, separation of two ions, charge of two electrodes
    assert values[0].mask.reshape(3, 4)[:, 3].all() and not values[0].mask[:, :3].any()
    np.testing.assert_allclose(values[1], swept.separation[..., 0])


def test_bad_names_and_too_many_parameters(swept):
    with pytest.raises(ValueError, match=r"names: got 'flux'; give some of \['interface'"):
        swept.pnp.plot("flux")
    with pytest.raises(ValueError, match="names: 'outcome' over"):
        swept.pnp.plot("outcome")
    with pytest.raises(ValueError, match="choose until two are left"):
        swept.expand_dims(temperature=[300.0, 310.0]).pnp.plot()
    with pytest.raises(ValueError, match="name what to draw"):
        swept[["outcome"]].pnp.plot()


def test_matplotlib_is_imported_only_for_a_figure():
    code = (
        "import sys, pnpfuse_solvers as s; d = s.solve_equilibrium(s.Cell.fig8(1), nodes=51);"
        "d.pnp.summary(); assert 'matplotlib' not in sys.modules;"
        "d.pnp.plot(); assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_one_cell_out_of_many():
    """Profiles of swept cells lie over `node`, each on positions of its own."""
    state = solve_equilibrium(Cell.dimensionless(4, 5), nodes=51, order=4)
    many = xr.Dataset(
        {name: (("voltage", *(("species",) if name == "concentration" else ()), "node"),
                state[name].values[None]) for name in ("x", "potential", "concentration")},
        coords={"voltage": [5.0], "species": state["species"].values},
    )  # fmt: skip
    potential, concentrations = drawn(many.isel(voltage=0).pnp.plot()).axes
    np.testing.assert_allclose(lines(potential)[0], 1e3 * state.potential)
    np.testing.assert_allclose(lines(concentrations), state.concentration)


def test_a_solve_that_failed_says_so():
    result = solve_equilibrium(Cell.fig8(1), nodes=51, order=4)
    blank = result.assign(potential=np.nan * result.potential)
    with pytest.raises(ValueError, match="holds no number .outcome: converged., nothing to draw"):
        blank.pnp.plot()
    blank.attrs["outcome"] = result.attrs["outcome"] = "unresolved layer"
    assert "UNRESOLVED LAYER" in drawn(result.pnp.plot()).get_suptitle()


def test_a_notebook_shows_figures():
    figure = blank_figure(1, 1, (2.0, 1.0))[0]
    assert figure._repr_png_().startswith(b"\x89PNG")
