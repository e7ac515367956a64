"""All that a plan says, read and checked: its variables, its rules, the tensors that it names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from seedbed._plan import presets
from seedbed._plan.axes import TORCH
from seedbed._plan.names import (
    Line,
    names_in_table,
    placeholders,
    read_line,
    read_table,
)
from seedbed._plan.patterns import is_identifier
from seedbed._plan.quantities import RESERVED, Number, evaluated, names_in, number_of
from seedbed._plan.rules import Rule, dtype_of, layout_of, read_rule
from seedbed._spec.error import Place, shortened
from seedbed._spec.identifier import seed_of
from seedbed._streams import streams

KEYS: Final = (
    "seed",
    "dtype",
    "stream",
    "tensor",
    "let",
    "layout",
    "preset",
    "model",
    "forward",
    "rule",
    "tensors",
)


@dataclass(slots=True)
class Document:
    """What a plan says.

    Attributes:
        path: Where it came from, for errors.
        table: The keys as they were given.
        seed: The seed, None where none is given.
        dtype: The dtype of tensors that have none, None where none is given.
        stream: The stream of random numbers, None where none is given.
        given_let: The variables as they are given, the preset's among them.
        let: Their values.
        own_let: The names of those that the plan itself gives.
        layout: The layout that the plan gives, if it does.
        rules: The rules, the preset's after the plan's own.
        forward: Factors that belong in the model's forward pass.
        model: What the names and shapes come from, where that is a file.
    """

    path: str
    table: dict[str, Any]
    seed: int | None
    dtype: np.dtype[Any] | None
    stream: str | None
    layout: str | None
    model: str | None
    given_let: dict[str, Any] = field(default_factory=dict)
    let: dict[str, float] = field(default_factory=dict)
    own_let: frozenset[str] = frozenset()
    rules: list[Rule] = field(default_factory=list)
    forward: dict[str, Number] = field(default_factory=dict)

    @property
    def place(self) -> Place:
        """The place of what is wrong with all of it."""
        return Place(self.path)

    @property
    def has_zero_rows(self) -> bool:
        """Whether a preset sets rows to zeros: those of padding tokens."""
        recipes = (rule.recipe for rule in self.rules if rule.preset is not None)
        return any(recipe is not None and recipe.zero_row is not None for recipe in recipes)

    @property
    def names_tensors(self) -> bool:
        """Whether the plan says which tensors there are."""
        return any(key in self.table for key in ("tensor", "tensors"))

    def lines(self) -> Iterator[Line]:
        """The tensors that the plan itself names; each line is checked when it is reached."""
        for number, table in enumerate(self.table.get("tensor", ()), 1):
            yield read_table(table, number, self.layout, bool(self.rules), self.path)
        for name, shape in self.table.get("tensors", {}).items():
            yield read_line(name, shape, self.let, self.path)


def read_document(table: dict[str, Any], path: str) -> Document:
    """Return what the keys of a plan say.

    Raises:
        SpecError: Anything is wrong with them.
    """
    place = Place(path)
    place.require_keys(table, KEYS)
    known = streams()
    stream = table.get("stream")
    if stream is not None and (not isinstance(stream, str) or stream not in known):
        place.fail("stream", f"must be one of {', '.join(known)}", stream)
    model = table.get("model")
    if model is not None and (not isinstance(model, str) or not model or "\0" in model):
        place.fail("model", "must be the path of a file or directory", model)
    tables = table.get("tensor", ())
    if "tensor" in table and not _are_tables(tables):
        place.fail("tensor", "must be one or more [[tensor]] tables", tables)
    lines = table.get("tensors", {})
    if "tensors" in table and (not isinstance(lines, dict) or not lines):
        place.fail("tensors", "must be a table of name = shape", lines)
    if model is not None and (tables or lines):
        place.fail("model", f"and `{'tensor' if tables else 'tensors'}` exclude each other")
    document = Document(
        path=path,
        table=table,
        seed=seed_of(table["seed"], "seed", place) if "seed" in table else None,
        dtype=dtype_of(table["dtype"], place) if "dtype" in table else None,
        stream=stream,
        layout=layout_of(table["layout"], place) if "layout" in table else None,
        model=model,
    )
    preset = _preset_of(table, place)
    given = table.get("let", {})
    if not isinstance(given, dict):
        place.fail("let", "must be a table of name = number", given)
    # One's own come first, since those of a preset may be computed from them.
    defaults = {key: value for key, value in preset.let.items() if key not in given}
    document.given_let = {**given, **defaults}
    document.own_let = frozenset(given)
    used = _read_let(document, document.given_let, place)
    _read_rules(document, table.get("rule", []), preset, place)
    document.forward = _forward(preset.forward, place)
    document.forward |= _forward(table.get("forward", {}), place, document.let)
    used |= names_in(*document.forward.values())
    for rule in document.rules:
        used |= set() if rule.recipe is None else rule.recipe.names
    _require_use(given, used, tables, lines, place)
    return document


def _require_use(
    let: dict[str, Any], used: set[str], tables: Any, lines: dict[str, Any], place: Place
) -> None:
    """Refuse a variable that nothing uses, which may be another's name mistyped."""
    used |= {f"{placeholder}s" for name in lines for placeholder in placeholders(name)}
    for shape in lines.values():
        used |= names_in_table(shape)
    if not let.keys() <= used:
        for table in tables:
            used |= names_in_table(table.get("shape"), table.get("init"))
    for name in let:
        if name not in used:
            place.fail(f"let.{shortened(name)}", "is not used")


def _preset_of(table: dict[str, Any], place: Place) -> presets.Preset:
    name = table.get("preset")
    if name is None:
        return presets.NONE
    if not isinstance(name, str) or name not in presets.names():
        place.fail("preset", f"must be one of {', '.join(presets.names())}", name)
    return presets.load(name)


def _read_let(document: Document, let: dict[str, Any], place: Place) -> set[str]:
    """Compute the variables, and return those that others are computed from."""
    used: set[str] = set()
    for name, value in let.items():
        key = f"let.{shortened(name)}"
        if not is_identifier(name):
            place.fail(key, "must be named like a variable")
        if name in RESERVED:
            place.fail(key, "has another meaning already")
        number = number_of(value, key, place)
        used |= names_in(number)
        try:
            document.let[name] = float(evaluated(number, document.let, key, place))
        except OverflowError:
            place.fail(key, "must be a finite number", value)
    return used


def _read_rules(document: Document, given: Any, preset: presets.Preset, place: Place) -> None:
    if not isinstance(given, list | tuple):
        place.fail("rule", "must be an array of tables", given)
    if "rule" in document.table and not given:
        place.fail("rule", "must be one or more rules", given)
    let = frozenset(document.let)
    layout = document.layout or preset.layout or TORCH
    for table in given:
        number = len(document.rules) + 1
        document.rules.append(read_rule(table, number, None, layout, let, document.path))
    layout = preset.layout or document.layout or TORCH
    for table in preset.rules:
        number = len(document.rules) + 1
        document.rules.append(read_rule(table, number, preset.name, layout, let, document.path))


def _forward(given: Any, place: Place, let: dict[str, float] | None = None) -> dict[str, Number]:
    """Return factors of the forward pass; their variables must be known where `let` is given."""
    if not isinstance(given, dict):
        place.fail("forward", "must be a table of name = number", given)
    found = {}
    for name, value in given.items():
        key = f"forward.{shortened(name)}"
        found[name] = number_of(value, key, place)
        if let is not None:
            evaluated(found[name], let, key, place)
    return found


def _are_tables(value: object) -> bool:
    return (
        isinstance(value, list) and len(value) > 0 and all(isinstance(one, dict) for one in value)
    )
