"""Arithmetic that a plan may have in the place of a number: "0.02 / sqrt(2 * layers)".

What: `Expression(text)` parses once; `value(names)` computes, as often as asked.
Method: recursive descent over

    sum = product {(+ | -) product}        power = atom [** unary]
    product = unary {(* | /) unary}        atom = number | name | name(sum, ...) | (sum)
    unary = (+ | -) unary | power

in float64. `+ - * / sqrt` are exact by IEEE 754. A power whose exponent is a multiple of 1/16 is
made of multiplications and square roots in a fixed order. Other powers, `log` and `exp` come from
the C library and are rounded to 12 digits, which hides in what libraries differ.
Consumes: text of at most `MAX_LENGTH` characters, nested at most `MAX_DEPTH` deep.
Promises: a finite number, the same bits on every machine, or an `ExpressionError`. Nothing else is
ever evaluated.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Final

MAX_LENGTH: Final = 200
MAX_DEPTH: Final = 20
MAX_EXPONENT: Final = 64
# Of what the C library computes.
_DIGITS: Final = 12
# Exponents are multiples of one over this where a power is made of square roots.
_ROOTS: Final = 16

_TOKEN: Final = re.compile(
    r"[ \t]*(?:([0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?|\.[0-9]+(?:[eE][+-]?[0-9]+)?)"
    r"|([A-Za-z_][A-Za-z0-9_]*)|(\*\*|[-+*/(),]))"
)

_Names = Mapping[str, float]
_Node = Callable[[_Names], float]


class ExpressionError(ValueError):
    """The text is no expression, or has no value; says why in words that follow its key."""


class Expression:
    """A parsed expression.

    Args:
        text: The expression.

    Attributes:
        text: The expression, as given.
        names: The names of the variables in it.

    Raises:
        ExpressionError: `text` is no expression.
    """

    __slots__ = ("_node", "names", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        parser = _Parser(text)
        self._node = parser.parse()
        self.names = frozenset(parser.names)

    def __repr__(self) -> str:
        return f"Expression({self.text!r})"

    def value(self, names: _Names) -> float:
        """Return the value where the variables have the values `names`.

        Raises:
            ExpressionError: A variable is not known, or the value is no finite number.
        """
        return self._node(names)


class _Parser:
    """One parse; the methods are the grammar."""

    def __init__(self, text: str) -> None:
        if len(text) > MAX_LENGTH:
            raise ExpressionError(f"must be at most {MAX_LENGTH} characters long")
        self.names: set[str] = set()
        self._text = text
        self._depth = 0
        self._position = 0
        self._next()

    def parse(self) -> _Node:
        node = self._sum()
        if self._token:
            self._unexpected()
        return node

    def _next(self) -> None:
        """Read the next token; the empty one is the end."""
        found = _TOKEN.match(self._text, self._position)
        if found is None:
            rest = self._text[self._position :].lstrip(" \t")
            if rest:
                self._start = len(self._text) - len(rest)
                self._token = rest[0]
                self._unexpected()
            self._token, self._kind, self._start = "", 0, len(self._text)
            return
        self._kind = found.lastindex or 0
        self._token = found[self._kind]
        self._start = found.start(self._kind)
        self._position = found.end()

    def _unexpected(self) -> None:
        if not self._token:
            raise ExpressionError("is no expression: it ends too early")
        raise ExpressionError(
            f"is no expression: `{self._token}` at character {self._start + 1} is not expected"
        )

    def _take(self, *tokens: str) -> str | None:
        """Pass over the next token if it is one of `tokens`, and return it."""
        token = self._token
        if self._kind != 3 or token not in tokens:
            return None
        self._next()
        return token

    def _sum(self) -> _Node:
        left = self._product()
        while operator := self._take("+", "-"):
            left = _binary(operator, left, self._product())
        return left

    def _product(self) -> _Node:
        left = self._unary()
        while operator := self._take("*", "/"):
            left = _binary(operator, left, self._unary())
        return left

    def _unary(self) -> _Node:
        # Every way into the depth comes through here.
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise ExpressionError(f"must not be nested deeper than {MAX_DEPTH}")
        sign = self._take("+", "-")
        node = self._unary() if sign else self._power()
        self._depth -= 1
        return (lambda names: -node(names)) if sign == "-" else node

    def _power(self) -> _Node:
        base = self._atom()
        return _binary("**", base, self._unary()) if self._take("**") else base

    def _atom(self) -> _Node:
        token, kind = self._token, self._kind
        if kind == 1:
            self._next()
            number = _finite(float(token))
            return lambda names: number
        if kind == 2:
            self._next()
            return self._call(token) if self._take("(") else self._variable(token)
        if self._take("("):
            inside = self._sum()
            self._close()
            return inside
        self._unexpected()
        raise AssertionError

    def _close(self) -> None:
        if not self._take(")"):
            self._unexpected()

    def _variable(self, name: str) -> _Node:
        self.names.add(name)

        def value(names: _Names) -> float:
            try:
                return names[name]
            except KeyError:
                raise ExpressionError(unknown(name, names)) from None

        return value

    def _call(self, name: str) -> _Node:
        if name not in FUNCTIONS:
            raise ExpressionError(
                f"has `{name}`, which is no function; the functions are {', '.join(FUNCTIONS)}"
            )
        function, least, most = FUNCTIONS[name]
        arguments = [self._sum()]
        while self._take(","):
            arguments.append(self._sum())
        self._close()
        if not least <= len(arguments) <= most:
            many = "one argument" if most == 1 else f"at least {least} arguments"
            raise ExpressionError(f"gives `{name}` {len(arguments)} arguments; it takes {many}")
        return lambda names: _finite(function(*(node(names) for node in arguments)))


def unknown(name: str, known: Mapping[str, object] | frozenset[str]) -> str:
    """Say that a variable is not known, and which are."""
    listed = ", ".join(sorted(known)) if known else "none"
    return f"has `{name}`, which is no variable; the variables are {listed}"


def _binary(operator: str, left: _Node, right: _Node) -> _Node:
    compute = _OPERATORS[operator]
    return lambda names: _finite(compute(left(names), right(names)))


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise ExpressionError("is not a finite number")
    return value


def _divide(a: float, b: float) -> float:
    if b == 0:
        raise ExpressionError("divides by zero")
    return a / b


def _sqrt(a: float) -> float:
    if a < 0:
        raise ExpressionError("takes the square root of a negative number")
    return math.sqrt(a)


def _log(a: float) -> float:
    if a <= 0:
        raise ExpressionError("takes the logarithm of a number that is not positive")
    return _rounded(math.log(a))


def _exp(a: float) -> float:
    try:
        return _rounded(math.exp(a))
    except OverflowError:
        return math.inf


def power(base: float, exponent: float) -> float:
    """Return `base ** exponent`; the header says how."""
    if abs(exponent) > MAX_EXPONENT:
        raise ExpressionError(f"has an exponent beyond {MAX_EXPONENT}")
    if base < 0 and exponent != math.floor(exponent):
        raise ExpressionError("raises a negative number to a power that is no integer")
    sixteenths = abs(exponent) * _ROOTS
    if sixteenths != math.floor(sixteenths):
        if base == 0:
            return _divide(1, 0) if exponent < 0 else 0.0
        try:
            return _rounded(math.pow(base, exponent))
        except OverflowError:
            return math.inf
    whole, part = divmod(int(sixteenths), _ROOTS)
    result = 1.0
    square = base
    while whole:
        if whole & 1:
            result *= square
        square *= square
        whole >>= 1
    bit, root = _ROOTS >> 1, base
    while part:
        root = math.sqrt(root)
        if part & bit:
            result *= root
        part &= ~bit
        bit >>= 1
    return _divide(1, result) if exponent < 0 else result


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS - 1}e}")


_OPERATORS: Final[dict[str, Callable[[float, float], float]]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": _divide,
    "**": power,
}
# Each with the least and the most arguments.
FUNCTIONS: Final[dict[str, tuple[Callable[..., float], int, int]]] = {
    "sqrt": (_sqrt, 1, 1),
    "log": (_log, 1, 1),
    "exp": (_exp, 1, 1),
    "min": (min, 2, MAX_LENGTH),
    "max": (max, 2, MAX_LENGTH),
}
