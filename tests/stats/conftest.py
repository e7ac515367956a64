"""Collects the verdicts, and prints them as a table where SEEDBED_STATS asks for a form."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

# Before NumPy is imported: the products here are of small matrices, for which threads of its BLAS
# wait for each other, on a busy machine for ten times as long as they work.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import pytest

import sizes

if TYPE_CHECKING:
    # Imports SciPy, which sets filters of warnings when it is imported: here, for all tests.
    from verdict import Result


@dataclass(frozen=True)
class Row:
    """One hypothesis and what became of it."""

    what: str
    result: Result
    is_control: bool
    seconds: float

    @property
    def verdict(self) -> str:
        if self.is_control:
            return "passes, WRONGLY" if self.result.is_good else "fails, as it must"
        return "passes" if self.result.is_good else "FAILS"


ROWS: list[Row] = []

Judge = Callable[[str, "Result"], None]


@pytest.fixture
def judge() -> Iterator[Judge]:
    """Takes what a test found of seedbed, which must be good."""
    yield from _judge(is_control=False)


@pytest.fixture
def judge_control() -> Iterator[Judge]:
    """Takes what a test found of a generator known to be bad, which must not pass."""
    yield from _judge(is_control=True)


def _judge(is_control: bool) -> Iterator[Judge]:
    start = time.perf_counter()

    def judge(what: str, result: Result) -> None:
        row = Row(what, result, is_control, time.perf_counter() - start)
        ROWS.append(row)
        p = "" if result.p is None else f", p = {result.p:.3g}"
        assert result.is_good != is_control, f"{what}: {row.verdict}: {result.found}{p}"

    yield judge


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not ROWS or not os.environ.get("SEEDBED_STATS"):
        return
    heads = ("what", "statistic", "p", "level", "verdict", "s")
    table = [heads] + [
        (
            f"control: {row.what}" if row.is_control else row.what,
            row.result.found,
            "" if row.result.p is None else f"{row.result.p:.2g}",
            row.result.level,
            row.verdict,
            f"{row.seconds:.1f}",
        )
        for row in ROWS
    ]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    terminalreporter.section(f"statistics, {sizes.FORM} form")
    for line in table:
        told = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        terminalreporter.write_line("| " + " | ".join(told) + " |")
        if line is heads:
            terminalreporter.write_line("|" + "|".join("-" * (width + 2) for width in widths) + "|")
