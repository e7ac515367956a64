"""A model as a specification describes it: its tensors, and what makes their values."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from seedbed import _core, initializers
from seedbed._checkpoint.format import HeaderError, Layout, lay_out
from seedbed._checkpoint.writer import Index
from seedbed._spec.error import Place, shortened
from seedbed._streams import use_stream
from seedbed.random import fold_in

# Their values depend on one another, so a block cannot be made without the rest.
WHOLE = (initializers.Orthogonal, initializers.STFT)

# What an initializer raises when it cannot make the tensor asked for.
REFUSALS = (ValueError, TypeError, LookupError, OverflowError, ImportError)


@dataclass(frozen=True, slots=True)
class Entry:
    """One `[[tensor]]` table, shared by the tensors that `repeat` makes of it."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    # The initializer built once, with its own seed or none.
    template: Any
    # True if each tensor is to get a seed by its name.
    seeded_by_name: bool
    nbytes: int


@dataclass(slots=True)
class TensorSpec:
    """One tensor of the model: what it is called and how its values are made."""

    name: str
    entry: Entry = field(repr=False)
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
        return isinstance(self.entry.template, WHOLE)

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

        Raises:
            SpecError: The initializer refuses its shape or dtype.
            MemoryError: It needs more than there is.
        """
        try:
            with use_stream(self.specification.stream):
                self.initializer()(self.shape, dtype=self.dtype, index=index, out=out)
        except REFUSALS as error:
            Place(self.specification.path, f"`{shortened(self.name)}`").refuse(error)


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
            Place(self.path, f"`{shortened(error.tensor)}`").fail("name", str(error))

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
