"""The tensors that a plan itself names: `[[tensor]]` tables and lines of `[tensors]`."""

from __future__ import annotations

import contextlib
import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np

from seedbed import _core
from seedbed._checkpoint.format import METADATA_KEY
from seedbed._plan.inits import Init
from seedbed._plan.patterns import PatternError, expand
from seedbed._plan.quantities import Number, integer, names_in, number_of
from seedbed._plan.rules import Recipe, dtype_of, read_recipe
from seedbed._spec.error import Place, SpecError, shortened

# Far above any model; reached only by a mistyped count.
MAX_TENSORS: Final = 1_000_000
# Offsets in the file, and sizes in NumPy, are signed 64-bit numbers.
MAX_BYTES: Final = 2**63 - 1

TENSOR_KEYS: Final = (
    "name",
    "shape",
    "init",
    "dtype",
    "repeat",
    "layout",
    "input_axes",
    "output_axes",
    "batch_axes",
    "groups",
    "zero_row",
)
_PLACEHOLDER: Final = re.compile(r"\{([^{}]*)\}")
# C0, DEL and C1.
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")


@dataclass(slots=True)
class Line:
    """Tensors that are named together.

    Attributes:
        names: Their names, each with what its placeholders stand for.
        count: How many there are.
        shape: Their shape.
        dtype: Their dtype, None for that of the rule or the plan.
        recipe: How their values are made, None where that is for rules to say.
        place: Where they are named, for errors.
        label: The same, for other lines' errors.
        repeats: What makes one name twice, if the line does.
        key: What lines that make the same tensors but for the name have in common; None if
            nothing is known to be.
    """

    names: Iterator[tuple[str, dict[str, int]]]
    count: int
    shape: tuple[Number, ...]
    dtype: np.dtype[Any] | None
    recipe: Recipe | None
    place: Place
    label: str
    repeats: str = "this line"
    key: object = None


class Named(NamedTuple):
    """A tensor whose name stands for itself, from a mapping of names."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any] | None

    def is_plain(self) -> bool:
        """Whether nothing is wrong with the name, by a look that costs little."""
        name = self.name
        return isinstance(name, str) and name.isprintable() and name not in ("", METADATA_KEY)


def read_table(
    table: dict[str, Any], number: int, layout: str | None, rules: bool, path: str
) -> Line:
    """Return what the `[[tensor]]` table of this number names.

    Args:
        table: The table.
        number: Its number, from 1.
        layout: The plan's layout where it says one.
        rules: Whether there are rules, so that `init` may be missing.
        path: The file, for errors.

    Raises:
        SpecError: Anything is wrong with it.
    """
    name = table.get("name")
    named = f" (`{shortened(name)}`)" if isinstance(name, str) else ""
    place = Place(path, f"{number}{named}")
    place.require_keys(table, TENSOR_KEYS)
    for key in ("name", "shape") if rules else ("name", "shape", "init"):
        if key not in table:
            place.fail(key, "is missing")
    names, count = _repeated(name, table.get("repeat", {}), place)
    shape = _shape(table["shape"], place)
    dtype = dtype_of(table["dtype"], place) if "dtype" in table else None
    line = Line(names, count, shape, dtype, None, place, f"tensor {number}", "`repeat`")
    if "init" in table:
        line.recipe = read_recipe(table, layout, place)
        plain = not table.keys() - {"name", "shape", "init", "dtype", "repeat"}
        # Tables that say the same share what is prepared: a specification may come from a
        # program, and have one for each tensor. An `init` that is a table is compared with none.
        line.key = table["init"] if plain and isinstance(table["init"], str) else None
    return line


def read_line(name: str, shape: object, let: Mapping[str, float], path: str) -> Line:
    """Return what one line of `[tensors]` names.

    Args:
        name: The name, with placeholders and alternatives.
        shape: The shape.
        let: The plan's variables.
        path: The file, for errors.

    Raises:
        SpecError: Anything is wrong with it.
    """
    place = Place(path, part=f"tensors (`{shortened(name)}`)")
    _check_name(name, place)
    try:
        choices = expand(name)
    except PatternError as error:
        place.fail("tensors", str(error), name)
    counts: dict[str, int] = {}
    count = 1
    for choice in choices[1::2]:
        if choice[0].startswith("{"):
            placeholder = choice[0][1:-1]
            if placeholder in counts:
                continue
            times = f"{placeholder}s"
            if times not in let:
                place.fail(
                    "tensors", f"has {{{placeholder}}}, whose count `{times}` `let` lacks", name
                )
            if placeholder in let:
                place.fail("tensors", f"has {{{placeholder}}}, which `let` has too", name)
            counts[placeholder] = integer(let[times], {}, f"let.{times}", place, 1)
            count *= counts[placeholder]
        else:
            count *= len(choice)
        if count > MAX_TENSORS:
            place.fail("tensors", f"makes more than {MAX_TENSORS} tensors", name)
    return Line(
        _product(choices, counts),
        count,
        _shape(shape, place),
        None,
        None,
        place,
        f"`{shortened(name)}`",
    )


def placeholders(name: str) -> list[str]:
    """Return the names of the placeholders of a line of `[tensors]`."""
    return [part for part in _PLACEHOLDER.findall(name) if "," not in part]


def check_named(named: Named, path: str) -> None:
    """Refuse a tensor whose name or shape can be none.

    Raises:
        SpecError: It can be no tensor.
    """
    if not isinstance(named.name, str):
        Place(path).fail("name", "must be a string", named.name)
    place = Place(path, f"`{shortened(named.name)}`")
    _check_name(named.name, place)
    for axis, size in enumerate(named.shape):
        if isinstance(size, bool) or not isinstance(size, int):
            place.fail(f"shape[{axis}]", "must be an integer >= 0", size)
    _shape(named.shape, place)


def sizes_of(
    shape: tuple[Number, ...], names: Mapping[str, float], itemsize: int, place: Place
) -> tuple[int, ...]:
    """Return a shape as integers.

    Raises:
        SpecError: It can be none of a tensor.
    """
    sizes = tuple(integer(size, names, f"shape[{axis}]", place) for axis, size in enumerate(shape))
    nbytes = itemsize
    for axis, size in enumerate(sizes):
        if size > MAX_BYTES:
            place.fail(f"shape[{axis}]", f"must be at most {MAX_BYTES}", size)
        # The dimensions other than zeros, as NumPy does, so that no zero hides an overflow.
        nbytes *= size or 1
    if nbytes > MAX_BYTES:
        place.fail("shape", f"makes the tensor larger than {MAX_BYTES} bytes", list(sizes))
    return sizes


def _shape(value: object, place: Place) -> tuple[Number, ...]:
    if not isinstance(value, list | tuple):
        place.fail("shape", "must be an array of integers", value)
    if len(value) > _core.MAX_DIMENSIONS:
        place.fail("shape", f"must have at most {_core.MAX_DIMENSIONS} dimensions", value)
    shape = []
    for axis, size in enumerate(value):
        if isinstance(size, bool) or not isinstance(size, int | str):
            place.fail(f"shape[{axis}]", "must be an integer >= 0", size)
        shape.append(number_of(size, f"shape[{axis}]", place))
    return tuple(shape)


def names_in_table(shape: object, init: object = None) -> frozenset[str]:
    """Return the variables of a tensor's shape and initializer, of what of them can be read."""
    found: frozenset[str] = frozenset()
    for size in shape if isinstance(shape, list | tuple) else ():
        with contextlib.suppress(SpecError):
            found |= names_in(number_of(size, "shape", Place("")))
    if isinstance(init, dict):
        with contextlib.suppress(SpecError):
            found |= Init(init, Place("")).names
    return found


def _check_name(name: object, place: Place) -> None:
    if not isinstance(name, str) or not name:
        place.fail("name", "must be a non-empty string", name)
    if name == METADATA_KEY:
        place.fail("name", "is reserved by the file format", name)
    if _CONTROL.search(name):
        place.fail("name", "must not have control characters", name)


def _product(
    choices: list[list[str]], counts: dict[str, int]
) -> Iterator[tuple[str, dict[str, int]]]:
    """Every name that a line of `[tensors]` makes, the first part varying slowest."""
    # A placeholder that comes twice is one.
    free = [
        [(place, str(number), choice[0][1:-1]) for number in range(counts[choice[0][1:-1]])]
        if choice[0].startswith("{")
        else [(place, text, "") for text in choice]
        for place, choice in enumerate(choices)
        if place % 2
        and not any(choice[0].startswith("{") and choice == other for other in choices[:place])
    ]
    for combination in itertools.product(*free):
        parts = [choice[0] for choice in choices]
        variables = {}
        for place, text, placeholder in combination:
            parts[place] = text
            if placeholder:
                variables[placeholder] = int(text)
        yield (
            "".join(
                str(variables[part[1:-1]]) if place % 2 and part.startswith("{") else part
                for place, part in enumerate(parts)
            ),
            variables,
        )


def _repeated(
    name: Any, repeat: object, place: Place
) -> tuple[Iterator[tuple[str, dict[str, int]]], int]:
    """Return an iterator of the full names of a `[[tensor]]` table, and their number."""
    _check_name(name, place)
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
        return iter([(name, {})]), 1
    keys = list(repeat)
    pattern = _PLACEHOLDER.sub(lambda match: f"{{{keys.index(match[1])}}}", name)
    products = itertools.product(*(range(times) for times in repeat.values()))
    return (
        (pattern.format(*numbers), dict(zip(keys, numbers, strict=True))) for numbers in products
    ), count
