"""Where deterministic values go: the block of a tensor that a call asks for, and its memory.

The rules and messages are those of the Rust core, which does the same for random values: shapes
as `keras.backend.standardize_shape`, `index` as NumPy's basic indexing of the global shape, `out`
as NumPy's own `out` arguments. Nothing here allocates by the global shape.
"""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

# What an array can address; NumPy, too, counts empty axes as 1.
_MOST_ELEMENTS = 2**63 - 1


@dataclass(frozen=True)
class Block:
    """A rectangular selection of a tensor's elements.

    Attributes:
        coordinates: The coordinates taken along each axis of the tensor.
        shape: The shape of the result, which lacks the axes that integers took.
    """

    coordinates: tuple[range, ...]
    shape: tuple[int, ...]

    @property
    def lengths(self) -> tuple[int, ...]:
        """How many coordinates each axis of the tensor keeps."""
        return tuple(map(len, self.coordinates))


def standardize_shape(shape: Any) -> tuple[int, ...]:
    """`shape` as a tuple of Python integers.

    Raises:
        ValueError: It is not an iterable of integers >= 0, or too big for any array.
    """
    entries = None if isinstance(shape, str | bytes) else getattr(shape, "__iter__", None)
    if entries is None:
        raise ValueError(
            f"Cannot convert '{shape}' to a shape. `shape` must be a tuple or list of integers. "
            f"Received: shape={shape}"
        )
    sizes = tuple(_dimension(entry, shape) for entry in shape)
    if math.prod(size for size in sizes if size) > _MOST_ELEMENTS:
        raise ValueError(f"`shape` must have at most 2**63-1 elements. Received: shape={sizes}")
    return sizes


def _dimension(entry: Any, shape: Any) -> int:
    try:
        if isinstance(entry, bool | np.bool):
            raise TypeError
        size = operator.index(entry)
    except TypeError:
        why = f"Found invalid dimension '{entry}' of type '{type(entry)}'."
    else:
        if size >= 0:
            return size
        why = "Negative dimensions are not allowed."
    raise ValueError(
        f"Cannot convert '{shape}' to a shape. {why} `shape` must hold integers from 0 to "
        f"2**63-1. Received: shape={shape}"
    )


def select(shape: tuple[int, ...], index: Any) -> Block:
    """The block that `index`, None for all or basic indexing, takes from a tensor of `shape`.

    Raises:
        IndexError: Too many entries, integers out of range, entries of other types.
        ValueError: A step of 0.
        TypeError: Slices of anything but integers.
    """
    if index is None:
        return Block(tuple(map(range, shape)), shape)

    def refuse(rule: str) -> IndexError:
        return IndexError(f"`index` {rule}. Received: index={index}")

    entries = list(index) if isinstance(index, tuple) else [index]
    ellipses = [at for at, entry in enumerate(entries) if entry is Ellipsis]
    if len(ellipses) > 1:
        raise refuse("can only have a single ellipsis ('...')")
    named = len(entries) - len(ellipses)
    if named > len(shape):
        raise refuse(
            f"has too many entries: the tensor is {len(shape)}-dimensional, but {named} were "
            "indexed"
        )
    at = ellipses[0] if ellipses else len(entries)
    entries[at : at + 1] = [slice(None)] * (len(shape) - named)

    coordinates, kept = [], []
    for axis, (entry, size) in enumerate(zip(entries, shape, strict=True)):
        if isinstance(entry, slice):
            taken = range(size)[entry]
            kept.append(len(taken))
        else:
            try:
                if isinstance(entry, bool | np.bool):
                    raise TypeError
                number = operator.index(entry)
            except TypeError:
                raise refuse("must hold only integers, slices (`:`) and ellipsis (`...`)") from None
            if not -size <= number < size:
                raise refuse(f"{number} is out of bounds for axis {axis} with size {size}")
            taken = range(number % size, number % size + 1)
        coordinates.append(taken)
    return Block(tuple(coordinates), tuple(kept))


def memory(out: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """The array to write: over `out`'s own memory, or a new one if `out` is None.

    Raises:
        TypeError: `out` lends no memory on the CPU, or has another dtype.
        ValueError: It is read-only, overlaps itself, has another shape or was released.
    """
    if out is None:
        return np.empty(shape, dtype)
    array = out if isinstance(out, np.ndarray) else _view(out)
    if not array.flags.writeable:
        raise ValueError("`out` must be writable. Received: a read-only array")
    if array.dtype != dtype:
        raise TypeError(
            f"`out` must have the dtype {dtype.name}. Received: an array of dtype {array.dtype}"
        )
    if array.shape != shape:
        raise ValueError(
            f"`out` must have the shape {shape}. Received: an array of shape {array.shape}"
        )
    if _overlaps(array):
        raise ValueError(
            "`out` must not have elements that share memory. Received: an array of shape "
            f"{array.shape} and strides {array.strides}"
        )
    return array


def _view(out: Any) -> npt.NDArray[Any]:
    try:
        return np.asarray(memoryview(out))
    except ValueError as error:
        raise ValueError(f"`out` must not have been released. Received: {error}") from None
    except TypeError:
        pass
    try:
        return np.from_dlpack(out)
    except (AttributeError, BufferError, RuntimeError, TypeError, ValueError) as error:
        raise TypeError(
            "`out` must be a NumPy array or lend memory on the CPU through the buffer protocol "
            f"or DLPack ({error}). Received: out={out} (of type {type(out)})"
        ) from None


def _overlaps(array: npt.NDArray[Any]) -> bool:
    """Whether two elements may share memory; exact for what slicing and transposing make."""
    if array.size == 0:
        return False
    span = array.itemsize
    axes = zip(map(abs, array.strides), array.shape, strict=True)
    for stride, length in sorted(axis for axis in axes if axis[1] > 1):
        if stride < span:
            return True
        span += stride * (length - 1)
    return False
