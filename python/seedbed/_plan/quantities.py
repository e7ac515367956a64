"""Numbers of a plan: written down, or expressions that are computed for each tensor."""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Integral, Real
from typing import Final

from seedbed._plan.expressions import FUNCTIONS, Expression, ExpressionError
from seedbed._spec.error import Place

Number = Expression | int | float

# Integers beyond this are not exact in float64.
_MAX_INTEGER: Final = 2**53
_MAX_RANK: Final = 64
# What expressions may say of the tensor that they are computed for.
TENSOR_NAMES: Final = frozenset(
    ("fan_in", "fan_out", "fan_avg", "size", "rank", *(f"d{axis}" for axis in range(_MAX_RANK)))
)
RESERVED: Final = TENSOR_NAMES | FUNCTIONS.keys()


def number_of(value: object, key: str, place: Place) -> Number:
    """Return what `value` stands for: itself, or the expression that a string is.

    Raises:
        SpecError: It is neither a finite number nor an expression.
    """
    if type(value) is int:
        return value
    if isinstance(value, str):
        try:
            return Expression(value)
        except ExpressionError as error:
            place.fail(key, str(error), value)
    if isinstance(value, bool) or not isinstance(value, Real):
        place.fail(key, "must be a number, or an expression in a string", value)
    try:
        number = int(value) if isinstance(value, Integral) else float(value)
        finite = math.isfinite(number)
    except OverflowError:
        finite = False
    if not finite:
        place.fail(key, "must be a finite number", value)
    return number


def evaluated(number: Number, names: Mapping[str, float], key: str, place: Place) -> int | float:
    """Return the number, computed where it is an expression.

    Raises:
        SpecError: The expression has no value.
    """
    if not isinstance(number, Expression):
        return number
    try:
        return number.value(names)
    except ExpressionError as error:
        place.fail(key, str(error), number.text)


def integer(
    number: Number, names: Mapping[str, float], key: str, place: Place, least: int = 0
) -> int:
    """Return the number as an integer that is at least `least`.

    Raises:
        SpecError: It is none.
    """
    if type(number) is int and number >= least:
        return number
    value = evaluated(number, names, key, place)
    shown = f"{value:g}, from {number.text!r}" if isinstance(number, Expression) else number
    if value < least or value != math.floor(value):
        place.fail(key, f"must be an integer >= {least}", shown)
    if isinstance(value, float) and value > _MAX_INTEGER:
        place.fail(key, f"must be at most {_MAX_INTEGER} where it is computed", shown)
    return int(value)


def names_in(*numbers: Number) -> frozenset[str]:
    """Return the names of the variables in what is an expression of `numbers`."""
    found: frozenset[str] = frozenset()
    for number in numbers:
        if isinstance(number, Expression):
            found |= number.names
    return found


def tensor_names(shape: tuple[int, ...], fans: tuple[int, int]) -> dict[str, float]:
    """Return what `TENSOR_NAMES` are for a tensor."""
    sizes = {f"d{axis}": float(size) for axis, size in enumerate(shape)}
    return {
        "fan_in": float(fans[0]),
        "fan_out": float(fans[1]),
        "fan_avg": (fans[0] + fans[1]) / 2,
        "size": float(math.prod(shape)),
        "rank": float(len(shape)),
        **sizes,
    }
