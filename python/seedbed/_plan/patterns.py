"""Patterns over the names of tensors.

What: `Pattern(text).match(name)` says whether a name fits, and what its placeholders stand for.
Method: `.` and `/` in a name are the same separator, and what is between them is a segment.

    *  ?  [a-z]  [!a]   stay inside a segment
    **                  any characters, separators too
    {a,b}               alternatives, taken literally
    {layer}             one decimal number, all its digits, which the variable stands for

A pattern reaches to the end of the name and may begin at any segment; a leading `/` makes it begin
where the name does. `re:` comes before a Python regular expression that fits the whole name and
whose named groups are the variables. Alternatives are multiplied out, so that what is left between
two stars has the earliest place that fits as the best one: each is tried once, as in `fnmatch`.
Consumes: patterns of at most `MAX_LENGTH` characters and `MAX_ALTERNATIVES` alternatives.
Promises: apart from `re:`, time that grows no faster than the square of the name's length.
"""

from __future__ import annotations

import itertools
import re
import warnings
from collections.abc import Iterator
from typing import Final, NamedTuple

MAX_LENGTH: Final = 1000
MAX_ALTERNATIVES: Final = 1000
REGULAR: Final = "re:"
# Digits of a placeholder; more would not be exact as a number of float64.
_MAX_DIGITS: Final = 15

_NUMERAL: Final = re.compile(f"[0-9]{{1,{_MAX_DIGITS}}}")
_BRACES: Final = re.compile(r"\{([^{}]*)\}")
_NUMBER: Final = rf"((?<![0-9])[0-9]{{1,{_MAX_DIGITS}}}(?![0-9]))"
_ANY: Final = "[^.]"
_STAR: Final = "[^.]*"
_IDENTIFIER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class PatternError(ValueError):
    """The text is no pattern; says why in words that follow its key."""


class Match(NamedTuple):
    """How a name fits a pattern."""

    variables: dict[str, int]
    """What the placeholders stand for."""

    start: int
    """Where in the name the pattern begins."""


class Form(NamedTuple):
    """One choice of the alternatives of a pattern.

    Attributes:
        literal: What is in every name that fits, with `.` for separators.
        tail: What every such name ends with.
        regular: The regular expression.
        separators: How many there are in what fits, None where `**` makes that unknown.
        is_anchored: Whether it begins where the name does.
        is_regular: Whether it was written as a regular expression, which is for the name as it is.
    """

    literal: str
    tail: str
    regular: re.Pattern[str]
    separators: int | None
    is_anchored: bool
    is_regular: bool = False

    def match(self, name: str, normal: str) -> tuple[int, tuple[str, ...]] | None:
        """Return where in `name` the form begins, and the texts of the placeholders."""
        if self.separators is None:
            if self.is_regular:
                found = self.regular.fullmatch(name)
                return None if found is None else (0, found.groups())
            found = self.regular.fullmatch(normal)
            return None if found is None else (found.end(1), found.groups()[1:])
        start = len(normal)
        for _ in range(self.separators + 1):
            start = normal.rfind(".", 0, start)
            if start < 0:
                break
        if self.is_anchored and start >= 0:
            return None
        found = self.regular.fullmatch(normal, start + 1)
        return None if found is None else (start + 1, found.groups())


class Pattern:
    """A pattern, ready to be tried on many names.

    Args:
        text: The pattern.

    Attributes:
        text: The pattern, as given.
        variables: The names of its placeholders.
        forms: What its alternatives come to.

    Raises:
        PatternError: `text` is no pattern.
    """

    __slots__ = ("_groups", "forms", "text", "variables")

    def __init__(self, text: str) -> None:
        if not text:
            raise PatternError("must not be empty")
        if len(text) > MAX_LENGTH:
            raise PatternError(f"must be at most {MAX_LENGTH} characters long")
        self.text = text
        self._groups: tuple[int, ...]
        if text.startswith(REGULAR):
            regular = _compiled(text.removeprefix(REGULAR))
            self.forms = [Form("", "", regular, None, False, True)]
            self.variables = tuple(regular.groupindex)
            self._groups = tuple(number - 1 for number in regular.groupindex.values())
        else:
            self.forms, self.variables = _glob(text)
            self._groups = tuple(range(len(self.variables)))

    def __repr__(self) -> str:
        return f"Pattern({self.text!r})"

    def match(self, name: str) -> Match | None:
        """Return how `name` fits, None if it does not."""
        normal = normalized(name)
        for form in self.forms:
            if form.literal in normal and (found := self.match_form(form, name, normal)):
                return found
        return None

    def match_form(self, form: Form, name: str, normal: str) -> Match | None:
        """Return how `name` fits one of the forms; `normal` is `normalized(name)`."""
        found = form.match(name, normal)
        if found is None:
            return None
        start, texts = found
        variables = {}
        for variable, group in zip(self.variables, self._groups, strict=True):
            text = texts[group]
            # Those of a regular expression may be anything, or missing.
            if not form.is_regular or (text is not None and _NUMERAL.fullmatch(text)):
                variables[variable] = int(text)
        return Match(variables, start)


def normalized(name: str) -> str:
    """Return `name` with one kind of separator, which changes no position in it."""
    return name.replace("/", ".")


def is_identifier(text: str) -> bool:
    """Return whether `text` can name a variable."""
    return _IDENTIFIER.fullmatch(text) is not None


def expand(text: str) -> list[list[str]]:
    """Return what each part of a name template may be: `["h.", "{layer}", ".", "a", ...]`.

    Parts alternate between plain text, of one choice, and braces, of one placeholder or of
    alternatives.

    Raises:
        PatternError: A brace has no partner, or its inside is neither.
    """
    parts = _BRACES.split(text)
    for plain in parts[::2]:
        if "{" in plain or "}" in plain:
            raise PatternError("has a brace without its partner")
    choices = []
    for number, part in enumerate(parts):
        if number % 2 == 0:
            choices.append([part])
        elif "," in part:
            choices.append(part.split(","))
        elif is_identifier(part):
            choices.append([f"{{{part}}}"])
        else:
            raise PatternError(
                f"has {{{part}}}, which is neither alternatives with a comma nor a variable"
            )
    return choices


def _glob(text: str) -> tuple[list[Form], tuple[str, ...]]:
    anchored = text.startswith("/")
    # A class may hold braces and commas, and alternatives no wildcards: classes come first.
    classes: list[str] = []
    choices = expand(_without_classes(normalized(text[anchored:]), classes))
    variables = tuple(choice[0][1:-1] for choice in choices[1::2] if choice[0][:1] == "{")
    if len(set(variables)) != len(variables):
        raise PatternError("has a variable twice")
    count = 1
    for choice in choices[1::2]:
        if any(set(form) & set("*?\0") for form in choice):
            raise PatternError("has a wildcard in braces, where alternatives are taken literally")
        count *= len(choice)
        if count > MAX_ALTERNATIVES:
            raise PatternError(f"has more than {MAX_ALTERNATIVES} combinations of alternatives")
    forms = ["".join(parts) for parts in itertools.product(*choices)]
    return [_form(form, classes, anchored) for form in dict.fromkeys(forms)], variables


def _without_classes(text: str, classes: list[str]) -> str:
    """Return `text` with NUL for each `[...]`, whose regular expressions go to `classes`."""
    if "\0" in text:
        raise PatternError("must not have control characters")
    kept = ""
    while (begin := text.find("[")) >= 0:
        # A bracket that comes first is one of the characters.
        first = begin + (3 if text[begin + 1 : begin + 2] == "!" else 2)
        end = text.find("]", first)
        if end < 0:
            raise PatternError("has a bracket without its partner")
        classes.append(_class(text[begin + 1 : end]))
        kept += text[:begin] + "\0"
        text = text[end + 1 :]
    return kept + text


def _class(inside: str) -> str:
    negated = inside.startswith("!")
    characters = inside[negated:]
    made = ""
    position = 0
    while position < len(characters):
        low = characters[position]
        if characters[position + 1 : position + 2] == "-" and position + 2 < len(characters):
            high = characters[position + 2]
            if high < low:
                raise PatternError(f"has the range {low}-{high}, which is empty")
            made += f"{re.escape(low)}-{re.escape(high)}"
            position += 3
        else:
            made += re.escape(low)
            position += 1
    return rf"(?!\.)[{'^' if negated else ''}{made}]"


def _form(text: str, classes: list[str], is_anchored: bool) -> Form:
    """Return the form of a pattern without alternatives, each class of which is a NUL."""
    tail = text[max(text.rfind(character) for character in "*?\0}") + 1 :]
    literal = max(re.split(r"\*|\?|\0|\{[^{}]*\}", text), key=len)
    left = iter(classes)
    groups = [[_fixed(piece, left) for piece in group.split("*")] for group in text.split("**")]
    if len(groups) == 1:
        regular = re.compile(_to_the_end(groups[0]), re.DOTALL)
        return Form(literal, tail, regular, text.count("."), is_anchored)
    first, *middle, last = groups
    made = "()" if is_anchored else r"((?:.*?\.)??)"
    made = f"(?>{made}{_earliest(first)})"
    made += "".join(f"(?>.*?{_earliest(group)})" for group in middle)
    regular = re.compile(f"{made}.*{_to_the_end(last)}", re.DOTALL)
    return Form(literal, tail, regular, None, is_anchored)


def _earliest(pieces: list[str]) -> str:
    """A regular expression for pieces with a star between each two, as early as they fit."""
    return pieces[0] + "".join(f"(?>{_STAR}?{piece})" for piece in pieces[1:])


def _to_the_end(pieces: list[str]) -> str:
    """The same for the last pieces of a pattern, of which the last must end where the name does."""
    if len(pieces) == 1:
        return pieces[0]
    return f"{_earliest(pieces[:-1])}{_STAR}{pieces[-1]}"


def _fixed(piece: str, classes: Iterator[str]) -> str:
    """A regular expression for a piece without stars; takes the classes of its NULs."""
    made = ""
    for number, part in enumerate(_BRACES.split(piece)):
        if number % 2:
            made += _NUMBER
            continue
        for character in part:
            if character == "\0":
                made += next(classes)
            else:
                made += _ANY if character == "?" else re.escape(character)
    return made


def _compiled(text: str) -> re.Pattern[str]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return re.compile(text)
    except (re.error, RecursionError, OverflowError, MemoryError) as error:
        raise PatternError(f"is no regular expression: {error}") from error
