"""What is wrong with a checkpoint, and how bad it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Level = Literal["error", "warning", "note"]

LEVELS: Final[tuple[Level, ...]] = ("error", "warning", "note")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        id: A word for it, for programs.
        level: Errors make the command fail, warnings do with --strict.
        message: A line for people, with everything in it.
        tensor: The tensor that it is about, None where it is about the files.
        measured: What was measured, where a number was.
        expected: What was expected of it.
        allowed: From where to where it may be.
        n: How many values were measured.
    """

    id: str
    level: Level
    message: str
    tensor: str | None = None
    measured: float | None = None
    expected: float | None = None
    allowed: tuple[float | None, float | None] | None = None
    n: int | None = None
