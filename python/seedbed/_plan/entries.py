"""What makes the values of a tensor by a recipe.

What: `make_entry` builds the initializer, has it prepare the tensor, and keeps what is needed to
give each tensor of the same kind its own seed.
Method: the recipe's axes give the fans, expressions are computed from them, and an initializer that
scales by a fan is told which axes they are. Fused tensors are made of the entries of their blocks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from seedbed import initializers
from seedbed._core import TRUNCATED_STDDEV
from seedbed._draw import Computed, Draw
from seedbed._law import law_of, mixture
from seedbed._plan import axes as axes_of_tensors
from seedbed._plan.axes import KERAS, Axes
from seedbed._plan.fused import Fused
from seedbed._plan.quantities import Number, evaluated, integer, tensor_names
from seedbed._plan.rules import Recipe, Rule
from seedbed._spec.error import Place
from seedbed._spec.model import Entry
from seedbed._spec.zero_row import ZeroRow
from seedbed._streams import rules_of, use_stream
from seedbed.random import fold_in


class Tensor(NamedTuple):
    """A tensor that a recipe is for."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    variables: dict[str, float]


class _Part:
    """A tensor or a block of one: what makes it, and what its expressions may say."""

    def __init__(
        self,
        template: Any,
        config: dict[str, Any] | None,
        draw: Draw,
        fans: tuple[int, int],
        names: dict[str, float],
        stream: str,
    ) -> None:
        self.template = template
        self.draw = draw
        self.fans = fans
        self.names = names
        self.whole = _is_whole(template, draw)
        rules = rules_of(getattr(template, "stream", None) or stream)
        self.keyed = None if config is None else _Keyed(type(template), config, rules.folded)


class _Keyed:
    """An initializer that lacks its seed."""

    __slots__ = ("_config", "_folded", "_kind")

    def __init__(self, kind: Any, config: dict[str, Any], folded: Any) -> None:
        self._kind = kind
        self._config = config
        self._folded = folded

    def __call__(self, seed: int, *path: str | int) -> Any:
        """Return it with the seed of what is at `path`."""
        return self._kind.from_config({**self._config, "seed": self._folded(fold_in(seed, *path))})


class _KeyedBlocks:
    """An initializer of a fused tensor whose parts lack their seeds."""

    __slots__ = ("_axis", "_of", "_parts", "_rule", "_sizes")

    def __init__(
        self,
        parts: list[_Part],
        sizes: list[int],
        axis: int,
        rule: Rule | None,
        of: tuple[str, ...] | None,
    ) -> None:
        self._parts = parts
        self._sizes = sizes
        self._axis = axis
        self._rule = rule
        self._of = of

    def __call__(self, seed: int, name: str) -> Fused:
        """Return it with the seeds of the parts of the tensor `name`."""
        paths: list[tuple[str | int, ...]] = [(name, number) for number in range(len(self._parts))]
        if self._of is not None and self._rule is not None:
            match = self._rule.match(name)
            assert match is not None
            paths = []
            for own in self._of:
                for key, value in match.variables.items():
                    own = own.replace(f"{{{key}}}", str(value))
                paths.append((name[: match.start] + own,))
        return Fused(
            [
                part.template if part.keyed is None else part.keyed(seed, *path)
                for part, path in zip(self._parts, paths, strict=True)
            ],
            self._sizes,
            self._axis,
        )


def make_entry(
    recipe: Recipe,
    tensor: Tensor,
    let: Mapping[str, float],
    rule: Rule | None,
    zero_row: Number | None,
    stream: str,
    place: Place,
) -> Entry:
    """Return what makes the values of a tensor, and of all that differ from it in name only.

    Args:
        recipe: How values are made.
        tensor: The tensor.
        let: The plan's variables.
        rule: The rule that the recipe is of.
        zero_row: The row that is zeros, None where all are drawn.
        stream: The stream of random numbers.
        place: Where the recipe is, for errors.

    Raises:
        SpecError: The recipe cannot make the tensor.
    """
    maker = _Maker(recipe, tensor, let, stream, place)
    shape, dtype = tensor.shape, tensor.dtype
    keyed: Any
    if recipe.blocks is None:
        part = maker.part(shape)
        template, draw, keyed, whole = part.template, part.draw, part.keyed, part.whole
        law = law_of(template, shape)
    else:
        parts, axis = maker.blocks()
        sizes = [part.draw.shape[axis] for part in parts]
        template = Fused([part.template for part in parts], sizes, axis)
        draw = prepared(template, shape, dtype, stream, place)
        part, whole = parts[0], any(part.whole for part in parts)
        laws = [law_of(part.template, part.draw.shape) for part in parts]
        law = mixture(laws, sizes)
        keyed = None
        if any(part.keyed for part in parts):
            keyed = _KeyedBlocks(parts, sizes, axis, rule, recipe.blocks.of)
    row = None
    if zero_row is not None:
        row = _row(zero_row, shape, part.names, place)
        draw = prepared(ZeroRow(template, row), shape, dtype, stream, place)
    return Entry(
        shape=shape,
        dtype=dtype,
        nbytes=math.prod(shape) * dtype.itemsize,
        template=template,
        draw=draw,
        keyed=keyed,
        whole=whole,
        fans=part.fans,
        law=law,
        rule=None if rule is None else rule.number,
        lr=float(evaluated(recipe.lr, part.names, "lr", place)),
        zero_row=row,
    )


def _row(number: Number, shape: tuple[int, ...], names: Mapping[str, float], place: Place) -> int:
    """Return the number of a row, from 0."""
    rows = shape[0] if shape else 0
    row = integer(number, names, "zero_row", place, -rows)
    if row >= rows:
        place.fail("zero_row", f"must be a row of {list(shape)}", row)
    return row % rows


class _Maker:
    """Makes the parts of a tensor by a recipe."""

    def __init__(
        self, recipe: Recipe, tensor: Tensor, let: Mapping[str, float], stream: str, place: Place
    ) -> None:
        self._recipe = recipe
        self._tensor = tensor
        self._names = {**let, **tensor.variables}
        self._stream = stream
        self._place = place

    def part(self, shape: tuple[int, ...]) -> _Part:
        """Return what makes the tensor, or a block of it, of this shape."""
        recipe, place = self._recipe, self._place
        axes, groups, fans = self._axes(shape)
        names = {**self._names, **tensor_names(shape, fans)}
        name, variables = self._tensor.name, self._tensor.variables
        template, config = recipe.init.make(names, place, (name, shape, variables))
        own = getattr(template, "input_axes", None), getattr(template, "output_axes", None)
        if None not in own:
            # Given in the initializer's configuration, which wins.
            fans = _fans_of(shape, own, place)
        elif axes is not None and isinstance(template, initializers.VarianceScaling):
            template, config = _with_fans(template, config, axes, fans, groups, shape)
        elif (
            recipe.axes is not None
            and isinstance(template, initializers.Orthogonal)
            and _is_mixed(recipe.axes, len(shape))
        ):
            place.fail(
                "init",
                "makes a matrix of the last axis and all others, which are not the inputs and "
                'outputs here; give the rule `layout = "keras"` if they are',
                list(shape),
            )
        draw = prepared(template, shape, self._tensor.dtype, self._stream, place)
        return _Part(template, config, draw, fans, names, self._stream)

    def blocks(self) -> tuple[list[_Part], int]:
        """Return what makes each block of a fused tensor, and the axis."""
        blocks, place, shape = self._recipe.blocks, self._place, self._tensor.shape
        assert blocks is not None
        if not -len(shape) <= blocks.axis < len(shape):
            place.fail("blocks.axis", f"must be an axis of {list(shape)}", blocks.axis)
        axis = blocks.axis % len(shape)
        names = {**self._names, **tensor_names(shape, (1, 1))}
        sizes = [
            integer(size, names, f"blocks.sizes[{number}]", place)
            for number, size in enumerate(blocks.sizes)
        ]
        if sum(sizes) != shape[axis]:
            place.fail(
                "blocks.sizes", f"must sum to {shape[axis]}, the length of axis {axis}", sizes
            )
        return [self.part((*shape[:axis], size, *shape[axis + 1 :])) for size in sizes], axis

    def _axes(
        self, shape: tuple[int, ...]
    ) -> tuple[tuple[tuple[int, ...], tuple[int, ...]] | None, int, tuple[int, int]]:
        """Return the axes of the fans, None for the initializer's own, the groups and the fans."""
        recipe, place = self._recipe, self._place
        if recipe.axes is None:
            return None, 1, initializers.compute_fans(shape)
        try:
            axes = recipe.axes.of(len(shape))
        except ValueError as error:
            place.repeat(error)
        names = {**self._names, **tensor_names(shape, axes_of_tensors.fans(shape, axes))}
        groups = integer(recipe.groups, names, "groups", place, 1)
        try:
            return axes, groups, axes_of_tensors.fans(shape, axes, groups)
        except ValueError as error:
            place.repeat(error)


def _with_fans(
    template: Any,
    config: dict[str, Any] | None,
    axes: tuple[tuple[int, ...], tuple[int, ...]],
    fans: tuple[int, int],
    groups: int,
    shape: tuple[int, ...],
) -> tuple[Any, dict[str, Any] | None]:
    """Return an initializer, and what tensors add their seeds to, with the fans of a rule."""
    if groups > 1 and template.mode != "fan_in":
        return _without_fans(template, config, fans)
    if initializers.compute_fans(shape) == fans:
        # As the class itself takes them.
        return template, config
    changed = {"input_axes": list(axes[0]), "output_axes": list(axes[1])}
    made = type(template).from_config({**template.get_config(), **changed})
    return made, None if config is None else {**config, **changed}


def _without_fans(
    template: Any, config: dict[str, Any] | None, fans: tuple[int, int]
) -> tuple[Any, dict[str, Any] | None]:
    """The same distribution, by its deviation, where no axes have these fans."""
    units = {"fan_in": fans[0], "fan_out": fans[1]}.get(template.mode, sum(fans) / 2)
    stddev = math.sqrt(template.scale / max(1.0, units))
    own = template.get_config()
    shared = {key: own[key] for key in ("seed", "stream") if key in own}
    if template.distribution == "uniform":
        limit = math.sqrt(3) * stddev
        made: Any = initializers.RandomUniform(-limit, limit, **shared)
    elif template.distribution == "untruncated_normal":
        made = initializers.RandomNormal(0.0, stddev, **shared)
    else:
        made = initializers.TruncatedNormal(0.0, stddev / TRUNCATED_STDDEV, **shared)
    return made, None if config is None else made.get_config()


def _is_mixed(axes: Axes, rank: int) -> bool:
    """Whether the last axis alone is neither the inputs nor the outputs."""
    return rank > 2 and (axes.layout != KERAS or bool(axes.batch) or axes.inputs is not None)


def _fans_of(shape: tuple[int, ...], axes: Any, place: Place) -> tuple[int, int]:
    try:
        return initializers.compute_fans(shape, *axes)
    except Exception as error:
        # What users give for axes may be anything.
        place.refuse(error)


def prepared(
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
