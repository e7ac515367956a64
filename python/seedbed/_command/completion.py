"""`seedbed completion`: the script by which a shell completes the command's words.

Consumes: shtab, which writes such scripts from argparse's parsers; the scripts need neither it nor
Python.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from typing import Final

from seedbed._command.usage import UsageError
from seedbed._plan import presets

# What stands for a path in usages.
_PATHS: Final = ("SPEC.toml", "OUT", "PATH", "FROM")


def run(options: Namespace, parser: ArgumentParser, commands: Mapping[str, ArgumentParser]) -> None:
    """Do what the options of `seedbed completion` say.

    Args:
        options: The options.
        parser: The command's parser, to be used for nothing else afterwards.
        commands: Those of its subcommands.

    Raises:
        UsageError: shtab is not installed.
    """
    try:
        import shtab
    except ImportError as error:
        raise UsageError("completion needs shtab: pip install 'seedbed[completion]'") from error
    for command in commands.values():
        for action in command._actions:
            if action.metavar in _PATHS:
                action.complete = shtab.FILE  # type: ignore[attr-defined]
    for action in commands["preset"]._actions:
        if action.metavar == "NAME":
            action.choices = presets.names()
    print(shtab.complete(parser, options.shell), flush=True)
