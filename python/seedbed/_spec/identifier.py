"""What `init` may say, and the initializer that it stands for.

What: `initializer_of` builds what an identifier of the specification names.
Method: `initializers.get`; before it, the checks of what only TOML can say, after it, a hint where
the name is not known.
Promises: whatever the value, an initializer that makes values or a `SpecError`.
"""

from __future__ import annotations

import datetime
import difflib
import re
from typing import Any, Final

from seedbed import initializers
from seedbed._seeds import SEED_END
from seedbed._spec.error import Place, shortened

# The serialized form of `initializers.serialize`.
STORED_KEYS: Final = ("class_name", "config", "module", "registered_name")
MAX_SEED: Final = SEED_END - 1

# Every name that stands for an initializer, older names of Keras aside.
_KNOWN: Final = [
    name
    for name in initializers.__all__
    if isinstance(found := getattr(initializers, name), type)
    and issubclass(found, initializers.Initializer)
    and found is not initializers.Initializer
]
# One for each initializer: what a person would write.
KNOWN_NAMES: Final = sorted(name for name in _KNOWN if name.islower())
# What other libraries say, word by word.
_WORDS: Final = {
    "kaiming": "he",
    "xavier": "glorot",
    "trunc": "truncated",
    "const": "constant",
    "eye": "identity",
    "initializer": "",
}
_HELP: Final = "`seedbed init --help` lists the names"


def initializer_of(value: object, place: Place) -> tuple[Any, dict[str, Any] | None]:
    """Return the initializer that `value` stands for, and what each tensor adds its own seed to.

    That is the configuration of an initializer that has a seed but was given none, else None.

    Raises:
        SpecError: It stands for none.
    """
    if not isinstance(value, (str, dict)):
        place.fail("init", "must be a string or a table", value)
    config: Any = {}
    if isinstance(value, dict):
        place.require_keys(value, STORED_KEYS, "init.")
        _require_no_times(value, place)
        if "class_name" not in value:
            place.fail("init.class_name", "is missing")
        if not isinstance(value["class_name"], str):
            place.fail("init.class_name", "must be a string", value["class_name"])
        config = value.get("config", {})
        if not isinstance(config, dict):
            place.fail("init.config", "must be a table", config)
        if config.get("seed") is not None:
            seed_of(config["seed"], "init.config.seed", place)
        value = {**value, "config": config}
    try:
        template = initializers.get(value)
        made = template.get_config() if isinstance(template, initializers.Initializer) else {}
    except MemoryError:
        raise
    except Exception as error:
        # Whatever a configuration breaks on its way through the registry is its own fault.
        name = value if isinstance(value, str) else value["class_name"]
        place.refuse(error, "" if name in _KNOWN or isinstance(error, TypeError) else _hint(name))
    if type(template) is initializers.Initializer:
        place.fail(
            "init", f"is the base class of initializers, which makes no values; {_HELP}", value
        )
    if not isinstance(template, initializers.Initializer):
        place.fail("init", f"must name an initializer; {_HELP}", value)
    return template, made if "seed" in made and config.get("seed") is None else None


def keyed_config(initializer: Any, place: Place) -> dict[str, Any] | None:
    """Return the configuration of an initializer to which each tensor adds its own seed.

    That is None where the initializer has a seed already, or can have none.

    Raises:
        SpecError: Its seed is a generator, whose numbers would depend on the order of tensors.
    """
    config: dict[str, Any] = initializer.get_config()
    seed = config.get("seed")
    if seed is not None and not isinstance(seed, int):
        place.fail("init", "must have an integer for its seed, or none", seed)
    return config if "seed" in config and seed is None else None


def seed_of(value: object, key: str, place: Place) -> int:
    """Return `value` if it can be a seed."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_SEED:
        place.fail(key, f"must be an integer in 0..{MAX_SEED}", value)
    return value


def _require_no_times(table: dict[str, Any], place: Place) -> None:
    """Refuse dates and times anywhere in `table`: TOML has them, the stored form of Keras has not.

    A loop, not a recursion: nothing limits how deeply a specification nests.
    """
    left: list[tuple[str, Any]] = [("init", table)]
    while left:
        key, value = left.pop()
        if isinstance(value, datetime.date | datetime.time):
            place.fail(key, "must not be a date or a time", str(value))
        if isinstance(value, dict):
            left.extend((f"{key}.{shortened(name)}", inner) for name, inner in value.items())
        elif isinstance(value, list):
            left.extend(
                (f"{key}[{number}]", inner)
                for number, inner in enumerate(value)
                # Numbers, mostly, and many.
                if not isinstance(inner, int | float | str)
            )


def _hint(name: str) -> str:
    """Say which initializer a name that is not known may mean."""
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name[:80]).lower()
    words = [_WORDS.get(word, word) for word in snake.split("_")]
    meant = "_".join(filter(None, words))
    close = difflib.get_close_matches(meant, KNOWN_NAMES, n=1)
    return f"Did you mean `{close[0]}`?" if close else f"{_HELP}."
