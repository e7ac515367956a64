"""Rare values, counted: far ones, those near the ends of a support, those near 0. Poisson.

Power: a row of 18 counts finds 1.1 % too many beyond 3.5 standard deviations more often than not in
10^9 draws, 9.5 % beyond 4.5 and 34 % beyond 5; in the short form's 2e7 8 %, 72 % and 300 %.
"""

from collections.abc import Callable

import numpy as np
import pytest

import bad_generators as bad
from laws import LAWS, Law, Source, chunks, drawn
from sizes import SIZES
from verdict import Result, corrected, poisson

# A count with less is told nothing by.
LEAST_EXPECTED = 1.0

# Which values are counted: a name, the first value of the range and the one it ends before.
Range = tuple[str, float, float]


def sided(limits: list[tuple[str, float, float]]) -> list[Range]:
    """Ranges of positive values, and their mirror images."""
    both = [(f"x in [{name})", low, high) for name, low, high in limits]
    return both + [(f"-x in ({name}]", -high, -low) for name, low, high in limits]


RANGES = {
    "normal": sided(
        [(f"{far:g}, inf", far, np.inf) for far in (3, 3.5, 4, 4.5, 5, 5.5, 6)]
        + [(f"0, 1e-{k}", 0.0, 10.0**-k) for k in (3, 4, 5, 6)]
    ),
    "two_sigma": sided(
        [(f"2 - 1e-{k}, 2", 2 - 10.0**-k, 2.1) for k in (3, 4, 5, 6)]
        + [(f"0, 1e-{k}", 0.0, 10.0**-k) for k in (3, 4, 5, 6)]
    ),
    "uniform": [(f"x in [0, 2^-{k})", 0.0, 2.0**-k) for k in (10, 14, 18, 22)]
    + [(f"x in [1 - 2^-{k}, 1)", 1 - 2.0**-k, 1.1) for k in (10, 14, 18, 22)],
}


def expected_in(law: Law, low: float, high: float, dtype: str) -> float:
    """The probability of [low, high), of correctly rounded values of a dtype."""
    low, high = (begins(law, edge, dtype) for edge in (low, high))
    if law.name == "normal" and low > 0:
        # The same from the other side, where the function is exact to more digits.
        low, high = -high, -low
    return float(law.cdf(np.float64(high)) - law.cdf(np.float64(low)))


def begins(law: Law, edge: float, dtype: str) -> float:
    """The reals from which on values round to numbers at or above an edge."""
    if dtype == "float64" or law.name == "uniform" or np.isinf(edge):
        return edge
    first = np.float32(edge)
    if first < edge:
        first = np.nextafter(first, np.float32(np.inf))
    return (float(np.nextafter(first, np.float32(-np.inf))) + float(first)) / 2


def tails(law: Law, dtype: str, source: Source, count: int) -> Result:
    ranges = RANGES[law.name]
    counts = np.zeros(len(ranges), np.int64)
    is_rare = rare_of(law)
    for values in chunks(source, count):
        rare = values[is_rare(values)].astype(np.float64)
        counts += [int(((rare >= low) & (rare < high)).sum()) for _, low, high in ranges]
    parts = []
    for (name, low, high), seen in zip(ranges, counts, strict=True):
        expected = count * expected_in(law, low, high, dtype)
        if expected >= LEAST_EXPECTED:
            parts.append(poisson(int(seen), expected, f"{count:.0e} draws, {name}"))
    return corrected(parts)


def rare_of(law: Law) -> Callable[[np.ndarray], np.ndarray]:
    """Which values can lie in a range at all: few, and found fast."""
    if law.name == "uniform":
        return lambda x: np.abs(x - x.dtype.type(0.5)) >= 0.499
    far = 2.99 if law.name == "normal" else 1.998
    return lambda x: np.abs(np.abs(x) - x.dtype.type(far / 2)) >= far / 2 - 0.002


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", list(RANGES))
def test_tails(judge, name: str, dtype: str) -> None:
    law = LAWS[name]
    judge(f"{name} {dtype}, tails", tails(law, dtype, drawn(law, dtype), SIZES.tails))


def test_sum_of_twelve_control(judge_control) -> None:
    result = tails(LAWS["normal"], "float32", bad.sum_of_twelve, SIZES.cells // 4)
    judge_control("normal as a sum of 12 uniform, tails", result)


def test_clipped_control(judge_control) -> None:
    result = tails(LAWS["two_sigma"], "float64", bad.clipped, SIZES.cells // 4)
    judge_control("truncated normal by clipping, ends", result)


def test_sixteen_bits_control(judge_control) -> None:
    """Its 0 comes 2^-16 of the time, where 2^-18 or less is expected."""
    result = tails(LAWS["uniform"], "float64", bad.of_sixteen_bits, SIZES.cells // 4)
    judge_control("uniform of 16 bits, ends", result)
