"""Tensors that are stored as one, side by side along an axis: q, k and v, or stacked experts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from seedbed._draw import Computed, Draw, with_all_axes
from seedbed._dtypes import standardize
from seedbed.initializers import Initializer, serialize

if TYPE_CHECKING:
    import numpy.typing as npt


class Fused(Initializer):
    """Makes parts, each by an initializer of its own, side by side.

    Args:
        parts: The initializer of each part.
        sizes: The length of each along the axis.
        axis: The axis along which they are.
    """

    def __init__(self, parts: list[Any], sizes: list[int], axis: int) -> None:
        self.parts = parts
        self.sizes = sizes
        self.axis = axis

    def __call__(self, shape: Any, dtype: Any = None) -> Any:
        return self.prepare(shape, dtype).draw()

    def prepare(self, shape: Any, dtype: Any = None) -> Draw:
        """The tensor, ready to be drawn whole or in blocks; a block draws only the parts it meets.

        Raises:
            ValueError: The sizes do not sum to the length of the axis, or as the parts.
        """
        dtype = standardize(dtype)
        shape, axis = tuple(shape), self.axis
        if sum(self.sizes) != shape[axis]:
            raise ValueError(
                f"`sizes` must sum to {shape[axis]}, the length of axis {axis}. "
                f"Received: {self.sizes}"
            )
        draws = [
            part.prepare((*shape[:axis], size, *shape[axis + 1 :]), dtype)
            for part, size in zip(self.parts, self.sizes, strict=True)
        ]

        def write(memory: npt.NDArray[Any], block: tuple[slice, ...]) -> None:
            whole, taken = with_all_axes(memory, block, shape)
            begin = 0
            for draw, size in zip(draws, self.sizes, strict=True):
                first, last = _within(taken[axis], begin, begin + size)
                if first < last:
                    some = taken[axis][first:last]
                    index = [*block]
                    index[axis] = _slice(range(some.start - begin, some.stop - begin, some.step))
                    where = (*(slice(None) for _ in range(axis)), slice(first, last))
                    draw.draw(tuple(index), whole[where])
                begin += size

        return Computed(shape, dtype, write)

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor, the parts in their stored form."""
        parts = [serialize(part) for part in self.parts]
        return {"parts": parts, "sizes": self.sizes, "axis": self.axis}


def _within(taken: range, low: int, high: int) -> tuple[int, int]:
    """The part of `taken`, by its positions, that lies in `low .. high - 1`."""
    start, step = taken.start, taken.step
    if step < 0:
        low, high = high - 1, low - 1
    # Divided and rounded up.
    first, last = -((start - low) // step), -((start - high) // step)
    return max(0, first), min(len(taken), last)


def _slice(taken: range) -> slice:
    # A negative end would count from the end of the axis.
    return slice(taken.start, taken.stop if taken.stop >= 0 else None, taken.step)
