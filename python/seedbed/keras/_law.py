"""What an initializer of Keras draws from, and how far a sample of it may be off.

Limits are inequalities that hold for every sample size, not approximations for large ones
(Boucheron, Lugosi and Massart, "Concentration Inequalities", 2013, sections 2.4 and 2.8). For the
mean of `n` independent values with expectation m and variance v,

    P(mean - m > sqrt(2 v x / n) + c x / n) <= exp(-x),

where c = b / 3 for values that exceed m by at most b (Bernstein), c = 0 for a normal law, and
c = 2 for the squares of a standard normal one. In units of the law's variance, the variance of a
squared deviation is the kurtosis less 1: that is how the shape of the law enters.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import keras
import ml_dtypes
import numpy as np

from seedbed import initializers
from seedbed._core import TRUNCATED_STDDEV
from seedbed._law import normal_within, truncated_kurtosis, uniform_stddev
from seedbed.initializers.random_initializers import DEFAULT_CUT
from seedbed.keras._origin import DETERMINISTIC, is_kerass_own

if TYPE_CHECKING:
    import numpy.typing as npt

_INSIDE: Final = normal_within(DEFAULT_CUT)
# Keras on torch takes the first of four candidates that is within the bounds, and an outer one
# where all four are out.
_OUTSIDE: Final = (1 - _INSIDE) ** 4


@dataclass(frozen=True)
class Law:
    """What the values of one tensor are drawn from.

    Attributes:
        mean: Expected mean.
        stddev: Expected standard deviation, 0 where nothing is drawn.
        kurtosis: Fourth central moment over the squared variance.
        bounds: What values lie between, None where they are not bounded.
        beyond: Expected share of values more than two `stddev` from `mean`, None where unknown.
        sums_squares: Whether the sum of the squares is fixed, as in an orthogonal matrix.
        values: All of the values, where nothing is drawn and they are not one number.
        shape: The shape of the tensor.
    """

    mean: float
    stddev: float
    kurtosis: float = 3.0
    bounds: tuple[float, float] | None = None
    beyond: float | None = None
    sums_squares: bool = False
    values: npt.NDArray[Any] | None = None
    shape: tuple[int, ...] = ()

    @property
    def is_drawn(self) -> bool:
        """Whether values are drawn at all."""
        return self.stddev > 0 and self.values is None

    def density(self, x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """The density at `x`; that of a normal law for entries of orthogonal matrices."""
        if self.bounds is None:
            z = (x - self.mean) / self.stddev
            normal: npt.NDArray[np.float64] = np.exp(-z * z / 2)
            return normal / (self.stddev * math.sqrt(2 * math.pi))
        low, high = self.bounds
        inside = (x >= low) & (x <= high)
        if self.beyond == 0:
            return np.where(inside, 1 / (high - low), 0.0)
        scale = self.stddev / TRUNCATED_STDDEV
        z = (x - self.mean) / scale
        return np.where(
            inside, np.exp(-z * z / 2) / (scale * math.sqrt(2 * math.pi) * _INSIDE), 0.0
        )

    def grain(self, dtype: str) -> float:
        """How far the values of `dtype` are from the law's, by rounding or by a coarse lattice."""
        info: Any = ml_dtypes.finfo(dtype)  # type: ignore[no-untyped-call]
        step = _step(dtype)
        reach = abs(self.mean) + 3 * self.stddev
        if self.bounds is not None:
            reach = max(abs(bound) for bound in self.bounds)
            reach = max(reach, self.bounds[1] - self.bounds[0]) if self.beyond == 0 else reach
        return step * reach + float(info.smallest_subnormal)

    def bits(self, dtype: str) -> float:
        """Bits of chance in a value of `dtype`, at least: from the share of the likeliest one."""
        peak = float(self.density(np.array([self.mean]))[0])
        return -math.log2(min(1.0, 2 * self.grain(dtype) * peak))

    def chance(self, count: int, dtype: str) -> float:
        """Bits of chance in `count` values of `dtype`, at least."""
        if self.sums_squares:  # what orthogonality leaves free
            short = min(self.shape[-1], count // max(self.shape[-1], 1))
            count -= short * (short + 1) // 2
        return count * self.bits(dtype)

    def mean_limit(self, count: int, dtype: str, x: float) -> float:
        """How far the mean of `count` values may be off; further with probability 2 exp(-x)."""
        scale = 0.0 if self.bounds is None else self._reach / 3
        return self.stddev * _deviation(1.0, scale, count, x) + self.grain(dtype)

    def stddev_limits(self, count: int, dtype: str, x: float) -> tuple[float, float]:
        """Between what the root mean square deviation from the expected mean may be, likewise."""
        grain = self.grain(dtype)
        if self.sums_squares:
            # No chance is left; what is are the rounding errors of a factorization, whose bound
            # grows with the longer side.
            columns = self.shape[-1]
            side = max(columns, count // max(columns, 1))
            error = self.stddev * side * 2.0**-23 + grain
            return self.stddev - error, self.stddev + error
        scale = 2.0 if self.bounds is None else max(self._reach**2 - 1, 1.0) / 3
        spread = _deviation(self.kurtosis - 1, scale, count, x)
        low = self.stddev * math.sqrt(max(0.0, 1 - spread)) - grain
        return low, self.stddev * math.sqrt(1 + spread) + grain

    def beyond_limits(self, count: int, dtype: str, x: float) -> tuple[float, float] | None:
        """Between what the share beyond two standard deviations may be, likewise."""
        if self.beyond is None:
            return None
        # What rounding may carry over the two edges, either way: of values, or of the uniform
        # numbers that they are made from.
        grain = self.grain(dtype)
        if self.beyond > 0:
            moved = self._near(2 * self.stddev, grain) + 2 * _step(dtype)
        else:
            moved = float(grain > (2 - self._reach) * self.stddev)
        share = self.beyond
        spread = _deviation(share * (1 - share), 1 / 3, count, x) if share else 0.0
        return share - spread - moved, share + spread + moved

    def bound_limit(self, count: int, dtype: str, x: float) -> float:
        """How many values may lie on a bound or beyond; more with probability below exp(-x)."""
        if self.bounds is None:
            return math.inf
        share = self._near(self._reach * self.stddev, 2 * self.grain(dtype))
        share += 0.0 if self.beyond == 0 else _OUTSIDE + 2 * _step(dtype)
        return count * (share + _deviation(share, 1 / 3, count, x))

    def _near(self, distance: float, width: float) -> float:
        """At least the share within `width` inside of `distance` from the mean, on both sides."""
        inside = self.mean + max(0.0, distance - width)  # where the density is greatest
        return 2 * width * float(self.density(np.array([inside]))[0])

    @property
    def _reach(self) -> float:
        """The distance from the mean to a bound, in standard deviations."""
        assert self.bounds is not None
        return (self.bounds[1] - self.bounds[0]) / 2 / self.stddev


def law_of(initializer: Any, shape: tuple[int, ...], dtype: str) -> Law | None:
    """What `initializer` draws a tensor of `shape` from, None where its class does not say."""
    if not is_kerass_own(initializer):
        return None
    k = keras.initializers
    if isinstance(initializer, DETERMINISTIC):
        return _constant(initializer, shape, dtype)
    if not keras.backend.is_float_dtype(dtype):
        return None
    if isinstance(initializer, k.RandomNormal):
        return _normal(_number(initializer.mean), _number(initializer.stddev), shape)
    if isinstance(initializer, k.TruncatedNormal):
        mean, stddev = _number(initializer.mean), _number(initializer.stddev)
        return _truncated(mean, stddev * TRUNCATED_STDDEV, shape)
    if isinstance(initializer, k.RandomUniform):
        return _uniform(_number(initializer.minval), _number(initializer.maxval), shape)
    if isinstance(initializer, k.VarianceScaling):
        fans = fans_of(initializer, shape)
        assert fans is not None
        units = {"fan_in": fans[0], "fan_out": fans[1]}.get(initializer.mode, sum(fans) / 2)
        stddev = math.sqrt(_number(initializer.scale) / max(1.0, units))
        if initializer.distribution == "uniform":
            limit = math.sqrt(3) * stddev
            return _uniform(-limit, limit, shape)
        if initializer.distribution == "untruncated_normal":
            return _normal(0.0, stddev, shape)
        return _truncated(0.0, stddev, shape)
    if isinstance(initializer, k.Orthogonal) and len(shape) > 1:
        rows, columns = math.prod(shape[:-1]), shape[-1]
        # `gain` times a matrix whose shorter side is orthonormal: all squares sum to that side.
        # A row or column of it is a random direction, which concentrates as a normal law does.
        stddev = abs(_number(initializer.gain)) / math.sqrt(max(rows, columns, 1))
        return Law(0.0, stddev, sums_squares=True, shape=shape)
    return None


def fans_of(initializer: Any, shape: tuple[int, ...]) -> tuple[int, int] | None:
    """(fan_in, fan_out) of a tensor that `initializer` draws, None where they play no part."""
    if not isinstance(initializer, keras.initializers.VarianceScaling):
        return None
    axes = getattr(initializer, "input_axes", None), getattr(initializer, "output_axes", None)
    return initializers.compute_fans(shape, *axes)


def _step(dtype: str) -> float:
    """The distance of numbers of `dtype` near 1, as they are drawn."""
    info: Any = ml_dtypes.finfo(dtype)  # type: ignore[no-untyped-call]
    # Backends draw in float32 what they return as float64.
    return max(float(info.eps), 2.0**-23)


def _deviation(variance: float, scale: float, count: int, x: float) -> float:
    count = max(count, 1)
    return math.sqrt(2 * variance * x / count) + scale * x / count


def _number(value: Any) -> float:
    """`value`, or the nan of what is no number, as the parameters of a user's class may be."""
    try:
        return float(keras.ops.convert_to_numpy(value))
    except (TypeError, ValueError):
        return math.nan


def _known(law: Law) -> Law | None:
    return law if math.isfinite(law.mean) and math.isfinite(law.stddev) else None


def _normal(mean: float, stddev: float, shape: tuple[int, ...]) -> Law | None:
    return _known(Law(mean, abs(stddev), beyond=1 - normal_within(2.0), shape=shape))


def _truncated(mean: float, stddev: float, shape: tuple[int, ...]) -> Law | None:
    """By the deviation after truncation."""
    stddev = abs(stddev)
    reach = DEFAULT_CUT * stddev / TRUNCATED_STDDEV
    beyond = 1 - normal_within(2 * TRUNCATED_STDDEV) / _INSIDE
    bounds = (mean - reach, mean + reach)
    return _known(Law(mean, stddev, truncated_kurtosis(DEFAULT_CUT), bounds, beyond, shape=shape))


def _uniform(low: float, high: float, shape: tuple[int, ...]) -> Law | None:
    low, high = min(low, high), max(low, high)
    stddev = uniform_stddev(low, high)
    return _known(Law((low + high) / 2, stddev, 1.8, (low, high), 0.0, shape=shape))


def _constant(initializer: Any, shape: tuple[int, ...], dtype: str) -> Law:
    k = keras.initializers
    value = None
    if isinstance(initializer, k.Zeros | k.Ones):
        value = float(isinstance(initializer, k.Ones))
    elif isinstance(initializer, k.Constant) and not np.ndim(initializer.value):
        value = _number(initializer.value)
    if value is not None:
        return Law(value, 0.0, shape=shape)
    values = np.asarray(keras.ops.convert_to_numpy(initializer(shape, dtype=dtype)))
    exact = values.astype(np.complex128 if np.iscomplexobj(values) else np.float64)
    if not exact.size:
        return Law(0.0, 0.0, shape=shape)
    return Law(float(exact.mean().real), float(exact.std()), values=values, shape=shape)
