"""`seedbed.Plan`: how the tensors of a model are initialized, by rules over their names."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from seedbed import initializers
from seedbed._dtypes import standardize
from seedbed._plan import toml
from seedbed._plan.document import Document, read_document
from seedbed._plan.names import Named
from seedbed._plan.resolve import resolve
from seedbed._plan.sources import tensors_of
from seedbed._spec.reader import read_bytes

if TYPE_CHECKING:
    from seedbed._checkpoint.finding import Finding
    from seedbed._plan.table import Table
    from seedbed._spec.model import Specification

# What errors call a plan that came from no file.
_UNNAMED: Final = "plan"


class Plan:
    """Rules that say how the tensors of a model are initialized.

        plan = Plan(
            [
                ("ln_*.weight", "ones"),
                ("*.bias", "zeros"),
                ("c_proj.weight", {"normal": "0.02 / sqrt(2 * layers)"}),
                ("*.weight", initializers.RandomNormal(stddev=0.02)),
            ],
            let={"layers": 48},
            seed=42,
        )
        for tensor in plan.resolve({"h.0.attn.c_proj.weight": (1600, 1600)}).tensors:
            tensor.initializer()(tensor.shape, tensor.dtype)

    The language is that of specifications, `docs/command.md`.

    Args:
        rules: Each a pair of pattern and initializer, or a dict of the keys of a rule. A pattern
            may be a list of patterns; an initializer is what a rule's `init` may be, an
            initializer, or a function of name, shape and variables that returns one.
        let: Variables of expressions.
        seed: The seed, which `resolve` may give instead.
        dtype: The dtype of tensors that have none of their own.
        stream: The stream of random numbers.
        layout: "torch" for [out, in, ...], the default, or "keras" for [..., in, out].
        preset: A preset, whose rules follow the plan's own.
        tensors: Shapes by name, with placeholders, as in `[tensors]`.
        model: What names and shapes come from, as `model` in a specification.
        forward: Factors that belong in the model's forward pass, to be shown by `table`.

    Raises:
        ValueError: Anything is wrong with it; the message names the rule and the key.
    """

    def __init__(
        self,
        rules: Iterable[Any] = (),
        *,
        let: Mapping[str, Any] | None = None,
        seed: int | None = None,
        dtype: Any = None,
        stream: str | None = None,
        layout: str | None = None,
        preset: str | None = None,
        tensors: Mapping[str, Sequence[int | str]] | None = None,
        model: str | os.PathLike[str] | None = None,
        forward: Mapping[str, Any] | None = None,
    ) -> None:
        given: dict[str, Any] = {
            "seed": seed,
            "dtype": None if dtype is None else standardize(dtype).name,
            "stream": stream,
            "let": None if let is None else dict(let),
            "layout": layout,
            "preset": preset,
            "model": None if model is None else os.fspath(model),
            "forward": None if forward is None else dict(forward),
            "rule": [_as_table(rule) for rule in rules] or None,
            "tensors": None if tensors is None else {k: list(v) for k, v in tensors.items()},
        }
        table = {key: value for key, value in given.items() if value is not None}
        self._document = read_document(table, _UNNAMED)
        self._digest: str | None = None

    @classmethod
    def from_toml(cls, source: str | os.PathLike[str]) -> Plan:
        """Return the plan in a TOML file, or in a text of TOML.

        Args:
            source: The path of a file, or the text: what has a line break or a `=` is a text.

        Raises:
            ValueError: Anything is wrong with it.
        """
        text = os.fspath(source)
        if isinstance(source, str) and ("\n" in text or "=" in text):
            path, data = _UNNAMED, text.encode("utf-8", "surrogatepass")
        else:
            path, data = text, read_bytes(text)
        plan = cls.__new__(cls)
        plan._document = read_document(toml.load(data, path), path)
        plan._digest = hashlib.sha256(data).hexdigest()
        return plan

    @property
    def seed(self) -> int | None:
        """The seed, None where the plan has none."""
        return self._document.seed

    def resolve(self, tensors: Any = None, *, seed: int | None = None) -> Specification:
        """Return the model that the plan makes, each tensor with its initializer.

        Args:
            tensors: Shapes by name, or anything with a `shape` by name: arrays, parameters, and
                what only describes them. With a `dtype`, that is the tensor's unless the plan
                gives one. None for the tensors that the plan names itself.
            seed: The seed, None for the plan's.

        Raises:
            ValueError: A tensor has no rule, a rule no tensor, an initializer cannot make a
                tensor, or there is no seed.
        """
        seed = self.seed if seed is None else seed
        if seed is None:
            raise ValueError("`seed` must be given, here or in the plan")
        return self._resolved(tensors, seed)

    def table(self, tensors: Any = None) -> Table:
        """Return what each rule makes of the tensors, as a table that prints itself.

        Args:
            tensors: As for `resolve`.

        Raises:
            ValueError: As `resolve`.
        """
        from seedbed._plan.table import table_of

        return table_of(self._document, self._resolved(tensors, self.seed or 0))

    def lint(self, tensors: Any = None) -> list[Finding]:
        """Return what looks like a mistake in the plan; `docs/recipes.md` lists what is found.

        Args:
            tensors: As for `resolve`.

        Raises:
            ValueError: As `resolve`.
        """
        from seedbed._plan.lint import lint

        return lint(self._document, self._resolved(tensors, self.seed or 0))

    def to_toml(self) -> str:
        """Return the plan as a TOML file, from which `from_toml` makes an equal one.

        Raises:
            ValueError: A function is among the initializers.
        """
        return toml.dump(self._document.table)

    def __repr__(self) -> str:
        rules = len(self._document.rules)
        return f"<Plan of {rules} rule{'' if rules == 1 else 's'}>"

    def _resolved(self, tensors: Any, seed: int) -> Specification:
        document = self._document
        if tensors is not None:
            made = resolve(document, _lines(tensors, document), seed, self._digest or "")
        elif document.model is not None:
            source = tensors_of(document)
            made = resolve(document, source.lines, seed, self._digest or "", source)
        elif document.names_tensors:
            made = resolve(document, document.lines(), seed, self._digest or "")
        else:
            raise ValueError("`tensors` must be given: the plan names none")
        if self._digest is None:
            made.digest = _digest(made)
        return made


def _as_table(rule: Any) -> Any:
    """The keys of a rule that is given as a pair."""
    if isinstance(rule, Mapping):
        return dict(rule)
    if isinstance(rule, tuple | list) and len(rule) == 2:
        return {"match": rule[0], "init": rule[1]}
    raise ValueError(
        f"`rules` must be pairs of pattern and initializer, or dicts. Received: {rule!r}"
    )


def _lines(tensors: Any, document: Document) -> Iterator[Named]:
    if not isinstance(tensors, Mapping):
        raise ValueError(f"`tensors` must be shapes by name. Received: {type(tensors).__name__}")
    for name, value in tensors.items():
        shape: Any = getattr(value, "shape", value)
        dtype = getattr(value, "dtype", None) if document.dtype is None else None
        own = None if dtype is None else standardize(dtype)
        yield Named(name, tuple(shape), own)


def _digest(made: Specification) -> str:
    """What a plan of Python is known by: all that decides the values of its tensors."""
    digest = hashlib.sha256()
    digest.update(json.dumps([made.seed, made.stream]).encode())
    stored: dict[int, str] = {}
    for tensor in made.tensors:
        entry = tensor.entry
        text = stored.get(id(entry))
        if text is None:
            template = toml.plain(initializers.serialize(entry.template))
            text = json.dumps(
                [entry.shape, entry.dtype.name, template, entry.zero_row],
                sort_keys=True,
                default=str,
            )
            stored[id(entry)] = text
        digest.update(json.dumps([tensor.name, text]).encode())
    return digest.hexdigest()
