"""What the command shows: lines, tables and progress.

What: results go to standard output, everything else to standard error.
Method: a bar of rich's on a terminal, plain lines elsewhere.
Consumes: rich, only for a bar: importing it takes longer than writing a small model does.
Promises: whatever a name or a path contains, and whatever the encoding, it is shown on one line,
without control characters, and fails nothing.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, TextIO

from seedbed._escape import escape

if TYPE_CHECKING:
    from rich.progress import ProgressColumn

# Plain progress lines are at least this far apart, in seconds and in parts of the whole.
_LINE_SECONDS = 1.0
_LINE_PARTS = 20
# The least that a bar has of a narrow terminal, before the name is given any.
_BAR_WIDTH = 10
# A longer cell of a table is cut: every row would be padded to it.
_MAX_CELL = 500
# What terminals call them (ECMA-48, select graphic rendition).
_STYLES: Final = {"error": "31", "warning": "33", "note": "2", "bold": "1"}


def say(line: str) -> None:
    """Print `line` on standard error."""
    if sys.stderr is None:
        # It was closed before the start; `print` would take standard output instead.
        return
    # A closed or broken standard error must not turn a finished checkpoint into a failure.
    with contextlib.suppress(OSError, ValueError):
        print(_shown(line, sys.stderr), file=sys.stderr, flush=True)


def print_line(line: str, *, before: str = "") -> None:
    """Print `line` on standard output, and `before` it what is painted."""
    print(f"{before}{_shown(line, sys.stdout)}", flush=True)


def print_json(document: Any) -> None:
    """Print `document` on standard output as JSON, whatever the encoding; no NaN is left in it."""
    json.dump(document, sys.stdout, allow_nan=False, indent=None)
    print(flush=True)


def paint(text: str, style: str) -> str:
    """Return `text` in a style where standard output is a terminal that shows any."""
    plain = "NO_COLOR" in os.environ and os.environ["NO_COLOR"] != ""
    if plain or os.environ.get("TERM") == "dumb" or sys.stdout is None or not sys.stdout.isatty():
        return text
    return f"\x1b[{_STYLES[style]}m{text}\x1b[0m"


def can_show(text: str) -> bool:
    """Whether standard output can show `text` as it is."""
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


def print_table(rows: Sequence[Sequence[str]], numbers_from: int) -> None:
    """Print `rows` on standard output, aligned; numbers, which align right, end each row."""
    shown = [[_shown(_cut(cell), sys.stdout) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    for row in shown:
        cells = [
            cell.rjust(width) if column >= numbers_from else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        print("  ".join(cells).rstrip())


def size(count: float) -> str:
    """Return a count of bytes for people: 3.1 GB."""
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if count < 1000 or unit == "TB":
            break
        count /= 1000
    return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"


@contextlib.contextmanager
def progress(output: str, total: int, quiet: bool) -> Iterator[Callable[[int], None]]:
    """Give a function that shows progress, to be called with the bytes written since last time."""
    if quiet or sys.stderr is None:
        yield lambda count: None
    elif sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import Progress

        with Progress(*_columns(), console=Console(stderr=True), expand=True) as bar:
            task = bar.add_task(escape(os.path.basename(output)), total=total)
            yield lambda count: bar.advance(task, count)
    else:
        yield PlainProgress(output, total)


class PlainProgress:
    """Progress as lines of text, few enough for a log."""

    def __init__(self, output: str, total: int) -> None:
        self._output = output
        self._total = total
        self._written = self._shown = 0
        self._started = self._last = time.monotonic()

    def __call__(self, count: int) -> None:
        self._written += count
        now = time.monotonic()
        enough = (self._written - self._shown) * _LINE_PARTS >= self._total
        if now - self._last < _LINE_SECONDS or not enough or self._written >= self._total:
            return
        rate = self._written / (now - self._started)
        left = (self._total - self._written) / rate
        say(
            f"{self._output}: {100 * self._written // self._total}%, {size(self._written)} of "
            f"{size(self._total)}, {size(rate)}/s, {left:.0f} s left"
        )
        self._last, self._shown = now, self._written


def _columns() -> list[ProgressColumn]:
    """Return what a bar shows: itself first, then numbers, and of the name what still fits."""
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )
    from rich.table import Column

    return [
        BarColumn(bar_width=None, table_column=Column(ratio=1, min_width=_BAR_WIDTH)),
        DownloadColumn(table_column=Column(no_wrap=True)),
        TransferSpeedColumn(table_column=Column(no_wrap=True)),
        TimeRemainingColumn(table_column=Column(no_wrap=True)),
        TextColumn(
            "{task.description}",
            markup=False,
            table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis"),
        ),
    ]


def _cut(cell: str) -> str:
    return cell if len(cell) <= _MAX_CELL else f"{cell[: _MAX_CELL - 3]}..."


def _shown(text: str, stream: TextIO | None) -> str:
    """Return `text` as `stream` can show it, whatever its encoding."""
    if text.isascii() and text.isprintable():
        # Most is, and a table has many cells.
        return text
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return escape(text).encode(encoding, "backslashreplace").decode(encoding)
