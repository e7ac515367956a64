"""A tensor one of whose rows is zeros: an embedding with the row of a padding token."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from seedbed._draw import Computed, Draw
from seedbed._dtypes import standardize
from seedbed.initializers import Initializer, serialize

if TYPE_CHECKING:
    import numpy.typing as npt


class ZeroRow(Initializer):
    """Makes what another initializer makes, but for zeros in one row.

    Args:
        initializer: The other one.
        row: The number of the row, along the first axis; from the end where negative.
    """

    def __init__(self, initializer: Any, row: int) -> None:
        self.initializer = initializer
        self.row = row

    def __call__(self, shape: Any, dtype: Any = None) -> Any:
        return self.prepare(shape, dtype).draw()

    def prepare(self, shape: Any, dtype: Any = None) -> Draw:
        """The tensor, ready to be drawn whole or in blocks.

        Raises:
            ValueError: The tensor has no such row.
        """
        draw = self.initializer.prepare(shape, standardize(dtype))
        shape, rows = draw.shape, draw.shape[0] if draw.shape else 0
        if not -rows <= self.row < rows:
            raise ValueError(
                f"`row` must be a row of a tensor of shape {list(shape)}. Received: {self.row}"
            )
        row = self.row % rows

        def write(memory: npt.NDArray[Any], block: tuple[slice, ...]) -> None:
            taken = [range(*one.indices(size)) for one, size in zip(block, shape, strict=True)]
            # The axes that integers took are back, which copies nothing.
            whole = memory.reshape([len(one) for one in taken])
            draw.draw(block, whole)
            if row in taken[0]:
                whole[taken[0].index(row)] = 0

        return Computed(shape, draw.dtype, write)

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor, the initializer in its stored form."""
        return {"initializer": serialize(self.initializer), "row": self.row}
