"""What the command takes on its command line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import NoReturn

import seedbed
from seedbed._escape import escape
from seedbed._spec.identifier import KNOWN_NAMES

# The range of `set_num_threads`.
_MAX_THREADS = 1024

_EXIT_CODES = """exit codes:
  0  done
  1  failed (disk full, unwritable, interrupted); the output is as it was before
  2  wrong usage or specification"""


class _Parser(argparse.ArgumentParser):
    """argparse's, whose errors repeat what was typed as the terminal can show it."""

    def error(self, message: str) -> NoReturn:
        if sys.stderr is None:
            # It was closed before the start; argparse would use standard output instead.
            self.exit(2)
        super().error(escape(message))


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the options that `arguments` (default: the process') stand for.

    `command` is the subcommand, None if there is none and the help was printed instead.

    Raises:
        SystemExit: After printing help, version, or what is wrong with the usage.
    """
    parser, commands = _parsers()
    options, unknown = parser.parse_known_args(arguments)
    if unknown:
        # argparse itself would answer with the usage of the whole command.
        commands.get(options.command, parser).error(f"unrecognized arguments: {' '.join(unknown)}")
    if options.command is None:
        parser.print_help()
    return options


def _parsers() -> tuple[_Parser, dict[str, argparse.ArgumentParser]]:
    """Return the command's parser, and those of the subcommands by their names."""
    parser = _Parser(
        prog="seedbed",
        description="Initial values of neural networks at memory speed.",
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"seedbed {seedbed.__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    init = commands.add_parser(
        "init",
        help="write every tensor of a specification to a safetensors file",
        description="Write every tensor of the specification SPEC.toml to a safetensors file.",
        epilog=f"{_EXIT_CODES}\n\ninitializers: {', '.join(KNOWN_NAMES)}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    init.add_argument(
        "specification", metavar="SPEC.toml", help="the tensors: names, shapes, initializers"
    )
    init.add_argument(
        "-o", "--output", metavar="OUT.safetensors", help="the file to write or replace"
    )
    init.add_argument(
        "--threads", type=_threads, metavar="N", help="threads that fill (default: every core)"
    )
    init.add_argument(
        "--dry-run", action="store_true", help="print the table of tensors and write nothing"
    )
    init.add_argument("--quiet", action="store_true", help="say nothing unless something is wrong")
    selfcheck = commands.add_parser(
        "selfcheck",
        help="compare the exact streams with the backends that are installed",
        description="Compare the exact streams with the backends that are installed.",
        epilog="exit codes: 0 nothing differs; 1 something does; 2 no backend is installed",
    )
    preset = commands.add_parser(
        "preset",
        help="print a recipe that plans can name, or list them",
        description="Print a recipe that plans can name, or list them.",
        epilog="exit codes: 0 done; 2 there is no such preset",
    )
    preset.add_argument("name", metavar="NAME", nargs="?", help="the preset; without it, all names")
    return parser, {"init": init, "selfcheck": selfcheck, "preset": preset}


def _threads(text: str) -> int:
    try:
        count = int(text)
    except ValueError:
        count = 0
    if not 1 <= count <= _MAX_THREADS:
        raise argparse.ArgumentTypeError(
            f"must be an integer in 1..{_MAX_THREADS}. Received: {text[:80]}"
        )
    return count
