"""The index of a sharded checkpoint: which file holds each tensor.

What: `encode_index` writes what `model.safetensors.index.json` says, `decode_index` reads it.
Method: Hugging Face's form, byte for byte. What is read is taken apart member by member, so that
memory is bounded by what is kept.
Promises: an index that is read names files of its own directory and no others.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from seedbed._checkpoint.format import Described
from seedbed._checkpoint.json_members import JsonError, Members, usual, value_at

# The longest name that a file system knows, all of it escaped.
_MAX_NAME_CHARACTERS = 2000
_MEMBER = usual(rf'"([^"\\\x00-\x1f]{{0,{_MAX_NAME_CHARACTERS - 2}}})"')
# Far above any index: 1e6 names of 60 characters.
MAX_INDEX_BYTES = 100_000_000


def encode_index(shards: Mapping[str, Sequence[Described]]) -> bytes:
    """Return the index of files by their names, with the tensors of each."""
    tensors = [(tensor, name) for name, shard in shards.items() for tensor in shard]
    document = {
        "metadata": {
            "total_parameters": sum(_elements(tensor) for tensor, _ in tensors),
            "total_size": sum(tensor.nbytes for tensor, _ in tensors),
        },
        "weight_map": {tensor.name: name for tensor, name in tensors},
    }
    return (json.dumps(document, indent=2, sort_keys=True) + "\n").encode()


@dataclass(slots=True)
class Index:
    """What an index says."""

    # The file of each tensor.
    files: dict[str, str] = field(default_factory=dict)
    # The bytes of all tensors, None where it does not say.
    total_size: int | None = None
    # What readers put up with, and a writer should not do.
    faults: list[str] = field(default_factory=list)


def decode_index(data: bytes) -> Index:
    """Return what the index `data` says.

    Raises:
        JsonError: It is not one, or names a file that is not beside it.
    """
    text = _text(data)
    index = Index()
    found = set()
    members = Members(text)
    for key, start, _ in members:
        if key in found:
            raise JsonError(f"has {key!r} twice")
        found.add(key)
        if key == "weight_map":
            inner = Members(text, start, _MEMBER)
            plain: set[str] = set()
            for name, place, match in inner:
                if match is not None:
                    file = match[2]
                else:
                    file, end = value_at(text, place, _MAX_NAME_CHARACTERS)
                    inner.continue_at(end)
                if not isinstance(file, str):
                    raise JsonError("has a value in `weight_map` that is not a string")
                if file not in plain:
                    if not _is_plain(file):
                        raise JsonError(f"names a file outside its directory: {file[:80]!r}")
                    plain.add(file)
                if name in index.files:
                    index.faults.append(f"has {name[:80]!r} twice")
                index.files[name] = file
            members.continue_at(inner.end)
            continue
        value, end = value_at(text, start)
        members.continue_at(end)
        if key == "metadata" and isinstance(value, dict):
            size = value.get("total_size")
            index.total_size = int(size) if isinstance(size, int | float) and size >= 0 else None
    members.require_end()
    for key in ("metadata", "weight_map"):
        if key not in found:
            # transformers reads both.
            raise JsonError(f"has no `{key}`")
    return index


def _is_plain(name: str) -> bool:
    """Whether `name` names a file of the directory itself on every system."""
    plain = os.path.basename(name) == name and name not in ("", os.curdir, os.pardir)
    return plain and not any(c in name for c in "/\\\0")


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise JsonError(f"is not UTF-8 at byte {error.start}") from error


def _elements(tensor: Described) -> int:
    return tensor.nbytes // tensor.dtype.itemsize
