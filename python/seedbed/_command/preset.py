"""`seedbed preset`: the recipes that plans can name, as the files that they are."""

from __future__ import annotations

from argparse import Namespace

from seedbed._command import terminal
from seedbed._command.usage import UsageError
from seedbed._plan import presets
from seedbed._spec.error import show


def run(options: Namespace) -> None:
    """Do what the options of `seedbed preset` say.

    Raises:
        UsageError: There is no such preset.
    """
    name: str | None = options.name
    if name is None:
        terminal.print_table(
            [(name, presets.load(name).source) for name in presets.names()], numbers_from=2
        )
        return
    if name not in presets.names():
        known = ", ".join(presets.names())
        raise UsageError(f"NAME must be one of {known}. Received: {show(name)}")
    for line in presets.load(name).text.splitlines():
        terminal.print_line(line)
