"""Stream tensors into a safetensors file that is only ever seen whole.

What: `write_checkpoint` lays out the header, has the tensors filled a chunk at a time, and writes.
Method: the main thread fills chunks (in parallel, with the interpreter released) into a few buffers
that are reused; one other thread writes the earlier chunks meanwhile. Small tensors share a chunk,
large ones are cut along an axis so that each piece is one contiguous run of bytes, and asked for by
`index=`.
Consumes: memory for the buffers (`BUFFERS * CHUNK_BYTES`), whatever the size of the tensors, except
where a tensor says that it can only be made whole.
Promises: the bytes go to a temporary file in the target's directory, which replaces the target in
one step when it is whole; after a failure or an interruption the target is as it was and the
temporary file is gone.

The format (https://github.com/huggingface/safetensors): the length of the header as 8 bytes
little-endian, the header as JSON padded with spaces, the tensors' bytes in C order, little-endian,
without gaps.
"""

from __future__ import annotations

import bisect
import contextlib
import itertools
import json
import math
import mmap
import os
import queue
import secrets
import shutil
import stat
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

# The name that safetensors gives each NumPy dtype that it can hold.
SAFETENSORS_DTYPES: dict[str, str] = {
    "bool": "BOOL",
    "uint8": "U8",
    "int8": "I8",
    "uint16": "U16",
    "int16": "I16",
    "uint32": "U32",
    "int32": "I32",
    "uint64": "U64",
    "int64": "I64",
    "float8_e4m3fn": "F8_E4M3",
    "float8_e5m2": "F8_E5M2",
    "float16": "F16",
    "bfloat16": "BF16",
    "float32": "F32",
    "float64": "F64",
}
# Readers refuse a longer header (MAX_HEADER_SIZE of the safetensors crate).
MAX_HEADER_BYTES = 100_000_000
# The key that the format reserves for the file's own metadata.
METADATA_KEY = "__metadata__"

# Long enough that filling in parallel and one write call cost nothing beside the bytes,
# short enough that a chunk is still in the cache when it is written.
CHUNK_BYTES = 8 << 20
# One being filled, one being written, one of slack for when the two take turns being slower.
BUFFERS = 3

Index = tuple[int | slice, ...]


class WriteError(Exception):
    """The checkpoint could not be written; names the file and, where known, the tensor."""


class Tensor(Protocol):
    """What `write_checkpoint` needs to know of a tensor, and how it has one filled."""

    @property
    def name(self) -> str: ...
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> np.dtype[Any]: ...
    @property
    def nbytes(self) -> int: ...
    @property
    def whole(self) -> bool:
        """True if the values can only be made all at once."""
        ...

    def fill(self, out: np.ndarray[Any, Any], index: Index | None) -> None:
        """Write the block `index` (None: everything) into `out`, which is contiguous."""
        ...


def encode_header(tensors: Sequence[Tensor], metadata: Mapping[str, str]) -> bytes:
    """Return the length prefix and the header, padded so that the data begins 8-byte aligned."""
    entries = [f"{json.dumps(METADATA_KEY)}:{_json(dict(metadata))}"]
    begin = 0
    for tensor in tensors:
        end = begin + tensor.nbytes
        described = {
            "dtype": SAFETENSORS_DTYPES[tensor.dtype.name],
            "shape": tensor.shape,
            "data_offsets": (begin, end),
        }
        entries.append(f"{_json(tensor.name)}:{_json(described)}")
        begin = end
    text = ("{" + ",".join(entries) + "}").encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


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
    for leading in np.ndindex(*shape[:axis]):
        for start, stop in itertools.pairwise(cuts):
            yield (*(int(i) for i in leading), slice(start, stop))


def write_checkpoint(
    path: str,
    tensors: Sequence[Tensor],
    metadata: Mapping[str, str],
    advance: Callable[[int], None] = lambda count: None,
    *,
    chunk_bytes: int = CHUNK_BYTES,
) -> int:
    """Write `tensors`, in order, to the safetensors file `path`; return its size in bytes.

    `advance(count)` is called on the calling thread as tensor bytes reach the file. `chunk_bytes`
    >= 8 changes the memory used, never the bytes written.

    Errors: WriteError if the file cannot be written or memory runs out. What a tensor's `fill`
    raises, and KeyboardInterrupt, pass through. In every case the file at `path` is as before.
    """
    if sys.byteorder != "little":
        raise WriteError(
            f"{path}: cannot be written: the format is little-endian, this machine is not"
        )
    target = os.path.realpath(path)
    mode = _require_replaceable(path, target)
    header = encode_header(tensors, metadata)
    size = len(header) + sum(tensor.nbytes for tensor in tensors)
    _require_room(path, target, size)

    directory, name = os.path.split(target)
    temporary = os.path.join(directory, f".{name[:200]}.{secrets.token_hex(4)}.part")
    create = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    try:
        # The permissions that the process' umask gives any new file.
        file = os.open(temporary, create, 0o666)
        try:
            if mode is not None and hasattr(os, "fchmod"):
                os.fchmod(file, mode)
            _stream(file, path, header, tensors, advance, chunk_bytes)
        finally:
            os.close(file)
        os.replace(temporary, target)
    except BaseException as error:
        _remove(temporary)
        if isinstance(error, OSError):
            raise _write_error(path, error) from error
        raise
    return size


def _stream(
    file: int,
    path: str,
    header: bytes,
    tensors: Sequence[Tensor],
    advance: Callable[[int], None],
    chunk_bytes: int,
) -> None:
    """Fill and write everything, on return or error with the writing thread ended."""
    with _Writer(file, chunk_bytes, advance) as writer:
        try:
            writer.write_directly(header)
            chunk = _Chunk(writer)
            for tensor in tensors:
                try:
                    _append(chunk, tensor, chunk_bytes)
                except MemoryError:
                    raise WriteError(f"{path}: tensor `{tensor.name}`: out of memory") from None
            chunk.flush()
            writer.finish()
        except OSError as error:
            ends: list[int] = []
            total = 0
            for tensor in tensors:
                total += tensor.nbytes
                ends.append(total)
            place = bisect.bisect_right(ends, max(0, writer.written - len(header)))
            raise _write_error(
                path, error, tensors[place].name if place < len(tensors) else None
            ) from error


def _append(chunk: _Chunk, tensor: Tensor, chunk_bytes: int) -> None:
    """Have `tensor` filled into the current chunk, or into chunks of its own if it does not fit."""
    if tensor.nbytes == 0:
        return
    if tensor.nbytes <= chunk_bytes and not tensor.whole:
        tensor.fill(chunk.take(tensor.shape, tensor.dtype), None)
    elif tensor.whole:
        values = np.empty(tensor.shape, tensor.dtype)
        tensor.fill(values, None)
        flat = values.reshape(-1).view(np.uint8)
        for start in range(0, flat.size, chunk_bytes):
            piece = flat[start : start + chunk_bytes]
            chunk.take(piece.shape, piece.dtype)[...] = piece
    else:
        for index in blocks(tensor.shape, chunk_bytes // tensor.dtype.itemsize):
            cut = index[-1]
            assert isinstance(cut, slice)
            shape = (cut.stop - cut.start, *tensor.shape[len(index) :])
            tensor.fill(chunk.take(shape, tensor.dtype), index)


class _Chunk:
    """The buffer being filled: lends its next bytes as arrays, goes to the writer when full.

    An array from `take` must be filled before the next call.
    """

    def __init__(self, writer: _Writer) -> None:
        self._writer = writer
        self._buffer: np.ndarray[Any, np.dtype[np.uint8]] | None = None
        self._used = 0

    def take(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
        """Return `shape` elements of `dtype` that follow what was taken before."""
        count = math.prod(shape) * dtype.itemsize
        # A buffer starts aligned; a tensor that would begin unaligned starts the next one.
        if self._buffer is not None and (
            self._used + count > self._buffer.size or self._used % dtype.alignment
        ):
            self.flush()
        if self._buffer is None:
            self._buffer = self._writer.next_buffer()
        taken = self._buffer[self._used : self._used + count].view(dtype).reshape(shape)
        self._used += count
        return taken

    def flush(self) -> None:
        """Give what was taken to the writer."""
        if self._buffer is not None:
            self._writer.write(self._buffer, self._used)
            self._buffer = None
            self._used = 0


class _Writer:
    """Writes buffers to a file, in order, on a thread of its own; at most `BUFFERS` exist.

    The first error of the thread is raised by the next call. Leaving the context ends the thread:
    at once if it is left by an exception, dropping what was not written.
    """

    def __init__(self, file: int, chunk_bytes: int, advance: Callable[[int], None]) -> None:
        self._file = file
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
            count = os.write(self._file, data)
            self.written += count
            data = data[count:]


def _require_replaceable(path: str, target: str) -> int | None:
    """Return the permissions of the file at `target`, None if there is none.

    Errors: WriteError if something is there that must not or cannot be replaced.
    """
    try:
        found = os.stat(target)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _write_error(path, error) from error
    if not stat.S_ISREG(found.st_mode):
        kind = "a directory" if stat.S_ISDIR(found.st_mode) else "not a regular file"
        raise WriteError(f"{path}: cannot be written: it is {kind}")
    if not os.access(target, os.W_OK):
        raise WriteError(f"{path}: cannot be written: it is read-only")
    return stat.S_IMODE(found.st_mode)


def _require_room(path: str, target: str, size: int) -> None:
    """Fail before any work where the disk cannot hold `size` bytes beside what it holds now."""
    try:
        disk = shutil.disk_usage(os.path.dirname(target))
    except OSError as error:
        raise _write_error(path, error) from error
    # Some network file systems know no sizes and report zeros.
    if disk.total > 0 and size > disk.free:
        raise WriteError(
            f"{path}: cannot be written: it needs {size} bytes, the disk has {disk.free} free"
        )


def _write_error(path: str, error: OSError, tensor: str | None = None) -> WriteError:
    where = "" if tensor is None else f" tensor `{tensor}`:"
    return WriteError(f"{path}:{where} cannot be written: {error.strerror or error}")


def _remove(temporary: str) -> None:
    # The failure being reported matters more than a file that is gone or cannot be removed.
    with contextlib.suppress(OSError):
        os.unlink(temporary)


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
