"""JSON objects taken apart member by member.

What: `Members` goes through the members of an object in a text, `value_at` decodes one value.
Method: the strings and values are Python's decoder's; only the object itself is read here, so that
no list of millions of members, nor one value without end, is ever built.
Consumes: memory by what the caller keeps, and `limit` characters of text for each value.
Promises: a `JsonError` for everything that is not JSON, however deep or long, and nothing else.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator
from json import decoder
from typing import Any, Final, NoReturn

# The most characters of one value. Names of maximal length aside, an entry of a header has
# hundreds, and metadata some millions at most.
MAX_VALUE_CHARACTERS: Final = 16 << 20

_SPACE = re.compile(r"[ \t\n\r]*")
# A string without escapes.
STRING: Final = r'"([^"\\\x00-\x1f]*)"'


class JsonError(ValueError):
    """The text is not the JSON that was expected; the message has no subject."""


class Pairs(dict[str, Any]):
    """A JSON object that knows which keys came twice."""

    twice: frozenset[str] = frozenset()


def _pairs(members: list[tuple[str, Any]]) -> Pairs:
    made = Pairs(members)
    if len(made) != len(members):
        counts = Counter(key for key, _ in members)
        made.twice = frozenset(key for key, count in counts.items() if count > 1)
    return made


def _no_constant(name: str) -> NoReturn:
    raise JsonError(f"is not JSON: {name}")


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise JsonError(f"is not JSON that readers take: {text[:20]} is out of range")
    return value


def _integer(text: str) -> int | float:
    # A negative zero is no integer to the safetensors library.
    return -0.0 if text == "-0" else int(text)


# Python's own, which knows escapes and refuses control characters.
_scan_string: Callable[[str, int, bool], tuple[str, int]] = decoder.scanstring  # type: ignore[attr-defined]
_DECODER = json.JSONDecoder(
    object_pairs_hook=_pairs,
    parse_float=_finite,
    parse_int=_integer,
    parse_constant=_no_constant,
)


def value_at(text: str, start: int, limit: int = MAX_VALUE_CHARACTERS) -> tuple[Any, int]:
    """Return the value that begins at `start` and where it ends, at most `limit` characters on.

    Raises:
        JsonError: There is none.
    """
    # A slice, so that what is decoded is bounded before it is.
    piece = text[start : start + limit]
    try:
        value, length = _DECODER.raw_decode(piece)
    except RecursionError:
        raise JsonError("is nested too deeply") from None
    except JsonError:
        raise
    except ValueError as error:
        if len(piece) == limit:
            raise JsonError(f"has a value longer than {limit} characters") from None
        raise JsonError(f"is not JSON: {error}") from None
    if piece.find("\\u", 0, length) >= 0:
        _require_text(value)
    return value, start + length


def _require_text(value: Any) -> None:
    """Refuse half of a surrogate pair, which escapes can say and no UTF-8 has."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise JsonError("is not JSON that readers take: half of a surrogate pair") from None
    except RecursionError:
        raise JsonError("is nested too deeply") from None


def usual(value: str) -> re.Pattern[str]:
    """Return what finds members as nearly all are, in one step each.

    Args:
        value: A regular expression for their values.
    """
    return re.compile(rf"{STRING}[ \t\n\r]*:[ \t\n\r]*{value},[ \t\n\r]*(?=\")")


class Members:
    """The members of the object that begins at `start`.

    Yields each key, where its value begins, and None; after it `continue_at` is told where the
    value ended. Where the member is as `usual` finds it, its match comes instead of None, in which
    the groups of the value follow that of the key, and nothing is to be told.
    """

    def __init__(self, text: str, start: int = 0, usual: re.Pattern[str] | None = None) -> None:
        self._text = text
        self._usual = usual
        self._position = self._skip(start)
        # Where the object ends, once it did.
        self.end = -1

    def continue_at(self, position: int) -> None:
        self._position = position

    def __iter__(self) -> Iterator[tuple[str, int, re.Match[str] | None]]:
        text = self._text
        find = None if self._usual is None else self._usual.match
        self._expect("{")
        if text[self._position : self._position + 1] == "}":
            self.end = self._position + 1
            return
        while True:
            match = None if find is None else find(text, self._position)
            if match is not None:
                self._position = match.end()
                yield match[1], match.end(1), match
                continue
            self._expect('"', skip=False)
            try:
                key, self._position = _scan_string(text, self._position, True)
            except ValueError as error:
                raise JsonError(f"is not JSON: {error}") from None
            if not key.isascii():
                _require_text(key)
            self._position = self._skip(self._position)
            self._expect(":")
            yield key, self._position, None
            self._position = self._skip(self._position)
            found = text[self._position : self._position + 1]
            if found == "}":
                self.end = self._position + 1
                return
            self._expect(",")

    def require_end(self) -> None:
        """Refuse what follows the object, space aside."""
        if self._skip(self.end) != len(self._text):
            raise JsonError("is not JSON: something follows the object")

    def _skip(self, position: int) -> int:
        match = _SPACE.match(self._text, position)
        return position if match is None else match.end()

    def _expect(self, character: str, *, skip: bool = True) -> None:
        if self._text[self._position : self._position + 1] != character:
            raise JsonError(f"is not JSON: no {character} at character {self._position}")
        self._position += 1
        if skip:
            self._position = self._skip(self._position)
