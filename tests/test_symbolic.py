"""Expressions: what may be written, what is compiled from it, and manufactured solutions."""

import functools
import json
import pickle
import subprocess
import sys

import manufactured
import numpy as np
import pytest
import scipy.optimize
import scipy.special
import sympy as sp

from pnpfuse_solvers import Cell, Ion, SolverError, solve_equilibrium, solve_steady
from pnpfuse_solvers.crowded import on_placed_mesh
from pnpfuse_solvers.discrete import discretise
from pnpfuse_solvers.excess import Excess
from pnpfuse_solvers.mixture import mixture
from pnpfuse_solvers.symbolic import Expression

X = manufactured.X
SALT = (Ion("Na+", 1, 5e25), Ion("Cl-", -1, 5e25))
NAMES = ("Na+", "Cl-")


@pytest.mark.parametrize(
    "text, exact",
    [
        ("2*x**2 - 1/3 + pi/E", lambda x: 2 * x**2 - 1 / 3 + np.pi / np.e),
        ("exp(-x/0.3)*cos(7*x) + sqrt(x + 1)", lambda x: np.exp(-x / 0.3) * np.cos(7 * x)
         + np.sqrt(x + 1)),
        ("erf(x) + tanh(x) - sinh(x)/cosh(x)", lambda x: scipy.special.erf(x)),
        ("Piecewise((1, (x > 0.2) & (x <= 0.5)), (x, 0.5 < x < 0.7), (-1, True))",
         lambda x: np.select([(x > 0.2) & (x <= 0.5), (x > 0.5) & (x < 0.7)], [1, x], -1.0)),
        ("Heaviside(x - 0.35) * sign(x - 0.55) + Abs(x - 0.1)",
         lambda x: np.heaviside(x - 0.35, 0.5) * np.sign(x - 0.55) + abs(x - 0.1)),
        ("Min(x, 0.5, 0.3) + Max(log(1 + x), sin(x), tan(x)/2)",
         lambda x: np.minimum(x, 0.3) + np.max([np.log(1 + x), np.sin(x), np.tan(x) / 2], axis=0)),
        ("0.12345678901234566e5", lambda x: 12345.678901234566 + 0 * x),
    ],
)  # fmt: skip
def test_values(text, exact):
    x = np.linspace(0.013, 0.97, 53)
    expression = Expression("fixed_charge", text)
    np.testing.assert_allclose(expression(x), exact(x), rtol=1e-14, atol=1e-14)
    again = Expression("fixed_charge", str(expression))
    assert again == expression and hash(again) == hash(expression)
    assert pickle.loads(pickle.dumps(expression)) == expression


def test_derivative():
    x = np.linspace(0.1, 0.9, 31)
    slope = Expression("fixed_charge", "exp(-3*x)*sin(x) + Heaviside(x - 0.5)").derivative()
    np.testing.assert_allclose(slope(x), np.exp(-3 * x) * (np.cos(x) - 3 * np.sin(x)), rtol=1e-13)


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')", "x.real", "(lambda: 1)()", "x if x else 1", "x[0]",
        "open('a')", "'a'", "1j", "[1]", "f'{x}'", "x := 1", "y + 1", "exp", "exp(x, 2)",
        "sqrt(x=1)", "max(x, 1)", "True", "x < 1", "Piecewise(1)", "Piecewise((1, x))", "", "1 +",
        "9**9**9", "x**1000", "(10**100)**100", "10**100*10**99*10**99*10**99",
        "exp(exp(exp(100)))", "exp(1000)", "1e400", "log(-1)", "1/0", "0**-1",
        "-" * 3000 + "x", "(" * 300 + "x", "a" * 5000, "x^2", "gamma(x)",
        "Symbol('x')", "*x", "x; x", "x @ x", "x // 2",
    ],
)  # fmt: skip
def test_what_is_refused(text):
    with pytest.raises(ValueError, match="^fixed_charge: "):
        Cell(1e-8, SALT, fixed_charge=text)


def test_refusals_say_what_would_do():
    with pytest.raises(ValueError, match=r"write \*\* for a power"):
        Cell(1e-8, SALT, fixed_charge="x^2")
    with pytest.raises(ValueError, match="relative_permittivity: got the name 'y'; the variables"):
        Cell(1e-8, SALT, relative_permittivity="80*y")
    with pytest.raises(ValueError, match="relative_permittivity: got -3 at x = 0"):
        Cell(1e-8, SALT, relative_permittivity="x*1e8 - 3").permittivity_at(np.zeros(2))
    with pytest.raises(ValueError, match="fixed_charge: got a value that is not finite"):
        Cell(1e-8, SALT, fixed_charge="log(x)").fixed_charge_at(np.zeros(2))


def test_a_cell_with_expressions_is_like_any_other():
    x = sp.Symbol("x")
    text = Cell(1e-8, SALT, fixed_charge="1e24*exp(-x/2e-9)", relative_permittivity="2*39")
    made = Cell(1e-8, SALT, fixed_charge=10**24 * sp.exp(-x / 2e-9), relative_permittivity=78.0)
    assert text == made and hash(text) == hash(made)
    assert pickle.loads(pickle.dumps(text)) == text
    assert text.relative_permittivity == 78.0  # a number remains one
    assert text.replace(length=2e-8).fixed_charge == text.fixed_charge
    said = json.loads(json.dumps(text.describe()))
    assert Cell(1e-8, SALT, fixed_charge=said["fixed_charge"]).fixed_charge == text.fixed_charge


def test_an_expression_solves_like_the_function():
    text = Cell(
        1e-8, SALT, fixed_charge="Piecewise((4e25, x < 3e-9), (-2e25*exp(-x/2e-9), True))",
        relative_permittivity="40 + 30*tanh(x/2e-9)", potential=(0.1, -0.05),
    )  # fmt: skip
    function = text.replace(
        fixed_charge=lambda x: np.where(x < 3e-9, 4e25, -2e25 * np.exp(-x / 2e-9)),
        relative_permittivity=lambda x: 40 + 30 * np.tanh(x / 2e-9),
    )
    one, other = (solve_equilibrium(cell, order=4) for cell in (text, function))
    np.testing.assert_allclose(one.reduced_potential, other.reduced_potential, atol=1e-9)
    assert "tanh" in json.loads(one.attrs["parameters"])["relative_permittivity"]


# Manufactured solutions -------------------------------------------------------------------------

SHAPES = {
    "layers": 3 * sp.exp(-X / 1.5e-9) - 2 * sp.exp((X - 1e-8) / 2e-9) + sp.sin(X / 2e-9) / 2,
    "bump": sp.Rational(3, 2) * sp.tanh((X - 4e-9) / 1e-9) + X / 1e-8,
}
CELLS = {
    "reservoir": {"contact": "reservoir"},
    "closed": {"contact": "closed"},
    "eps(x), Stern": {
        "contact": "reservoir", "relative_permittivity": "30 + 40*tanh(x/3e-9)",
        "stern_thickness": (3e-10, 5e-10),
    },
    "closed, eps(x), Stern": {
        "contact": "closed", "relative_permittivity": "60 - 20*sin(x/2e-9)",
        "stern_thickness": (0.0, 5e-10),
    },
    "steric": {"contact": "reservoir", "diameter": 1.6e-9, "stern_thickness": (3e-10, 0.0)},
}  # fmt: skip
IONS = (("Ca2+", 2, 2e25), ("Na+", 1, 3e25), ("Cl-", -1, 7e25))


@functools.cache
def manufactured_cell(kind, shape):
    fields = {"relative_permittivity": 78.0, **CELLS[kind]}
    diameter = fields.pop("diameter", 0.0)
    ions = tuple(Ion(*ion, diameter=diameter) for ion in IONS)
    return manufactured.equilibrium(Cell(1e-8, ions, **fields), SHAPES[shape])


@pytest.mark.parametrize("order, rate", [(2, 1.8), (4, 3.6), (6, 5.2)])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", CELLS)
def test_order_of_equilibrium(kind, shape, order, rate):
    made = manufactured_cell(kind, shape)
    errors = []
    for nodes in (121, 241, 481):  # below, the meshes themselves still change with nodes
        found = solve_equilibrium(made.cell, nodes=nodes, order=order, tol=1e-12, throw=False)
        exact = made.at(made.u, found.x.values)
        errors.append(np.abs(found.reduced_potential.values - exact).max())
    # Extrapolation ends where rounding begins.
    assert errors[-1] < 3e-12 or np.log2(errors[0] / errors[-1]) / 2 > rate, errors
    # A closed cell keeps its amounts by the rule of trapezoids, which is of second order.
    scale = 1e-2 if made.cell.contact == "closed" else 20 * errors[-1] + 1e-10
    exact = [made.at(c, found.x.values) for c in made.c]
    np.testing.assert_allclose(found.concentration, exact, rtol=scale)
    np.testing.assert_allclose(
        found.surface_charge, made.surface_charge(), rtol={2: 1e-2, 4: 3e-5, 6: 1e-6}[order]
    )


@pytest.mark.parametrize("order, rate", [(2, 1.8), (4, 3.5), (6, 5.0)])
@pytest.mark.parametrize("epsilon", [78.0, "40 + 30*sin(x/3e-9)"])
def test_order_of_steady_states(epsilon, order, rate):
    ions = (Ion("Ca2+", 2, 1e25, diffusivity=8e-10), Ion("Cl-", -1, 2e25, diffusivity=2e-9))
    cell = Cell(1e-8, ions, relative_permittivity=epsilon)
    fluxes = [1e23, -3e24]
    made = manufactured.steady(cell, 1.5, fluxes, [1e25, 2e25])
    left, right = (
        {
            ion.name: float(made.at(c, np.array([end]))[0])
            for ion, c in zip(ions, made.c, strict=True)
        }
        for end in (0.0, cell.length)
    )
    assert min(*left.values(), *right.values()) > 0
    errors, spread = [], []
    for nodes in (31, 61, 121):
        found = solve_steady(made.cell, left, right, nodes=nodes, order=order, tol=1e-12)
        exact = made.at(made.u, found.x.values)
        errors.append(np.abs(found.reduced_potential.values - exact).max())
        spread.append(np.abs(found.flux.values / fluxes - 1).max())
    assert errors[-1] < 3e-12 or np.log2(errors[0] / errors[-1]) / 2 > rate, errors
    assert spread[-1] < 1e-9 or np.log2(spread[0] / spread[-1]) / 2 > rate, spread


# Excess chemical potentials ---------------------------------------------------------------------

SIZE = 7e-10
BIKERMAN = f"-log(1 - {SIZE**3!r}*(c_Na + c_Cl))"


@pytest.mark.parametrize("contact", ["closed", "reservoir"])
@pytest.mark.parametrize(
    "excess",
    [
        {"Na+": BIKERMAN, "Cl-": BIKERMAN},
        f"((1 - {SIZE**3!r}*(c_Na + c_Cl))*log(1 - {SIZE**3!r}*(c_Na + c_Cl)))/{SIZE**3!r}"
        " + c_Na + c_Cl",
    ],
    ids=["potentials", "free energy"],
)
def test_bikerman_as_an_expression(contact, excess):
    cell = Cell(
        1e-8, SALT, relative_permittivity=78.0, potential=(0.3, -0.2), contact=contact,
        excess=excess,
    )  # fmt: skip
    sized = cell.replace(
        excess=None, ions=[Ion(i.name, i.valence, i.concentration, diameter=SIZE) for i in SALT]
    )
    one, other = (solve_equilibrium(each, order=4) for each in (cell, sized))
    assert one.attrs["outcome"] == "converged"
    for name in ("reduced_potential", "excess_potential"):
        same = one[name].interp(x=other.x, method="cubic")
        np.testing.assert_allclose(same, other[name], atol=1e-6, err_msg=name)
    for name in ("surface_charge", "free_energy", "interface", "separation"):
        np.testing.assert_allclose(one[name], other[name], rtol=1e-8, atol=1e-10, err_msg=name)
    assert "c_Na" in json.dumps(json.loads(one.attrs["parameters"])["excess"])


DENSE = (Ion("Na+", 1, 1e26, diameter=4e-10), Ion("Cl-", -1, 1e26), Ion("S", 0, 2e26))
MODELS = {
    # Margules: pairs repel or attract; Debye and Hueckel: the limiting law, -A sqrt(ionic strength)
    "margules": (
        {"Na+": "1e-27*c_Cl + 5e-28*c_S", "Cl-": "1e-27*c_Na", "S": "5e-28*c_Na"},
        lambda c: np.array([1e-27 * c[1] + 5e-28 * c[2], 1e-27 * c[0], 5e-28 * c[0]]),
    ),
    "debye": (
        {"Na+": "-2e-14*sqrt(c_Na + c_Cl)", "Cl-": "-2e-14*sqrt(c_Na + c_Cl)"},
        lambda c: np.array([-2e-14 * np.sqrt(c[0] + c[1])] * 2 + [0 * c[0]]),
    ),
}  # fmt: skip


@pytest.mark.parametrize("contact", ["closed", "reservoir"])
@pytest.mark.parametrize("model", MODELS)
def test_excess_against_scipy(model, contact):
    """All equations of a coarse mesh at once, for ln c, u and mu, by SciPy's root finder."""
    excess, function = MODELS[model]
    cell = Cell(
        4e-9, DENSE, relative_permittivity=70.0, potential=(0.06, -0.05), contact=contact,
        excess=excess, stern_thickness=(2e-10, 0.0),
    )  # fmt: skip
    ours = on_placed_mesh(cell, mixture(cell), 15, 1e-11)
    assert ours.outcome.ok
    p = ours.problem
    n, species = p.x.size, p.z.size
    volume = np.array([ion.diameter**3 for ion in DENSE]) / p.unit

    def mu_of(log_c):
        c = np.exp(log_c)
        steric = np.where(volume > 0, -np.log(1 - volume @ c), 0)
        return log_c + steric + function(c / p.unit)

    given = np.array([ion.concentration for ion in DENSE]) * p.unit
    steric = np.where(volume > 0, -np.log(1 - volume @ given), 0)
    bulk = np.log(given) + steric + function(given / p.unit)

    def equations(unknown):
        log_c = unknown[: n * species].reshape(species, n)
        u, mu = unknown[n * species : -species], unknown[-species:]
        c = np.exp(log_c)
        each = np.array([mu_of(log_c[:, i]) for i in range(n)]).T
        balance = each + np.outer(p.z, u) - mu[:, None]
        flow = p.a * np.diff(u)
        gauss = p.w * (p.z @ c + p.f)
        gauss[:-1] += flow
        gauss[1:] -= flow
        gauss[0] -= p.r[0] * (u[0] - p.v[0])
        gauss[-1] = u[-1] - p.v[1]
        amounts = c @ p.w / p.amount - 1 if p.closed else mu - bulk
        return np.concatenate([balance.ravel(), gauss, amounts])

    line = np.linspace(*p.v, n)
    start = np.concatenate([np.repeat(np.log(given), n), line, bulk])
    found = scipy.optimize.root(equations, start, method="hybr", options={"xtol": 1e-13})
    assert np.abs(equations(found.x)).max() < 1e-9
    np.testing.assert_allclose(ours.u, found.x[n * species : -species], atol=1e-8)
    np.testing.assert_allclose(
        np.log(ours.c), found.x[: n * species].reshape(species, n), atol=1e-7
    )


@pytest.mark.parametrize("contact", ["closed", "reservoir"])
def test_energy_agrees_with_charge_and_potential(contact):
    """d Omega / d phi_end = - sigma_end with an excess whose free energy is integrated."""
    cell = Cell(
        4e-9, DENSE, relative_permittivity=70.0, potential=(0.06, -0.05), contact=contact,
        excess=MODELS["debye"][0],
    )  # fmt: skip
    sigma = solve_equilibrium(cell, order=6).surface_charge.values
    high, low = (
        float(solve_equilibrium(cell.replace(potential=(0.06 + dv, -0.05)), order=6).free_energy)
        for dv in (2e-4, -2e-4)
    )
    assert (high - low) / 4e-4 == pytest.approx(-sigma[0], rel=1e-4)


def test_what_is_no_derivative_of_a_free_energy_is_refused():
    with pytest.raises(ValueError, match="excess: the chemical potentials of 'Na.' and 'Cl-'.*one"):
        Excess({"Na+": "1e-27*c_Cl", "Cl-": "2e-27*c_Na"}, NAMES)
    # ... also where only the values can tell that two forms are the same.
    Excess({"Na+": "log(1 + 1e-27*c_Cl)*2*c_Na*1e-27", "Cl-": "1e-54*c_Na**2/(1 + 1e-27*c_Cl)"},
           NAMES)  # fmt: skip
    # -ln(1 - Phi) for ions of different sizes: no free energy.
    with pytest.raises(ValueError, match="not the derivatives of one free energy"):
        both = "-log(1 - 1e-28*c_Na - 3e-28*c_Cl)"
        Excess({"Na+": both, "Cl-": both}, NAMES)


@pytest.mark.parametrize(
    "excess, match",
    [
        ({"K+": "1"}, "excess: got 'K.', which is no ion of the cell"),
        ({"Na+": "c_K"}, "excess of ion 'Na.': got the name 'c_K'; the variables are c_Na, c_Cl"),
        ({"Na+": None}, "excess of ion 'Na.': got None"),
        (3.0, "excess: got 3.0; give"),
        ("c_Na.real", "excess: got 'c_Na.real'"),
        ({"Na+": "-1e-24*c_Na"}, "excess: at the given concentrations the free energy is not con"),
        ({"Na+": "log(-c_Na)"}, "excess: its value or derivative is not finite"),
    ],
)
def test_bad_excess(excess, match):
    with pytest.raises(ValueError, match=match):
        solve_equilibrium(Cell(1e-8, SALT, excess=excess))


def test_cells_with_an_excess_compare_and_name_their_ions():
    cell = Cell(1e-8, SALT, excess={"Na+": "1e-28*c_Na"})
    assert pickle.loads(pickle.dumps(cell)) == cell != cell.replace(excess=None)
    assert hash(cell) == hash(Cell(1e-8, SALT, excess={"Na+": 1e-28 * sp.Symbol("c_Na")}))
    assert cell.replace(length=2e-8).excess == cell.excess
    with pytest.raises(ValueError, match="would all be called c_Fe"):
        Cell(1e-8, (Ion("Fe+", 1, 1e25), Ion("Fe-", -1, 1e25)), excess={"Fe+": "c_Fe"})


@pytest.mark.parametrize("contact", ["closed", "reservoir"])
@pytest.mark.parametrize("voltage", [0.02, 0.1, 0.3, 2.0])
def test_attraction_that_splits_phases_is_never_converged(voltage, contact):
    """Convex at the given concentrations, not at those next to the electrodes."""
    cell = Cell(
        1e-8, SALT, relative_permittivity=78.0, potential=(voltage, -voltage), contact=contact,
        excess="-1e-27*(c_Na + c_Cl)**2 + 1e-54/12*(c_Na + c_Cl)**3",
    )  # fmt: skip
    solution = solve_equilibrium(cell, throw=False)
    c = solution.concentration.values
    # diag(1/c) + f'' is positive where 1 + f'' (c_Na + c_Cl) is: from 5.9e26 to 3.4e27 it is not.
    if solution.attrs["outcome"] == "converged":
        fine = np.exp([np.interp(np.linspace(0, 400, 40001), np.arange(401), np.log(row))
                       for row in c])  # fmt: skip
        pull = -8e-27 + 6e-53 * fine.sum(axis=0)
        assert (1 + pull * fine.sum(axis=0)).min() > 0
    else:
        assert solution.attrs["outcome"] == "not convex"
        with pytest.raises(SolverError, match="two phases"):
            solve_equilibrium(cell)
    if voltage >= 0.1:
        assert solution.attrs["outcome"] == "not convex"


def test_only_equilibrium_takes_an_excess():
    ends = {"Na+": 1e25, "Cl-": 1e25}
    with pytest.raises(ValueError, match="excess: got .*; solve_steady treats ions as ideal"):
        solve_steady(Cell(1e-8, SALT, excess={"Na+": "1e-28*c_Na"}), ends, ends)


def test_sympy_is_imported_only_where_it_is_used():
    code = (
        "import sys; from pnpfuse_solvers import *; solve_equilibrium(Cell.dimensionless(1, 1)); "
        "sys.exit('sympy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_discretise_takes_expressions():
    p = discretise(Cell(1e-8, SALT, fixed_charge="1e24*x/1e-8"), np.linspace(0, 1e-8, 101))
    np.testing.assert_allclose((p.f @ p.w) / p.unit, 0.5e24, rtol=1e-12)
