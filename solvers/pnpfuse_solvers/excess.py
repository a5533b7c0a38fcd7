"""A user's excess chemical potentials: checked, differentiated, compiled for the kernels."""

from __future__ import annotations

import dataclasses
import functools
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pnpfuse_solvers.arguments import finite_number
from pnpfuse_solvers.grid import Array
from pnpfuse_solvers.symbolic import Expression, is_expression, printed, read, symbols_of

if TYPE_CHECKING:
    import sympy


@dataclasses.dataclass(frozen=True)
class Excess:
    """Excess chemical potentials of the ions of a cell, in kB T.

    Parameters
    ----------
    given : {ion name: text or SymPy expression}, or one text or SymPy expression
        Either excess chemical potentials [kB T], 0 for an ion that is left out, or the excess free
        energy density [kB T/m^3] of which they are the derivatives; in the concentrations [1/m^3],
        which are called ``c_`` and the ion's name without what is no letter, digit or underscore
        (``c_Na`` for "Na+").
    ions : sequence of str
        Names of all ions of the cell, in order.

    Raises
    ------
    ValueError
        Where an expression cannot be read or compiled, names an ion that is not there, or where
        the chemical potentials are no derivatives of one free energy: d mu_i/d c_j differs from
        d mu_j/d c_i.
    """

    given: Any
    ions: tuple[str, ...]

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(self, "ions", tuple(self.ions))
        if isinstance(self.given, Excess):  # of a cell whose ions may have changed since
            put(self, "given", self.given.plain())
        if is_expression(self.given):
            put(self, "given", Expression("excess", _text(self.given), self.variables))
        elif isinstance(self.given, Mapping):
            unknown = sorted(set(map(str, self.given)) - set(self.ions))
            if unknown:
                raise ValueError(
                    f"excess: got {unknown[0]!r}, which is no ion of the cell; give expressions "
                    f"for any of {list(self.ions)}"
                )
            for ion, value in self.given.items():
                if isinstance(value, bool) or not (
                    is_expression(value) or isinstance(value, int | float)
                ):
                    raise ValueError(
                        f"excess of ion {ion!r}: got {value!r:.60}; give an expression in "
                        f"{', '.join(self.variables)}"
                    )
            put(self, "given", tuple(
                (ion, Expression(f"excess of ion {ion!r}", _text(value), self.variables))
                for ion, value in sorted(self.given.items())
            ))  # fmt: skip
        else:
            raise ValueError(
                f"excess: got {self.given!r:.60}; give {{ion name: expression}} in kB T, or one "
                "expression for the excess free energy density in kB T/m^3"
            )
        try:
            self._check_integrable()
            smooth = _smooth(self._texts, self.variables)
        except (ArithmeticError, NotImplementedError):
            smooth = False
        if not smooth:
            raise ValueError(
                f"excess: got {self}, which has no derivative everywhere; give a smooth expression "
                "of the concentrations"
            )

    @property
    def variables(self) -> tuple[str, ...]:
        """Names of the concentrations in expressions, one an ion."""
        names = tuple("c_" + re.sub(r"[^A-Za-z0-9_]", "", ion) for ion in self.ions)
        for i, name in enumerate(names):
            if name in names[:i]:
                both = [ion for ion, other in zip(self.ions, names, strict=True) if other == name]
                raise ValueError(
                    f"excess: the ions {both} would all be called {name} in expressions; give them "
                    "names that differ in letters, digits or underscores"
                )
        return names

    def plain(self) -> Any:
        """The expressions as text: one, or one an ion."""
        if isinstance(self.given, Expression):
            return self.given.text
        return {ion: expression.text for ion, expression in self.given}

    def __str__(self) -> str:
        return str(self.plain())

    @property
    def _texts(self) -> tuple[str, ...]:
        return _potentials(self.given, self.ions, self.variables)

    def at(self, c: Array) -> tuple[Array, Array]:
        """Chemical potentials (S, ...) [kB T] and their derivatives (S, S, ...) [m^3] at ``c``."""
        potentials, slopes = _with_slopes(self._texts, self.variables)
        with np.errstate(all="ignore"):
            return potentials(*c), slopes(*c)

    def compiled(self) -> Any:
        """The same as a Numba function for the kernels of ``steric``."""
        return _compiled(self._texts, self.variables)

    def free_energy(self, c: Array) -> Array:
        """Excess free energy density [kB T/m^3] at concentrations ``c`` (S, N) [1/m^3].

        Given by the user, or the integral of the chemical potentials along the ray from c = 0.
        """
        if isinstance(self.given, Expression):
            return self.given(*c)
        potentials, _ = _with_slopes(self._texts, self.variables)
        total = np.zeros(c.shape[1:])
        with np.errstate(all="ignore"):
            for part, weight in zip(*_RAY, strict=True):
                total += weight * (c * potentials(*(part * c))).sum(axis=0)
        return total

    def _check_integrable(self) -> None:
        import sympy

        if isinstance(self.given, Expression):
            return
        symbols = symbols_of(self.variables)
        mu = [read("excess", text, self.variables) for text in self._texts]
        for i in range(len(mu)):
            for j in range(i):
                terms = [sympy.diff(mu[i], symbols[j]), sympy.diff(mu[j], symbols[i])]
                if terms[0] != terms[1] and not _same(terms[0], terms[1], symbols):
                    raise ValueError(
                        f"excess: the chemical potentials of {self.ions[j]!r} and {self.ions[i]!r} "
                        f"are not the derivatives of one free energy: d mu_{self.ions[i]}/"
                        f"d {symbols[j]} = {terms[0]}, but d mu_{self.ions[j]}/d {symbols[i]} = "
                        f"{terms[1]}; give expressions for which they agree, or a free energy "
                        "density"
                    )


def _ray() -> tuple[Array, Array]:
    """Points and weights of the tanh-sinh rule on [0, 1]: roots and logs at both ends are fine."""
    t = np.linspace(-3.2, 3.2, 81)
    at = 0.5 * np.pi * np.sinh(t)
    weight = 0.25 * np.pi * np.cosh(t) / np.cosh(at) ** 2
    return 1.0 / (1.0 + np.exp(-2.0 * at)), weight * (t[1] - t[0])


_RAY = _ray()


def _text(value: Any) -> Any:
    return value.text if isinstance(value, Expression) else (
        value if is_expression(value) else repr(finite_number("excess", value))
    )  # fmt: skip


@functools.lru_cache(64)
def _potentials(given: Any, ions: tuple[str, ...], variables: tuple[str, ...]) -> tuple[str, ...]:
    import sympy

    if isinstance(given, Expression):
        found = given.symbolic
        return tuple(printed("", sympy.diff(found, c)) for c in symbols_of(variables))
    named = dict(given)
    return tuple(named[ion].text if ion in named else "0" for ion in ions)


@functools.lru_cache(64)
def _derivatives(texts: tuple[str, ...], variables: tuple[str, ...]) -> tuple[list, list]:
    import sympy

    mu = [read("excess", text, variables) for text in texts]
    symbols = symbols_of(variables)
    # Each from the one triangle: the matrix is symmetric to the last bit.
    slope = [[sympy.diff(mu[max(i, j)], symbols[min(i, j)]) for j in range(len(mu))]
             for i in range(len(mu))]  # fmt: skip
    return mu, slope


def _smooth(texts: tuple[str, ...], variables: tuple[str, ...]) -> bool:
    """Whether Newton's method gets numbers: steps have delta functions for derivatives."""
    import sympy

    mu, slope = _derivatives(texts, variables)
    rough = (sympy.DiracDelta, sympy.Derivative, sympy.Heaviside, sympy.sign)
    return not any(expression.has(*rough) for expression in [*mu, *sum(slope, [])])


@functools.lru_cache(64)
def _with_slopes(texts: tuple[str, ...], variables: tuple[str, ...]) -> tuple[Callable, Callable]:
    import sympy

    mu, slope = _derivatives(texts, variables)
    symbols = symbols_of(variables)

    def stacked(expressions: list) -> Callable:
        found = sympy.lambdify(symbols, expressions, modules=["numpy", "scipy"], cse=True)

        def at(*c: Array) -> Array:
            return np.array([np.broadcast_to(value, np.shape(c[0])) for value in found(*c)], float)

        return at

    entries = stacked([entry for row in slope for entry in row])
    species = len(mu)
    return stacked(mu), lambda *c: entries(*c).reshape(species, species, *np.shape(c[0]))


@functools.lru_cache(64)
def _compiled(texts: tuple[str, ...], variables: tuple[str, ...]) -> Any:
    """Numba function (c, mu, slope) of the chemical potentials and their derivatives."""
    import sympy
    from numba import cfunc
    from sympy.printing.pycode import PythonCodePrinter

    from pnpfuse_solvers.steric import EXCESS

    mu, slope = _derivatives(texts, variables)
    species = len(mu)
    pairs = [(i, j) for i in range(species) for j in range(i + 1)]
    shared, found = sympy.cse([*mu, *(slope[i][j] for i, j in pairs)], list=True)
    printer = PythonCodePrinter({"fully_qualified_modules": True, "standard": "python3"})
    lines = [f"{name} = c[{i}]" for i, name in enumerate(variables)]
    lines += [f"{name} = {printer.doprint(value)}" for name, value in shared]
    lines += [f"mu[{i}] = {printer.doprint(found[i])}" for i in range(species)]
    for (i, j), value in zip(pairs, found[species:], strict=True):
        lines.append(f"slope[{i}, {j}] = slope[{j}, {i}] = {printer.doprint(value)}")
    source = "def excess(c, mu, slope):\n" + "".join(f"    {line}\n" for line in lines)
    names: dict[str, Any] = {"math": math}
    exec(compile(source, "<excess>", "exec"), names)  # printed by SymPy from what `_read` let in
    try:
        return cfunc(EXCESS, error_model="numpy")(names["excess"])
    except Exception as error:  # whatever Numba finds that it cannot compile
        raise ValueError(
            f"excess: cannot compile {', '.join(texts)!r:.200} ({error!r:.80}); write it with "
            "smooth functions"
        ) from error


def _same(first: sympy.Expr, second: sympy.Expr, symbols: Sequence[sympy.Symbol]) -> bool:
    """Whether two expressions agree at concentrations over many decades."""
    import sympy

    values = sympy.lambdify(symbols, [first, second], modules=["numpy", "scipy"])
    rng = np.random.default_rng(0)
    c = 10.0 ** rng.uniform(15.0, 28.0, (len(symbols), 200))
    with np.errstate(all="ignore"):
        one, other = (np.broadcast_to(value, 200) for value in values(*c))
    known = np.isfinite(one) & np.isfinite(other)
    if not known.any():
        return bool(sympy.simplify(first - second) == 0)
    scale = np.maximum(np.abs(one), np.abs(other))
    return bool(np.all(np.abs(one - other)[known] <= 1e-9 * scale[known]))
