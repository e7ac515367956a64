"""Rules and tensors put together: what each tensor's values are made by.

What: `resolve` turns a plan and names with their shapes into a `Specification`.
Method: the first rule whose pattern fits a name is its rule. What a rule makes of tensors of one
shape is made once for all of them, so a plan for many tensors costs little more than the names.
Consumes: memory by the number of tensors, which is limited, never by the sizes that they claim.
Promises: every tensor has its initializer, prepared, so that it has refused what it will; every
rule has a tensor unless it is optional; whatever is wrong is a `SpecError` that names its place. A
tensor's values depend on the seed and its own name, not on its neighbours.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Final

import numpy as np

from seedbed._checkpoint.format import LEAST_ENTRY_BYTES, MAX_HEADER_BYTES, name_bytes
from seedbed._plan.document import Document
from seedbed._plan.entries import Tensor, make_entry
from seedbed._plan.names import MAX_BYTES, MAX_TENSORS, Line, Named, check_named, sizes_of
from seedbed._plan.patterns import Form, Pattern, normalized
from seedbed._plan.quantities import TENSOR_NAMES, Number, names_in
from seedbed._plan.rules import Recipe, Rule
from seedbed._plan.sources import Source
from seedbed._plan.toml import plain
from seedbed._spec.error import Place, shortened
from seedbed._spec.model import Entry, Specification, TensorSpec
from seedbed._streams import streams

DEFAULT_DTYPE: Final = np.dtype("float32")
# A name longer than this is none that a model has, and costs time to match.
MAX_MATCHED_NAME: Final = 4096
_NO_VARIABLES: Final[dict[str, float]] = {}
# How many names an error shows.
_SHOWN: Final = 10
# Last segments whose rules are remembered.
_MAX_REMEMBERED: Final = 10_000
# Readers of metadata expect little of it.
_MAX_PLAN_BYTES: Final = 1 << 20

# Tensors whose values have a formula of their own, which a preset must not fill with another.
_SPECIAL: Final = {
    "A_log": "Mamba's logarithms of 1 .. d_state",
    "dt_bias": "Mamba's biases of time steps",
    "time_decay": "RWKV's decays",
    "time_first": "RWKV's bonuses",
}
_SPECIAL_BEGINNINGS: Final = {"time_mix": "RWKV's mixing factors", "time_maa": "RWKV's mixing"}


def resolve(
    document: Document,
    lines: Iterable[Line | Named],
    seed: int,
    digest: str,
    source: Source | None = None,
) -> Specification:
    """Return the model that a plan makes of the tensors of `lines`.

    Args:
        document: The plan.
        lines: The tensors.
        seed: The seed of the model.
        digest: What the specification is known by.
        source: The model that the tensors are of, where one is known: it has ties, and rows of
            zeros, of its own.

    Raises:
        SpecError: Anything is wrong with it.
    """
    # Not the stream that the process uses: a specification means the same everywhere.
    stream = document.stream or streams()[0]
    model = None if source is None else source.config
    made = Specification(document.path, seed, stream, digest, [], model=model)
    made.plan = _written(document)
    resolver = _Resolver(document, made, source or Source({}))
    for line in lines:
        if isinstance(line, Named):
            resolver.add_named(line)
        else:
            resolver.add(line)
    resolver.finish()
    return made


class _Resolver:
    """One run of `resolve`."""

    def __init__(self, document: Document, made: Specification, source: Source) -> None:
        self._document = document
        self._made = made
        self._source_ties = source.tied
        self._source_rows = source.zero_rows
        self._entries: dict[object, Entry] = {}
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._nbytes = self._header_bytes = self._claimed = 0
        # The label of the line that each name came from.
        self._origins: dict[str, str] = {}
        self._taken = [False] * len(document.rules)
        self._unmatched: list[str] = []
        self._unmatched_count = 0
        # What a name with this last segment may fit.
        self._remembered: dict[str, list[tuple[str, Form, Pattern, Rule]]] = {}
        # The shapes of lines, as integers.
        self._sizes: dict[object, tuple[int, ...]] = {}
        # The variables that tensors of a rule differ by.
        let = document.let
        self._varying = {
            rule.number: sorted(set() if rule.recipe is None else rule.recipe.names - let.keys())
            for rule in document.rules
        }

    def add(self, line: Line) -> None:
        """Resolve the tensors of one line."""
        document, place, recipe = self._document, line.place, line.recipe
        dtype = line.dtype or document.dtype or DEFAULT_DTYPE
        if len(self._origins) + line.count > MAX_TENSORS:
            key = "repeat" if line.count > 1 else "name"
            place.fail(key, f"makes more than {MAX_TENSORS} tensors")
        used = names_in(*line.shape)
        varies = bool(used) and not used <= document.let.keys()
        shape = () if varies else self._shape(line, dtype)
        shared = None
        if recipe is not None and not varies and not recipe.init.is_function:
            shared = self._shared(line, shape, dtype)
        for name, variables in line.names:
            self._claim(name, line)
            if varies:
                names = {**document.let, **variables}
                shape = sizes_of(line.shape, names, dtype.itemsize, place)
            if recipe is None:
                self._by_rule(name, shape, line.dtype)
            else:
                entry = shared
                if entry is None:
                    tensor = Tensor(name, shape, dtype, _floats(variables))
                    entry = self._entry(recipe, tensor, None, place)
                self._append(name, entry, place)

    def add_named(self, named: Named) -> None:
        """Resolve a tensor of a mapping, whose names are different."""
        name, shape, dtype = named
        key = (shape, dtype)
        sizes = self._sizes.get(key) if named.is_plain() else None
        if sizes is None:
            path = self._document.path
            check_named(named, path)
            itemsize = (dtype or self._document.dtype or DEFAULT_DTYPE).itemsize
            place = Place(path, f"`{shortened(name)}`")
            sizes = self._sizes[key] = sizes_of(shape, {}, itemsize, place)
        self._origins[name] = ""
        self._count(name, self._document.place)
        self._by_rule(name, sizes, dtype)

    def finish(self) -> None:
        """Check what only all tensors together show."""
        made, document = self._made, self._document
        if not self._origins:
            document.place.fail("tensors", "must be one or more")
        if self._unmatched:
            listed = ", ".join(f"`{shortened(name)}`" for name in self._unmatched)
            more = self._unmatched_count - len(self._unmatched)
            why = special(self._unmatched[0])
            document.place.fail(
                "rule",
                f"must match every tensor; none matches {listed}"
                f"{f' and {more} more' if more else ''}"
                f"{f' ({why}, which no initializer makes yet)' if why else ''}",
            )
        for rule, taken in zip(document.rules, self._taken, strict=True):
            if not taken and not rule.optional:
                self._explain(rule)
        written = {tensor.name: tensor for tensor in made.tensors}
        for name in made.tied:
            made.tied[name] = self._target(name, written)

    def _shape(self, line: Line, dtype: np.dtype[Any]) -> tuple[int, ...]:
        """The shape of a line whose tensors all have the same."""
        key = (line.shape, dtype.itemsize)
        shape = self._sizes.get(key)
        if shape is None:
            shape = sizes_of(line.shape, self._document.let, dtype.itemsize, line.place)
            self._sizes[key] = shape
        return shape

    def _shared(self, line: Line, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Entry | None:
        """The entry of a line whose tensors all have the same, None where they have not."""
        assert line.recipe is not None
        if not line.recipe.names <= self._document.let.keys() | TENSOR_NAMES and line.count > 1:
            return None
        key = (line.key, shape, dtype)
        entry = None if line.key is None else self._entries.get(key)
        if entry is None:
            variables: dict[str, int] = {}
            if line.count == 1:
                [(_, variables)] = names = list(line.names)
                line.names = iter(names)
            tensor = Tensor("", shape, dtype, _floats(variables))
            entry = self._entry(line.recipe, tensor, None, line.place)
            self._entries[key] = entry
        self._require_room(shape, entry.nbytes * line.count, line.place)
        return entry

    def _entry(self, recipe: Recipe, tensor: Tensor, rule: Rule | None, place: Place) -> Entry:
        let, stream = self._document.let, self._made.stream
        row = recipe.zero_row if rule is None else self._zero_row(rule, tensor.name)
        return make_entry(recipe, tensor, let, rule, row, stream, place)

    def _zero_row(self, rule: Rule, name: str) -> Number | None:
        """The row of a tensor that is zeros.

        A preset's rules say which tensors have one where a model is not known to say it itself, or
        the plan gives the variable.
        """
        assert rule.recipe is not None
        row = rule.recipe.zero_row
        if rule.preset is None:
            return row
        names = frozenset() if row is None else names_in(row)
        document = self._document
        if self._source_rows is None or (names and names <= document.own_let):
            return row if names <= document.let.keys() else None
        return self._source_rows.get(name) if document.has_zero_rows else None

    def _require_room(self, shape: tuple[int, ...], nbytes: int, place: Place) -> None:
        if self._nbytes + nbytes > MAX_BYTES:
            place.fail("shape", f"makes the file larger than {MAX_BYTES} bytes", list(shape))

    def _claim(self, name: str, line: Line) -> None:
        """Note that a name is taken, once, and that the header has room for it."""
        origin = self._origins.setdefault(name, line.label)
        # One line can repeat itself: "{a}{b}" is "111" for 1, 11 and for 11, 1.
        if origin is not line.label or len(self._origins) != self._claimed + 1:
            other = (
                f"{origin} has it too"
                if origin is not line.label
                else f"{line.repeats} makes it twice"
            )
            line.place.fail("name", f"must be unique; {other}", name)
        self._count(name, line.place)

    def _count(self, name: str, place: Place) -> None:
        """Note that there is one more tensor, if the header has room for it."""
        self._claimed += 1
        if self._claimed > MAX_TENSORS:
            place.fail("name", f"makes more than {MAX_TENSORS} tensors")
        # Only a bound, since offsets come later, but one that stops a mistyped count early.
        self._header_bytes += name_bytes(name) + LEAST_ENTRY_BYTES
        if self._header_bytes > MAX_HEADER_BYTES:
            place.fail("name", f"makes the header longer than {MAX_HEADER_BYTES} bytes")

    def _append(self, name: str, entry: Entry, place: Place) -> None:
        self._nbytes += entry.nbytes
        if self._nbytes > MAX_BYTES:
            self._nbytes -= entry.nbytes
            self._require_room(entry.shape, entry.nbytes, place)
        self._made.tensors.append(TensorSpec(name, entry, self._made))

    def _by_rule(self, name: str, shape: tuple[int, ...], dtype: np.dtype[Any] | None) -> None:
        """Do what the first rule says that the name fits."""
        found = self._rule(name)
        if name in self._source_ties:
            if found is not None:
                self._taken[found[0].number - 1] = True
                if found[0].omit:
                    return
            self._shapes[name] = shape
            tie = self._source_ties[name]
            self._made.tied[name] = tie if found is None else found[0].tie or tie
            return
        if found is None:
            self._unmatched_count += 1
            if len(self._unmatched) < _SHOWN:
                self._unmatched.append(name)
            return
        rule, variables = found
        self._taken[rule.number - 1] = True
        if rule.omit:
            return
        if rule.tie is not None:
            self._shapes[name] = shape
            self._made.tied[name] = rule.tie
            return
        assert rule.recipe is not None
        if rule.preset is not None and (reason := special(name)):
            rule.place.fail(
                "init",
                f"is none for `{shortened(name)}`, {reason}, which no initializer makes yet; "
                "write a rule of your own for it, or leave it to the model's own code",
            )
        dtype = rule.dtype or dtype or self._document.dtype or DEFAULT_DTYPE
        key = None
        if not rule.recipe.init.is_function:
            varying = tuple(variables.get(key) for key in self._varying[rule.number])
            key = (rule.number, shape, dtype, varying, self._zero_row(rule, name))
        entry = None if key is None else self._entries.get(key)
        if entry is None:
            tensor = Tensor(name, shape, dtype, variables)
            entry = self._entry(rule.recipe, tensor, rule, rule.place.of(shortened(name)))
            if key is not None:
                self._entries[key] = entry
        self._append(name, entry, rule.place)

    def _rule(self, name: str) -> tuple[Rule, dict[str, float]] | None:
        """The first rule that the name fits, and its variables."""
        if len(name) > MAX_MATCHED_NAME:
            self._document.place.fail(
                "rule", f"is for names of at most {MAX_MATCHED_NAME} characters", name
            )
        normal = normalized(name)
        last = normal[normal.rfind(".") + 1 :]
        tried = self._remembered.get(last)
        if tried is None:
            tried = [
                (form.literal, form, pattern, rule)
                for rule in self._document.rules
                for pattern in rule.patterns
                for form in pattern.forms
                if _may_end(form.tail, last)
            ]
            if len(self._remembered) >= _MAX_REMEMBERED:
                self._remembered.clear()
            self._remembered[last] = tried
        for literal, form, pattern, rule in tried:
            if literal in normal and (match := pattern.match_form(form, name, normal)):
                return rule, _floats(match.variables) if match.variables else _NO_VARIABLES
        return None

    def _explain(self, rule: Rule) -> None:
        """Say why a rule has no tensor."""
        takers = {
            found[0].number
            for name in self._origins
            if rule.match(name) and (found := self._rule(name))
        }
        if not takers:
            rule.place.fail("match", "matches nothing", rule.shown)
        numbers = ", ".join(map(str, sorted(takers)))
        rule.place.fail(
            "match",
            f"is left with nothing: rule{'s' if len(takers) > 1 else ''} {numbers} "
            f"take{'' if len(takers) > 1 else 's'} all that it matches",
            rule.shown,
        )

    def _target(self, name: str, written: dict[str, TensorSpec]) -> str:
        """The tensor that is written for a tied name, at the end of its chain."""
        place = Place(self._document.path, f"`{shortened(name)}`")
        chain = [name]
        while chain[-1] in self._made.tied:
            following = self._made.tied[chain[-1]]
            if following in chain:
                ring = " -> ".join(f"`{shortened(one)}`" for one in (*chain, following))
                place.fail("tie", f"goes in a ring: {ring}")
            chain.append(following)
        target = chain[-1]
        if target not in written:
            known = "is left out" if target in self._origins else "is none of the tensors"
            place.fail("tie", f"names `{shortened(target)}`, which {known}")
        own, other = self._shapes[name], written[target].shape
        if own != other:
            place.fail(
                "tie",
                f"needs tensors of one shape; `{shortened(target)}` has {list(other)}",
                list(own),
            )
        return target


def _may_end(tail: str, last: str) -> bool:
    """Whether a name whose last segment is `last` may end with `tail`."""
    end = tail[tail.rfind(".") + 1 :]
    return last == end if "." in tail else last.endswith(end)


def special(name: str) -> str | None:
    """What a tensor is whose values have a formula of their own, None for others."""
    normal = normalized(name)
    last = normal[normal.rfind(".") + 1 :]
    if normal.endswith("dt_proj.bias"):
        return _SPECIAL["dt_bias"]
    for beginning, reason in _SPECIAL_BEGINNINGS.items():
        if last.startswith(beginning):
            return reason
    return _SPECIAL.get(last)


def _floats(variables: dict[str, int]) -> dict[str, float]:
    return {key: float(value) for key, value in variables.items()}


def _written(document: Document) -> str | None:
    """The rules as JSON, a preset's among them, for whoever reads the checkpoint; None without."""
    if not document.rules:
        return None
    plan = {
        "dtype": str(document.dtype or DEFAULT_DTYPE),
        "layout": document.layout,
        "let": plain(document.given_let),
        "rule": [plain(rule.table) for rule in document.rules],
    }
    kept = {key: value for key, value in plan.items() if value}
    text = json.dumps(kept, separators=(",", ":"), ensure_ascii=False)
    return text if len(text.encode()) <= _MAX_PLAN_BYTES else None
