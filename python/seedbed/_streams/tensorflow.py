"""The rules of Keras' TensorFlow backend on the CPU: seeds, parameters, dtypes, shapes.

The stream promises what Keras returns there, and the types of its exceptions; for TensorFlow's own,
which only TensorFlow can raise, it is ValueError. It draws what the core can describe: numbers as
parameters, shapes, floating-point dtypes. What only TensorFlow makes, of arrays and tensors as
parameters, is refused by the argument's name. The steps are those of
`keras.src.backend.tensorflow.random`, `tf.random` and `keras.initializers`, Keras 3.15, TensorFlow
2.21.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

from seedbed._draw import Computed, Draw
from seedbed._dtypes import floatx, standardize
from seedbed._streams.keras_rules import KerasRules, Key
from seedbed._streams.rules import check_rank

# float16, float32 and float64 as NumPy abbreviates them: a dtype takes a microsecond for its name.
_FACTORED: Final = "efd"

# Names that TensorFlow has beside Keras'.
_ALIASES: Final = {"half": "float16", "float": "float32", "double": "float64"}

# Whose values TensorFlow refuses one by one, and not as a dtype.
_NOT_OF_FLOATS: Final = "biu"

_PYTHON_NUMBERS: Final = (int, float)

# States are signed integers of 64 bits. The core reads negative ones from their two's complement.
_INT64: Final = range(-(1 << 63), 1 << 63)
_MASK: Final = (1 << 64) - 1

# Where Keras cuts truncated normals, in standard deviations.
_CUT: Final = 2.0


class TensorflowRules(KerasRules):
    """What Keras takes, and refuses, on its TensorFlow backend."""

    def generator_seed(self, seed: Any) -> int:
        if not isinstance(seed, int):
            raise ValueError(f"Argument `seed` must be an integer. Received: seed={seed}")
        return _word(seed)

    def key(self, seed: Any) -> Key:
        """As `keras.src.random.seed_generator.draw_seed`: the seed and the number of the call."""
        return (_word(seed), 0) if isinstance(seed, int) else super().key(seed)

    def uniform(
        self, shape: Any, dtype: Any, seed: Any, low: Any, high: Any, *, floating: bool = False
    ) -> Draw:
        """As `keras.random.uniform` where `floating`, else as `keras.initializers`, which call past
        its test of the dtype."""
        dtype = _dtype_of(dtype, uniform=True, floating=floating)
        if type(low) is not float or type(high) is not float:
            low, high = _bound("minval", low, dtype), _bound("maxval", high, dtype)
            if not (_is_single(low) and _is_single(high)):
                return self._wide_uniform(shape, dtype, seed, low, high)
        core = self._core.uniform
        return self.core_draw(seed, lambda key: core(shape, dtype, key, low, high))

    def _wide_uniform(self, shape: Any, dtype: Any, seed: Any, low: float, high: float) -> Draw:
        """Values between float64 numbers that did not come by way of float32, as Python's do."""
        core = self._core.uniform
        unit = self.core_draw(seed, lambda key: core(shape, dtype, key, 0.0, 1.0))
        low, high = _without_subnormals(low), _without_subnormals(high)

        def write(memory: Any, block: tuple[slice, ...]) -> None:
            with np.errstate(all="ignore"):
                width = _without_subnormals(np.float64(high) - low)
                product = _without_subnormals(unit.draw(block) * width)
                memory[...] = _without_subnormals(product + low).reshape(memory.shape)

        return Computed(shape, dtype, write, self.name, (unit.seed, unit.call))

    def normal(self, shape: Any, dtype: Any, seed: Any, mean: Any, stddev: Any) -> Draw:
        """As `keras.random.normal`."""
        dtype = _dtype_of(dtype)
        mean, stddev = _constant("mean", mean, dtype), _constant("stddev", stddev, dtype)
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
        dtype = _dtype_of(dtype)
        mean, stddev = _constant("mean", mean, dtype), _constant("stddev", stddev, dtype)

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
        if type(shape) is not tuple and not hasattr(shape, "__iter__"):
            raise TypeError(f"`shape` must be iterable. Received: shape={shape}")
        scheme = (scale, mode, distribution, input_axes, output_axes)
        if isinstance(scale, _PYTHON_NUMBERS):
            dtype = _dtype_of(dtype, uniform=distribution == "uniform")
            core = self._core.variance_scaling
            return self.core_draw(seed, lambda key: core(shape, dtype, key, *scheme))
        # NumPy's scalars bring their own precision into the variance.
        return self.scaled_by_fans(shape, dtype, seed, *scheme)

    def orthogonal(self, shape: Any, dtype: Any, seed: Any, gain: Any) -> Draw:
        """As `keras.initializers.Orthogonal`."""
        check_rank(shape)
        dtype = _dtype_of(dtype)
        if dtype.char not in _FACTORED:
            raise ValueError(
                "`dtype` must be one whose QR TensorFlow computes: float16, float32 or float64. "
                f"Received: dtype={dtype.name}"
            )
        gain = _constant("gain", gain, dtype)
        return self.core_draw(seed, lambda key: self._core.orthogonal(shape, dtype, key, gain))


def _word(seed: int) -> int:
    """A word of a state, as the core takes it.

    Raises:
        ValueError: It is a boolean, or has more than 64 bits with its sign.
    """
    if type(seed) is int and 0 <= seed < _INT64.stop:
        return seed
    if isinstance(seed, bool) or seed not in _INT64:
        raise ValueError(
            "`seed` must be an integer in -2**63 .. 2**63-1, and no boolean, on this stream. "
            f"Received: seed={seed}"
        )
    return int(seed) & _MASK


def _dtype_of(dtype: Any, *, uniform: bool = False, floating: bool = False) -> np.dtype[Any]:
    """The dtype of the result, refused with the type of exception that each sampler has.

    Args:
        dtype: A dtype as users give it; what counts as false is Keras' default.
        uniform: Whether it is for uniform values.
        floating: Whether Keras looks at it before TensorFlow does.
    """
    known = _known(dtype or floatx(), aliases=not floating)
    if known is not None and (known.char in _FACTORED or known.name == "bfloat16"):
        return known
    no_floats = known is not None and known.kind in _NOT_OF_FLOATS
    is_wrong_type = not floating and (known is None or (no_floats and not uniform))
    raise (TypeError if is_wrong_type else ValueError)(
        "`dtype` must be float16, bfloat16, float32 or float64 on this stream. "
        f"Received: dtype={dtype}"
    )


def _known(dtype: Any, *, aliases: bool) -> np.dtype[Any] | None:
    """The dtype by a name that Keras and TensorFlow have for it or, of `aliases`, TensorFlow."""
    if isinstance(dtype, str):
        if dtype == "int":
            return None  # Keras' alone
        dtype = _ALIASES.get(dtype, dtype) if aliases else dtype
    elif dtype is int or dtype is complex:
        return None
    try:
        return standardize(dtype)
    except ValueError:
        return None


def _constant(argument: str, value: Any, dtype: np.dtype[Any]) -> Any:
    """A parameter as `tf.convert_to_tensor` makes it of a number for a dtype.

    Numbers of Python become float32 on the way to narrower types, as in the core; NumPy converts
    its own at once.
    """
    if _is_pythons(value):
        return value
    if isinstance(value, int):
        if dtype.name == "bfloat16" and value not in _INT64:
            raise _out_of_range(argument, value)
        return _number(argument, value)
    value = _scalar(argument, value, TypeError)
    if isinstance(value, np.longdouble):
        return float(value)
    with np.errstate(all="ignore"):
        return float(np.asarray(value).astype(dtype))


def _bound(argument: str, value: Any, dtype: np.dtype[Any]) -> float:
    """A bound as `tf.cast` makes it of a number for a dtype, or as the core takes it.

    Numbers become tensors of their own dtype first: floats of Python float32, integers int64.
    """
    if isinstance(value, int):
        if value not in _INT64:
            raise _out_of_range(argument, value)
        value = np.int64(value)
    elif _is_pythons(value):
        with np.errstate(over="ignore"):
            single = float(np.float32(value))
        if math.isinf(single) and not math.isinf(value):
            raise _out_of_range(argument, value)
        return single
    value = _scalar(argument, value, ValueError)
    if isinstance(value, np.longdouble):
        raise ValueError(f"`{argument}` must not be a long double. Received: {argument}={value}")
    wide = np.float64 if dtype.name == "float64" else np.float32
    with np.errstate(all="ignore"):
        return float(np.asarray(value).astype(wide))


def _is_pythons(value: Any) -> bool:
    """Whether it is a float of Python; NumPy's float64 is one by class alone."""
    return isinstance(value, float) and not isinstance(value, np.generic)


def _scalar(argument: str, value: Any, of_text: type[Exception]) -> Any:
    """A scalar of NumPy, or of what extends it; the one of an array without axes.

    Raises:
        ValueError: It is None; it is text where that is what TensorFlow raises.
        TypeError: It is not one number.
    """
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    if isinstance(value, np.generic) and not isinstance(
        value, np.complexfloating | np.flexible | np.datetime64 | np.timedelta64
    ):
        return value
    is_wrong_type = value is not None and not isinstance(value, str | bytes)
    raise (TypeError if is_wrong_type else ValueError if value is None else of_text)(
        f"`{argument}` must be a number on this stream. "
        f"Received: {argument}={value!r} (of type {type(value)})"
    )


def _number(argument: str, value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        raise _out_of_range(argument, value) from None


def _out_of_range(argument: str, value: float) -> ValueError:
    text = repr(value) if isinstance(value, float) else f"an integer of {value.bit_length()} bits"
    return ValueError(f"`{argument}` must be in range for TensorFlow. Received: {text}")


def _is_single(x: float) -> bool:
    """Whether the core's way by float32 changes nothing."""
    with np.errstate(over="ignore"):
        return math.isnan(x) or float(np.float32(x)) == x


def _without_subnormals(x: Any) -> Any:
    """float64 numbers, zeros for subnormal ones, as TensorFlow takes them."""
    return np.where(np.abs(x) < np.finfo(np.float64).tiny, x * 0.0, x)
