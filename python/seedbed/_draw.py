"""A tensor that is ready to be drawn: what `prepare` returns.

Everything that makes a tensor in pieces holds a `Draw`: arguments are read once, and the pieces fit
together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from seedbed import _core
from seedbed._dtypes import standardize

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt


@runtime_checkable
class Draw(Protocol):
    """A tensor whose seed, stream, fans and dtype are resolved, and whose values are not made yet.

    It holds arguments, no values, and may be used from many threads.
    """

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the whole tensor."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """dtype of the values."""

    @property
    def seed(self) -> int | None:
        """The seed, None where nothing is drawn."""

    @property
    def call(self) -> int | None:
        """Which call on a `SeedGenerator` this was, 0 for a plain seed, None without one."""

    @property
    def stream(self) -> str | None:
        """The name of the stream, None where nothing is drawn."""

    @property
    def fans(self) -> tuple[int, int] | None:
        """(fan_in, fan_out) of the whole tensor, None where they play no part."""

    def draw(self, index: Any = None, out: Any = None) -> Any:
        """The values of the tensor, or of a block of it.

        Args:
            index: Basic indexing of `shape`: slices, integers and Ellipsis. None is all of it.
            out: An array of the block's shape and the dtype (NumPy, or anything that lends memory
                on the CPU by the buffer protocol or DLPack), to be filled and returned.

        Returns:
            An array, or `out` itself where given.

        Raises:
            IndexError: An `index` outside the shape.
            ValueError: An `out` of another shape, or whose memory cannot be filled.
            TypeError: An `out` of another dtype, or that lends no memory.
            MemoryError: The block does not fit.
        """


class _Described:
    """A draw that Python describes; the core has a class of its own for what it draws."""

    def __init__(
        self,
        shape: Any,
        dtype: np.dtype[Any],
        stream: str | None = None,
        key: tuple[int | None, int | None] = (None, None),
    ) -> None:
        self.shape: tuple[int, ...] = _core.standardize_shape(shape)
        self.dtype = dtype
        self.stream = stream
        self.seed: int | None = key[0]
        self.call: int | None = key[1]
        self.fans: tuple[int, int] | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.shape}, {self.dtype.name}>"


class Repeated(_Described):
    """One value everywhere.

    Args:
        shape: Shape of the tensor.
        value: The value, an array of the dtype without axes.
    """

    def __init__(self, shape: Any, value: npt.NDArray[Any]) -> None:
        super().__init__(shape, value.dtype)
        self._value = value

    def draw(self, index: Any = None, out: Any = None) -> Any:
        return _core.filled(self.shape, self._value, index, out)


class Computed(_Described):
    """Values that NumPy computes.

    Args:
        shape: Shape of the tensor.
        dtype: dtype of the values.
        write: `write(memory, block)` writes the elements `block`, a slice for each axis of the
            tensor, to the array `memory`, which has lost the axes that integers took.
        stream: The name of the stream, where the values are drawn.
        key: The seed and the number of the call, where they are drawn.
    """

    def __init__(
        self,
        shape: Any,
        dtype: np.dtype[Any],
        write: Callable[[npt.NDArray[Any], tuple[slice, ...]], None],
        stream: str | None = None,
        key: tuple[int | None, int | None] = (None, None),
    ) -> None:
        super().__init__(shape, dtype, stream, key)
        self._write = write

    def draw(self, index: Any = None, out: Any = None) -> Any:
        memory, block = _core.memory(self.shape, self.dtype, index, out)
        _core.with_standard_floats(lambda: self._write(memory, block))
        return memory if out is None else out


def with_all_axes(
    memory: npt.NDArray[Any], block: tuple[slice, ...], shape: tuple[int, ...]
) -> tuple[npt.NDArray[Any], list[range]]:
    """Give the memory of a block the axes back that integers took, which copies nothing.

    Returns:
        The memory, and what of each axis of `shape` it holds.
    """
    taken = [range(*one.indices(size)) for one, size in zip(block, shape, strict=True)]
    return memory.reshape([len(one) for one in taken]), taken


def dtype_of(out: Any) -> np.dtype[Any] | None:
    """The dtype of the memory that an `out` lends, which is the default where one is given.

    None is what has no dtype or one that is not known: it is refused where memory is needed.
    """
    try:
        dtype = getattr(out, "dtype", None)
        return np.asarray(memoryview(out)).dtype if dtype is None else standardize(dtype)
    except (TypeError, ValueError):
        return None
