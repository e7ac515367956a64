"""What is wrong with a specification, and where: file, rule or tensor, and key."""

from __future__ import annotations

import reprlib
from typing import Any, NoReturn

from seedbed._escape import escape

# The most characters of a name, and of somebody else's message, in one of ours.
_NAME_LENGTH = 80
_MESSAGE_LENGTH = 400


class SpecError(ValueError):
    """The specification is wrong; the message names the file, the rule or tensor and the key."""


class Place:
    """Where in a specification the reader is; its methods raise in the name of that place."""

    def __init__(self, path: str, tensor: str | None = None, *, part: str | None = None) -> None:
        if tensor is not None:
            part = f"tensor {tensor}" if part is None else f"{part}: tensor {tensor}"
        self._where = f"{path}:" if part is None else f"{path}: {part}:"

    def of(self, tensor: str) -> Place:
        """Return the place that a tensor has in this one."""
        place = Place("")
        place._where = f"{self._where} tensor `{tensor}`:"
        return place

    def fail(self, key: str, rule: str, *received: object) -> NoReturn:
        """Say that `key` breaks `rule`, and what was there."""
        shown = f". Received: {show(received[0])}" if received else ""
        raise SpecError(f"{self._where} `{key}` {rule}{shown}")

    def repeat(self, error: ValueError) -> NoReturn:
        """Pass on an error that says itself which key breaks which rule."""
        raise SpecError(f"{self._where} {one_line(error)}") from error

    def require_keys(self, table: dict[str, Any], known: tuple[str, ...], prefix: str = "") -> None:
        """Refuse a key of `table` that is not one of `known`."""
        for key in table:
            if key not in known:
                self.fail(
                    f"{prefix}{shortened(key)}", f"is not a key; the keys are {', '.join(known)}"
                )

    def refuse(self, error: Exception, hint: str = "") -> NoReturn:
        """Pass on what an initializer itself says of its configuration, shape or dtype."""
        text = one_line(error)
        if hint:
            hint = f"{'' if text.endswith('.') else '.'} {hint}"
        raise SpecError(f"{self._where} `init`: {text}{hint}") from error


def show(value: object) -> str:
    """Return a short repr that no value of a TOML file can make fail or grow."""
    try:
        return reprlib.repr(value)
    except ValueError:
        # Python refuses to write integers of thousands of digits in decimal.
        return f"a {type(value).__name__} too long to show"


def shortened(name: str) -> str:
    """Return a name for a message: printable, and not too long."""
    return _cut(name, _NAME_LENGTH)


def one_line(error: Exception) -> str:
    """Return the error's message as one line of bounded length."""
    return _cut(" ".join(str(error).split()) or type(error).__name__, _MESSAGE_LENGTH)


def _cut(text: str, length: int) -> str:
    return escape(text if len(text) <= length else f"{text[: length - 3]}...")
