"""Whether a file holds the values that it should, byte for byte.

What: `differences` draws tensors again and compares them with what is stored.
Method: stored tensors are taken in the order of their bytes, small ones together, large ones cut
along an axis; each run of bytes is read on another thread while the one before it is drawn and
compared. With a sample, the first and the last piece of each tensor and some in between.
Consumes: memory for three buffers of `chunk_bytes` each, except where a tensor can only be made
whole.
Promises: the answer is exact for what is compared; the choice of a sample depends on names alone.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np

from seedbed._checkpoint.format import Layout
from seedbed._checkpoint.pieces import Bytes, Piece, Placed, batches, nbytes_of, pieces, read_at
from seedbed._checkpoint.writer import CHUNK_BYTES, DrawError, Tensor

# Short, so that a sample of a large tensor is spread over it.
SAMPLE_CHUNK_BYTES = 256 << 10
_SAMPLE_PARTS = 1 << 20

_UNSIGNED = {size: np.dtype(f"u{size}") for size in (1, 2, 4, 8)}


@dataclass(slots=True)
class Difference:
    """A tensor whose stored values are others."""

    tensor: str
    # Of the first element that differs, with what is stored there and what should be.
    index: tuple[int, ...]
    stored: Any
    expected: Any
    # How many elements differ, of how many that were compared.
    count: int
    compared: int


def placed_by(layout: Layout[Tensor]) -> list[Placed[Tensor]]:
    """Return where the tensors of a planned file are."""
    offset = len(layout.header)
    placed = []
    for tensor in layout.tensors:
        placed.append(Placed(tensor, offset))
        offset += tensor.nbytes
    return placed


def differences(
    file: BinaryIO,
    placed: Sequence[Placed[Tensor]],
    advance: Callable[[int], None] = lambda count: None,
    *,
    sample: float | None = None,
    chunk_bytes: int = CHUNK_BYTES,
) -> Generator[Difference]:
    """Yield the tensors whose values in `file` are not those that they draw, in the file's order.

    Args:
        file: Where to read.
        placed: The tensors; their dtypes and shapes are those of the file.
        advance: Told of the bytes that are done with, on this thread.
        sample: How many percent of each tensor to compare beyond its ends; None is all.
        chunk_bytes: Changes the memory used and what a sample is, never an answer.

    Raises:
        OSError: The file cannot be read.
        DrawError: A tensor cannot be drawn.
    """
    limit = chunk_bytes if sample is None else min(chunk_bytes, SAMPLE_CHUNK_BYTES)
    ordered = sorted(placed, key=lambda one: one.offset)
    cut = (piece for one in ordered for piece in pieces(one, limit, _sampling(one, sample)))
    drawn = np.empty(chunk_bytes, np.uint8)
    drawing = _Drawing()
    found: Difference | None = None
    for batch, stored in _read_ahead(file, batches(cut, chunk_bytes), chunk_bytes):
        begin = batch[0].offset
        for piece in batch:
            drawing.draw(piece, drawn[piece.offset - begin :][: piece.nbytes])
        same = _equal(stored, drawn[: stored.size])
        for piece in batch:
            tensor = piece.placed.tensor
            if found is not None and found.tensor != tensor.name:
                yield found
                found = None
            if not same:
                found = _differing(piece, stored, drawn, begin, found)
            elif found is not None:
                found.compared += math.prod(piece.shape)
        advance(stored.size)
    if found is not None:
        yield found


def same(
    file: BinaryIO, layout: Layout[Tensor], advance: Callable[[int], None] = lambda count: None
) -> bool:
    """Whether `file`, whose header is that of `layout`, holds its values."""
    return next(differences(file, placed_by(layout), advance), None) is None


def _sampling(placed: Placed[Tensor], percent: float | None) -> Callable[[int], bool] | None:
    """Return what says whether a run of a tensor is in the sample, by its number."""
    if percent is None:
        return None
    name, bound = placed.tensor.name, percent * _SAMPLE_PARTS / 100
    return lambda number: zlib.crc32(f"{number}/{name}".encode()) % _SAMPLE_PARTS < bound


def _read_ahead(
    file: BinaryIO, batches: Iterator[list[Piece[Tensor]]], chunk_bytes: int
) -> Iterator[tuple[list[Piece[Tensor]], Bytes]]:
    """Yield each batch with its bytes, which last until the next one, read a batch ahead."""

    def read(batch: list[Piece[Tensor]], buffer: Bytes) -> Bytes:
        nbytes = nbytes_of(batch)
        read_at(file, batch[0].offset, buffer[:nbytes])
        return buffer[:nbytes]

    buffers = [np.empty(chunk_bytes, np.uint8) for _ in range(2)]
    with ThreadPoolExecutor(1, "seedbed-reader") as pool:
        pending: tuple[list[Piece[Tensor]], Future[Bytes]] | None = None
        for number, batch in enumerate(batches):
            following = batch, pool.submit(read, batch, buffers[number % 2])
            if pending is not None:
                yield pending[0], pending[1].result()
            pending = following
        if pending is not None:
            yield pending[0], pending[1].result()


class _Drawing:
    """Draws pieces; what one tensor needs is prepared once."""

    def __init__(self) -> None:
        self._placed: Placed[Tensor] | None = None
        self._draw: Any = None
        # All values of a tensor that can only be made whole.
        self._values: Any = None

    def draw(self, piece: Piece[Tensor], memory: Bytes) -> None:
        tensor = piece.placed.tensor
        try:
            if piece.placed is not self._placed:
                self._values = None
                self._draw = tensor.prepare().draw
                self._placed = piece.placed
            out: Any = np.ndarray(piece.shape, tensor.dtype, memory)
            if not tensor.whole or piece.index is None:
                self._draw(piece.index, out)
                return
            if self._values is None:
                self._values = self._draw()
            out[...] = self._values[piece.index]
        except (MemoryError, OSError):
            raise
        except Exception as error:
            raise DrawError(tensor.name, error) from error


def _equal(a: Bytes, b: Bytes) -> bool:
    words = a.size // 8 * 8
    return bool(
        np.array_equal(a[:words].view(np.uint64), b[:words].view(np.uint64))
        and np.array_equal(a[words:], b[words:])
    )


def _differing(
    piece: Piece[Tensor], stored: Bytes, drawn: Bytes, begin: int, found: Difference | None
) -> Difference | None:
    """Count in `found` what differs in a piece, or return what was found first."""
    tensor = piece.placed.tensor
    place = slice(piece.offset - begin, piece.offset - begin + piece.nbytes)
    elements = math.prod(piece.shape)
    unsigned = _UNSIGNED[tensor.dtype.itemsize]
    other = stored[place].view(unsigned) != drawn[place].view(unsigned)
    count = int(np.count_nonzero(other))
    if found is not None:
        found.count += count
        found.compared += elements
        return found
    if count == 0:
        return None
    first = int(np.argmax(other))
    index = np.unravel_index(piece.first + first, tensor.shape) if tensor.shape else ()
    return Difference(
        tensor.name,
        tuple(map(int, index)),
        stored[place].view(tensor.dtype)[first],
        drawn[place].view(tensor.dtype)[first],
        count,
        piece.first + elements,
    )
