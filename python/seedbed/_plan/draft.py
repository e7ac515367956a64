"""A plan of the tensors that a model has, which lacks only what to fill them with.

What: `draft` writes names and shapes as a plan: layers folded to one line, ties as rules, and a
rule for all the rest whose initializer is still to be chosen: the plan is refused until it is.
Method: tensors whose names differ in one number, are alike otherwise, and have all numbers from 0
to K - 1 there are one line with a placeholder. The commonest such K is that of `{layer}`; others
are called after the segment before the number, `{block}` in "blocks.3". What does not fold is
written plainly.
Promises: the plan has exactly the tensors of the source, with their shapes and dtypes.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable
from typing import Any, Final

import numpy as np

from seedbed._inspect.fold import split
from seedbed._plan.names import check_named
from seedbed._plan.quantities import RESERVED
from seedbed._plan.sources import Source, is_drawn
from seedbed._plan.toml import dump
from seedbed._spec.error import Place

# What a user is to replace.
TO_CHOOSE: Final = "an initializer, or delete this line and name a preset"

_LAYER: Final = "layer"
_WORD: Final = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)[./]$")

_Dtype = np.dtype[Any] | None


def draft(source: Source, place: Place) -> str:
    """Return the tensors of `source` as a plan in TOML.

    Args:
        source: The tensors.
        place: Where they come from, for errors.

    Raises:
        SpecError: A plan cannot say a name.
    """
    shapes: set[tuple[int, ...]] = set()
    for named in source.lines:
        if named.shape not in shapes or not named.is_plain():
            check_named(named, "")
            shapes.add(named.shape)
        if "{" in named.name or "}" in named.name:
            place.fail("name", "must not have braces, which are placeholders in plans", named.name)
    dtypes = Counter(dtype for _, dtype in source.tensors.values())
    drawn = (dtype for dtype, _ in dtypes.most_common() if dtype is not None and is_drawn(dtype))
    common = next(drawn, None)
    folded, counts = _folded(source)
    table: dict[str, Any] = {"seed": 0}
    if common is not None:
        table["dtype"] = common.name
    table["layout"] = source.layout
    # Tables of [[tensor]] have their counts themselves.
    in_lines = {key for _, _, dtype, repeat in folded if dtype in (None, common) for key in repeat}
    let = {f"{name}s": count for name, count in counts.items() if name in in_lines}
    zero_rows = set((source.zero_rows or {}).values())
    if len(zero_rows) == 1:
        # What presets call it that zero it.
        let["pad_token_id"] = zero_rows.pop()
    if let:
        table["let"] = let
    ties = [{"match": f"/{name}", "tie": other} for name, other in source.tied.items()]
    table["rule"] = [*ties, {"match": "**", "init": TO_CHOOSE}]
    table["tensors"] = {}
    table["tensor"] = []
    for name, shape, dtype, repeat in folded:
        if dtype in (None, common):
            table["tensors"][name] = list(shape)
        else:
            own = {"name": name, "shape": list(shape), "dtype": dtype.name}
            table["tensor"].append({**own, "repeat": repeat} if repeat else own)
    return dump({key: value for key, value in table.items() if value not in ([], {})})


def _folded(
    source: Source,
) -> tuple[list[tuple[str, tuple[int, ...], _Dtype, dict[str, int]]], dict[str, int]]:
    """Return the lines, with what their placeholders count to, and the placeholders in use."""
    runs = _runs(source)
    lengths: Counter[int] = Counter()
    for _, names in runs:
        lengths[len(names)] += len(names)
    counts: dict[str, int] = {}
    if lengths:
        counts[_LAYER] = lengths.most_common(1)[0][0]
    line_of: dict[str, tuple[str, dict[str, int]] | None] = {}
    for position, names in runs:
        if any(name in line_of for name in names):
            continue
        first = split(names[0])
        before, after = "".join(first[:position]), "".join(first[position + 1 :])
        placeholder = _placeholder(before, len(names), counts)
        if placeholder is None:
            continue
        counts[placeholder] = len(names)
        line = f"{before}{{{placeholder}}}{after}", {placeholder: len(names)}
        line_of.update({name: line if name == names[0] else None for name in names})
    lines = []
    for name, (shape, dtype) in source.tensors.items():
        found = line_of.get(name, (name, {}))
        if found is not None:
            lines.append((found[0], shape, dtype, found[1]))
    used = {key for *_, repeat in lines for key in repeat}
    return lines, {name: count for name, count in counts.items() if name in used}


def _runs(source: Source) -> list[tuple[int, list[str]]]:
    """Return tensors that are alike but for one number, which goes from 0 up.

    Each run is the place of the number among the parts of the names, and the names. The longest
    come first.
    """
    families: dict[tuple[int, Hashable], list[tuple[int, str]]] = {}
    for name, (shape, dtype) in source.tensors.items():
        if name in source.tied:
            continue
        parts = split(name)
        for position in range(1, len(parts), 2):
            rest = (*parts[:position], "", *parts[position + 1 :])
            key = position, (rest, shape, dtype)
            families.setdefault(key, []).append((int(parts[position]), name))
    runs = []
    for (position, _), members in families.items():
        members.sort()
        if len(members) > 1 and [number for number, _ in members] == list(range(len(members))):
            runs.append((position, [name for _, name in members]))
    runs.sort(key=lambda run: -len(run[1]))
    return runs


def _placeholder(before: str, count: int, counts: dict[str, int]) -> str | None:
    """Return the name of a placeholder that counts to `count`, None if there is no good one."""
    if counts.get(_LAYER) == count:
        return _LAYER
    word = _WORD.search(before)
    name = word[1].removesuffix("s") if word else ""
    if not name or name in RESERVED or f"{name}s" in RESERVED or counts.get(name, count) != count:
        return None
    return name
