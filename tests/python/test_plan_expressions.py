"""Expressions: what they are worth, and that nothing else is ever worth anything."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seedbed._plan.expressions import MAX_DEPTH, Expression, ExpressionError, power

NAMES = {"layers": 48.0, "x": 3.0, "zero": 0.0}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1.0),
        (" 2.5e-1 ", 0.25),
        (".5", 0.5),
        ("2.", 2.0),
        ("1 + 2 * 3 - 4 / 8", 6.5),
        ("8 - 4 - 2", 2.0),
        ("8 / 4 / 2", 1.0),
        ("2 ** 3 ** 2", 512.0),
        ("-2 ** 2", -4.0),
        ("(-2) ** 2", 4.0),
        ("2 ** -1", 0.5),
        ("- - 3", 3.0),
        ("+x", 3.0),
        ("min(3, x, 1 + 1)", 2.0),
        ("max(3, layers)", 48.0),
        ("sqrt(2 * layers) / sqrt(2 * layers)", 1.0),
        ("0 ** 0", 1.0),
        ("16 ** (1 / 4)", 2.0),
        ("0.02 / sqrt(2 * layers)", 0.0020412414523193153),
        ("log(1)", 0.0),
        ("exp(1)", 2.71828182846),
        ("3 ** 0.3", 1.39038917032),
    ],
)
def test_values(text: str, value: float) -> None:
    assert Expression(text).value(NAMES) == value


def test_names_are_found() -> None:
    assert Expression("a * sqrt(b) + a").names == {"a", "b"}
    assert Expression("1").names == frozenset()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "it ends too early"),
        ("1 +", "it ends too early"),
        ("(1", "it ends too early"),
        ("0x10", "`x10` at character 2"),
        ("1 2", "`2` at character 3"),
        ("1_000", "`_000` at character 2"),
        ("2j", "`j` at character 2"),
        ("__import__('os')", "`'` at character 12"),
        ("x.real", "`.` at character 2"),
        ("[1][0]", r"`\[` at character 1"),
        ("lambda: 1", "`:` at character 7"),
        ("1 if 1 else 2", "`if` at character 3"),
        ("layers and 2", "`and` at character 8"),
        ("x // 2", "`/` at character 4"),
        ("x % 2", "`%` at character 3"),
        ("x = 2", "`=` at character 3"),
        ("'a' * 9", "`'` at character 1"),
        ("\N{ARABIC-INDIC DIGIT ONE}", "at character 1"),
        ("\N{GREEK SMALL LETTER SIGMA}", "at character 1"),
        ("x\0", "at character 2"),
        ("1,2", "`,` at character 2"),
        ("eval(1)", "`eval`, which is no function; the functions are sqrt, log, exp, min, max"),
        ("sqrt()", r"`\)` at character 6"),
        ("sqrt(1, 2)", "gives `sqrt` 2 arguments; it takes one argument"),
        ("min(1)", "gives `min` 1 arguments; it takes at least 2 arguments"),
        ("y", "`y`, which is no variable; the variables are layers, x, zero"),
        ("sqrt", "`sqrt`, which is no variable"),
        ("1 / zero", "divides by zero"),
        ("zero ** -1", "divides by zero"),
        ("zero ** -0.3", "divides by zero"),
        ("sqrt(-1)", "square root of a negative number"),
        ("log(zero)", "logarithm of a number that is not positive"),
        ("(-8) ** 0.5", "negative number to a power that is no integer"),
        ("9 ** 9 ** 9", "exponent beyond 64"),
        ("10 ** 64 ** 1 * 10 ** 64 * 10 ** 64 * 10 ** 64 * 10 ** 64", "not a finite number"),
        ("1e400", "not a finite number"),
        ("exp(1000)", "not a finite number"),
        ("1e308 * 10 / 1e308", "not a finite number"),
        ("1" * 201, "at most 200 characters"),
        ("(" * 21 + "1" + ")" * 21, "nested deeper than 20"),
        ("-" * 30 + "1", "nested deeper than 20"),
        ("2" + "**2" * 30, "nested deeper than 20"),
    ],
)
def test_what_is_no_expression_says_why(text: str, message: str) -> None:
    with pytest.raises(ExpressionError, match=message):
        Expression(text).value(NAMES)


def test_depth_is_limited_exactly() -> None:
    depth = MAX_DEPTH - 1
    assert Expression("(" * depth + "1" + ")" * depth).value({}) == 1.0


@given(st.text(max_size=250))
def test_any_text_is_a_number_or_an_error(text: str) -> None:
    try:
        value = Expression(text).value(NAMES)
    except ExpressionError:
        return
    assert math.isfinite(value)


# Text that is nearly an expression.
@settings(max_examples=300)
@given(
    st.lists(
        st.sampled_from([*"0123456789.()+-*/, ex", "**", "sqrt(", "max(", "layers", "1e308"]),
        max_size=40,
    )
)
def test_any_tokens_are_a_number_or_an_error(tokens: list[str]) -> None:
    test_any_text_is_a_number_or_an_error.hypothesis.inner_test("".join(tokens))


_OPERATORS = st.sampled_from(["+", "-", "*"])


@given(st.lists(st.tuples(_OPERATORS, st.integers(0, 99)), min_size=1, max_size=12))
def test_integers_are_computed_as_python_computes_them(terms: list[tuple[str, int]]) -> None:
    text = "1" + "".join(f" {operator} {number}" for operator, number in terms)
    exact = eval(text)
    if abs(exact) < 2**53:
        assert Expression(text).value({}) == exact


@given(st.floats(0.001, 1000), st.integers(-1024, 1024))
def test_powers_of_sixteenths_are_close_and_of_integers_nearly_exact(
    base: float, sixteenths: int
) -> None:
    exponent = sixteenths / 16
    try:
        value = power(base, exponent)
        expected = math.pow(base, exponent)
    except (ExpressionError, OverflowError):
        return
    # Up to 7 squarings and products, each of half an ulp, of which a squaring doubles what is
    # there, and 4 roots: at most 2 * 64 + 8 halves of an ulp.
    if math.isfinite(value) and value and expected:
        assert abs(value / expected - 1) <= 150 * 2.0**-53
    if sixteenths % 16 == 0 and 0 <= sixteenths <= 160:
        exact = Fraction(base) ** (sixteenths // 16)
        assert abs(Fraction(value) / exact - 1) <= Fraction(30, 2**53)
