"""What `inspect` and `verify` found: as lines, as JSON, as an exit code."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from seedbed._checkpoint.finding import LEVELS, Finding
from seedbed._command import terminal
from seedbed._command.laws import number

# More lines than this say nothing that JSON does not say better.
_MAX_LINES = 200


def exit_code(findings: Sequence[Finding], *, strict: bool = False) -> int:
    """Return 1 if anything is wrong, else 0."""
    fatal = {"error", "warning"} if strict else {"error"}
    return int(any(finding.level in fatal for finding in findings))


def print_findings(findings: Sequence[Finding]) -> None:
    """Print a line for each finding, the worst first."""
    ordered = sorted(findings, key=lambda finding: LEVELS.index(finding.level))
    for finding in ordered[:_MAX_LINES]:
        level = terminal.paint(finding.level, finding.level)
        terminal.print_line(f"{finding.message}", before=f"{level}: ")
    if len(ordered) > _MAX_LINES:
        terminal.print_line(f"... and {len(ordered) - _MAX_LINES} more; --json has all of them")


def finding_document(finding: Finding) -> dict[str, Any]:
    """Return a finding as JSON has it."""
    allowed = None if finding.allowed is None else [number(bound) for bound in finding.allowed]
    return {
        "id": finding.id,
        "level": finding.level,
        "tensor": finding.tensor,
        "message": finding.message,
        "measured": number(finding.measured),
        "expected": number(finding.expected),
        "allowed": allowed,
        "n": finding.n,
    }
