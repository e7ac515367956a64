"""What checkpoints hold, from their headers: a file, a directory with an index, several files.

What: `open_checkpoint` finds the files of a path and reads their headers into a `Checkpoint`.
Method: what the safetensors library refuses is refused, with its rules for lengths, offsets and
sizes; what it puts up with but no writer should do is noted as a fault. Entries are read one by
one.
Consumes: the headers, of at most 100 MB each, and some hundred bytes for each tensor.
Promises: whatever the files hold, a `Checkpoint` or a `ReadError` that names the file; the files
lie in the directory that was asked for; values are never read.
"""

from __future__ import annotations

import json
import math
import operator
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import numpy as np

from seedbed._checkpoint.finding import Finding, Level
from seedbed._checkpoint.format import DTYPE_BITS, MAX_HEADER_BYTES, METADATA_KEY, NUMPY_DTYPES
from seedbed._checkpoint.index import MAX_INDEX_BYTES, Index, decode_index
from seedbed._checkpoint.json_members import JsonError, Members, Pairs, usual, value_at
from seedbed._checkpoint.shards import INDEX_NAME, SINGLE_NAME
from seedbed._checkpoint.store import Store, locate, reason
from seedbed._escape import escape

# The most characters of an entry: 65 dimensions of 19 digits have far fewer.
_MAX_ENTRY_CHARACTERS = 1 << 13
# As writers write it. Each repetition costs the matcher memory, so there are few.
_NUMBER = "(?:0|[1-9][0-9]{0,18})"
_MAX_USUAL_COMMAS = 63
_ENTRY = usual(
    rf'\{{"dtype":"([A-Za-z0-9_]{{1,20}})","shape":\[((?:{_NUMBER}(?:,{_NUMBER}){{0,{_MAX_USUAL_COMMAS}}})?)\],'
    rf'"data_offsets":\[({_NUMBER}),({_NUMBER})\]\}}'
)
_KEYS = ("dtype", "shape", "data_offsets")
# C0, DEL and C1.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_INDEX_END = ".safetensors.index.json"
_FILE_END = ".safetensors"


class ReadError(Exception):
    """A checkpoint cannot be read or is malformed; names the file."""


@dataclass(slots=True)
class Stored:
    """A tensor as a header describes it."""

    name: str
    code: str
    shape: tuple[int, ...]
    # Where its bytes begin, from the start of the file.
    offset: int
    nbytes: int
    # The number of its file.
    file: int = 0

    @property
    def elements(self) -> int:
        return math.prod(self.shape)

    @property
    def dtype(self) -> np.dtype[Any] | None:
        """NumPy's dtype, None where there is none for it."""
        return NUMPY_DTYPES.get(self.code)


@dataclass(slots=True)
class StoredFile:
    """A file, and what its header says."""

    name: str
    nbytes: int = 0
    # Of the length and the header.
    header_bytes: int = 0
    metadata: dict[str, str] = field(default_factory=dict)
    # In the order of their bytes.
    tensors: list[Stored] = field(default_factory=list)


@dataclass(slots=True)
class Checkpoint:
    """The files of a model."""

    path: str
    store: Store
    files: list[StoredFile]
    # What the index says, None where there is none.
    index: Index | None = None
    # What readers put up with and no writer should do.
    faults: list[Finding] = field(default_factory=list)

    @property
    def tensors(self) -> list[Stored]:
        """Every tensor, in the order of the files and of their bytes."""
        return [tensor for file in self.files for tensor in file.tensors]

    @property
    def tied(self) -> dict[str, str]:
        """The names left out, and those they share the tensor of, as the files say."""
        for file in self.files:
            try:
                found = json.loads(file.metadata.get("tied", ""))
            except (ValueError, RecursionError):
                continue
            if isinstance(found, dict) and all(isinstance(v, str) for v in found.values()):
                return found
        return {}

    def open(self, file: int) -> BinaryIO:
        """Open the file of that number for reading."""
        try:
            return self.store.open(self.files[file].name)
        except OSError as error:
            raise ReadError(
                f"{self.store.path(self.files[file].name)}: cannot be read: {reason(error)}"
            ) from error


def open_checkpoint(path: str) -> Checkpoint:
    """Read the headers of the checkpoint at `path`: a file, an index, or a directory.

    Raises:
        ReadError: It cannot be read, or is malformed.
    """
    try:
        store, name = locate(path)
        if name is None:
            return _open_directory(path, store)
        if name.endswith(_INDEX_END):
            return _open_index(path, store, name)
        checkpoint = Checkpoint(path, store, [])
        checkpoint.files.append(_read_file(checkpoint, name, 0))
        return checkpoint
    except OSError as error:
        raise ReadError(f"{path}: cannot be read: {reason(error)}") from error


def _open_directory(path: str, store: Store) -> Checkpoint:
    names = store.names()
    indices = [name for name in names if name.endswith(_INDEX_END)]
    files = sorted(name for name in names if name.endswith(_FILE_END))
    if len(indices) > 1:
        raise ReadError(f"{path}: has several indices; name one of them: {', '.join(indices[:4])}")
    if not indices:
        if not files:
            raise ReadError(f"{path}: has no file that ends in {_FILE_END}")
        checkpoint = Checkpoint(path, store, [])
        for number, name in enumerate(files):
            checkpoint.files.append(_read_file(checkpoint, name, number))
        if len(files) > 1:
            message = f"{path}: has {len(files)} files and no index"
            checkpoint.faults.append(Finding("no-index", "error", message))
            _note_twice(checkpoint)
        return checkpoint
    checkpoint = _open_index(path, store, indices[0])
    indexed = {file.name for file in checkpoint.files}
    for name in files:
        if name not in indexed:
            why = (
                "transformers reads it instead" if name == SINGLE_NAME else "some readers mix it in"
            )
            level: Level = (
                "error" if name == SINGLE_NAME and indices[0] == INDEX_NAME else "warning"
            )
            message = f"{store.path(name)}: is not in the index; {why}"
            checkpoint.faults.append(Finding("stale-file", level, message))
    return checkpoint


def _open_index(path: str, store: Store, name: str) -> Checkpoint:
    size = store.size(name)
    if size is None:
        raise ReadError(f"{store.path(name)}: cannot be read: it is no file")
    if size > MAX_INDEX_BYTES:
        raise ReadError(f"{store.path(name)}: is longer than {MAX_INDEX_BYTES} bytes")
    try:
        with store.open(name) as file:
            index = decode_index(file.read(MAX_INDEX_BYTES + 1))
    except JsonError as error:
        raise ReadError(f"{store.path(name)}: {error}") from error
    checkpoint = Checkpoint(path, store, [], index)
    checkpoint.faults.extend(
        Finding("index", "error", f"{store.path(name)}: {fault}") for fault in index.faults
    )
    for number, file_name in enumerate(sorted(set(index.files.values()))):
        if store.size(file_name) is None:
            raise ReadError(f"{store.path(name)}: names {escape(file_name)}, which is missing")
        checkpoint.files.append(_read_file(checkpoint, file_name, number))
    _compare_with_index(checkpoint, store.path(name), index)
    _note_twice(checkpoint)
    return checkpoint


def _compare_with_index(checkpoint: Checkpoint, path: str, index: Index) -> None:
    names = [file.name for file in checkpoint.files]
    held: set[str] = set()
    for tensor in checkpoint.tensors:
        held.add(tensor.name)
        if index.files.get(tensor.name) != names[tensor.file]:
            message = f"{path}: does not say that {names[tensor.file]} has {tensor.name[:80]!r}"
            checkpoint.faults.append(Finding("index", "error", message, tensor.name))
    for name, file in index.files.items():
        if name not in held:
            message = f"{path}: says that {file} has {name[:80]!r}, which it has not"
            checkpoint.faults.append(Finding("index", "error", message, name))
    total = sum(tensor.nbytes for tensor in checkpoint.tensors)
    if index.total_size is not None and index.total_size != total:
        message = f"{path}: `total_size` is {index.total_size}, the tensors have {total} bytes"
        checkpoint.faults.append(Finding("index", "error", message))


def _note_twice(checkpoint: Checkpoint) -> None:
    """Note the names that several files have."""
    files: dict[str, int] = {}
    for tensor in checkpoint.tensors:
        other = files.setdefault(tensor.name, tensor.file)
        if other != tensor.file:
            both = f"{checkpoint.files[other].name} and {checkpoint.files[tensor.file].name}"
            message = f"{tensor.name[:80]!r} is in {both}"
            checkpoint.faults.append(Finding("twice", "error", message, tensor.name))


def _read_file(checkpoint: Checkpoint, name: str, number: int) -> StoredFile:
    """Read the header of one file, noting faults in `checkpoint`."""
    path = checkpoint.store.path(name)
    size = checkpoint.store.size(name)
    if size is None:
        raise ReadError(f"{path}: cannot be read: it is no file")
    try:
        with checkpoint.store.open(name) as file:
            read = read_header(file, size)
    except JsonError as error:
        raise ReadError(f"{path}: {error}") from error
    except OSError as error:
        raise ReadError(f"{path}: cannot be read: {reason(error)}") from error
    stored, faults = read
    stored.name = name
    for tensor in stored.tensors:
        tensor.file = number
    checkpoint.faults.extend(
        Finding("header", "error", f"{path}: {message}", tensor) for message, tensor in faults
    )
    return stored


def read_header(file: BinaryIO, size: int) -> tuple[StoredFile, list[tuple[str, str | None]]]:
    """Read the header of a safetensors file of `size` bytes.

    Returns:
        What it says, without a name, and faults with the tensors that have them.

    Raises:
        JsonError: It is malformed; the message has no subject.
        OSError: It cannot be read.
    """
    prefix = file.read(8)
    length = int.from_bytes(prefix, "little")
    if len(prefix) < 8:
        raise JsonError("is no safetensors file: it is shorter than 8 bytes")
    if length > MAX_HEADER_BYTES:
        raise JsonError(
            f"is no safetensors file: its header would have {length} bytes, more than readers take"
        )
    if 8 + length > size:
        raise JsonError(f"is no safetensors file: its header of {length} bytes goes beyond the end")
    data = file.read(length)
    if len(data) < length:
        raise JsonError("is no safetensors file: its header ends early")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise JsonError(f"is no safetensors file: byte {error.start} is not UTF-8") from error
    del data
    stored = StoredFile("", size, 8 + length)
    faults: list[tuple[str, str | None]] = []
    entries = _entries(text, stored, faults)
    _place(entries, stored, size - 8 - length)
    return stored, faults


def _entries(
    text: str, stored: StoredFile, faults: list[tuple[str, str | None]]
) -> dict[str, Stored]:
    """Read the members of a header; offsets count from the start of the data."""
    entries: dict[str, Stored] = {}
    members = Members(text, usual=_ENTRY)
    has_metadata = False
    for name, start, match in members:
        if name == METADATA_KEY:
            if has_metadata:
                raise JsonError(f"has {METADATA_KEY} twice")
            has_metadata = True
            value, end = value_at(text, start)
            members.continue_at(end)
            stored.metadata = _metadata(value, faults)
            continue
        if match is not None:
            _, code, sizes, first, last = match.groups()
            shape = tuple(map(int, sizes.split(","))) if sizes else ()
            entry = _checked(name, code, shape, int(first), int(last))
        else:
            value, end = value_at(text, start, _MAX_ENTRY_CHARACTERS)
            members.continue_at(end)
            entry = _entry(name, value, faults)
        if name in entries:
            faults.append((f"has {name[:80]!r} twice; the last one counts", name))
        if not name.isprintable() and _CONTROL.search(name):
            faults.append((f"has a name with control characters: {name[:80]!r}", name))
        entries[name] = entry
    members.require_end()
    return entries


def _metadata(value: Any, faults: list[tuple[str, str | None]]) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, Pairs) or not all(isinstance(v, str) for v in value.values()):
        raise JsonError(f"has {METADATA_KEY} that is not a table of strings")
    if value.twice:
        faults.append((f"has a key of {METADATA_KEY} twice", None))
    return dict(value)


def _entry(name: str, value: Any, faults: list[tuple[str, str | None]]) -> Stored:
    """Return the tensor that an entry not written as usual describes."""
    shown = repr(name[:80])
    if not isinstance(value, Pairs):
        raise JsonError(f"has an entry {shown} that is not an object")
    for key in _KEYS:
        if key not in value:
            raise JsonError(f"has an entry {shown} without `{key}`")
        if key in value.twice:
            raise JsonError(f"has an entry {shown} with `{key}` twice")
    if len(value) > len(_KEYS):
        faults.append((f"has keys in the entry {shown} that do not belong there", name))
    code, shape, offsets = (value[key] for key in _KEYS)
    if not isinstance(code, str):
        raise JsonError(f"has an entry {shown} whose `dtype` is not a string")
    if not _counts(shape):
        raise JsonError(f"has an entry {shown} whose `shape` is not integers >= 0")
    if not _counts(offsets) or len(offsets) != 2:
        raise JsonError(f"has an entry {shown} whose `data_offsets` are not two integers >= 0")
    return _checked(name, code, tuple(shape), *offsets)


def _counts(value: Any) -> bool:
    return isinstance(value, list) and all(type(n) is int and 0 <= n < 2**64 for n in value)


def _checked(name: str, code: str, shape: tuple[int, ...], begin: int, end: int) -> Stored:
    bits = DTYPE_BITS.get(code)
    if bits is None:
        raise JsonError(
            f"has an entry {name[:80]!r} of the dtype {code[:20]!r}, which is not known"
        )
    count = 1
    for dimension in shape:
        count *= dimension
        # The library multiplies in this order, so that no later zero hides an overflow.
        if count >= 2**64:
            raise JsonError(f"has an entry {name[:80]!r} of more than 2**64 elements")
    nbytes, rest = divmod(count * bits, 8)
    if rest:
        raise JsonError(f"has an entry {name[:80]!r} that does not end on a byte")
    if begin > end or nbytes != end - begin:
        raise JsonError(f"has an entry {name[:80]!r} of {nbytes} bytes at offsets {begin} to {end}")
    return Stored(name, code, shape, begin, end - begin)


def _place(entries: dict[str, Stored], stored: StoredFile, data_bytes: int) -> None:
    """Require that tensors cover the data without holes; count offsets from the file's start."""
    ordered: Sequence[Stored] = sorted(
        entries.values(), key=operator.attrgetter("offset", "nbytes")
    )
    position = 0
    for tensor in ordered:
        if tensor.offset != position:
            what = "overlaps another" if tensor.offset < position else "leaves a hole before it"
            raise JsonError(f"has an entry {tensor.name[:80]!r} that {what}")
        position += tensor.nbytes
        tensor.offset += stored.header_bytes
    if position != data_bytes:
        raise JsonError(f"has {data_bytes} bytes of data, but describes {position}")
    stored.tensors.extend(ordered)
