"""The rules of Keras' torch backend on the CPU: seeds, parameters, dtypes, shapes.

The stream promises what Keras returns there, and the built-in types of its exceptions. It draws
what the core can describe: numbers as parameters, shapes, floating-point dtypes. What only torch
makes, of tensors as parameters and of complex dtypes, is refused by the argument's name. The steps
are those of `keras.src.backend.torch.random`, `torch.rand`, `torch.normal` and
`keras.initializers`, Keras 3.15, torch 2.15.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from seedbed._dtypes import floatx, standardize
from seedbed._seeds import SupportsNext
from seedbed._streams.keras_rules import KerasRules, Key
from seedbed._streams.rules import check_rank

if TYPE_CHECKING:
    from seedbed._draw import Draw

_DRAWN: Final = frozenset(("float16", "bfloat16", "float32", "float64"))
_NUMPYS_OWN: Final = "efd"
_FACTORED: Final = frozenset(("float32", "float64"))

# torch's generators are seeded with 32 bits; Keras keeps the states of its own as signed ones.
_MASK: Final = (1 << 32) - 1
_INT32: Final = range(-(1 << 31), 1 << 31)
_INT64: Final = range(-(1 << 63), 1 << 63)

# Integers beyond these do not become float32 by way of float64 as torch converts them.
_EXACT: Final = range(-(1 << 53), (1 << 53) + 1)

# Where Keras cuts truncated normals, in standard deviations.
_CUT: Final = 2.0


class TorchRules(KerasRules):
    """What Keras takes, and refuses, on its torch backend."""

    def generator_seed(self, seed: Any) -> int:
        if not isinstance(seed, int):
            raise ValueError(f"Argument `seed` must be an integer. Received: seed={seed}")
        if seed not in _INT32:
            kind = RuntimeError if seed in _INT64 else ValueError
            raise kind(
                "`seed` must be in -2**31 .. 2**31-1 where this stream is the default. "
                f"Received: seed={seed}"
            )
        return int(seed) & _MASK

    def key(self, seed: Any) -> Key:
        """As `keras.src.backend.torch.random.torch_seed_generator`: 32 bits of the seed, and the
        number of the call, which the core adds."""
        if isinstance(seed, int):
            return int(seed) & _MASK, 0
        if isinstance(seed, SupportsNext) and not isinstance(seed, type):
            first = getattr(seed, "_initial_seed", None)
            if isinstance(first, int) and first not in _INT32:
                # A generator of another stream, which Keras on torch could not have made.
                raise RuntimeError(
                    "`seed` must be a generator that starts in -2**31 .. 2**31-1 on this stream. "
                    f"Received: a generator that starts from {first}"
                )
        seed, call = super().key(seed)
        return seed & _MASK, call

    def uniform(
        self, shape: Any, dtype: Any, seed: Any, low: Any, high: Any, *, floating: bool = False
    ) -> Draw:
        """As `keras.random.uniform` where `floating`, else as `keras.initializers`, which call past
        its test of the dtype."""
        dtype = _dtype_of(dtype or floatx(), floating=floating)
        shape = _axes(shape)
        if type(low) is not float or type(high) is not float:
            low, high = _bounds(low, high)
        core = self._core.uniform
        return self.core_draw(seed, lambda key: core(shape, dtype, key, low, high))

    def normal(self, shape: Any, dtype: Any, seed: Any, mean: Any, stddev: Any) -> Draw:
        """As `keras.random.normal`."""
        known, shape = standardize(dtype or floatx()), _axes(shape)
        _check_numbers(mean=mean, stddev=stddev)
        mean, stddev = _number("mean", mean), _number("stddev", stddev)
        if not stddev >= 0.0:
            raise RuntimeError(f"`stddev` must be >= 0. Received: stddev={stddev}")
        dtype = _dtype_of(known)
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
        dtype = _dtype_of(floatx() if dtype is None else dtype)
        shape = _axes(shape)
        # In the order in which they are applied, and so refused.
        stddev = _scalar("stddev", stddev)
        mean = _scalar("mean", mean)

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
        # Only for truncated values does Keras ask for a dtype where the one given counts as false.
        if dtype is None or (not dtype and distribution != "truncated_normal"):
            dtype = floatx()
        dtype, sizes = _dtype_of(dtype), _axes(shape)
        scheme = (scale, mode, distribution, input_axes, output_axes)
        if type(scale) is float and math.isfinite(scale):
            core = self._core.variance_scaling
            return self.core_draw(seed, lambda key: core(sizes, dtype, key, *scheme))
        # Scalars of NumPy bring their own precision into the variance.
        return self.scaled_by_fans(sizes, dtype, seed, *scheme)

    def orthogonal(self, shape: Any, dtype: Any, seed: Any, gain: Any) -> Draw:
        """As `keras.initializers.Orthogonal`."""
        check_rank(shape)
        shape, dtype = _axes(shape), _dtype_of(dtype or floatx())
        if dtype.name not in _FACTORED:
            raise NotImplementedError(
                "`dtype` must be one whose QR torch computes: float32 or float64. "
                f"Received: dtype={dtype.name}"
            )
        gain = _scalar("gain", gain)
        return self.core_draw(seed, lambda key: self._core.orthogonal(shape, dtype, key, gain))


def _dtype_of(dtype: Any, *, floating: bool = False) -> np.dtype[Any]:
    """The dtype of the result.

    Args:
        dtype: A dtype as users give it.
        floating: Whether Keras itself looks whether it is a floating-point one.

    Raises:
        ValueError: Keras knows no such dtype, or torch alone makes such values.
        NotImplementedError: torch makes no such values.
    """
    known = standardize(dtype)
    # `name` is computed at each call, and takes longer than all the rest.
    if known.char in _NUMPYS_OWN or known.name in _DRAWN:
        return known
    message = (
        "`dtype` must be float16, bfloat16, float32 or float64 on this stream. "
        f"Received: dtype={dtype}"
    )
    if known.kind == "c" or (floating and "float" not in known.name):
        raise ValueError(message)
    raise NotImplementedError(message)


def _axes(shape: Any) -> tuple[int, ...]:
    """The sizes of a shape that torch takes: a tuple or list of integers.

    Raises:
        TypeError: It is none, or has an integer of more than 64 bits.
        RuntimeError: A size is negative, or there are more elements than can be counted.
    """
    if not isinstance(shape, tuple | list):
        raise TypeError(f"`shape` must be a tuple or list of integers. Received: shape={shape}")
    elements = 1
    for size in shape:
        if type(size) is not int or not 0 <= size < 1 << 63:
            if isinstance(size, bool | np.bool) or not hasattr(size, "__index__"):
                raise TypeError(f"`shape` must hold integers. Received: shape={shape}")
            if int(size) not in _INT64:
                raise TypeError(f"`shape` must hold integers of 64 bits. Received: shape={shape}")
            if size < 0:
                raise RuntimeError(f"`shape` must not be negative. Received: shape={shape}")
        elements *= int(size) or 1
    if elements >= 1 << 63:
        raise RuntimeError(f"`shape` must have at most 2**63-1 elements. Received: shape={shape}")
    return tuple(map(int, shape))


def _check_numbers(**values: Any) -> None:
    """Refuses what are no numbers of Python or NumPy.

    Raises:
        TypeError: One is none.
    """
    for argument, value in values.items():
        if not isinstance(value, int | float | np.integer | np.floating | np.bool):
            raise TypeError(f"`{argument}` must be a number. Received: {argument}={value}")


def _number(argument: str, value: Any) -> float:
    """A number as `torch.normal` takes it, as a float of Python.

    Raises:
        OverflowError: It is an integer beyond float64.
    """
    try:
        return float(value)
    except OverflowError:
        digits = len(str(value))
        raise OverflowError(
            f"`{argument}` must be within float64. Received: {argument} of {digits} digits"
        ) from None


def _scalar(argument: str, value: Any) -> float:
    """A factor or a summand as torch takes it beside a tensor.

    Raises:
        TypeError: It is no number.
        OverflowError: It is an integer of more than 64 bits.
        ValueError: It is an integer that torch converts to float32 at once.
    """
    _check_numbers(**{argument: value})
    if isinstance(value, int) and not -(1 << 63) <= value < 1 << 64:
        raise OverflowError(f"`{argument}` must fit 64 bits. Received: {argument}={value}")
    number = _number(argument, value)
    if isinstance(value, int | np.integer) and int(value) not in _EXACT:
        raise ValueError(
            f"`{argument}` must be a float, or an integer up to 2**53 either side, on this stream. "
            f"Received: {argument}={value}"
        )
    return number


def _bounds(low: Any, high: Any) -> tuple[float, float]:
    """Bounds whose difference in float64 is the one that their own types have."""
    _check_numbers(maxval=high, minval=low)
    with np.errstate(all="ignore"):
        width = _scalar("maxval", high - low)
    shift = _scalar("minval", low)
    top = _number("maxval", high)
    if top - shift != width:
        top = shift + width
        if top - shift != width and not math.isnan(width):
            raise ValueError(
                "`maxval` and `minval` must be floats of Python on this stream, or differ by what "
                f"float64 has. Received: minval={low}, maxval={high}"
            )
    return shift, top
