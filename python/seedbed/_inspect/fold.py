"""Repeated layers as one line.

What: `fold` groups tensors whose names differ in numbers and which are alike otherwise.
Method: a segment of a name that is a decimal number is a place; tensors of the same text, dtype and
shape are boxes of numbers, and boxes that differ in one place only become one, from the last place
to the first.
Promises: every tensor is in one group; a group's name tells which names it stands for.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

# A whole segment, without zeros before it: "h.07" is a name of its own.
NUMBER = re.compile(r"(?<![^./])(0|[1-9][0-9]{0,8})(?![^./])")

# Names have a few; what folding costs grows with the square of how many there are.
_MAX_NUMBERS = 16

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Group(Generic[T]):
    """Tensors that are alike."""

    # With {0..47} where their names differ.
    name: str
    members: list[T]


def fold(
    items: Sequence[T], name: Callable[[T], str], alike: Callable[[T], Hashable]
) -> list[Group[T]]:
    """Return the groups of `items`, in the order of their first members.

    Args:
        items: Things with names.
        name: Of an item.
        alike: What must be equal in a group.
    """
    families: dict[tuple[tuple[str, ...], Hashable], list[tuple[tuple[int, ...], int]]] = {}
    for position, item in enumerate(items):
        parts = split(name(item))
        numbers = tuple(map(int, parts[1::2]))
        families.setdefault((tuple(parts[::2]), alike(item)), []).append((numbers, position))
    found: list[tuple[int, Group[T]]] = []
    for (texts, _), members in families.items():
        for box, positions in _boxes(members):
            shown = itertools.chain.from_iterable(
                itertools.zip_longest(texts, map(_shown, box), fillvalue="")
            )
            positions.sort()
            group = Group("".join(shown), [items[position] for position in positions])
            found.append((positions[0], group))
    found.sort(key=lambda pair: pair[0])
    return [group for _, group in found]


def natural(name: str) -> list[tuple[int, str]]:
    """Return what orders names as people do: "h.2" before "h.10"."""
    parts = re.split(r"([0-9]+)", name)
    return [
        (int(part), "") if number % 2 and len(part) < 20 else (-1, part)
        for number, part in enumerate(parts)
    ]


def split(name: str) -> list[str]:
    """Return the texts of a name and the numbers between them, of too many numbers as one text."""
    parts = NUMBER.split(name)
    return parts if len(parts) // 2 <= _MAX_NUMBERS else [name]


def numbers_in(name: str) -> tuple[str, tuple[int, ...]]:
    """Return a name with its numbers as `*`, and the numbers."""
    parts = NUMBER.split(name)
    return "*".join(parts[::2]), tuple(map(int, parts[1::2]))


def _boxes(
    members: list[tuple[tuple[int, ...], int]],
) -> list[tuple[tuple[tuple[int, ...], ...], list[int]]]:
    """Join members, given by their numbers, into boxes: for each place a set of numbers."""
    boxes: dict[tuple[tuple[int, ...], ...], list[int]] = {
        tuple((number,) for number in numbers): [position] for numbers, position in members
    }
    for place in reversed(range(len(members[0][0]))):
        rows: dict[tuple[tuple[int, ...], ...], list[tuple[tuple[int, ...], list[int]]]] = {}
        for box, positions in boxes.items():
            rest = box[:place] + box[place + 1 :]
            rows.setdefault(rest, []).append((box[place], positions))
        boxes = {}
        for rest, row in rows.items():
            numbers = tuple(sorted(number for some, _ in row for number in some))
            positions = [position for _, some in row for position in some]
            boxes[(*rest[:place], numbers, *rest[place:])] = positions
    return list(boxes.items())


def _shown(numbers: tuple[int, ...]) -> str:
    """Return a set of numbers as text: 3, or {0..47}, or {0..2,5}."""
    if len(numbers) == 1:
        return str(numbers[0])
    runs = []
    for _, run in itertools.groupby(enumerate(numbers), lambda pair: pair[1] - pair[0]):
        ends = [number for _, number in run]
        runs.append(str(ends[0]) if len(ends) == 1 else f"{ends[0]}..{ends[-1]}")
    return "{" + ",".join(runs) + "}"
