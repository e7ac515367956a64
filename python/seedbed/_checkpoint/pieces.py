"""A file's tensors as runs of bytes, each of a size to be worked on at once.

What: `pieces` cuts tensors, `batches` joins small ones that follow each other, `read_at` reads.
Method: a piece is a block of the tensor whose bytes are contiguous.
Promises: every element is in one piece; the pieces of a batch are aligned where its first one is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, Generic, TypeVar

import numpy as np

from seedbed._checkpoint.format import Described
from seedbed._checkpoint.writer import Index, blocks

Bytes = np.ndarray[Any, np.dtype[np.uint8]]
T = TypeVar("T", bound=Described)
T_co = TypeVar("T_co", bound=Described, covariant=True)


@dataclass(frozen=True, slots=True)
class Placed(Generic[T_co]):
    """A tensor, and where its bytes are in a file."""

    tensor: T_co
    offset: int


@dataclass(frozen=True, slots=True)
class Piece(Generic[T_co]):
    """A run of bytes of one tensor."""

    placed: Placed[T_co]
    # None is all of the tensor.
    index: Index | None
    shape: tuple[int, ...]
    # The number of its first element.
    first: int
    offset: int
    nbytes: int


def pieces(
    placed: Placed[T], limit: int, wanted: Callable[[int], bool] | None = None
) -> Iterator[Piece[T]]:
    """Cut a tensor into runs of at most `limit` bytes.

    `wanted` says by its number whether a run is; the first and the last one always are.
    """
    tensor = placed.tensor
    if tensor.nbytes == 0:
        return
    itemsize = tensor.dtype.itemsize
    if tensor.nbytes <= limit:
        yield Piece(placed, None, tensor.shape, 0, placed.offset, tensor.nbytes)
        return
    first = 0
    end = tensor.nbytes // itemsize
    for number, index in enumerate(blocks(tensor.shape, limit // itemsize)):
        cut = index[-1]
        assert isinstance(cut, slice)
        shape = (cut.stop - cut.start, *tensor.shape[len(index) :])
        count = math.prod(shape)
        if wanted is None or first in (0, end - count) or wanted(number):
            offset = placed.offset + first * itemsize
            yield Piece(placed, index, shape, first, offset, count * itemsize)
        first += count


def batches(found: Iterator[Piece[T]], limit: int) -> Iterator[list[Piece[T]]]:
    """Join pieces that follow each other in the file, as long as each stays aligned."""
    batch: list[Piece[T]] = []
    for piece in found:
        if batch:
            begin, last = batch[0].offset, batch[-1]
            follows = piece.offset == last.offset + last.nbytes
            aligned = (piece.offset - begin) % piece.placed.tensor.dtype.itemsize == 0
            if not (follows and aligned and piece.offset + piece.nbytes - begin <= limit):
                yield batch
                batch = []
        batch.append(piece)
    if batch:
        yield batch


def nbytes_of(batch: list[Piece[T]]) -> int:
    """Return the length of a batch."""
    return batch[-1].offset + batch[-1].nbytes - batch[0].offset


def read_at(file: BinaryIO, offset: int, buffer: Bytes) -> None:
    """Fill `buffer` with what the file has from `offset` on.

    Raises:
        OSError: It has less.
    """
    file.seek(offset)
    view = buffer.data
    while view:
        count = file.readinto(view)  # type: ignore[attr-defined]
        if not count:
            raise OSError("the file ends early")
        view = view[count:]
