"""The presets: recipes of well-known models, kept as plans in `presets/*.toml`."""

from __future__ import annotations

import functools
import tomllib
from dataclasses import dataclass, field
from importlib import resources
from typing import Any, Final

_FOLDER: Final = resources.files("seedbed._plan") / "presets"
_SUFFIX: Final = ".toml"


@dataclass(frozen=True, slots=True)
class Preset:
    """A preset, as its file has it.

    Attributes:
        name: What a plan calls it.
        text: The file.
        source: Where the recipe comes from.
        let: Variables that it has unless a plan gives them.
        layout: The layout of its tensors, None for that of the plan.
        forward: Factors that belong in the model's forward pass.
        rules: Its rules.
    """

    name: str
    text: str = ""
    source: str = ""
    let: dict[str, Any] = field(default_factory=dict)
    layout: str | None = None
    forward: dict[str, Any] = field(default_factory=dict)
    rules: tuple[dict[str, Any], ...] = ()

    @property
    def repeats_transformers(self) -> bool:
        """Whether it draws what transformers draws by a model's configuration."""
        return self.source.startswith("transformers")


# What a plan without a preset has.
NONE: Final = Preset("")


@functools.cache
def names() -> tuple[str, ...]:
    """The names of all presets, sorted."""
    files = (entry.name for entry in _FOLDER.iterdir())
    return tuple(sorted(name.removesuffix(_SUFFIX) for name in files if name.endswith(_SUFFIX)))


@functools.cache
def load(name: str) -> Preset:
    """Return the preset of that name.

    Raises:
        KeyError: There is none.
    """
    if name not in names():
        raise KeyError(name)
    text = (_FOLDER / f"{name}{_SUFFIX}").read_text(encoding="utf-8")
    table = tomllib.loads(text)
    return Preset(
        name,
        text,
        table["source"],
        table.get("let", {}),
        table.get("layout"),
        table.get("forward", {}),
        tuple(table["rule"]),
    )
