"""Expressions in place of functions: read safely, differentiated, compiled.

Text is never evaluated as Python. Its syntax tree is walked against a list of what may stand there,
and SymPy builds the expression; SymPy itself is imported only where an expression is used.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import math
import operator
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pnpfuse_solvers.grid import Array

if TYPE_CHECKING:
    import sympy

LONGEST_TEXT = 4000
LARGEST_POWER = 100
FUNCTIONS = (
    "exp", "log", "sqrt", "sin", "cos", "tan", "tanh", "sinh", "cosh", "erf", "Abs", "sign",
    "Heaviside", "Piecewise", "Min", "Max",
)  # fmt: skip
CONSTANTS = ("pi", "E")
_ARITHMETIC: Mapping[type, Callable] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul,
    ast.Div: operator.truediv, ast.Pow: operator.pow,
}  # fmt: skip
_RELATIONS: Mapping[type, str] = {
    ast.Lt: "StrictLessThan", ast.LtE: "LessThan",
    ast.Gt: "StrictGreaterThan", ast.GtE: "GreaterThan",
}  # fmt: skip


def is_expression(value: Any) -> bool:
    """Whether ``value`` is text, a SymPy expression or an `Expression` already."""
    module = sys.modules.get("sympy")
    return isinstance(value, str | Expression) or (
        module is not None and isinstance(value, module.Basic)
    )


@dataclasses.dataclass(frozen=True)
class Expression:
    """A real function of named variables, given as text: comparable, hashable, picklable.

    Parameters
    ----------
    name : str
        The argument that it stands for, named in errors.
    text : str or SymPy expression
        Built from numbers, the variables, ``+ - * / **``, pi, E and the functions exp, log, sqrt,
        sin, cos, tan, tanh, sinh, cosh, erf, Abs, sign, Heaviside, Min, Max and
        ``Piecewise((value, condition), ...)``.
    variables : tuple of str
        What it may depend on.

    Raises
    ------
    ValueError
        Where the text holds anything else.
    """

    name: str = dataclasses.field(compare=False)
    text: str
    variables: tuple[str, ...] = ("x",)

    def __post_init__(self) -> None:
        text = self.text if isinstance(self.text, str) else _printed(self.name, self.text)
        # One way to write each expression, whoever wrote it: read it, and print what was read.
        expression = _read(self.name, text, self.variables)
        object.__setattr__(self, "text", _printed(self.name, expression))

    def __str__(self) -> str:
        return self.text

    def __call__(self, *values: Any) -> Array:
        """Values at arrays of the variables, of their common shape."""
        with np.errstate(all="ignore"):
            return _numeric(self.text, self.variables)(*values)

    @property
    def symbolic(self) -> sympy.Expr:
        """The expression as SymPy has it."""
        return _read(self.name, self.text, self.variables)

    def derivative(self, variable: str = "x") -> Expression:
        """The derivative by a variable; a step contributes nothing to it."""
        import sympy

        slope = sympy.diff(self.symbolic, sympy.Symbol(variable, real=True))
        slope = slope.replace(sympy.DiracDelta, lambda *_: sympy.Integer(0))
        return Expression(self.name, slope, self.variables)


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
        self._check_integrable()

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
        symbols = _symbols(self.variables)
        mu = [_read("excess", text, self.variables) for text in self._texts]
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
        value if is_expression(value) else repr(float(value))
    )  # fmt: skip


def _symbols(variables: Sequence[str]) -> list[sympy.Symbol]:
    import sympy

    return [sympy.Symbol(name, real=True) for name in variables]


@functools.lru_cache(256)
def _read(name: str, text: str, variables: tuple[str, ...]) -> sympy.Expr:
    """The expression that ``text`` says; ValueError where it says anything else."""
    if len(text) > LONGEST_TEXT:
        raise ValueError(f"{name}: got {len(text)} characters; give at most {LONGEST_TEXT}")
    try:
        tree = ast.parse(text.strip(), mode="eval")
        found = _built(tree.body, name, dict(zip(variables, _symbols(variables), strict=True)))
    except (SyntaxError, RecursionError, MemoryError, OverflowError) as error:
        raise ValueError(
            f"{name}: cannot read {text!r:.80} ({type(error).__name__}); give an expression such "
            f"as '1 + exp(-{variables[0]})'"
        ) from None
    import sympy

    if not isinstance(found, sympy.Expr):
        raise ValueError(f"{name}: got {text!r:.80}; give an expression whose value is a number")
    return found


def _built(node: ast.AST, name: str, symbols: Mapping[str, sympy.Symbol]) -> Any:
    """Build SymPy objects from a syntax tree, refusing what is not on the list."""
    import sympy

    def build(part: ast.AST) -> Any:
        return _built(part, name, symbols)

    match node:
        case ast.Constant(value=bool()):
            return sympy.true if node.value else sympy.false
        case ast.Constant(value=int() | float()):
            return _number(name, sympy.sympify(node.value))
        case ast.Name(id=known) if known in symbols:
            return symbols[known]
        case ast.Name(id=known) if known in CONSTANTS:
            return getattr(sympy, known)
        case ast.Name(id=other):
            raise ValueError(
                f"{name}: got the name {other!r:.40}; the variables are {', '.join(symbols)}, and "
                f"there are {', '.join(CONSTANTS + FUNCTIONS)}"
            )
        case ast.UnaryOp(op=ast.USub()):
            return -_value(name, build(node.operand))
        case ast.UnaryOp(op=ast.UAdd()):
            return _value(name, build(node.operand))
        case ast.BinOp() if type(node.op) in _ARITHMETIC:
            left, right = _value(name, build(node.left)), _value(name, build(node.right))
            if isinstance(node.op, ast.Pow) and right.is_number and abs(right) > LARGEST_POWER:
                raise ValueError(
                    f"{name}: got the power {ast.unparse(node)!r:.60}; give exponents up to "
                    f"{LARGEST_POWER}"
                )
            return _number(name, _ARITHMETIC[type(node.op)](left, right))
        case ast.Compare() if all(type(op) in _RELATIONS for op in node.ops):
            sides = [_value(name, build(side)) for side in (node.left, *node.comparators)]
            return sympy.And(*(
                getattr(sympy, _RELATIONS[type(op)])(a, b)
                for op, a, b in zip(node.ops, sides[:-1], sides[1:], strict=True)
            ))  # fmt: skip
        case ast.BoolOp():
            joined = sympy.And if isinstance(node.op, ast.And) else sympy.Or
            return joined(*(_condition(name, build(part)) for part in node.values))
        case ast.BinOp(op=ast.BitAnd() | ast.BitOr()):  # as SymPy prints conditions
            joined = sympy.And if isinstance(node.op, ast.BitAnd) else sympy.Or
            return joined(*(_condition(name, build(part)) for part in (node.left, node.right)))
        case ast.Call(func=ast.Name(id=called), keywords=[]) if called in FUNCTIONS:
            return _called(called, node.args, name, build)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitXor):
        raise ValueError(f"{name}: got '^' in {ast.unparse(node)!r:.60}; write ** for a power")
    raise ValueError(
        f"{name}: got {ast.unparse(node)!r:.60}, which is not allowed in an expression; there are "
        f"numbers, {', '.join(symbols)}, + - * / **, {', '.join(CONSTANTS + FUNCTIONS)}"
    )


def _called(called: str, args: list[ast.expr], name: str, build: Callable) -> Any:
    import sympy

    if called == "Piecewise":
        pieces = []
        for piece in args:
            if not (isinstance(piece, ast.Tuple) and len(piece.elts) == 2):
                raise ValueError(f"{name}: give Piecewise((value, condition), ...)")
            value, condition = (build(part) for part in piece.elts)
            pieces.append((_value(name, value), _condition(name, condition)))
        if not pieces:
            raise ValueError(f"{name}: give Piecewise((value, condition), ...)")
        return sympy.Piecewise(*pieces)
    values = [_value(name, build(part)) for part in args]
    many = called in ("Min", "Max")
    if len(values) != 1 and not (many and len(values) > 1):
        raise ValueError(f"{name}: got {len(values)} arguments of {called}; give one")
    if called != "sqrt" and not many and values[0].is_number and not values[0].is_Rational:
        values[0] = sympy.Float(float(values[0]), 17)
    if values[0].is_number and abs(values[0]) > 700 and called in ("exp", "sinh", "cosh"):
        raise ValueError(f"{name}: got {called}({values[0]}), which is out of range")
    return _number(name, getattr(sympy, called)(*values))


def _number(name: str, value: Any) -> Any:
    """Refuse a number that float64 cannot hold, before it grows further."""
    if value.is_number and value != 0 and not (
        value.is_real and value.is_finite and 1e-300 < abs(float(value)) < 1e300
    ):  # fmt: skip
        raise ValueError(
            f"{name}: got a number that is not real or out of range; give numbers from 1e-300 to "
            "1e300"
        )
    return value


def _value(name: str, value: Any) -> Any:
    import sympy

    if not isinstance(value, sympy.Expr):
        raise ValueError(f"{name}: got {value} where a number is wanted")
    return value


def _condition(name: str, value: Any) -> Any:
    import sympy

    if isinstance(value, sympy.Expr) or not isinstance(value, sympy.logic.boolalg.Boolean):
        raise ValueError(f"{name}: got {value} where a condition is wanted, such as x < 1e-9")
    return value


def _printed(name: str, expression: Any) -> str:
    """Text that gives the expression back, all 17 digits of its numbers included."""
    from sympy.printing.str import StrPrinter

    class Printer(StrPrinter):
        def _print_Float(self, expr: Any) -> str:
            return repr(float(expr))

        def _print_Integer(self, expr: Any) -> str:
            return str(expr) if abs(expr) < 2**53 else repr(float(expr))

    return Printer().doprint(expression)


@functools.lru_cache(256)
def _numeric(text: str, variables: tuple[str, ...]) -> Callable:
    import sympy

    expression = _read("expression", text, variables)
    found = sympy.lambdify(_symbols(variables), expression, modules=["numpy", "scipy"])

    def at(*values: Any) -> Array:
        arrays = np.broadcast_arrays(*(np.asarray(value, float) for value in values))
        return np.array(np.broadcast_to(found(*arrays), arrays[0].shape), float)

    return at


@functools.lru_cache(64)
def _potentials(
    given: Any, ions: tuple[str, ...], variables: tuple[str, ...]
) -> tuple[str, ...]:
    import sympy

    if isinstance(given, Expression):
        found = given.symbolic
        return tuple(_printed("", sympy.diff(found, c)) for c in _symbols(variables))
    named = dict(given)
    return tuple(named[ion].text if ion in named else "0" for ion in ions)


@functools.lru_cache(64)
def _derivatives(texts: tuple[str, ...], variables: tuple[str, ...]) -> tuple[list, list]:
    import sympy

    mu = [_read("excess", text, variables) for text in texts]
    symbols = _symbols(variables)
    # Each from the one triangle: the matrix is symmetric to the last bit.
    slope = [[sympy.diff(mu[max(i, j)], symbols[min(i, j)]) for j in range(len(mu))]
             for i in range(len(mu))]  # fmt: skip
    return mu, slope


@functools.lru_cache(64)
def _with_slopes(texts: tuple[str, ...], variables: tuple[str, ...]) -> tuple[Callable, Callable]:
    import sympy

    mu, slope = _derivatives(texts, variables)
    symbols = _symbols(variables)

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
