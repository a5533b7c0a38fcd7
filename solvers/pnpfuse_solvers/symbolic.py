"""Expressions in place of functions: read safely, differentiated, compiled.

Text is never evaluated as Python. Its syntax tree is walked against a list of what may stand there,
and SymPy builds the expression; SymPy itself is imported only where an expression is used.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import operator
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pnpfuse_solvers.grid import Array

if TYPE_CHECKING:
    import sympy

LONGEST_TEXT = 4000
LARGEST_POWER = 100
# SymPy takes long over the largest of many.
MOST_ARGUMENTS = 16
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
        text = self.text if isinstance(self.text, str) else printed(self.name, self.text)
        # One way to write each expression, whoever wrote it: read it, and print what was read.
        expression = read(self.name, text, self.variables)
        object.__setattr__(self, "text", printed(self.name, expression))

    def __str__(self) -> str:
        return self.text

    def __call__(self, *values: Any) -> Array:
        """Values at arrays of the variables, of their common shape."""
        with np.errstate(all="ignore"):
            return _numeric(self.text, self.variables)(*values)

    @property
    def symbolic(self) -> sympy.Expr:
        """The expression as SymPy has it."""
        return read(self.name, self.text, self.variables)

    @property
    def smooth(self) -> bool:
        """Whether nothing in it can jump."""
        return not any(name in self.text for name in ("Heaviside", "sign", "Piecewise"))

    def derivative(self, variable: str = "x") -> Expression:
        """The derivative by a variable; a step contributes nothing to it."""
        import sympy

        slope = sympy.diff(self.symbolic, sympy.Symbol(variable, real=True))
        slope = slope.replace(sympy.DiracDelta, lambda *_: sympy.Integer(0))
        return Expression(self.name, slope, self.variables)


def symbols_of(variables: Sequence[str]) -> list[sympy.Symbol]:
    """SymPy's symbols of these names, real ones."""
    import sympy

    return [sympy.Symbol(name, real=True) for name in variables]


@functools.lru_cache(256)
def read(name: str, text: str, variables: tuple[str, ...]) -> sympy.Expr:
    """The expression that ``text`` says; ValueError where it says anything else."""
    if len(text) > LONGEST_TEXT:
        raise ValueError(f"{name}: got {len(text)} characters; give at most {LONGEST_TEXT}")
    try:
        tree = ast.parse(text.strip(), mode="eval")
        found = _built(tree.body, name, dict(zip(variables, symbols_of(variables), strict=True)))
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
        f"numbers, {', '.join(symbols)}, + - * / **, {', '.join(CONSTANTS + FUNCTIONS)} "
        "(a condition: Piecewise((1, x < 1e-9), (0, True)))"
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
    if len(values) > MOST_ARGUMENTS:
        raise ValueError(f"{name}: got {len(values)} arguments of {called}; give at most 16")
    if len(values) != 1 and not (many and len(values) > 1):
        raise ValueError(f"{name}: got {len(values)} arguments of {called}; give one")
    if called != "sqrt" and not many and values[0].is_number and not values[0].is_Rational:
        values[0] = sympy.Float(float(values[0]), 17)
    if values[0].is_number and abs(values[0]) > 700 and called in ("exp", "sinh", "cosh"):
        raise ValueError(f"{name}: got {called}({values[0]}), which is out of range")
    return _number(name, getattr(sympy, called)(*values))


def _number(name: str, value: Any) -> Any:
    """Refuse a number that float64 cannot hold, before it grows further."""
    if value.is_number and not value.is_zero and not (
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


def printed(name: str, expression: Any) -> str:
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

    expression = read("expression", text, variables)
    found = sympy.lambdify(symbols_of(variables), expression, modules=["numpy", "scipy"])

    def at(*values: Any) -> Array:
        arrays = np.broadcast_arrays(*(np.asarray(value, float) for value in values))
        return np.array(np.broadcast_to(found(*arrays), arrays[0].shape), float)

    return at
