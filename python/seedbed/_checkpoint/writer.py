"""Stream tensors into a safetensors file that is only ever seen whole.

What: `write_checkpoint` has the tensors of a layout filled a chunk at a time, and writes them.
Method: the main thread prepares each tensor once and has chunks filled (in parallel, with the
interpreter released) in a few buffers that are reused; one other thread writes the earlier chunks
meanwhile. Small tensors share a chunk, large ones are cut along an axis so that each piece is one
contiguous run of bytes, and drawn by `index=`.
Consumes: memory for the buffers (`BUFFERS * CHUNK_BYTES`), whatever the size of the tensors, except
where a tensor says that it can only be made whole.
Promises: those of `format` for the bytes, whatever the chunks, and those of `publish` for the file.
"""

from __future__ import annotations

import bisect
import itertools
import math
import mmap
import queue
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np

from seedbed._checkpoint.format import Described, Layout
from seedbed._checkpoint.publish import Sink, WriteError, write_error
from seedbed._checkpoint.store import file_replacement

# Long enough that filling in parallel and one write call cost nothing beside the bytes,
# short enough that a chunk is still in the cache when it is written.
CHUNK_BYTES = 8 << 20
# One being filled, one being written, one of slack for when the two take turns being slower.
BUFFERS = 3

Index = tuple[int | slice, ...]


class Prepared(Protocol):
    """What makes a tensor's values; `seedbed.Draw` is one."""

    def draw(self, index: Index | None = None, out: np.ndarray[Any, Any] | None = None) -> Any:
        """The block `index` (None: everything), written into `out`, which is contiguous."""


class Tensor(Described, Protocol):
    """What `write_checkpoint` needs to know of a tensor, and how it gets the values."""

    @property
    def whole(self) -> bool:
        """True if a block of the values costs as much as all of them."""
        ...

    def prepare(self) -> Prepared: ...


class DrawError(Exception):
    """The values of a tensor could not be made, for which `cause` gives the reason."""

    def __init__(self, tensor: str, cause: Exception) -> None:
        super().__init__(f"tensor `{tensor}`: {cause}")
        self.tensor = tensor
        self.cause = cause


def blocks(shape: tuple[int, ...], limit: int) -> Iterator[Index]:
    """Cut a C-ordered array into contiguous blocks, in order, of at most `limit` >= 1 elements.

    Yields index tuples: whole numbers for the leading axes that are too long to keep, one slice of
    the first axis whose rows fit. The slices of a cut differ by at most one row, so that no block
    is much shorter than the others.
    """
    axis = 0
    row = math.prod(shape[1:])
    while row > limit:
        axis += 1
        row //= shape[axis]
    pieces = -(-shape[axis] // (limit // row))
    cuts = [shape[axis] * piece // pieces for piece in range(pieces + 1)]
    for number in range(math.prod(shape[:axis])):
        leading = _unravelled(number, shape[:axis])
        for start, stop in itertools.pairwise(cuts):
            yield (*leading, slice(start, stop))


def _unravelled(number: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return where the element of this number is in an array of any number of dimensions."""
    places = []
    for length in reversed(shape):
        number, place = divmod(number, length)
        places.append(place)
    return tuple(reversed(places))


def write_checkpoint(
    path: str,
    layout: Layout[Tensor],
    advance: Callable[[int], None] = lambda count: None,
    *,
    chunk_bytes: int = CHUNK_BYTES,
    sync: bool = True,
) -> None:
    """Write the tensors of `layout` to the file or object `path`, and `sync` it to the disk.

    `advance(count)` is called on the calling thread as tensor bytes reach the file. `chunk_bytes`
    >= 8 changes the memory used, never the bytes written.

    KeyboardInterrupt passes through. Whatever is raised, the file at `path` is as before.

    Raises:
        WriteError: The file cannot be written, or memory runs out.
        DrawError: Preparing or drawing a tensor raised something else.
    """
    with file_replacement(path, layout.nbytes, sync=sync) as sink:
        stream(sink, path, layout, advance, chunk_bytes=chunk_bytes)


def stream(
    sink: Sink,
    path: str,
    layout: Layout[Tensor],
    advance: Callable[[int], None],
    *,
    chunk_bytes: int = CHUNK_BYTES,
) -> None:
    """Fill everything and give it to `sink`, on return or error with the writing thread ended.

    Raises:
        WriteError: As `write_checkpoint`, in the name of `path`.
        DrawError: As `write_checkpoint`.
    """
    if sys.byteorder != "little":
        raise WriteError(
            f"{path}: cannot be written: the format is little-endian, this machine is not"
        )
    with _Writer(sink, chunk_bytes, advance) as writer:
        try:
            writer.write_directly(layout.header)
            chunk = _Chunk(writer)
            for tensor in layout.tensors:
                try:
                    _append(chunk, tensor, chunk_bytes)
                except MemoryError:
                    raise WriteError(f"{path}: tensor `{tensor.name}`: out of memory") from None
                except OSError:
                    raise
                except Exception as error:
                    raise DrawError(tensor.name, error) from error
            chunk.flush()
            writer.finish()
        except OSError as error:
            ends = list(itertools.accumulate(tensor.nbytes for tensor in layout.tensors))
            place = bisect.bisect_right(ends, max(0, writer.written - len(layout.header)))
            name = layout.tensors[place].name if place < len(ends) else None
            raise write_error(path, error, name) from error


def _append(chunk: _Chunk, tensor: Tensor, chunk_bytes: int) -> None:
    """Have `tensor` filled into the current chunk, or into chunks of its own if it does not fit."""
    if tensor.nbytes == 0:
        return
    draw = tensor.prepare().draw
    if tensor.nbytes <= chunk_bytes:
        draw(None, chunk.take(tensor.shape, tensor.dtype, tensor.nbytes))
        return
    itemsize = tensor.dtype.itemsize
    if tensor.whole:
        values = draw().reshape(-1)
        step = chunk_bytes // itemsize
        for start in range(0, values.size, step):
            piece = values[start : start + step]
            chunk.take(piece.shape, tensor.dtype, piece.nbytes)[...] = piece
        return
    for index in blocks(tensor.shape, chunk_bytes // itemsize):
        cut = index[-1]
        assert isinstance(cut, slice)
        shape = (cut.stop - cut.start, *tensor.shape[len(index) :])
        draw(index, chunk.take(shape, tensor.dtype, math.prod(shape) * itemsize))


class _Chunk:
    """The buffer being filled: lends its next bytes as arrays, goes to the writer when full.

    An array from `take` must be filled before the next call. It is aligned: a buffer is, and the
    layout puts no tensor before one of larger items.
    """

    def __init__(self, writer: _Writer) -> None:
        self._writer = writer
        self._buffer: np.ndarray[Any, np.dtype[np.uint8]] | None = None
        self._used = 0

    def take(
        self, shape: tuple[int, ...], dtype: np.dtype[Any], nbytes: int
    ) -> np.ndarray[Any, Any]:
        """Return `nbytes` bytes, as an array of `shape`, that follow what was taken before."""
        if self._buffer is not None and self._used + nbytes > self._buffer.size:
            self.flush()
        if self._buffer is None:
            self._buffer = self._writer.next_buffer()
        taken: np.ndarray[Any, Any] = np.ndarray(shape, dtype, self._buffer, self._used)
        self._used += nbytes
        return taken

    def flush(self) -> None:
        """Give what was taken to the writer."""
        if self._buffer is not None:
            self._writer.write(self._buffer, self._used)
            self._buffer = None
            self._used = 0


class _Writer:
    """Gives buffers to a sink, in order, on a thread of its own; at most `BUFFERS` exist.

    The first error of the thread is raised by the next call. Leaving the context ends the thread:
    at once if it is left by an exception, dropping what was not written.
    """

    def __init__(self, sink: Sink, chunk_bytes: int, advance: Callable[[int], None]) -> None:
        self._sink = sink
        self._advance = advance
        self._chunk_bytes = chunk_bytes
        self._made = 0
        self._free: queue.SimpleQueue[np.ndarray[Any, np.dtype[np.uint8]] | None] = (
            queue.SimpleQueue()
        )
        self._full: queue.SimpleQueue[tuple[np.ndarray[Any, np.dtype[np.uint8]], int] | None]
        self._full = queue.SimpleQueue()
        self._error: BaseException | None = None
        self._abandoned = False
        self._announced = 0
        self._header_bytes = 0
        self.written = 0
        self._thread = threading.Thread(target=self._run, name="seedbed-writer", daemon=True)

    def __enter__(self) -> _Writer:
        self._thread.start()
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self._abandoned = True
        self._full.put(None)
        self._thread.join()

    def write_directly(self, data: bytes) -> None:
        """Write `data` from the calling thread, before anything was queued."""
        self._write(memoryview(data))
        self._header_bytes = self._announced = self.written

    def next_buffer(self) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """Return a buffer that nobody is using, waiting for the writer if need be."""
        self._report()
        if self._made < BUFFERS and self._free.empty():
            self._made += 1
            # A mapping of its own is page-aligned, for the fill and for the copy that a write is.
            return np.frombuffer(mmap.mmap(-1, self._chunk_bytes), np.uint8)
        buffer = self._free.get()
        self._report()
        assert buffer is not None
        return buffer

    def write(self, buffer: np.ndarray[Any, np.dtype[np.uint8]], count: int) -> None:
        """Queue the first `count` bytes of `buffer`."""
        self._full.put((buffer, count))

    def finish(self) -> None:
        """Wait until everything queued is written."""
        self._full.put(None)
        # The thread puts None when it ends.
        while self._free.get() is not None:
            self._report()
        self._report()

    def _report(self) -> None:
        """Raise the thread's error, or announce its progress, on the calling thread."""
        if self._error is not None:
            raise self._error
        written = self.written
        if written > self._announced:
            self._advance(written - self._announced)
            self._announced = written

    def _run(self) -> None:
        try:
            while not self._abandoned and (item := self._full.get()) is not None:
                buffer, count = item
                self._write(buffer[:count].data)
                self._free.put(buffer)
        except BaseException as error:
            self._error = error
        finally:
            self._free.put(None)

    def _write(self, data: memoryview) -> None:
        while data and not self._abandoned:
            count = self._sink(data)
            self.written += count
            data = data[count:]
