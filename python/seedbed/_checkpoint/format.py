"""The layout of a safetensors file: what its header says, and where each tensor's bytes are.

What: `lay_out` puts tensors in the file's order and encodes the header.
Method (https://github.com/huggingface/safetensors): the length of the header as 8 bytes
little-endian; the header as JSON, padded with spaces; the tensors' bytes in C order, little-endian,
without gaps.
Consumes: memory for the header, by the number of tensors and the length of their names.
Promises: the bytes depend on the arguments alone. Tensors come by item size, largest first, and
otherwise in the order given; the data begins at a multiple of `DATA_ALIGNMENT`. So every tensor
begins at a multiple of its own item size, and whoever maps the file into memory can use it there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from seedbed._dtypes import standardize

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
# How many bits an element has in each dtype of the format, ours and those that only others write.
DTYPE_BITS: dict[str, int] = {
    "BOOL": 8,
    "F4": 4,
    "F6_E2M3": 6,
    "F6_E3M2": 6,
    "U8": 8,
    "I8": 8,
    "F8_E5M2": 8,
    "F8_E4M3": 8,
    "F8_E8M0": 8,
    "F8_E4M3FNUZ": 8,
    "F8_E5M2FNUZ": 8,
    "I16": 16,
    "U16": 16,
    "F16": 16,
    "BF16": 16,
    "I32": 32,
    "U32": 32,
    "F32": 32,
    "C64": 64,
    "F64": 64,
    "I64": 64,
    "U64": 64,
}
# Readers refuse a longer header (MAX_HEADER_SIZE of the safetensors crate). The 8 bytes that hold
# its length do not count.
MAX_HEADER_BYTES = 100_000_000
# The key that the format reserves for the file's own metadata.
METADATA_KEY = "__metadata__"
# A cache line, and the widest vector register: a mapped file can be read in place by both.
DATA_ALIGNMENT = 64
# The least that the header says of a tensor besides the characters of its name.
LEAST_ENTRY_BYTES = len('"":{"dtype":"U8","shape":[],"data_offsets":[0,0]},')

# For strings alone this is one call of C, unlike `json.dumps` with arguments.
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


# The other way round, for what was read.
NUMPY_DTYPES: dict[str, np.dtype[Any]] = {
    code: standardize(name) for name, code in SAFETENSORS_DTYPES.items()
}


class Described(Protocol):
    """What the header says of a tensor."""

    @property
    def name(self) -> str: ...
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> np.dtype[Any]: ...
    @property
    def nbytes(self) -> int: ...


T = TypeVar("T", bound=Described)
T_co = TypeVar("T_co", bound=Described, covariant=True)


class HeaderError(ValueError):
    """The header would be longer than readers accept; names the tensor that makes it so."""

    def __init__(self, tensor: str) -> None:
        super().__init__(f"makes the header longer than {MAX_HEADER_BYTES} bytes")
        self.tensor = tensor


@dataclass(frozen=True, slots=True)
class Layout(Generic[T_co]):
    """A file before it is written."""

    # In the order of their bytes.
    tensors: Sequence[T_co]
    # The length and the header.
    header: bytes
    # Of the whole file.
    nbytes: int


def lay_out(tensors: Sequence[T], metadata: Mapping[str, str]) -> Layout[T]:
    """Return the layout of a file that holds `tensors`; their names must differ.

    Raises:
        HeaderError: The header would be too long.
    """
    ordered = sorted(tensors, key=lambda tensor: -tensor.dtype.itemsize)
    entries = [f"{_encode(METADATA_KEY)}:{_encode(dict(sorted(metadata.items())))}"]
    # What many tensors share is encoded once.
    described: dict[tuple[np.dtype[Any], tuple[int, ...]], str] = {}
    begin = 0
    # A comma or a brace follows each entry, a brace precedes the first.
    length = 1 + _length(entries[0])
    for tensor in ordered:
        kind = tensor.dtype, tensor.shape
        middle = described.get(kind)
        if middle is None:
            shape = ",".join(map(str, tensor.shape))
            code = SAFETENSORS_DTYPES[tensor.dtype.name]
            middle = f':{{"dtype":"{code}","shape":[{shape}],"data_offsets":['
            described[kind] = middle
        end = begin + tensor.nbytes
        entry = f"{_encode(tensor.name)}{middle}{begin},{end}]}}"
        entries.append(entry)
        begin = end
        length += _length(entry)
        if length > MAX_HEADER_BYTES:
            raise HeaderError(tensor.name)
    header = ("{" + ",".join(entries) + "}").encode()
    padding = -(8 + len(header)) % DATA_ALIGNMENT
    if len(header) + padding > MAX_HEADER_BYTES:
        raise HeaderError(ordered[-1].name if ordered else METADATA_KEY)
    header = (len(header) + padding).to_bytes(8, "little") + header + b" " * padding
    return Layout(ordered, header, len(header) + begin)


def name_bytes(name: str) -> int:
    """Return the length that `name` has in the header, without its quotes."""
    return len(_encode(name).encode()) - 2


def _length(entry: str) -> int:
    """Return the bytes of an entry and of the character after it."""
    return (len(entry) if entry.isascii() else len(entry.encode())) + 1
