"""The rules of Keras' NumPy backend: seeds, parameters, dtypes, shapes.

The stream promises what Keras returns there, and the types of its exceptions. The core draws what
it can describe: numbers as parameters, shapes, floating-point dtypes. The rest is drawn by
`numpy.random`: arrays as parameters, which broadcast, NumPy scalars that carry their own precision
into bounds and variances, dtypes of integers, booleans and complex numbers, a bare integer as a
shape. Where only the dtype is unusual the core draws in float64 and NumPy converts. What Keras
refuses is raised with Keras' type. The steps are those of `keras.src.backend.numpy.random` and
`keras.initializers`, Keras 3.15.

What the core does not draw is held whole, in float64 as well.
"""

from __future__ import annotations

import math
import operator
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from seedbed import _core
from seedbed._draw import Computed, Draw
from seedbed._dtypes import floatx, standardize
from seedbed._streams.keras_rules import KerasRules, Key
from seedbed._streams.rules import check_rank

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

# Redrawn values in a row after which a truncated normal is taken to have none to keep. Where the
# bounds are two standard deviations 5 % are redrawn; only bounds that were rounded keep fewer.
_MAX_REDRAWN: Final = 1 << 20

# Where Keras cuts truncated normals, in standard deviations.
_CUT: Final = 2

_DRAWN_BY_CORE: Final = frozenset(
    ("float16", "bfloat16", "float32", "float64", "float8_e4m3fn", "float8_e5m2")
)
_PYTHON_NUMBERS: Final = (int, float)
_NUMBERS: Final = (int, float, np.integer, np.floating, np.bool)


class NumpyRules(KerasRules):
    """What Keras takes, and refuses, on its NumPy backend."""

    def uniform(
        self, shape: Any, dtype: Any, seed: Any, low: Any, high: Any, *, floating: bool = False
    ) -> Draw:
        """As `keras.random.uniform` where `floating`, else as `keras.initializers`, which call past
        its test of the dtype."""
        dtype = _dtype_of(dtype)
        if floating:
            _check_floating(dtype)

        def core(dtype: Any, key: Key) -> Draw:
            return self._core.uniform(shape, dtype, key, low, high)

        def by_numpy(rng: np.random.Generator) -> Any:
            return rng.uniform(size=shape, low=low, high=high)

        shape, plain = _axes(shape), _is_number(low) and _is_number(high)
        return self._draw(shape, dtype, seed, plain, core, by_numpy)

    def normal(self, shape: Any, dtype: Any, seed: Any, mean: Any, stddev: Any) -> Draw:
        """As `keras.random.normal`."""

        def core(dtype: Any, key: Key) -> Draw:
            return self._core.normal(shape, dtype, key, mean, stddev)

        def by_numpy(rng: np.random.Generator) -> Any:
            return rng.normal(size=shape, loc=mean, scale=stddev)

        shape, plain = _axes(shape), _is_number(mean) and _is_number(stddev)
        return self._draw(shape, _dtype_of(dtype), seed, plain, core, by_numpy)

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
        """As `keras.random.truncated_normal`, which cuts at 2 standard deviations; other cuts are
        drawn as it would draw them."""

        def core(dtype: Any, key: Key) -> Draw:
            return self._core.truncated_normal(shape, dtype, key, mean, stddev, lower, upper)

        def by_numpy(rng: np.random.Generator) -> Any:
            return _redraw(rng, shape, mean, stddev)

        if lower != -_CUT or upper != _CUT:
            return self.core_draw(seed, lambda key: core(standardize(dtype), key))
        plain = _is_number(mean) and _is_number(stddev) and _has_bounds_of_core(mean, stddev)
        return self._draw(shape, _dtype_of(dtype), seed, plain, core, by_numpy)

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
        dtype = _dtype_of(dtype)
        # Other numbers than Python's bring their own precision into the variance.
        plain = isinstance(scale, _PYTHON_NUMBERS) and _is_number(scale) and math.isfinite(scale)
        scheme = (scale, mode, distribution, input_axes, output_axes)
        if plain and _is_shape(shape) and _is_drawn_by_core(dtype):
            return self.core_draw(
                seed, lambda key: self._core.variance_scaling(shape, dtype, key, *scheme)
            )
        return self.scaled_by_fans(shape, dtype, seed, *scheme)

    def orthogonal(self, shape: Any, dtype: Any, seed: Any, gain: Any) -> Draw:
        """As `keras.initializers.Orthogonal`, but in the dtype asked for."""
        check_rank(shape)
        dtype = _dtype_of(dtype)
        if not isinstance(dtype, np.dtype):
            dtype = standardize(_converted_to(dtype).name)
        if dtype.itemsize < 4 and "float" in dtype.name and dtype.name != "bfloat16":
            kind = TypeError if dtype == np.float16 else ValueError
            raise kind(
                f"`dtype` must be one whose QR Keras' NumPy backend computes: float32, float64 or "
                f"bfloat16. Received: dtype={dtype.name}"
            )
        if not _is_shape(shape):
            _trial(shape, lambda rng: rng.normal(size=shape))
        return self.core_draw(seed, lambda key: self._core.orthogonal(shape, dtype, key, gain))

    def _draw(
        self,
        shape: Any,
        dtype: Any,
        seed: Any,
        plain: bool,
        core: Callable[[Any, Key], Draw],
        by_numpy: Callable[[np.random.Generator], Any],
    ) -> Draw:
        """The draw of a call: the core's where its parameters are `plain`, else NumPy's."""
        plain = plain and _is_shape(shape)
        if plain and _is_drawn_by_core(dtype):
            return self.core_draw(seed, lambda key: core(dtype, key))
        dtype = _converted_to(dtype)
        if plain:
            whole = self.core_draw(seed, lambda key: core("float64", key))
            key = (whole.seed, whole.call)
        else:
            if not _is_shape(shape):
                shape = _trial(shape, by_numpy).shape
            key = self.key(seed)

        def write(memory: npt.NDArray[Any], block: tuple[slice, ...]) -> None:
            with np.errstate(all="ignore"):
                if plain:
                    values = whole.draw()
                else:
                    values = by_numpy(np.random.default_rng(np.array(key, np.uint32)))
                memory[...] = values.astype(dtype)[block].reshape(memory.shape)

        return Computed(shape, dtype, write, self.name, key)


def _is_number(value: Any) -> bool:
    """Whether `value` is a number of float64's range to the core as to NumPy."""
    if type(value) is float:
        return True
    if not isinstance(value, _NUMBERS):
        return False
    try:
        float(value)
    except OverflowError:
        return False
    return True


def _is_shape(shape: Any) -> bool:
    """Whether `shape` is one to the core: what NumPy takes beyond that, or refuses, is NumPy's."""
    if isinstance(shape, str | dict) or not hasattr(shape, "__getitem__"):
        return False
    if getattr(shape, "ndim", 1) != 1 or len(shape) > _core.MAX_DIMENSIONS:
        return False
    for size in shape:
        if type(size) is int:
            if size < 0:
                return False
        elif isinstance(size, bool | np.bool) or not hasattr(size, "__index__") or size < 0:
            return False
    return math.prod(int(size) for size in shape if size) < 1 << 63


def _axes(shape: Any) -> Any:
    """`shape`, to NumPy, which takes a number for the shape of a vector."""
    try:
        return (operator.index(shape),)
    except TypeError:
        return shape


def _is_drawn_by_core(dtype: Any) -> bool:
    return isinstance(dtype, np.dtype) and dtype.name in _DRAWN_BY_CORE


def _converted_to(dtype: Any) -> np.dtype[Any]:
    """The dtype that NumPy converts to, which raises TypeError for what is none."""
    try:
        converted = np.dtype(dtype or floatx())
    except TypeError:
        raise TypeError(f"`dtype` must be one of NumPy's. Received: dtype={dtype}") from None
    if converted.itemsize == 0:  # text, as long as numbers are
        converted = np.zeros((), np.float64).astype(converted).dtype
    return converted


def _trial(shape: Any, by_numpy: Callable[[np.random.Generator], Any]) -> npt.NDArray[Any]:
    """What NumPy draws for a shape that is none to the core, if it is one to NumPy.

    Where it is not, NumPy's type of exception is raised, in the core's words where it has some.
    NumPy takes sequences, not whatever can be iterated over.
    """
    is_sequence = hasattr(shape, "__getitem__") and not isinstance(shape, dict)
    if hasattr(shape, "__iter__") and not is_sequence:
        raise TypeError(f"`shape` must be a sequence of integers. Received: shape={shape}")
    try:
        # A conversion that only arrays have, as in Keras.
        values: npt.NDArray[Any] = by_numpy(np.random.default_rng(0)).astype(np.float64)
        return values
    except Exception as theirs:
        # Some of NumPy's own types want more than a message.
        kind = next(kind for kind in type(theirs).__mro__ if kind.__module__ == "builtins")
        try:
            _core.standardize_shape(shape)
        except ValueError as ours:
            raise kind(str(ours)) from None
        raise kind(f"{theirs}. Received: shape={shape}") from None


def _check_floating(dtype: Any) -> None:
    """Refuses what `keras.random.uniform` does not take for a floating-point dtype."""
    known = isinstance(dtype, np.dtype) and "float" in dtype.name
    if dtype and not known and dtype is not float:
        raise ValueError(f"`dtype` must be a floating-point dtype. Received: dtype={dtype}")


def _has_bounds_of_core(mean: Any, stddev: Any) -> bool:
    """Whether two standard deviations off the mean are for Keras what they are for the core.

    They differ where NumPy scalars bring a lower precision, integers a higher one.
    """
    if type(mean) is float and type(stddev) is float:
        return True
    try:
        with np.errstate(all="ignore"):
            lower, upper = float(mean - 2 * stddev), float(mean + 2 * stddev)
        mean, twice = float(mean), 2.0 * float(stddev)
    except (ArithmeticError, TypeError, ValueError):
        return False
    return bool(lower == mean - twice and upper == mean + twice)


def _dtype_of(dtype: object) -> Any:
    """As `standardize`, but leaves what only NumPy understands as it is."""
    if dtype is float or dtype is int or dtype is complex or dtype == "int":
        return dtype  # NumPy's meaning differs from that of Keras' layers.
    try:
        return standardize(dtype)
    except ValueError:
        return dtype


def _redraw(rng: np.random.Generator, shape: Any, mean: Any, stddev: Any) -> npt.NDArray[Any]:
    """As `keras.src.backend.numpy.random.truncated_normal`."""
    lower, upper = mean - _CUT * stddev, mean + _CUT * stddev
    size = math.prod(shape)
    if size < 0:
        # Keras draws nothing then, and the negative size becomes an empty axis by accident.
        raise ValueError(f"`shape` must not be negative. Received: shape={shape}")
    kept: list[npt.NDArray[Any]] = []
    found = redrawn = 0
    while found < size:
        batch = rng.normal(loc=mean, scale=stddev, size=size)
        valid = batch[(batch >= lower) & (batch <= upper)]
        kept.append(valid)
        found += len(valid)
        redrawn = 0 if len(valid) else redrawn + size
        if redrawn >= _MAX_REDRAWN or not np.any(lower <= upper):
            # Keras' loop would not end.
            raise ValueError(
                "`mean` and `stddev` must leave values between the bounds. "
                f"Received: mean={mean}, stddev={stddev}"
            )
    return np.concatenate([np.empty(0), *kept])[:size].reshape(shape)
