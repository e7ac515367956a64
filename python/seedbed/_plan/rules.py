"""The rules of a plan: which tensors each is for, and how their values are made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from seedbed._checkpoint.format import SAFETENSORS_DTYPES
from seedbed._dtypes import standardize
from seedbed._plan.axes import LAYOUTS, Axes
from seedbed._plan.inits import Init
from seedbed._plan.patterns import Match, Pattern, PatternError
from seedbed._plan.quantities import RESERVED, TENSOR_NAMES, Number, names_in, number_of
from seedbed._spec.error import Place, shortened

RULE_KEYS: Final = (
    "match",
    "init",
    "tie",
    "omit",
    "dtype",
    "layout",
    "input_axes",
    "output_axes",
    "batch_axes",
    "groups",
    "blocks",
    "zero_row",
    "optional",
    "lr",
)
# What means something without `init`, too.
_OF_ALL: Final = ("match", "init", "tie", "omit", "dtype", "optional")
_OF_INIT: Final = tuple(key for key in RULE_KEYS if key not in _OF_ALL)
_BLOCK_KEYS: Final = ("axis", "sizes", "of")


@dataclass(frozen=True, slots=True)
class Blocks:
    """Tensors that are stored as one, side by side.

    Attributes:
        axis: The axis along which they are.
        sizes: The length of each along it.
        of: What each is called where it is stored alone, after what precedes the pattern; None
            where they have no names of their own.
    """

    axis: int
    sizes: tuple[Number, ...]
    of: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Recipe:
    """How the values of a tensor are made.

    Attributes:
        init: The initializer.
        axes: What are inputs and outputs, None for what the initializer itself takes for them.
        groups: Of a grouped convolution.
        blocks: The parts of a fused tensor.
        zero_row: The row along the first axis that is zeros, None where all are drawn.
        lr: By how much an optimizer is to multiply the learning rate.
    """

    init: Init
    axes: Axes | None = None
    groups: Number = 1
    blocks: Blocks | None = None
    zero_row: Number | None = None
    lr: Number = 1

    @property
    def names_by_key(self) -> dict[str, frozenset[str]]:
        """The names of the variables in it, by the key that they are in."""
        return {
            "init": self.init.names,
            "groups": names_in(self.groups),
            "blocks": names_in(*(() if self.blocks is None else self.blocks.sizes)),
            "zero_row": names_in(*(() if self.zero_row is None else (self.zero_row,))),
            "lr": names_in(self.lr),
        }

    @property
    def names(self) -> frozenset[str]:
        """The names of the variables in it."""
        return frozenset().union(*self.names_by_key.values())


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule; exactly one of `recipe`, `tie` and `omit` says what it does.

    Attributes:
        number: Its place among the rules of the plan, from 1.
        preset: The preset that it is from, None for the plan's own.
        patterns: The names that it is for.
        recipe: How their values are made.
        tie: The name of the tensor that they share.
        omit: Whether they are left out.
        dtype: Their dtype, None for the plan's.
        optional: Whether it may be for no tensor.
        place: Where it is, for errors.
        table: What the plan says.
    """

    number: int
    preset: str | None
    patterns: tuple[Pattern, ...]
    recipe: Recipe | None
    tie: str | None
    omit: bool
    dtype: np.dtype[Any] | None
    optional: bool
    place: Place
    table: dict[str, Any]

    def match(self, name: str) -> Match | None:
        """Return how `name` fits the first of the patterns that it fits."""
        for pattern in self.patterns:
            if found := pattern.match(name):
                return found
        return None

    @property
    def shown(self) -> str:
        """Its patterns, for people."""
        return shortened(" ".join(pattern.text for pattern in self.patterns))


def read_rule(
    table: Any, number: int, preset: str | None, layout: str, let: frozenset[str], path: str
) -> Rule:
    """Return the rule that `table` describes.

    Args:
        table: The keys of the rule.
        number: Its place among the plan's rules.
        preset: The preset that it is from.
        layout: The layout of tensors that name none.
        let: The variables of the plan.
        path: The file, for errors.

    Raises:
        SpecError: Anything is wrong with it.
    """
    match = table.get("match") if isinstance(table, dict) else None
    named = f" (`{shortened(match)}`)" if isinstance(match, str) else ""
    source = "" if preset is None else f" of preset `{preset}`"
    place = Place(path, part=f"rule {number}{named}{source}")
    if not isinstance(table, dict):
        place.fail("rule", "must be a table", table)
    place.require_keys(table, RULE_KEYS)
    patterns = _patterns(match, place)
    does = [key for key in ("init", "tie", "omit") if key in table and table[key] is not False]
    if len(does) != 1:
        place.fail("init", "is missing" if not does else f"and `{does[1]}` exclude each other")
    optional = _flag(table, "optional", place) or preset is not None
    tie = table.get("tie")
    if tie is not None and (not isinstance(tie, str) or not tie):
        place.fail("tie", "must be the name of a tensor", tie)
    recipe = None
    if does[0] == "init":
        recipe = read_recipe(table, layout, place)
        _require_known(recipe, patterns, let, preset, place)
    else:
        for key in _OF_INIT:
            if key in table:
                place.fail(key, f"needs `init`; the rule has `{does[0]}`")
    return Rule(
        number=number,
        preset=preset,
        patterns=patterns,
        recipe=recipe,
        tie=tie,
        omit=_flag(table, "omit", place),
        dtype=None if table.get("dtype") is None else dtype_of(table["dtype"], place),
        optional=optional,
        place=place,
        table=table,
    )


def read_recipe(table: dict[str, Any], layout: str | None, place: Place) -> Recipe:
    """Return how `table` says that values are made.

    Raises:
        SpecError: Anything is wrong with it.
    """
    layout = layout_of(table["layout"], place) if "layout" in table else layout
    inputs, outputs, batch = (
        _axes(table[key], key, place) if key in table else None
        for key in ("input_axes", "output_axes", "batch_axes")
    )
    if (inputs is None) != (outputs is None):
        one, other = ("input_axes", "output_axes")[:: 1 if inputs is None else -1]
        place.fail(one, f"is missing; `{other}` is given")
    axes = None if layout is None else Axes(layout, inputs, outputs, batch or ())
    groups = number_of(table.get("groups", 1), "groups", place)
    lr = number_of(table.get("lr", 1), "lr", place)
    blocks = _blocks(table["blocks"], place) if "blocks" in table else None
    row = number_of(table["zero_row"], "zero_row", place) if "zero_row" in table else None
    if row is not None and blocks is not None:
        place.fail("zero_row", "and `blocks` exclude each other")
    return Recipe(Init(table["init"], place), axes, groups, blocks, row, lr)


def dtype_of(value: object, place: Place) -> np.dtype[Any]:
    """Return the dtype of that name, if a checkpoint can hold it.

    Raises:
        SpecError: It cannot.
    """
    if not isinstance(value, str) or value not in SAFETENSORS_DTYPES:
        place.fail("dtype", f"must be one of {', '.join(SAFETENSORS_DTYPES)}", value)
    return standardize(value)


def layout_of(value: object, place: Place) -> str:
    """Return `value` if it is the name of a layout.

    Raises:
        SpecError: It is none.
    """
    if not isinstance(value, str) or value not in LAYOUTS:
        place.fail("layout", f"must be one of {', '.join(LAYOUTS)}", value)
    return value


def _patterns(match: object, place: Place) -> tuple[Pattern, ...]:
    if match is None:
        place.fail("match", "is missing")
    texts = [match] if isinstance(match, str) else match
    if not isinstance(texts, list | tuple) or not texts:
        place.fail("match", "must be a pattern, or an array of patterns", match)
    found = []
    for text in texts:
        if not isinstance(text, str):
            place.fail("match", "must be a pattern, or an array of patterns", text)
        try:
            found.append(Pattern(text))
        except PatternError as error:
            place.fail("match", str(error), text)
    return tuple(found)


def _require_known(
    recipe: Recipe,
    patterns: tuple[Pattern, ...],
    let: frozenset[str],
    preset: str | None,
    place: Place,
) -> None:
    """Refuse variables that no tensor of the rule can have, and those with two meanings."""
    for pattern in patterns:
        for name in pattern.variables:
            if name in let or name in RESERVED:
                place.fail("match", f"binds {{{name}}}, which has another meaning already")
    if preset is not None:
        # A preset may have rules for models that this one is not; what they lack is said when a
        # tensor needs it.
        return
    for pattern in patterns:
        known = let | TENSOR_NAMES | set(pattern.variables)
        for key, names in recipe.names_by_key.items():
            for name in sorted(names - known):
                listed = ", ".join(sorted(let | set(pattern.variables))) or "none"
                place.fail(
                    key,
                    f"has `{shortened(name)}`, which is no variable; those of `let` and of "
                    f"`{shortened(pattern.text)}` are {listed}, those of the tensor fan_in, "
                    "fan_out, fan_avg, size, rank, d0, d1, ...",
                )


def _flag(table: dict[str, Any], key: str, place: Place) -> bool:
    value = table.get(key, False)
    if not isinstance(value, bool):
        place.fail(key, "must be true or false", value)
    return value


def _axes(value: object, key: str, place: Place) -> tuple[int, ...]:
    if not isinstance(value, list | tuple):
        place.fail(key, "must be an array of axes", value)
    for axis in value:
        if isinstance(axis, bool) or not isinstance(axis, int):
            place.fail(key, "must be an array of axes", axis)
    return tuple(value)


def _blocks(value: Any, place: Place) -> Blocks:
    if not isinstance(value, dict):
        place.fail("blocks", "must be a table", value)
    place.require_keys(value, _BLOCK_KEYS, "blocks.")
    axis, sizes, of = value.get("axis", 0), value.get("sizes"), value.get("of")
    if isinstance(axis, bool) or not isinstance(axis, int):
        place.fail("blocks.axis", "must be an integer", axis)
    if not isinstance(sizes, list | tuple) or not sizes:
        place.fail("blocks.sizes", "must be an array of numbers", sizes)
    numbers = tuple(
        number_of(size, f"blocks.sizes[{number}]", place) for number, size in enumerate(sizes)
    )
    if of is not None:
        is_names = isinstance(of, list | tuple) and all(isinstance(name, str) for name in of)
        if not is_names or len(of) != len(numbers):
            place.fail("blocks.of", f"must be an array of {len(numbers)} names, as `sizes`", of)
    return Blocks(axis, numbers, None if of is None else tuple(of))
