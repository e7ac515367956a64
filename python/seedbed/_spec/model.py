"""A model as a specification describes it: its tensors, and what makes their values."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from seedbed import _core
from seedbed._checkpoint.format import HeaderError, Layout, lay_out
from seedbed._draw import Draw
from seedbed._law import Law
from seedbed._spec.error import Place, shortened
from seedbed._spec.zero_row import ZeroRow
from seedbed._streams import use_stream


@dataclass(frozen=True, slots=True)
class Entry:
    """What tensors have in common that are made alike."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    nbytes: int
    # The initializer built once, with its own seed or one that no tensor uses.
    template: Any
    # What it prepares, which is every tensor where the seed is its own.
    draw: Draw
    # `keyed(seed, name)` is the initializer with the seed of the tensor of that name, None where
    # the seed is its own.
    keyed: Callable[[int, str], Any] | None
    # Whether a block costs as much as the whole.
    whole: bool
    # (fan_in, fan_out).
    fans: tuple[int, int]
    # What values are expected.
    law: Law
    # The number of the rule that it is by, from 1.
    rule: int | None = None
    # The factor of the learning rate that goes with it.
    lr: float = 1.0
    # The row along the first axis that is zeros, whatever the template makes there.
    zero_row: int | None = None


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
        return self.entry.whole

    @property
    def init_name(self) -> str:
        """The initializer's class, for people, and the row that is zeros all the same."""
        name, row = type(self.entry.template).__name__, self.entry.zero_row
        return name if row is None else f"{name}, row {row} zero"

    @property
    def rule(self) -> int | None:
        """The number of the rule that the tensor is made by, from 1, None without one."""
        return self.entry.rule

    @property
    def fans(self) -> tuple[int, int]:
        """(fan_in, fan_out) of the tensor, by the axes that its rule gives it."""
        return self.entry.fans

    @property
    def lr(self) -> float:
        """The factor of the learning rate that goes with the initial values."""
        return self.entry.lr

    def law(self) -> Law:
        """What the tensor's values are expected to be."""
        return self.entry.law

    def initializer(self) -> Any:
        """Return the initializer that makes this tensor's values."""
        keyed, row = self.entry.keyed, self.entry.zero_row
        made = self.entry.template
        if keyed is not None:
            made = keyed(self.specification.seed, self.name)
        return made if row is None else ZeroRow(made, row)

    def prepare(self) -> Draw:
        """Return what makes this tensor's values, whole or in blocks."""
        entry = self.entry
        if entry.keyed is None:
            return entry.draw
        with use_stream(self.specification.stream):
            draw: Draw = self.initializer().prepare(entry.shape, entry.dtype)
            return draw


@dataclass(slots=True)
class Specification:
    """A model: every tensor in the order of the file, and what they share."""

    path: str
    seed: int
    stream: str
    # SHA-256 of the specification's bytes, hexadecimal.
    digest: str
    tensors: list[TensorSpec]
    # The names that are left out because they share another tensor, and the name of that tensor.
    tied: dict[str, str] = field(default_factory=dict)
    # The path of the model's config.json, where the names and shapes came from one.
    model: str | None = None
    # The rules, as JSON, where there are any and they are not too long.
    plan: str | None = None

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
        made = {
            # What the tensors are for: transformers and others load no file that does not say so.
            "format": "pt",
            "seed": str(self.seed),
            "stream": self.stream,
            "seedbed_version": _core.__version__,
            "specification_digest": self.digest,
        }
        if self.plan is not None:
            made["plan"] = self.plan
        if self.tied:
            made["tied"] = json.dumps(self.tied, sort_keys=True)
        return made
