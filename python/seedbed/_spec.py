"""Read the specification of a model: which tensors, in what order, with which initializers.

What: `read_specification` turns a TOML file into a `Specification`, a flat list of `TensorSpec`.
Method: tomllib, then checks of every key by hand, so that each mistake is named; each entry's
initializer is built, and asked for an empty block of its shape, before anything is written.
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
import reprlib
import tomllib
from dataclasses import dataclass, field
from typing import Any, NoReturn

import numpy as np

from seedbed import _core, initializers
from seedbed._checkpoint.format import (
    LEAST_ENTRY_BYTES,
    MAX_HEADER_BYTES,
    METADATA_KEY,
    SAFETENSORS_DTYPES,
    HeaderError,
    Layout,
    lay_out,
    name_bytes,
)
from seedbed._checkpoint.writer import Index
from seedbed._dtypes import standardize
from seedbed._streams import use_stream
from seedbed.random import fold_in

# A file longer than this was not written as a specification; reading it whole would cost its size.
MAX_SPECIFICATION_BYTES = 16 << 20
# Far above any model; reached only by a mistyped `repeat`.
MAX_TENSORS = 1_000_000
# Offsets in the file, and sizes in NumPy, are signed 64-bit numbers.
MAX_BYTES = 2**63 - 1
# NumPy's own limit.
MAX_RANK = 64
MAX_SEED = 2**64 - 1

_TOP_KEYS = ("seed", "dtype", "stream", "tensor")
_TENSOR_KEYS = ("name", "shape", "init", "dtype", "repeat")
# The serialized form of `initializers.serialize`.
_INIT_KEYS = ("class_name", "config", "module", "registered_name")
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")

# Their values depend on one another, so a block cannot be made without the rest.
_WHOLE = (initializers.Orthogonal, initializers.STFT)


# What an initializer raises when it cannot make the tensor asked for.
_REFUSALS = (ValueError, TypeError, LookupError, OverflowError, ImportError)


class SpecError(ValueError):
    """The specification is wrong; the message names the file, the tensor and the key."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """One `[[tensor]]` table, shared by the tensors that `repeat` makes of it."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    # The initializer built once, with its own seed or none.
    template: Any
    # True if each tensor is to get a seed by its name.
    seeded_by_name: bool
    nbytes: int


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One tensor of the model: what it is called and how its values are made."""

    name: str
    entry: _Entry = field(repr=False)
    specification: Specification = field(repr=False)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.entry.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.entry.dtype

    @property
    def nbytes(self) -> int:
        return self.entry.nbytes

    @property
    def elements(self) -> int:
        return math.prod(self.entry.shape)

    @property
    def whole(self) -> bool:
        return isinstance(self.entry.template, _WHOLE)

    @property
    def init_name(self) -> str:
        """The initializer's class, for people."""
        return type(self.entry.template).__name__

    def initializer(self) -> Any:
        """Return the initializer that makes this tensor's values, one that takes `index`, `out`."""
        template = self.entry.template
        if not self.entry.seeded_by_name:
            return template
        seed = fold_in(self.specification.seed, self.name)
        if (getattr(template, "stream", None) or self.specification.stream) != "philox":
            seed %= 1 << 32  # What Keras' backends take, and so the exact streams.
        return type(template).from_config({**template.get_config(), "seed": seed})

    def fill(self, out: np.ndarray[Any, Any], index: Index | None) -> None:
        """Write the block `index` of the values (None: all of them) into `out`.

        Errors: SpecError if the initializer refuses its shape or dtype, MemoryError.
        """
        try:
            with use_stream(self.specification.stream):
                self.initializer()(self.shape, dtype=self.dtype, index=index, out=out)
        except _REFUSALS as error:
            path = self.specification.path
            raise SpecError(f"{path}: tensor `{self.name}`: `init`: {_one_line(error)}") from error


@dataclass(slots=True)
class Specification:
    """A model: every tensor in the order of the file, and what they share."""

    path: str
    seed: int
    stream: str
    # SHA-256 of the specification's bytes, hexadecimal.
    digest: str
    tensors: list[TensorSpec]

    @property
    def elements(self) -> int:
        return sum(tensor.elements for tensor in self.tensors)

    @property
    def nbytes(self) -> int:
        return sum(tensor.nbytes for tensor in self.tensors)

    def layout(self) -> Layout[TensorSpec]:
        """What the checkpoint will look like.

        Raises:
            SpecError: Its header would be longer than readers accept.
        """
        try:
            return lay_out(self.tensors, self.metadata())
        except HeaderError as error:
            raise SpecError(
                f"{self.path}: tensor `{_short(error.tensor)}`: `name` {error}"
            ) from error

    def metadata(self) -> dict[str, str]:
        """What the checkpoint says of its own making; safetensors allows strings only."""
        return {
            # What the tensors are for: transformers and others load no file that does not say so.
            "format": "pt",
            "seed": str(self.seed),
            "stream": self.stream,
            "seedbed_version": _core.__version__,
            "specification_digest": self.digest,
        }


def read_specification(path: str) -> Specification:
    """Read and check the specification in the file `path`.

    Errors: SpecError for anything wrong with it, including that it cannot be read.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_SPECIFICATION_BYTES + 1)
    except OSError as error:
        raise SpecError(f"{path}: cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise SpecError(f"{_show(path)}: cannot be read: {error}") from error
    return parse_specification(data, path)


def parse_specification(data: bytes, path: str) -> Specification:
    """Check the specification `data` that came from the file `path`, which the errors name.

    Errors: SpecError.
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
        raise SpecError(f"{path}: is not TOML: {_one_line(error)}") from error
    return _Reader(path).specification(document, hashlib.sha256(data).hexdigest())


class _Reader:
    """Checks one document; its methods raise SpecError in the name of the tensor at hand."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._label: str | None = None

    def _fail(self, key: str, rule: str, *received: object) -> NoReturn:
        tensor = "" if self._label is None else f" tensor {self._label}:"
        shown = f". Received: {_show(received[0])}" if received else ""
        raise SpecError(f"{self._path}:{tensor} `{key}` {rule}{shown}")

    def _refuse(self, error: Exception) -> NoReturn:
        """Pass on what the initializer itself says of its configuration, shape or dtype."""
        raise SpecError(
            f"{self._path}: tensor {self._label}: `init`: {_one_line(error)}"
        ) from error

    def specification(self, document: dict[str, Any], digest: str) -> Specification:
        self._known_keys(document, _TOP_KEYS, "")
        for key in ("seed", "tensor"):
            if key not in document:
                self._fail(key, "is missing")
        seed = self._seed(document["seed"], "seed")
        dtype = self._dtype(document.get("dtype", "float32"), "dtype")
        stream = document.get("stream", "philox")
        streams = _core.streams()
        if not isinstance(stream, str) or stream not in streams:
            self._fail("stream", f"must be one of {', '.join(streams)}", stream)
        tables = document["tensor"]
        if (
            not isinstance(tables, list)
            or not tables
            or not all(isinstance(t, dict) for t in tables)
        ):
            self._fail("tensor", "must be one or more [[tensor]] tables", tables)

        made = Specification(self._path, seed, stream, digest, [])
        # The number of the entry that each name came from.
        origins: dict[str, int] = {}
        nbytes = header_bytes = 0
        for number, table in enumerate(tables, 1):
            name = table.get("name")
            self._label = f"{number} (`{_short(name)}`)" if isinstance(name, str) else str(number)
            entry, names, count = self._entry(table, dtype, stream)
            nbytes += entry.nbytes * count
            if nbytes > MAX_BYTES:
                self._fail(
                    "shape", f"makes the file larger than {MAX_BYTES} bytes", list(entry.shape)
                )
            if len(made.tensors) + count > MAX_TENSORS:
                self._fail(
                    "repeat" if count > 1 else "name", f"makes more than {MAX_TENSORS} tensors"
                )
            for full_name in names:
                origin = origins.setdefault(full_name, number)
                header_bytes += name_bytes(full_name) + LEAST_ENTRY_BYTES
                # One entry can repeat itself: "{a}{b}" is "111" for 1, 11 and for 11, 1.
                if origin != number or len(origins) != len(made.tensors) + 1:
                    other = (
                        f"tensor {origin} has it too"
                        if origin != number
                        else "`repeat` makes it twice"
                    )
                    self._fail("name", f"must be unique; {other}", full_name)
                if header_bytes > MAX_HEADER_BYTES:
                    self._fail("name", f"makes the header longer than {MAX_HEADER_BYTES} bytes")
                made.tensors.append(TensorSpec(full_name, entry, made))
        return made

    def _entry(
        self, table: dict[str, Any], default_dtype: np.dtype[Any], stream: str
    ) -> tuple[_Entry, Any, int]:
        """Return the checked entry, an iterator of its tensors' names, and how many they are."""
        self._known_keys(table, _TENSOR_KEYS, "")
        for key in ("name", "shape", "init"):
            if key not in table:
                self._fail(key, "is missing")
        names, count = self._names(table["name"], table.get("repeat", {}))
        dtype = self._dtype(table["dtype"], "dtype") if "dtype" in table else default_dtype
        shape = self._shape(table["shape"], dtype.itemsize)
        template, seeded_by_name = self._initializer(table["init"])
        entry = _Entry(
            shape=shape,
            dtype=dtype,
            template=template,
            seeded_by_name=seeded_by_name,
            nbytes=math.prod(shape) * dtype.itemsize,
        )
        self._try(entry, stream)
        return entry, names, count

    def _known_keys(self, table: dict[str, Any], known: tuple[str, ...], prefix: str) -> None:
        for key in table:
            if key not in known:
                self._fail(
                    f"{prefix}{_short(key)}", f"is not a key; the keys are {', '.join(known)}"
                )

    def _seed(self, value: object, key: str) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_SEED:
            self._fail(key, f"must be an integer in 0..{MAX_SEED}", value)
        return value

    def _dtype(self, value: object, key: str) -> np.dtype[Any]:
        if not isinstance(value, str) or value not in SAFETENSORS_DTYPES:
            self._fail(key, f"must be one of {', '.join(SAFETENSORS_DTYPES)}", value)
        return standardize(value)

    def _shape(self, value: object, itemsize: int) -> tuple[int, ...]:
        if not isinstance(value, list):
            self._fail("shape", "must be an array of integers", value)
        if len(value) > MAX_RANK:
            self._fail("shape", f"must have at most {MAX_RANK} dimensions", value)
        for axis, dimension in enumerate(value):
            if isinstance(dimension, bool) or not isinstance(dimension, int) or dimension < 0:
                self._fail(f"shape[{axis}]", "must be an integer >= 0", dimension)
            if dimension > MAX_BYTES:
                self._fail(f"shape[{axis}]", f"must be at most {MAX_BYTES}", dimension)
        # The dimensions other than zeros, as NumPy does, so that no zero hides an overflow.
        if math.prod(d for d in value if d) * itemsize > MAX_BYTES:
            self._fail("shape", f"makes the tensor larger than {MAX_BYTES} bytes", value)
        return tuple(value)

    def _names(self, name: object, repeat: object) -> tuple[Any, int]:
        """Return an iterator of full names, and their number."""
        if not isinstance(name, str) or not name:
            self._fail("name", "must be a non-empty string", name)
        if name == METADATA_KEY:
            self._fail("name", "is reserved by the file format", name)
        if not isinstance(repeat, dict):
            self._fail("repeat", "must be a table of name = count", repeat)
        count = 1
        for key, times in repeat.items():
            if not key.isidentifier():
                self._fail(f"repeat.{_short(key)}", "must be named like a variable")
            if isinstance(times, bool) or not isinstance(times, int) or times < 1:
                self._fail(f"repeat.{_short(key)}", "must be an integer >= 1", times)
            count *= times
            if count > MAX_TENSORS:
                self._fail("repeat", f"makes more than {MAX_TENSORS} tensors", repeat)
        placeholders = _PLACEHOLDER.findall(name)
        if "{" in _PLACEHOLDER.sub("", name) or "}" in _PLACEHOLDER.sub("", name):
            self._fail("name", "has a brace without its partner", name)
        for placeholder in placeholders:
            if placeholder not in repeat:
                self._fail(
                    "name",
                    f"has the placeholder {{{_short(placeholder)}}}, which `repeat` lacks",
                    name,
                )
        for key in repeat:
            if key not in placeholders:
                self._fail(
                    f"repeat.{_short(key)}",
                    f"is not used: `name` must contain {{{_short(key)}}}",
                    name,
                )
        if not repeat:
            return iter((name,)), 1
        pattern = _PLACEHOLDER.sub(lambda match: f"{{{list(repeat).index(match[1])}}}", name)
        products = itertools.product(*(range(times) for times in repeat.values()))
        return (pattern.format(*numbers) for numbers in products), count

    def _initializer(self, value: object) -> tuple[Any, bool]:
        """Return the initializer built once, and whether it wants each tensor's own seed."""
        if not isinstance(value, (str, dict)):
            self._fail("init", "must be a string or a table", value)
        config: Any = {}
        if isinstance(value, dict):
            self._known_keys(value, _INIT_KEYS, "init.")
            if "class_name" not in value:
                self._fail("init.class_name", "is missing")
            if not isinstance(value["class_name"], str):
                self._fail("init.class_name", "must be a string", value["class_name"])
            config = value.get("config", {})
            if not isinstance(config, dict):
                self._fail("init.config", "must be a table", config)
            if "seed" in config:
                self._seed(config["seed"], "init.config.seed")
            value = {**value, "config": config}
        try:
            template = initializers.get(value)
        except Exception as error:
            # Whatever a configuration breaks on its way through the registry is the configuration's
            # fault.
            self._refuse(error)
        if not isinstance(template, initializers.Initializer):
            self._fail("init", "must name an initializer", value)
        return template, "seed" in template.get_config() and "seed" not in config

    def _try(self, entry: _Entry, stream: str) -> None:
        """Have the initializer check shape and dtype on a block without elements."""
        if isinstance(entry.template, initializers.Orthogonal) and len(entry.shape) < 2:
            self._fail("shape", "must have at least 2 dimensions for Orthogonal", list(entry.shape))
        if isinstance(entry.template, _WHOLE):
            return
        index = (slice(0, 0),) if entry.shape else None
        try:
            with use_stream(stream):
                entry.template(entry.shape, dtype=entry.dtype, index=index)
        except _REFUSALS as error:
            self._refuse(error)


def _show(value: object) -> str:
    """Return a short repr that no value of a TOML file can make fail or grow."""
    try:
        return reprlib.repr(value)
    except ValueError:
        # Python refuses to write integers of thousands of digits in decimal.
        return f"a {type(value).__name__} too long to show"


def _short(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:77]}..."


def _one_line(error: Exception) -> str:
    """Return the error's message as one line of bounded length."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 400 else f"{text[:397]}..."
