"""The rules of Keras' JAX backend on the CPU: seeds, parameters, dtypes, shapes.

The stream promises what Keras returns there, and the types of its exceptions. It draws what the
core can describe: numbers as parameters, shapes, floating-point dtypes. What only JAX makes is
refused by name of the argument: arrays as parameters, NumPy scalars that would make the result
another dtype, complex numbers, floats of 8 bits that the core does not have. The steps are those
of `keras.src.backend.jax.random`, `jax.random` and `keras.initializers`, Keras 3.15, JAX 0.10.

float64 is what JAX draws where its 64-bit numbers are enabled; elsewhere it returns float32.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

from seedbed import _core
from seedbed._draw import Draw
from seedbed._dtypes import floatx, standardize
from seedbed._streams.keras_rules import KerasRules, Key
from seedbed._streams.rules import check_rank

_NARROW: Final = ("float16", "bfloat16", "float8_e4m3fn", "float8_e5m2")
_DRAWN: Final = frozenset((*_NARROW, "float32", "float64"))
_NUMPYS_OWN: Final = "efd"

# What integers of Python may be to JAX where 64-bit numbers are not enabled.
_INT32: Final = range(-(1 << 31), 1 << 31)

# Where Keras cuts truncated normals, in standard deviations.
_CUT: Final = 2.0


class JaxRules(KerasRules):
    """What Keras takes, and refuses, on its JAX backend: of several errors the first it meets."""

    def uniform(
        self, shape: Any, dtype: Any, seed: Any, low: Any, high: Any, *, floating: bool = False
    ) -> Draw:
        """As `keras.random.uniform` where `floating`, else as `keras.initializers`, which call past
        its test of the dtype."""
        if floating:
            _dtype_of(dtype, floating)
        self.check_seed(seed)
        dtype = _dtype_of(dtype)
        shape = _axes(shape)
        low, high = _bound("minval", low), _bound("maxval", high)
        core = self._core.uniform
        return self.core_draw(seed, lambda key: core(shape, dtype, key, low, high))

    def normal(self, shape: Any, dtype: Any, seed: Any, mean: Any, stddev: Any) -> Draw:
        """As `keras.random.normal`."""
        self.check_seed(seed)
        shape = _axes(shape)
        dtype = _dtype_of(dtype)
        stddev, mean = _factor("stddev", stddev, dtype), _factor("mean", mean, dtype)
        core = self._core.normal
        return self.core_draw(seed, lambda key: core(shape, dtype, key, mean, stddev))

    def truncated_normal(
        self,
        shape: Any,
        dtype: Any,
        seed: Any,
        mean: Any,
        stddev: Any,
        lower: Any = -_CUT,
        upper: Any = _CUT,
    ) -> Draw:
        """As `keras.random.truncated_normal`, which cuts at 2 standard deviations."""
        self.check_seed(seed)
        shape = () if shape is None else _axes(shape)
        dtype = _dtype_of(dtype)
        stddev, mean = _factor("stddev", stddev, dtype), _factor("mean", mean, dtype)

        def core(key: Key) -> Draw:
            return self._core.truncated_normal(shape, dtype, key, mean, stddev, lower, upper)

        return self.core_draw(seed, core)

    def variance_scaling(
        self,
        shape: Any,
        dtype: Any,
        seed: Any,
        scale: Any,
        mode: str,
        distribution: str,
        input_axes: Any,
        output_axes: Any,
    ) -> Draw:
        """As `keras.initializers.VarianceScaling`."""
        scheme = (scale, mode, distribution, input_axes, output_axes)
        if type(scale) in (int, float) and math.isfinite(scale):
            # For the fans, which the core tells.
            sizes, known = _axes(tuple(shape)), _dtype_of(dtype)
            core = self._core.variance_scaling
            return self.core_draw(seed, lambda key: core(sizes, known, key, *scheme))
        return self.scaled_by_fans(shape, dtype, seed, *scheme)

    def orthogonal(self, shape: Any, dtype: Any, seed: Any, gain: Any) -> Draw:
        """As `keras.initializers.Orthogonal`."""
        check_rank(shape)
        dtype = _dtype_of(dtype)
        shape = _axes(shape)
        if dtype.name in _NARROW:
            raise NotImplementedError(
                "`dtype` must be one whose QR JAX computes: float32 or float64. "
                f"Received: dtype={dtype.name}"
            )
        return self.core_draw(seed, lambda key: self._core.orthogonal(shape, dtype, key, gain))


def _dtype_of(dtype: Any, floating: bool = False) -> np.dtype[Any]:
    """The dtype of the result, as JAX finds it; `floating` is whether Keras looks at it first."""
    dtype = dtype or floatx()
    try:
        known = standardize(dtype)
    except ValueError:
        if floating:
            raise
        known = _by_numpy(dtype)
    # `name` is computed at each call, and takes longer than all the rest.
    if known.char not in _NUMPYS_OWN and known.name not in _DRAWN:
        raise ValueError(
            f"`dtype` must be one of {', '.join(sorted(_DRAWN))} on this stream. "
            f"Received: dtype={dtype}"
        )
    return known


def _by_numpy(dtype: Any) -> np.dtype[Any]:
    """The dtype that NumPy knows by another name, such as "half" or "f4"."""
    try:
        known: np.dtype[Any] = np.dtype(dtype)
    except TypeError:
        raise TypeError(f"`dtype` must be one of JAX's. Received: dtype={dtype}") from None
    if not known.isnative or (known.kind not in "biufc" and known.name not in _DRAWN):
        raise TypeError(f"`dtype` must be one of JAX's. Received: dtype={dtype}")
    if known.name in ("longdouble", "float128", "clongdouble", "complex256"):
        raise TypeError(f"`dtype` must be one of JAX's. Received: dtype={dtype}")
    return known


def _axes(shape: Any) -> tuple[int, ...]:
    """The shape as JAX reads it: booleans of Python are 0 and 1, one integer is a vector's."""
    if isinstance(shape, int):
        shape = (shape,)
    try:
        return _core.standardize_shape(shape)
    except ValueError as error:
        if not isinstance(shape, tuple | list):
            raise TypeError(str(error)) from None
        sizes = [int(size) if isinstance(size, bool) else size for size in shape]
        for size in sizes:
            if isinstance(size, np.bool) or not hasattr(size, "__index__"):
                raise TypeError(str(error)) from None
        return _core.standardize_shape(sizes)


def _number(argument: str, value: Any) -> float:
    """A parameter as a number, integers as JAX's 32 bits hold them.

    Raises:
        TypeError: It is no number.
        OverflowError: It is an integer of Python beyond 32 bits.
    """
    if type(value) is float:
        return value
    if isinstance(value, int):
        if value not in _INT32:
            raise OverflowError(
                f"`{argument}` must be in -2**31 .. 2**31-1 where it is an integer. "
                f"Received: {argument}={_shown(value)}"
            )
        return float(value)
    if isinstance(value, np.signedinteger):
        return float(value.astype(np.int32))
    if isinstance(value, np.unsignedinteger):
        return float(value.astype(np.uint32))
    if isinstance(value, float | np.bool) or _is_float_scalar(value):
        return float(value)
    raise TypeError(
        f"`{argument}` must be a number on this stream. "
        f"Received: {argument}={value!r} (of type {type(value)})"
    )


def _shown(number: int) -> str:
    bits = number.bit_length()
    return str(number) if bits <= 128 else f"an integer of {bits} bits"


def _is_float_scalar(value: Any) -> bool:
    return isinstance(value, np.generic) and value.dtype.name in _DRAWN


def _bound(argument: str, value: Any) -> float:
    """A bound of uniform values, which becomes the dtype of the result."""
    if value is None:
        raise ValueError(f"`{argument}` must be a number. Received: {argument}=None")
    return _number(argument, value)


def _factor(argument: str, value: Any, dtype: np.dtype[Any]) -> float:
    """What normal values of a dtype are multiplied with, or what is added to them."""
    number = _number(argument, value)
    if _is_float_scalar(value):
        theirs = value.dtype
        if theirs != dtype and (theirs.itemsize == 1 or dtype.itemsize == 1):
            raise ValueError(
                f"`{argument}` must be a number of Python or of the dtype {dtype.name}, which JAX "
                f"promotes to no other. Received: {argument}={value!r}"
            )
        if theirs != dtype and dtype.itemsize == 2:
            raise TypeError(
                f"`{argument}` must be a number of Python or of the dtype {dtype.name}, or JAX "
                f"makes the result another dtype. Received: {argument}={value!r}"
            )
    return number
