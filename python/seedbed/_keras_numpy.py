"""The numpy stream as Keras' NumPy backend takes its arguments: seeds, parameters, dtypes, shapes.

The stream promises what Keras returns there, and the types of its exceptions. The core covers
numbers, shapes and floating-point dtypes, and refuses the rest, which then comes here: arrays as
parameters, which broadcast, NumPy scalars that carry their own precision into bounds and
variances, dtypes of integers, booleans and complex numbers, a bare integer as a shape. What Keras
refuses too is raised in the core's words with Keras' type. The steps are those of
`keras.src.backend.numpy.random` and `keras.initializers`, Keras 3.15.

Where only the dtype is unusual the core draws in float64 and NumPy converts; the rest is drawn by
`numpy.random` at its own speed. Either way the whole tensor is held, in float64 as well.
"""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeAlias

import numpy as np

from seedbed import _core
from seedbed._dtypes import floatx, standardize
from seedbed._seeds import resolve_seed
from seedbed.initializers import _block

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

# What the core raises for arguments that Keras may take, or refuse with another type.
_REFUSALS: Final = (TypeError, ValueError, OverflowError)

_STREAM: Final = "numpy"
_SEED_END: Final = 1 << 32

# Redrawn values in a row after which a truncated normal is taken to have none to keep. Where the
# bounds are two standard deviations 5 % are redrawn; only bounds that were rounded keep fewer.
_MOST_REDRAWN: Final = 1 << 20

# As text: naming the generator would import `numpy.random`, which few calls need.
_Draw: TypeAlias = "Callable[[np.random.Generator], Any]"
_Result: TypeAlias = "npt.NDArray[Any]"


def uniform(
    shape: Any, low: Any, high: Any, dtype: Any, seed: Any, index: Any, out: Any, *, checked: bool
) -> _Result:
    """As `keras.random.uniform`, which takes floating-point dtypes only; `checked` is whether it
    does here: the initializers call past that test."""
    shape, dtype, key = _shape_of(shape), _dtype_of(dtype), _key_of(seed)
    try:
        return _core.fill_uniform(shape, low, high, dtype, *key, _STREAM, index, out)
    except _REFUSALS as refusal:
        call = _Call(shape, dtype, key, index, out, refusal)
        if checked:
            call.check_floating()
        return call.uniform(low, high)


def normal(
    shape: Any, mean: Any, stddev: Any, dtype: Any, seed: Any, index: Any, out: Any
) -> _Result:
    """As `keras.random.normal`."""
    shape, dtype, key = _shape_of(shape), _dtype_of(dtype), _key_of(seed)
    try:
        return _core.fill_normal(shape, mean, stddev, dtype, *key, _STREAM, index, out)
    except _REFUSALS as refusal:
        return _Call(shape, dtype, key, index, out, refusal).normal(mean, stddev)


def truncated_normal(
    shape: Any,
    mean: Any,
    stddev: Any,
    dtype: Any,
    seed: Any,
    index: Any,
    out: Any,
    lower: Any = -2.0,
    upper: Any = 2.0,
) -> _Result:
    """As `keras.random.truncated_normal`, which cuts at 2 standard deviations."""
    shape, dtype, key = _shape_of(shape), _dtype_of(dtype), _key_of(seed)
    at_two = lower == -2.0 and upper == 2.0
    if at_two and not _same_bounds(mean, stddev):
        return _Call(shape, dtype, key, index, out).truncated_normal(mean, stddev)
    try:
        return _core.fill_truncated_normal(
            shape, mean, stddev, lower, upper, dtype, *key, _STREAM, index, out
        )
    except _REFUSALS as refusal:
        if not at_two:
            raise
        return _Call(shape, dtype, key, index, out, refusal).truncated_normal(mean, stddev)


def variance_scaling(
    shape: Any,
    scale: Any,
    mode: str,
    distribution: str,
    input_axes: Any,
    output_axes: Any,
    dtype: Any,
    seed: Any,
    index: Any,
    out: Any,
) -> _Result:
    """As `keras.initializers.VarianceScaling`."""
    shape, dtype, key = _shape_of(shape), _dtype_of(dtype), _key_of(seed)
    scheme = (scale, mode, distribution, input_axes, output_axes)
    # Other numbers bring their own precision into the variance.
    if not isinstance(scale, int | float):
        return _Call(shape, dtype, key, index, out).variance_scaling(*scheme)
    try:
        return _core.fill_variance_scaling(shape, *scheme, dtype, *key, _STREAM, index, out)
    except _REFUSALS as refusal:
        return _Call(shape, dtype, key, index, out, refusal).variance_scaling(*scheme)


def orthogonal(shape: Any, gain: Any, dtype: Any, seed: Any, index: Any, out: Any) -> _Result:
    """As `keras.initializers.Orthogonal`, but in the dtype asked for."""
    shape, dtype, key = _shape_of(shape), _dtype_of(dtype), _key_of(seed)
    if not isinstance(dtype, np.dtype):
        # NumPy raises TypeError for what is no dtype.
        dtype = standardize(np.dtype(dtype or floatx()).name)
    if dtype.itemsize < 4 and "float" in dtype.name and dtype.name != "bfloat16":
        kind = TypeError if dtype == np.float16 else ValueError
        raise kind(
            f"`dtype` must be one whose QR Keras' NumPy backend computes: float32, float64 or "
            f"bfloat16. Received: dtype={dtype.name}"
        )
    try:
        return _core.fill_orthogonal(shape, gain, dtype, *key, _STREAM, index, out)
    except _REFUSALS as refusal:
        _Call(shape, dtype, key, index, out, refusal).refuse_shape()


def _key_of(seed: Any) -> tuple[int, int]:
    """As `keras.src.random.seed_generator.draw_seed`: the seed and the number of the draw."""
    if isinstance(seed, int):
        if 0 <= seed < _SEED_END:
            return int(seed), 0
        raise OverflowError(
            f"`seed` must be in 0 .. 2**32-1 on the numpy stream. Received: seed={seed}"
        )
    if isinstance(seed, np.integer):
        raise ValueError(
            "Argument `seed` must be either an integer or an instance of `SeedGenerator`. "
            f"Received: seed={seed} (of type {type(seed)})"
        )
    if seed is None:
        seed = _KerasGlobalGenerator.find()
    return resolve_seed(seed)


class _KerasGlobalGenerator:
    """The generator that Keras draws from where no seed is given, advanced as Keras does it."""

    def __init__(self, generator: Any) -> None:
        self.state = generator.state
        self._generator = generator

    @classmethod
    def find(cls) -> _KerasGlobalGenerator | None:
        """Keras' generator, None where Keras is not imported or has another backend."""
        module = sys.modules.get("keras.src.random.seed_generator")
        if module is None or sys.modules["keras"].backend.backend() != "numpy":
            return None
        return cls(module.global_seed_generator())

    def next(self, ordered: bool = False) -> Any:
        """The state before it is scrambled."""
        return self._generator.next(ordered=False)


def _same_bounds(mean: Any, stddev: Any) -> bool:
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


def _shape_of(shape: Any) -> Any:
    """`shape` itself; NumPy takes sequences and integers, not whatever can be iterated over."""
    if type(shape) is tuple or (hasattr(shape, "__getitem__") and not isinstance(shape, dict)):
        return shape
    if hasattr(shape, "__iter__"):
        raise TypeError(f"`shape` must be a sequence of integers. Received: shape={shape}")
    return shape


def _dtype_of(dtype: object) -> Any:
    """As `standardize`, but leaves what only NumPy understands as it is, for the core to refuse."""
    if dtype is float or dtype is int or dtype is complex or dtype == "int":
        return dtype  # NumPy's meaning differs from that of Keras' layers.
    try:
        return standardize(dtype)
    except ValueError:
        return dtype


class _Call:
    """A call that the core refused or that is not for it.

    Args:
        shape: The shape as given.
        dtype: What `_dtype_of` made of the dtype.
        key: The seed and the number of the draw.
        index: The block that is wanted, None for all.
        out: The memory to fill, None for new memory.
        refusal: What the core raised, None if it was not asked.
    """

    def __init__(
        self,
        shape: Any,
        dtype: Any,
        key: tuple[int, int],
        index: Any,
        out: Any,
        refusal: Exception | None = None,
    ) -> None:
        self.shape = shape
        self.dtype = dtype
        self.key = key
        self.index = index
        self.out = out
        self.refusal = refusal

    def uniform(self, low: Any, high: Any) -> _Result:
        """As `keras.src.backend.numpy.random.uniform`."""

        def core(shape: Any) -> npt.NDArray[Any]:
            return _core.fill_uniform(shape, low, high, "float64", *self.key, "numpy")

        return self._finish(core, lambda rng: rng.uniform(size=self.shape, low=low, high=high))

    def check_floating(self) -> None:
        """Refuses what `keras.random.uniform` does not take for a floating-point dtype."""
        known = isinstance(self.dtype, np.dtype) and "float" in self.dtype.name
        if self.dtype and not known and self.dtype is not float:
            rule = f"`dtype` must be a floating-point dtype. Received: dtype={self.dtype}"
            raise ValueError(rule) from None

    def normal(self, mean: Any, stddev: Any) -> _Result:
        """As `keras.src.backend.numpy.random.normal`."""

        def core(shape: Any) -> npt.NDArray[Any]:
            return _core.fill_normal(shape, mean, stddev, "float64", *self.key, "numpy")

        return self._finish(core, lambda rng: rng.normal(size=self.shape, loc=mean, scale=stddev))

    def truncated_normal(self, mean: Any, stddev: Any) -> _Result:
        """As `keras.src.backend.numpy.random.truncated_normal`."""

        def core(shape: Any) -> npt.NDArray[Any]:
            if not _same_bounds(mean, stddev):
                raise TypeError
            return _core.fill_truncated_normal(
                shape, mean, stddev, -2.0, 2.0, "float64", *self.key, "numpy"
            )

        return self._finish(core, lambda rng: self._redraw(rng, mean, stddev))

    def _redraw(self, rng: np.random.Generator, mean: Any, stddev: Any) -> npt.NDArray[Any]:
        lower, upper = mean - 2 * stddev, mean + 2 * stddev
        size = math.prod(self.shape)
        if size < 0:
            # Keras draws nothing then, and the negative size becomes an empty axis by accident.
            raise ValueError(f"`shape` must not be negative. Received: shape={self.shape}")
        kept: list[npt.NDArray[Any]] = []
        found = redrawn = 0
        while found < size:
            batch = rng.normal(loc=mean, scale=stddev, size=size)
            valid = batch[(batch >= lower) & (batch <= upper)]
            kept.append(valid)
            found += len(valid)
            redrawn = 0 if len(valid) else redrawn + size
            if redrawn >= _MOST_REDRAWN or not np.any(lower <= upper):
                # Keras' loop would not end.
                raise self.refusal or ValueError(
                    "`mean` and `stddev` must leave values between the bounds. "
                    f"Received: mean={mean}, stddev={stddev}"
                )
        return np.concatenate([np.empty(0), *kept])[:size].reshape(self.shape)

    def variance_scaling(
        self, scale: Any, mode: str, distribution: str, input_axes: Any, output_axes: Any
    ) -> _Result:
        """As `keras.initializers.VarianceScaling`."""
        try:
            fan_in, fan_out = _fans(self.shape, input_axes, output_axes)
            fans = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2.0}
            variance = scale / max(1.0, fans[mode])
            deviation = math.sqrt(3.0 * variance if distribution == "uniform" else variance)
        except IndexError:
            raise
        except Exception as theirs:
            self._refuse(theirs)
        if distribution == "uniform":
            return self.uniform(-deviation, deviation)
        if distribution == "untruncated_normal":
            return self.normal(0.0, deviation)
        # The standard deviation of a standard normal cut at 2, as Keras has it.
        return self.truncated_normal(0.0, deviation / 0.87962566103423978)

    def refuse_shape(self) -> NoReturn:
        """Raises what the core did, with NumPy's type if the shape is at fault."""
        try:
            np.broadcast_to(0.0, self.shape)
        except Exception as theirs:
            self._refuse(theirs)
        raise self.refusal or ValueError from None

    def _finish(self, core: Callable[[Any], npt.NDArray[Any]], draw: _Draw) -> _Result:
        """The result of the call: drawn, converted, cut to the block, and put where it belongs."""
        try:
            dtype = np.dtype(self.dtype or floatx())
        except Exception as theirs:
            self._refuse(theirs)
        block = memory = None
        if self.index is not None or self.out is not None:
            block = _block.select(_block.standardize_shape(self.shape), self.index)
            memory = _block.memory(self.out, block.shape, dtype)
        with np.errstate(all="ignore"):
            try:
                values: _Result = self._values(core, draw).astype(dtype)
            except MemoryError:
                raise
            except Exception as theirs:
                self._refuse(theirs)
        if block is None or memory is None:
            return values
        taken = tuple(slice(r.start, _stop(r), r.step) for r in block.coordinates)
        memory[...] = values[taken].reshape(block.shape)
        result: _Result = memory if self.out is None else self.out
        return result

    def _values(self, core: Callable[[Any], npt.NDArray[Any]], draw: _Draw) -> Any:
        try:
            return core(self.shape)
        except _REFUSALS:
            return draw(np.random.default_rng(np.array(self.key, np.uint32)))

    def _refuse(self, theirs: Exception) -> NoReturn:
        """Raises Keras' type of exception, in the core's words where it has some."""
        if theirs is self.refusal:
            raise theirs
        # Some of NumPy's own types want more than a message.
        kind = next(kind for kind in type(theirs).__mro__ if kind.__module__ == "builtins")
        raise kind(str(theirs if self.refusal is None else self.refusal)) from None


def _stop(taken: range) -> int | None:
    """The end of a slice that takes `taken`: a range that runs down to 0 ends at -1."""
    return None if taken.stop < 0 else taken.stop


def _fans(shape: Any, input_axes: Any, output_axes: Any) -> tuple[int, int]:
    """As `keras.src.initializers.random_initializers.compute_fans`."""
    shape = tuple(shape)
    if input_axes is not None and output_axes is not None:
        fan_in = math.prod(shape[axis] for axis in input_axes)
        fan_out = math.prod(shape[axis] for axis in output_axes)
    elif len(shape) < 2:
        fan_in = fan_out = shape[0] if shape else 1
    else:
        field = math.prod(shape[:-2])
        fan_in, fan_out = shape[-2] * field, shape[-1] * field
    return int(fan_in), int(fan_out)
