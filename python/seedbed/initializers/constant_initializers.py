"""Initializers without chance: `Zeros`, `Ones`, `Constant`, `Identity`, `STFT`.

Names, arguments, configs, errors and values are those of Keras 3.15 on its NumPy backend, byte for
byte, in every dtype where Keras returns the dtype it was asked for. Here the result always has it.
All take every numeric dtype and bool, and `index` and `out` as the random initializers do.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np

from seedbed import _core
from seedbed._draw import Computed, Draw, Repeated, dtype_of
from seedbed._dtypes import standardize_for
from seedbed._tensors import to_numpy
from seedbed.initializers import _serial
from seedbed.initializers.initializer import Initializer

if TYPE_CHECKING:
    import numpy.typing as npt

# The dtypes that STFT kernels are computed in; others take the float32 kernel.
_OWN_ARITHMETIC: Final = ("float16", "bfloat16", "float32", "float64", "complex64", "complex128")


class DeterministicInitializer(Initializer):
    """What initializers that draw nothing have in common: `index`, `out` and any dtype."""

    def __call__(self, shape: Any, dtype: Any = None, *, index: Any = None, out: Any = None) -> Any:
        """The values of a tensor, or of a block of one.

        Args:
            shape: Shape of the whole tensor.
            dtype: Any numeric dtype, or bool. None is the dtype of `out` where given, else Keras'
                `floatx`, float32 unless set otherwise.
            index: Basic indexing of `shape`: return just this block.
            out: An array of the block's shape and the dtype, to be filled and returned.

        Raises:
            ValueError: A bad shape or dtype; an `out` of another shape, or that cannot be filled.
            IndexError: An `index` outside the shape.
            TypeError: An `out` of another dtype, or that lends no memory.
        """
        dtype = dtype_of(out) if dtype is None and out is not None else dtype
        return self.prepare(shape, dtype).draw(index, out)

    @abstractmethod
    def prepare(self, shape: Any, dtype: Any = None) -> Draw: ...


class Constant(DeterministicInitializer):
    """Fills tensors with a constant.

    Args:
        value: A scalar, or an array or nested list that broadcasts to the shapes to initialize.
            Tensors of any framework and variables of Keras are arrays.
    """

    def __init__(self, value: Any = 0.0) -> None:
        self.value = value

    def prepare(self, shape: Any, dtype: Any = None) -> Draw:
        """`value`, converted to the dtype and broadcast to the shape, ready to be written.

        Raises:
            ValueError: `value` does not broadcast to `shape`, or cannot be converted.
            TypeError: `value` is None.
            OverflowError: `value` does not fit the dtype.
        """
        dtype = standardize_for(shape, dtype)
        shape = _core.standardize_shape(shape)
        if self.value is None:  # which NumPy takes for NaN
            raise TypeError("`value` must be a number or an array. Received: value=None")
        value = _numbers(self.value)
        extent = _extent(value)
        fits = len(extent) <= len(shape) and all(
            length in (1, size) for length, size in zip(extent[::-1], shape[::-1], strict=False)
        )
        if not fits:
            raise ValueError(
                f"`value` must broadcast to the shape {shape}. Received: a value of shape {extent}"
            )
        return broadcast(_cast_exactly(value, dtype), shape)

    def get_config(self) -> dict[str, Any]:
        return {"value": _serial.serialize(_numbers(self.value))}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return cls(**{**config, "value": _serial.deserialize_value(config.get("value", 0.0))})


class Zeros(DeterministicInitializer):
    """Fills tensors with 0."""

    def prepare(self, shape: Any, dtype: Any = None) -> Draw:
        return Repeated(shape, np.zeros((), standardize_for(shape, dtype)))


class Ones(DeterministicInitializer):
    """Fills tensors with 1."""

    def prepare(self, shape: Any, dtype: Any = None) -> Draw:
        return Repeated(shape, np.ones((), standardize_for(shape, dtype)))


class Identity(DeterministicInitializer):
    """Makes matrices with `gain` on the main diagonal and 0 elsewhere, of any aspect.

    Args:
        gain: Factor of the identity matrix. As in Keras 3.15, it is not part of the config.
    """

    def __init__(self, gain: Any = 1.0) -> None:
        self.gain = gain

    def prepare(self, shape: Any, dtype: Any = None) -> Draw:
        """The matrix, ready to be written.

        Raises:
            ValueError: The shape is not that of a matrix.
            TypeError: `gain` is not a number.
        """
        is_sized = hasattr(shape, "__len__") and np.ndim(shape) != 0
        rank = len(shape) if is_sized else 0
        if rank != 2:
            raise ValueError(
                "Identity matrix initializer can only be used for 2D matrices. "
                f"Received: shape={shape} of rank {rank}."
            )
        zero, one = self._elements(standardize_for(shape, dtype))

        def write(memory: npt.NDArray[Any], block: tuple[slice, ...]) -> None:
            _core.filled(memory.shape, zero, None, memory)
            # Positions of the rows taken whose number is also that of a column taken.
            rows, columns = (range(n)[taken] for n, taken in zip(draw.shape, block, strict=True))
            numbers = np.arange(rows.start, rows.stop, rows.step)
            steps, remainder = np.divmod(numbers - columns.start, columns.step)
            hit = np.flatnonzero((remainder == 0) & (steps >= 0) & (steps < len(columns)))
            # Adding axes of length 1 back never copies.
            memory.reshape(len(rows), len(columns))[hit, steps[hit]] = one

        draw = Computed(shape, zero.dtype, write)
        return draw

    def _elements(self, dtype: np.dtype[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """What stands off and on the diagonal: `gain` times 0 and 1, multiplied as Keras does."""
        gain = to_numpy(self.gain)
        if np.ndim(gain) != 0 or not isinstance(
            gain, int | float | complex | np.number | np.bool | np.ndarray
        ):
            raise TypeError(f"`gain` must be a number. Received: gain={self.gain}")
        with np.errstate(invalid="ignore"):  # an infinite gain times 0 is NaN, as in Keras
            elements = gain * np.array([0, 1], dtype)
        values = _cast(elements, dtype)
        return values[0, ...], values[1, ...]


class STFT(DeterministicInitializer):
    """Makes convolution kernels that compute the short-time Fourier transform.

    A kernel gives the real or the imaginary side of the transform, windowed along time.

    Args:
        side: "real" or "imag".
        window: The name of a window of `scipy.signal.windows` (needs the extra `stft`), the
            window's values, or None for none.
        scaling: "density" divides by the window's L2 norm, "spectrum" by its L1 norm; None does
            not.
        periodic: Whether a named window is periodic rather than symmetric.

    Raises:
        ValueError: An unknown side, window or scaling.
        ImportError: A window was named and SciPy is not installed.
    """

    def __init__(
        self,
        side: str = "real",
        window: Any = "hann",
        scaling: str | None = "density",
        periodic: bool = False,
    ) -> None:
        if side not in ["real", "imag"]:
            raise ValueError(f"side should be 'real' or 'imag', not {side}")
        if isinstance(window, str):
            _named_window(window, 1, True)
        if scaling is not None and scaling not in ["density", "spectrum"]:
            raise ValueError(
                "Scaling is invalid, it must be `None`, 'density' "
                f"or 'spectrum'. Received scaling={scaling}"
            )
        self.side = side
        self.window = window
        self.scaling = scaling
        self.periodic = periodic

    def prepare(self, shape: Any, dtype: Any = None) -> Draw:
        """The kernel, ready to be computed. It is computed whole, also for a block.

        Args:
            shape: `(frame_length, 1, fft_length // 2 + 1)`.
            dtype: Any numeric dtype, or bool. Complex ones and floating-point ones from 16 bits
                on are computed in themselves, all others in float32 and converted once.

        Raises:
            ValueError: Another shape, or a window of another length than the frame.
        """
        dtype = standardize_for(shape, dtype)
        shape = _core.standardize_shape(shape)
        if len(shape) != 3 or shape[1] != 1:
            raise ValueError(
                f"`shape` must be (frame_length, 1, fft_length // 2 + 1). Received: shape={shape}"
            )
        window = self._window(shape[0])
        own = dtype if dtype.name in _OWN_ARITHMETIC else np.dtype(np.float32)

        def write(memory: npt.NDArray[Any], block: tuple[slice, ...]) -> None:
            kernel = _cast(self._kernel(window, shape[0], shape[2], own), dtype)
            memory[...] = kernel[block].reshape(memory.shape)

        return Computed(shape, dtype, write)

    def _window(self, frame_length: int) -> Any:
        """The window's values, None for none."""
        if self.window is None:
            return None
        values = self.window
        if isinstance(values, str):
            values = _named_window(values, frame_length, self.periodic)
        extent = _extent(values)
        if extent != (frame_length,):
            raise ValueError(
                "The shape of `window` must be equal to [frame_length]."
                f"Received: window shape={extent}"
            )
        return values

    def _kernel(
        self, values: Any, frame_length: int, bins: int, dtype: np.dtype[Any]
    ) -> npt.NDArray[Any]:
        """The whole kernel, by the operations of Keras in their order, each in `dtype`."""
        window: npt.NDArray[Any] | None = None
        scaling: Any = np.array(1, dtype)
        if values is not None:
            window = _cast(values, dtype).reshape(frame_length, 1, 1)
            if self.scaling == "density":
                scaling = np.sqrt(np.sum(np.square(window)), dtype=dtype)
            elif self.scaling == "spectrum":
                scaling = np.sum(np.abs(window)).astype(dtype)

        frequency = np.arange(bins, dtype=dtype).reshape(1, 1, bins)
        frequency = np.divide(frequency, np.array((bins - 1) * 2).astype(dtype))
        time = np.arange(frame_length, dtype=dtype).reshape(frame_length, 1, 1)
        pi = np.arccos(np.array(-1).astype(dtype))
        angle = np.multiply(np.multiply(np.array(-2).astype(dtype), time), frequency) * pi
        kernel: npt.NDArray[Any] = (np.cos if self.side == "real" else np.sin)(angle)
        if window is None:
            return kernel
        weighted: npt.NDArray[Any] = np.divide(np.multiply(kernel, window), scaling)
        return weighted

    def get_config(self) -> dict[str, Any]:
        return {
            "side": self.side,
            "window": self.window,
            "periodic": self.periodic,
            "scaling": self.scaling,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        if isinstance(config.get("window"), dict):  # an array that was serialized
            config = {**config, "window": _serial.deserialize_value(config["window"])}
        return cls(**config)


def broadcast(values: npt.NDArray[Any], shape: tuple[int, ...]) -> Draw:
    """A tensor of shape `shape` that `values`, which broadcast to it, are written to."""
    if values.ndim == 0:
        return Repeated(shape, values)
    whole = np.broadcast_to(values, shape)

    def write(memory: npt.NDArray[Any], block: tuple[slice, ...]) -> None:
        np.copyto(memory, whole[block].reshape(memory.shape), casting="no")

    return Computed(shape, values.dtype, write)


def _numbers(value: Any) -> Any:
    """`value`, where tensors are arrays of NumPy, and in lists numbers of Python."""
    return _nested(value, {}, 0) if isinstance(value, list | tuple) else to_numpy(value)


def _nested(values: Any, known: dict[int, Any], depth: int) -> Any:
    if not isinstance(values, list | tuple):
        values = to_numpy(values)
        return values.tolist() if isinstance(values, np.ndarray | np.generic) else values
    # Each list once, and no deeper than arrays nest: a list may hold another many times.
    if id(values) not in known:
        deepest = depth == _core.MAX_DIMENSIONS
        entries = values if deepest else [_nested(entry, known, depth + 1) for entry in values]
        known[id(values)] = entries
    return known[id(values)]


def _extent(value: Any) -> tuple[int, ...]:
    """The shape of a value without making an array of it, which nested lists could blow up."""
    shape = []
    while isinstance(value, list | tuple):
        shape.append(len(value))
        if not value or len(shape) > 64:  # the most dimensions an array can have
            break
        value = value[0]
    else:
        shape.extend(getattr(value, "shape", ()))
    return tuple(shape)


def _cast(value: Any, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """`value` converted to `dtype` as `keras.ops.cast` does on NumPy."""
    if isinstance(value, np.ndarray | np.generic):
        return np.asarray(value).astype(dtype, copy=False)
    if dtype.name == "bfloat16":  # through float64, as Keras
        return np.asarray(value).astype(dtype)
    return np.array(value, dtype)


def _cast_exactly(value: Any, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """As `_cast`, whatever other libraries do to subnormal numbers.

    Raises:
        OverflowError: A finite number is beyond the range of `dtype`.
    """
    try:
        with np.errstate(over="ignore"):
            values = _core.with_standard_floats(lambda: _cast(value, dtype))
    except (OverflowError, TypeError, ValueError) as error:
        raise type(error)(
            f"`value` must be convertible to {dtype.name} ({error}). "
            f"Received: value={_serial.shown(value)}"
        ) from None
    if dtype.kind not in "biu":
        given = np.asarray(value)
        if np.any(np.isfinite(given) & ~np.isfinite(values)):
            raise OverflowError(
                f"`value` must be within the range of {dtype.name}. "
                f"Received: value={_serial.shown(value)}"
            )
    return values


def _named_window(name: str, length: int, periodic: bool) -> Any:
    try:
        from scipy.signal import get_window  # only this initializer needs SciPy
    except ImportError as error:
        raise ImportError(
            "STFT with a named window needs SciPy: pip install 'seedbed[stft]'. "
            f"Received: window={name!r}"
        ) from error
    return get_window(name, length, periodic)
