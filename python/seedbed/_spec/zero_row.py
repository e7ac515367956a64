"""A tensor one of whose rows is zeros: an embedding with the row of a padding token."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from seedbed._draw import Computed, Draw, with_all_axes
from seedbed._dtypes import standardize
from seedbed.initializers import Initializer, serialize

if TYPE_CHECKING:
    import numpy.typing as npt


class ZeroRow(Initializer):
    """Makes what another initializer makes, but for zeros in one row.

    Args:
        initializer: The other one.
        row: The number of the row along the first axis, from 0; the tensor must have it.
    """

    def __init__(self, initializer: Any, row: int) -> None:
        self.initializer = initializer
        self.row = row

    def __call__(self, shape: Any, dtype: Any = None) -> Any:
        return self.prepare(shape, dtype).draw()

    def prepare(self, shape: Any, dtype: Any = None) -> Draw:
        """The tensor, ready to be drawn whole or in blocks."""
        draw, row = self.initializer.prepare(shape, standardize(dtype)), self.row

        def write(memory: npt.NDArray[Any], block: tuple[slice, ...]) -> None:
            whole, taken = with_all_axes(memory, block, draw.shape)
            draw.draw(block, whole)
            if row in taken[0]:
                whole[taken[0].index(row)] = 0

        return Computed(draw.shape, draw.dtype, write)

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor, the initializer in its stored form."""
        return {"initializer": serialize(self.initializer), "row": self.row}
