"""How far measured values of a right tensor may be from what is expected.

Method: closed-form bounds, each of which a right tensor breaks with probability at most 2 exp(-X),
X = 32: 2.5e-14. Ten million tests raise a false alarm with probability below 3e-7. With r the mean
of (x - mean)^2 over sigma^2 of n values:

- above: r <= 1 + 2 sqrt(X/n) + 2X/n (Laurent and Massart 2000, lemma 1). It follows from
  E exp(t x^2) <= (1 - 2t)^(-1/2), which holds for every law with E exp(tx) <= exp(t^2 sigma^2 / 2):
  normal ones, and symmetric uniform and cut normal ones, whose deviation sigma is.
- below: r >= 1 - sqrt(6X/n): sums of values y >= 0 fall below their mean by t with probability at
  most exp(-t^2 / (2 n E y^2)), and E x^4 <= 3 sigma^4 for these laws.
- mean: |mean - mu| <= sigma sqrt(2X/n), by the same inequality on exp(tx).
- greatest of a normal law: |x| <= sigma sqrt(2 (X + ln 2n)), by a union over the values.
- none beyond c sigma: impossible once n P(|z| > c) >= X, as (1 - p)^n <= exp(-pn).
- distribution: the greatest distance of distribution functions <= sqrt(X / 2n) (Dvoretzky, Kiefer
  and Wolfowitz, with Massart's constant), for any law.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

from seedbed._law import Law, normal_within

# The exponent of the probability of a false alarm.
X: Final = 32.0
# Where the lower limit of r would be below 0.
LEAST_COUNT: Final = int(6 * X)
# Laws that the limits of mean and deviation hold for.
BOUNDED_KINDS: Final = ("normal", "uniform", "truncated_normal")

# What rounding to a dtype changes the variance by, at most, where it is fine enough.
_ROUNDING: Final = {"float8_e4m3fn": 2e-3, "float8_e5m2": 5e-3}
_FINE_ROUNDING: Final = 1e-5
# A deviation of so many least steps is fine enough.
_STEPS: Final = 16
# The pattern of -0.0; those above it are of numbers below 0.
_MINUS_ZERO: Final = 1 << 15
# How an orthogonal matrix may be off: by rounding alone.
_ORTHOGONAL: Final = 1e-3


def variance_limits(count: int, dtype: np.dtype[Any]) -> tuple[float | None, float]:
    """Return from where to where r of `count` values may be; None is no lower limit."""
    rounding = _ROUNDING.get(dtype.name, _FINE_ROUNDING)
    high = 1 + 2 * math.sqrt(X / count) + 2 * X / count + rounding
    low = 1 - math.sqrt(6 * X / count) - rounding if count > LEAST_COUNT else None
    return low, high


def orthogonal_limits(count: int, dtype: np.dtype[Any]) -> tuple[float, float]:
    """Return the limits of r for an orthogonal matrix, whose squares have a sum of their own.

    Rounding changes a square by at most 2u of it, u half the dtype's relative step, up as often as
    down: by Hoeffding's inequality r by at most 2u sqrt(2X sum x^4) / sum x^2, and E x^4 is at most
    3 sigma^4.
    """
    half = 2.0 ** -_mantissa_bits(dtype) / 2
    rounding = _ORTHOGONAL + _ROUNDING.get(dtype.name, 0.0) + 2 * half * math.sqrt(6 * X / count)
    return 1 - rounding, 1 + rounding


def mean_limit(count: int) -> float:
    """Return how far the mean may be off, in deviations."""
    return math.sqrt(2 * X / count)


def extreme_limit(count: int) -> float:
    """Return how large a value of a normal law may be, in deviations."""
    return math.sqrt(2 * (X + math.log(2 * count)))


def surely_exceeded(count: int, cut: float) -> bool:
    """Whether of `count` values of a normal law one must be beyond `cut` deviations."""
    return count * (1 - normal_within(cut)) >= X


def distribution_limit(count: int) -> float:
    """Return how far the distribution function may be off."""
    return math.sqrt(X / (2 * count))


def is_coarse(sigma: float, dtype: np.dtype[Any]) -> bool:
    """Whether `dtype` has too few numbers near 0 for a law of that deviation."""
    return sigma < _STEPS * least_step(dtype)


def least_step(dtype: np.dtype[Any]) -> float:
    """Return the least positive number of a floating-point dtype."""
    word = np.ones((), np.dtype(f"u{dtype.itemsize}"))
    return float(word.view(dtype))


def _mantissa_bits(dtype: np.dtype[Any]) -> int:
    """Return how many bits follow the first one of a number of a floating-point dtype."""
    one = np.ones((), dtype)
    word = one.view(np.dtype(f"u{dtype.itemsize}")) + np.ones((), np.dtype(f"u{dtype.itemsize}"))
    return -int(math.log2(float(word.view(dtype)) - 1.0))


def rounded(value: float, dtype: np.dtype[Any]) -> float:
    """Return what `value` becomes in `dtype`."""
    with np.errstate(over="ignore"):
        return float(np.array(value).astype(dtype))


def distribution_distance(
    patterns: np.ndarray[Any, np.dtype[np.int64]], law: Law, dtype: np.dtype[Any]
) -> float:
    """Return the greatest distance of the distribution of counted values from that of `law`.

    Args:
        patterns: How often each pattern of the upper 16 bits of float32 is there.
        law: One of `BOUNDED_KINDS`.
        dtype: What the values were rounded to.
    """
    counts = patterns.copy()
    # The two zeros are one number.
    counts[0] += counts[_MINUS_ZERO]
    counts[_MINUS_ZERO] = 0
    occupied = np.flatnonzero(counts)
    # Below 0 patterns count downwards.
    negative = occupied > _MINUS_ZERO
    ordered = np.concatenate([occupied[negative][::-1], occupied[~negative]])
    below = np.where(ordered > _MINUS_ZERO, ordered + 1, ordered - 1)
    below[ordered == 0] = _MINUS_ZERO + 1
    shares = np.cumsum(counts[ordered]) / counts.sum()
    expected = _distribution_at(law, _tops(ordered, dtype))
    # The function of what was counted stands still between two occupied cells.
    expected_before = _distribution_at(law, _tops(below, dtype))
    before = np.concatenate([[0.0], shares[:-1]])
    return float(max(np.abs(expected - shares).max(), np.abs(expected_before - before).max()))


def _distribution_at(
    law: Law, points: np.ndarray[Any, np.dtype[np.float64]]
) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.array([distribution(law, float(x)) for x in points])


def _tops(
    patterns: np.ndarray[Any, np.dtype[np.int64]], dtype: np.dtype[Any]
) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return up to where numbers are rounded to a value in the cell of each pattern, or below."""
    low_bits = np.where(patterns < _MINUS_ZERO, 0xFFFF, 0).astype(np.uint32)
    # The greatest float32 of each cell.
    greatest = ((patterns.astype(np.uint32) << 16) | low_bits).view(np.float32)
    if dtype.itemsize >= 4:
        return greatest.astype(np.float64)
    # The greatest number of the dtype in the cell: the cell is narrower than a step, or made of
    # whole ones.
    values = _values(dtype)
    place = np.searchsorted(values, greatest.astype(np.float64), side="right")
    place = np.clip(place, 1, len(values) - 1)
    middles: np.ndarray[Any, np.dtype[np.float64]] = (values[place - 1] + values[place]) / 2
    return middles


def _values(dtype: np.dtype[Any]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return every finite number of a dtype of 16 or fewer bits, in order."""
    bits = 8 * dtype.itemsize
    every = np.arange(1 << bits, dtype=np.dtype(f"u{dtype.itemsize}")).view(dtype)
    with np.errstate(invalid="ignore"):
        numbers = every.astype(np.float64)
    return np.unique(numbers[np.isfinite(numbers)])


def distribution(law: Law, x: float) -> float:
    """Return the distribution function of a law of `BOUNDED_KINDS` at `x`."""
    assert law.mean is not None
    assert law.std is not None
    if law.kind == "uniform":
        assert law.low is not None
        assert law.high is not None
        return min(1.0, max(0.0, (x - law.low) / (law.high - law.low)))
    if law.kind == "normal":
        return 0.5 * math.erfc((law.mean - x) / (law.std * math.sqrt(2)))
    assert law.cut is not None
    assert law.high is not None
    z = (x - law.mean) / (law.high - law.mean) * law.cut
    inside = normal_within(law.cut)
    share = (math.erf(z / math.sqrt(2)) + inside) / (2 * inside)
    return min(1.0, max(0.0, share))
