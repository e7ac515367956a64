"""What the values that an initializer makes are expected to be.

What: `law_of` names the law of a tensor's values, with its moments and bounds.
Method: the closed forms of each law. A truncated normal is by the cut in units of the deviation of
the normal law that is cut, so its own deviation is `truncated_stddev(cut)` times that.
Promises: no value is drawn, and nothing is imported but NumPy.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np

from seedbed import initializers
from seedbed._core import TRUNCATED_STDDEV
from seedbed.initializers.random_initializers import DEFAULT_CUT

Kind = Literal["normal", "uniform", "truncated_normal", "constant", "orthogonal", "other"]


@dataclass(frozen=True, slots=True)
class Law:
    """What the values of one tensor are drawn from.

    Attributes:
        kind: The family; "other" where it is none of these or not known.
        mean: Expected mean, None where unknown.
        std: Expected standard deviation, after a cut; 0 where every value is the same, None where
            unknown.
        low: No value is below, None where there is no bound.
        high: No value is above, None where there is no bound.
        cut: Of a truncated normal, the bounds in deviations of the normal law before the cut.
        symmetric: Whether x and -x are equally likely.
    """

    kind: Kind
    mean: float | None = None
    std: float | None = None
    low: float | None = None
    high: float | None = None
    cut: float | None = None
    symmetric: bool = False


OTHER: Final = Law("other")


def normal_density(x: float) -> float:
    """The density of the standard normal law."""
    return math.exp(-x * x / 2) / math.sqrt(2 * math.pi)


def normal_within(x: float) -> float:
    """How much of the standard normal law is within `x` of 0."""
    return math.erf(x / math.sqrt(2))


@functools.cache
def truncated_stddev(cut: float) -> float:
    """The deviation of the standard normal law cut at +-`cut`."""
    if cut == DEFAULT_CUT:
        return TRUNCATED_STDDEV
    if cut < 1e-3:
        # Uniform but for a millionth; the closed form would lose its digits.
        return cut / math.sqrt(3)
    # By parts: E x^2 = 1 - 2 b phi(b) / P(|x| < b).
    return math.sqrt(1 - 2 * cut * normal_density(cut) / normal_within(cut))


def truncated_kurtosis(cut: float) -> float:
    """Fourth moment over the squared variance of the standard normal law cut at +-`cut`."""
    variance = truncated_stddev(cut) ** 2
    # By parts: E x^4 = 3 E x^2 - 2 b^3 phi(b) / P(|x| < b).
    edge = 2 * cut**3 * normal_density(cut) / normal_within(cut)
    return (3 * variance - edge) / variance**2


def uniform_stddev(low: float, high: float) -> float:
    """The deviation of the uniform law between two bounds."""
    return (high - low) / math.sqrt(12)


def normal(mean: float, std: float) -> Law:
    """The law of `RandomNormal`."""
    if std == 0:
        return constant(mean)
    return Law("normal", mean, std, symmetric=mean == 0)


def truncated_normal(mean: float, stddev: float, cut: float = DEFAULT_CUT) -> Law:
    """The law of `TruncatedNormal`, by the deviation before the cut."""
    if stddev == 0:
        return constant(mean)
    reach = cut * stddev
    std = truncated_stddev(cut) * stddev
    return Law("truncated_normal", mean, std, mean - reach, mean + reach, cut, mean == 0)


def uniform(low: float, high: float) -> Law:
    """The law of `RandomUniform`."""
    if low == high:
        return constant(low)
    std = uniform_stddev(low, high)
    return Law("uniform", (low + high) / 2, std, low, high, symmetric=low == -high)


def constant(value: float) -> Law:
    """The law of tensors that are one value."""
    return Law("constant", value, 0.0, value, value)


def orthogonal(gain: float, shape: tuple[int, ...]) -> Law:
    """The law of `Orthogonal`: `gain` times a matrix whose shorter side is orthonormal.

    All squares sum to that side, so the deviation is exact but for rounding.
    """
    rows, columns = math.prod(shape[:-1]), shape[-1]
    gain = abs(gain)
    std = gain / math.sqrt(max(rows, columns, 1))
    return Law("orthogonal", 0.0, std, -gain, gain, symmetric=True)


def mixture(laws: Sequence[Law], weights: Sequence[int]) -> Law:
    """The law of tensors side by side, of as many values each as `weights` says."""
    if all(law == laws[0] for law in laws):
        return laws[0]
    total = sum(weights)
    parts = [
        (law.mean, law.std, weight / total)
        for law, weight in zip(laws, weights, strict=True)
        if law.mean is not None and law.std is not None and total
    ]
    if len(parts) < len(laws):
        return OTHER
    mean = sum(mean * share for mean, _, share in parts)
    square = sum((std**2 + mean**2) * share for mean, std, share in parts)
    std = math.sqrt(max(0.0, square - mean**2))
    return Law("other", mean, std, symmetric=all(law.symmetric for law in laws))


def law_of(initializer: Any, shape: tuple[int, ...]) -> Law:
    """The law of what `initializer`, one of this package's, makes of a tensor of `shape`."""
    kind = type(initializer)
    if kind.__module__ != initializers.RandomNormal.__module__ and kind not in _PLAIN:
        # Users' own, whatever they derive from.
        return OTHER
    try:
        return _law_of(initializer, shape)
    except (TypeError, ValueError, OverflowError):
        # Arrays as parameters, which some streams take.
        return OTHER


_PLAIN: Final = (initializers.Zeros, initializers.Ones, initializers.Constant)


def _law_of(initializer: Any, shape: tuple[int, ...]) -> Law:
    match initializer:
        case initializers.Zeros():
            return constant(0.0)
        case initializers.Ones():
            return constant(1.0)
        case initializers.Constant() if np.ndim(initializer.value) == 0:
            return constant(float(initializer.value))
        case initializers.RandomNormal():
            return normal(float(initializer.mean), float(initializer.stddev))
        case initializers.TruncatedNormal():
            mean, stddev = float(initializer.mean), float(initializer.stddev)
            return truncated_normal(mean, stddev, initializer.cut)
        case initializers.RandomUniform():
            return uniform(float(initializer.minval), float(initializer.maxval))
        case initializers.VarianceScaling():
            return _scaled(initializer, shape)
        case initializers.Orthogonal() if len(shape) > 1:
            return orthogonal(float(initializer.gain), shape)
    return OTHER


def _scaled(initializer: initializers.VarianceScaling, shape: tuple[int, ...]) -> Law:
    axes = initializer.input_axes, initializer.output_axes
    fans = initializers.compute_fans(shape, *axes)
    units = {"fan_in": fans[0], "fan_out": fans[1]}.get(initializer.mode, sum(fans) / 2)
    stddev = math.sqrt(float(initializer.scale) / max(1.0, units))
    if initializer.distribution == "uniform":
        limit = math.sqrt(3) * stddev
        return uniform(-limit, limit)
    if initializer.distribution == "untruncated_normal":
        return normal(0.0, stddev)
    return truncated_normal(0.0, stddev / TRUNCATED_STDDEV)
