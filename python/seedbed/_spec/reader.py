"""Read the specification of a model: which tensors, in what order, with which initializers.

What: `read_specification` turns a TOML file into a `Specification`, a flat list of `TensorSpec`.
Method: tomllib, then checks of every key by hand, so that each mistake is named; each entry's
initializer is built and prepared before anything is written, so that it refuses what it will.
Consumes: memory by the number of tensors, which is limited, never by the sizes that the file
claims.
Promises: whatever the file contains, either a specification that can be written or a `SpecError`
that names file, tensor and key. A tensor's values depend on the seed and its own name, not on its
neighbours.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import re
import tomllib
from collections.abc import Iterator
from typing import Any

import numpy as np

from seedbed import _core, initializers
from seedbed._checkpoint.format import (
    LEAST_ENTRY_BYTES,
    MAX_HEADER_BYTES,
    METADATA_KEY,
    SAFETENSORS_DTYPES,
    name_bytes,
)
from seedbed._draw import Computed, Draw
from seedbed._dtypes import standardize
from seedbed._spec.error import Place, SpecError, one_line, shortened, show
from seedbed._spec.identifier import initializer_of, seed_of
from seedbed._spec.model import Entry, Specification, TensorSpec
from seedbed._streams import rules_of, streams, use_stream

# A file longer than this was not written as a specification; reading it whole would cost its size.
MAX_SPECIFICATION_BYTES = 16 << 20
# Far above any model; reached only by a mistyped `repeat`.
MAX_TENSORS = 1_000_000
# Offsets in the file, and sizes in NumPy, are signed 64-bit numbers.
MAX_BYTES = 2**63 - 1

_TOP_KEYS = ("seed", "dtype", "stream", "tensor")
_TENSOR_KEYS = ("name", "shape", "init", "dtype", "repeat")
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
# C0, DEL and C1.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def read_specification(path: str) -> Specification:
    """Read and check the specification in the file `path`.

    Raises:
        SpecError: Anything is wrong with it, or it cannot be read.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_SPECIFICATION_BYTES + 1)
    except OSError as error:
        raise SpecError(f"{path}: cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise SpecError(f"{show(path)}: cannot be read: {error}") from error
    return parse_specification(data, path)


def parse_specification(data: bytes, path: str) -> Specification:
    """Check the specification `data` that came from the file `path`, which the errors name.

    Raises:
        SpecError: Anything is wrong with it.
    """
    if len(data) > MAX_SPECIFICATION_BYTES:
        raise SpecError(f"{path}: must be at most {MAX_SPECIFICATION_BYTES} bytes long")
    try:
        document = tomllib.loads(data.decode())
    except UnicodeDecodeError as error:
        raise SpecError(f"{path}: is not TOML: byte {error.start} is not UTF-8") from error
    except RecursionError as error:
        raise SpecError(f"{path}: is not TOML that can be read: nested too deeply") from error
    except ValueError as error:
        raise SpecError(f"{path}: is not TOML: {one_line(error)}") from error
    return _specification(document, path, hashlib.sha256(data).hexdigest())


def _specification(document: dict[str, Any], path: str, digest: str) -> Specification:
    place = Place(path)
    place.require_keys(document, _TOP_KEYS)
    for key in ("seed", "tensor"):
        if key not in document:
            place.fail(key, "is missing")
    seed = seed_of(document["seed"], "seed", place)
    dtype = _dtype(document.get("dtype", "float32"), place)
    known = streams()
    # Not the one that the process uses: a specification means the same everywhere.
    stream = document.get("stream", known[0])
    if not isinstance(stream, str) or stream not in known:
        place.fail("stream", f"must be one of {', '.join(known)}", stream)
    tables = document["tensor"]
    if not isinstance(tables, list) or not tables or not all(isinstance(t, dict) for t in tables):
        place.fail("tensor", "must be one or more [[tensor]] tables", tables)

    made = Specification(path, seed, stream, digest, [])
    # Tables that say the same share an entry: a specification may come from a program, and have one
    # for each tensor.
    entries: dict[tuple[object, ...], Entry] = {}
    # The number of the table that each name came from.
    origins: dict[str, int] = {}
    nbytes = header_bytes = 0
    for number, table in enumerate(tables, 1):
        name = table.get("name")
        named = f" (`{shortened(name)}`)" if isinstance(name, str) else ""
        place = Place(path, f"{number}{named}")
        place.require_keys(table, _TENSOR_KEYS)
        for key in ("name", "shape", "init"):
            if key not in table:
                place.fail(key, "is missing")
        names, count = _names(name, table.get("repeat", {}), place)
        entry = _entry(table, dtype, stream, entries, place)
        nbytes += entry.nbytes * count
        if nbytes > MAX_BYTES:
            place.fail("shape", f"makes the file larger than {MAX_BYTES} bytes", list(entry.shape))
        if len(made.tensors) + count > MAX_TENSORS:
            place.fail("repeat" if count > 1 else "name", f"makes more than {MAX_TENSORS} tensors")
        # What a name has in bytes beyond its characters; the numbers in it are ASCII.
        fixed = _PLACEHOLDER.sub("", name)
        entry_bytes = LEAST_ENTRY_BYTES + name_bytes(fixed) - len(fixed)
        for full_name in names:
            origin = origins.setdefault(full_name, number)
            # One entry can repeat itself: "{a}{b}" is "111" for 1, 11 and for 11, 1.
            if origin != number or len(origins) != len(made.tensors) + 1:
                other = (
                    f"tensor {origin} has it too" if origin != number else "`repeat` makes it twice"
                )
                place.fail("name", f"must be unique; {other}", full_name)
            # Only a bound, since offsets come later, but one that stops a mistyped `repeat` early.
            header_bytes += len(full_name) + entry_bytes
            if header_bytes > MAX_HEADER_BYTES:
                place.fail("name", f"makes the header longer than {MAX_HEADER_BYTES} bytes")
            made.tensors.append(TensorSpec(full_name, entry, made))
    return made


def _entry(
    table: dict[str, Any],
    default_dtype: np.dtype[Any],
    stream: str,
    entries: dict[tuple[object, ...], Entry],
    place: Place,
) -> Entry:
    """Return what the tensors of a table have in common, checked; one of `entries` if it is there.

    An `init` that is a table is compared with none.
    """
    dtype = _dtype(table["dtype"], place) if "dtype" in table else default_dtype
    shape = _shape(table["shape"], dtype.itemsize, place)
    init = table["init"]
    key = (init, shape, dtype) if isinstance(init, str) else None
    if key is not None and (known := entries.get(key)) is not None:
        return known
    template, config = initializer_of(init, place)
    draw = _prepare(template, shape, dtype, stream, place)
    entry = Entry(
        shape=shape,
        dtype=dtype,
        nbytes=math.prod(shape) * dtype.itemsize,
        template=template,
        draw=draw,
        config=config,
        rules=rules_of(getattr(template, "stream", None) or stream),
        whole=_is_whole(template, draw),
    )
    if key is not None:
        entries[key] = entry
    return entry


def _dtype(value: object, place: Place) -> np.dtype[Any]:
    if not isinstance(value, str) or value not in SAFETENSORS_DTYPES:
        place.fail("dtype", f"must be one of {', '.join(SAFETENSORS_DTYPES)}", value)
    return standardize(value)


def _shape(value: object, itemsize: int, place: Place) -> tuple[int, ...]:
    if not isinstance(value, list):
        place.fail("shape", "must be an array of integers", value)
    if len(value) > _core.MAX_DIMENSIONS:
        place.fail("shape", f"must have at most {_core.MAX_DIMENSIONS} dimensions", value)
    for axis, dimension in enumerate(value):
        if isinstance(dimension, bool) or not isinstance(dimension, int) or dimension < 0:
            place.fail(f"shape[{axis}]", "must be an integer >= 0", dimension)
        if dimension > MAX_BYTES:
            place.fail(f"shape[{axis}]", f"must be at most {MAX_BYTES}", dimension)
    # The dimensions other than zeros, as NumPy does, so that no zero hides an overflow.
    if math.prod(d for d in value if d) * itemsize > MAX_BYTES:
        place.fail("shape", f"makes the tensor larger than {MAX_BYTES} bytes", value)
    return tuple(value)


def _names(name: object, repeat: object, place: Place) -> tuple[Iterator[str], int]:
    """Return an iterator of full names, and their number."""
    if not isinstance(name, str) or not name:
        place.fail("name", "must be a non-empty string", name)
    if name == METADATA_KEY:
        place.fail("name", "is reserved by the file format", name)
    if _CONTROL.search(name):
        place.fail("name", "must not have control characters", name)
    if not isinstance(repeat, dict):
        place.fail("repeat", "must be a table of name = count", repeat)
    count = 1
    for key, times in repeat.items():
        if not key.isidentifier():
            place.fail(f"repeat.{shortened(key)}", "must be named like a variable")
        if isinstance(times, bool) or not isinstance(times, int) or times < 1:
            place.fail(f"repeat.{shortened(key)}", "must be an integer >= 1", times)
        count *= times
        if count > MAX_TENSORS:
            place.fail("repeat", f"makes more than {MAX_TENSORS} tensors", repeat)
    placeholders = _PLACEHOLDER.findall(name)
    rest = _PLACEHOLDER.sub("", name)
    if "{" in rest or "}" in rest:
        place.fail("name", "has a brace without its partner", name)
    for placeholder in placeholders:
        if placeholder not in repeat:
            place.fail(
                "name",
                f"has the placeholder {{{shortened(placeholder)}}}, which `repeat` lacks",
                name,
            )
    for key in repeat:
        if key not in placeholders:
            place.fail(
                f"repeat.{shortened(key)}",
                f"is not used: `name` must contain {{{shortened(key)}}}",
                name,
            )
    if not repeat:
        return iter((name,)), 1
    pattern = _PLACEHOLDER.sub(lambda match: f"{{{list(repeat).index(match[1])}}}", name)
    products = itertools.product(*(range(times) for times in repeat.values()))
    return (pattern.format(*numbers) for numbers in products), count


def _prepare(
    template: Any, shape: tuple[int, ...], dtype: np.dtype[Any], stream: str, place: Place
) -> Draw:
    """Have the initializer check shape and dtype, which draws nothing."""
    try:
        with use_stream(stream):
            draw: Draw = template.prepare(shape, dtype)
            return draw
    except MemoryError:
        raise
    except Exception as error:
        # Initializers that users registered raise what they like.
        place.refuse(error)


def _is_whole(template: Any, draw: Draw) -> bool:
    """Return whether a block of the tensor costs as much as all of it."""
    return (
        isinstance(template, initializers.Orthogonal | initializers.STFT)
        # Users' own, which only know how to make everything.
        or type(template).prepare is initializers.Initializer.prepare
        # Random numbers that the core does not draw.
        or (isinstance(draw, Computed) and draw.stream is not None)
    )
