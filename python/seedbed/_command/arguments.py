"""What the command takes on its command line."""

from __future__ import annotations

import argparse
import difflib
import re
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn, TypeVar

import seedbed
from seedbed._checkpoint.shards import parse_part, parse_size
from seedbed._escape import escape
from seedbed._spec.identifier import KNOWN_NAMES

# The range of `set_num_threads`.
_MAX_THREADS = 1024
# File names have five digits for it.
_MAX_SHARDS = 99_999

_EXIT_CODES = """exit codes:
  0  done
  1  failed (disk full, unwritable, interrupted); the output is as it was before
  2  wrong usage or specification"""

_FOUND_CODES = """exit codes:
  0  nothing is wrong
  1  {found}
  2  wrong usage, or something cannot be read or is malformed"""

_INIT = """examples:
  seedbed init model.toml -o model.safetensors       one file
  seedbed init model.toml -o model/                  shards of at most 5 GB and an index
  seedbed init model.toml -o model/ --resume         what an interrupted run left undone
  seedbed init model.toml -o model/ --shards 64 --part 3/8
                                                     the third of eight processes
  seedbed init model.toml --dry-run                  the table of tensors"""

_INSPECT = """examples:
  seedbed inspect model.safetensors                  names, shapes, bytes
  seedbed inspect model/ --stats --match "*.bias"    with mean, deviation, range
  seedbed inspect model/ --spec model.toml --lint    whether the values are as expected
  seedbed inspect model/ --json | jq .totals"""

_VERIFY = """examples:
  seedbed verify model.toml model.safetensors        every byte
  seedbed verify model.toml model/ --sample 1        the ends of each tensor and 1 % between"""

_SPEC = """examples:
  seedbed spec model.safetensors.index.json > plan.toml   headers are read, no values
  seedbed spec config.json                                by transformers, without weights
  seedbed spec mypackage.models:build                     a function that returns a torch
                                                          module, a Keras model or a JAX tree
                                                          of shapes; its module is imported"""

_PRESET = """examples:
  seedbed preset                                     names and sources
  seedbed preset llama                               its rules, as a plan has them"""

_SHELLS = ("bash", "zsh", "fish", "tcsh")
_COMPLETION = """examples:
  seedbed completion bash > ~/.local/share/bash-completion/completions/seedbed
  seedbed completion zsh > ~/.zfunc/_seedbed              with ~/.zfunc in fpath
  seedbed completion fish > ~/.config/fish/completions/seedbed.fish
  seedbed completion tcsh > ~/.seedbed.tcsh               with `source` of it in ~/.tcshrc"""

T = TypeVar("T")


class _Parser(argparse.ArgumentParser):
    """argparse's, whose errors repeat what was typed as the terminal can show it."""

    def error(self, message: str) -> NoReturn:
        if sys.stderr is None:
            # It was closed before the start; argparse would use standard output instead.
            self.exit(2)
        super().error(escape(message + self._hint(message)))

    def _hint(self, message: str) -> str:
        """Say which option or subcommand was meant, if one is near to what was typed."""
        known = list(self._option_string_actions)
        for action in self._actions:
            known.extend(map(str, action.choices or ()))
        typed = re.search(r"(?:arguments: |invalid choice: ')([^\s'=]+)", message)
        near = difflib.get_close_matches(typed[1], known, n=1) if typed else []
        return f". Did you mean {near[0]}?" if near and typed and near[0] != typed[1] else ""


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the options that `arguments` (default: the process') stand for.

    `command` is the subcommand, None if there is none and the help was printed instead.

    Raises:
        SystemExit: After printing help, version, or what is wrong with the usage.
    """
    parser, commands = parsers()
    given = sys.argv[1:] if arguments is None else arguments
    # An optional value would take the specification that may follow.
    given = ["--resume-quick" if word == "--resume=quick" else word for word in given]
    options, unknown = parser.parse_known_args(given)
    if unknown:
        # argparse itself would answer with the usage of the whole command.
        commands.get(options.command, parser).error(f"unrecognized arguments: {' '.join(unknown)}")
    if options.command is None:
        parser.print_help()
    return options


def parsers() -> tuple[argparse.ArgumentParser, dict[str, argparse.ArgumentParser]]:
    """Return the command's parser, and those of the subcommands by their names."""
    parser = _Parser(
        prog="seedbed",
        description="Initial values of neural networks at memory speed.",
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"seedbed {seedbed.__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")

    def subcommand(name: str, summary: str, *epilog: str) -> argparse.ArgumentParser:
        return commands.add_parser(
            name,
            help=summary,
            description=f"{summary[0].upper()}{summary[1:]}.",
            epilog="\n\n".join(epilog),
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )

    init = subcommand(
        "init",
        "write every tensor of a specification to a safetensors file or directory",
        _INIT,
        _EXIT_CODES,
        f"initializers: {', '.join(KNOWN_NAMES)}",
    )
    _add_init(init)
    inspect = subcommand(
        "inspect",
        "show what checkpoints hold",
        _INSPECT,
        _FOUND_CODES.format(found="something is wrong with the files or their values"),
    )
    _add_inspect(inspect)
    verify = subcommand(
        "verify",
        "compare a checkpoint with what its specification makes, byte for byte",
        _VERIFY,
        _FOUND_CODES.format(found="the checkpoint differs"),
    )
    _add_verify(verify)
    spec = subcommand(
        "spec",
        "print the names and shapes of a model as a plan that lacks only its rules",
        _SPEC,
        "exit codes: 0 done; 2 the names cannot be known",
    )
    spec.add_argument(
        "source",
        metavar="FROM",
        help="a safetensors file, an index, a directory, a config.json, or MODULE:FUNCTION",
    )
    selfcheck = subcommand(
        "selfcheck",
        "compare the exact streams with the backends that are installed",
        "exit codes: 0 nothing differs; 1 something does; 2 no backend is installed",
    )
    preset = subcommand(
        "preset",
        "print a recipe that plans can name, or list them",
        _PRESET,
        "exit codes: 0 done; 2 there is no such preset",
    )
    preset.add_argument("name", metavar="NAME", nargs="?", help="the preset; without it, all names")
    completion = subcommand(
        "completion",
        "print the script by which a shell completes the words of this command",
        _COMPLETION,
        "exit codes: 0 done; 2 shtab is not installed (pip install 'seedbed[completion]')",
    )
    completion.add_argument("shell", metavar="SHELL", choices=_SHELLS, help=", ".join(_SHELLS))
    return parser, {
        "init": init,
        "inspect": inspect,
        "verify": verify,
        "spec": spec,
        "selfcheck": selfcheck,
        "preset": preset,
        "completion": completion,
    }


def _add_init(init: argparse.ArgumentParser) -> None:
    _add_specification(init)
    init.add_argument(
        "-o",
        "--output",
        metavar="OUT",
        help="the file to write or replace, or, with / at its end, the directory; local, or a URL "
        "that fsspec knows",
    )
    sizes = init.add_mutually_exclusive_group()
    sizes.add_argument(
        "--max-shard-size",
        type=_checked(parse_size),
        metavar="SIZE",
        help="most bytes of tensors in a file of the directory, as 5GB or 500MiB (default: 5GB)",
    )
    sizes.add_argument(
        "--shards",
        type=_count(_MAX_SHARDS),
        metavar="K",
        help="files in the directory, of about equal size",
    )
    existing = init.add_mutually_exclusive_group()
    existing.add_argument(
        "--resume",
        action="store_const",
        const="full",
        help="keep the files of an earlier run that are right, comparing every byte; "
        "--resume=quick looks at lengths and headers only",
    )
    existing.add_argument(
        "--resume-quick", action="store_const", const="quick", dest="resume", help=argparse.SUPPRESS
    )
    existing.add_argument(
        "--overwrite", action="store_true", help="replace the checkpoint in the directory"
    )
    work = init.add_mutually_exclusive_group()
    work.add_argument(
        "--part",
        type=_checked(parse_part),
        metavar="I/N",
        help="write the I-th of N shares of the files; N processes may run at once, anywhere",
    )
    work.add_argument(
        "--finish",
        action="store_true",
        help="write no tensors, only the index, if all parts have written theirs",
    )
    init.add_argument(
        "--no-fsync", action="store_true", help="do not wait until the disk has the data"
    )
    _add_threads(init, "fill")
    init.add_argument(
        "--dry-run", action="store_true", help="print the table of tensors and write nothing"
    )
    init.add_argument("--json", action="store_true", help="with --dry-run: print it as JSON")
    init.add_argument("--quiet", action="store_true", help="say nothing unless something is wrong")


def _add_inspect(inspect: argparse.ArgumentParser) -> None:
    inspect.add_argument(
        "paths", metavar="PATH", nargs="+", help="a safetensors file, an index, or a directory"
    )
    inspect.add_argument("--json", action="store_true", help="print a JSON document")
    inspect.add_argument(
        "--stats",
        action="store_true",
        help="read the values too: mean, deviation, least, greatest, zeros, histogram",
    )
    inspect.add_argument(
        "--sort",
        choices=("name", "size", "offset"),
        default="name",
        help="order of the tensors (default: name)",
    )
    inspect.add_argument(
        "--match",
        action="append",
        metavar="PATTERN",
        help="show only these tensors: *.bias, h.{0,1}.**, re:.*; may be repeated",
    )
    inspect.add_argument(
        "--spec", metavar="SPEC.toml", help="compare statistics with what it expects"
    )
    inspect.add_argument(
        "--lint", action="store_true", help="read the values and report what is wrong with them"
    )
    inspect.add_argument(
        "--deep", action="store_true", help="as --lint, and compare the whole distribution"
    )
    inspect.add_argument("--strict", action="store_true", help="take warnings for errors")
    inspect.add_argument("--no-fold", action="store_true", help="show repeated layers one by one")
    _add_threads(inspect, "read")


def _add_verify(verify: argparse.ArgumentParser) -> None:
    _add_specification(verify)
    verify.add_argument("path", metavar="PATH", help="a safetensors file, an index, or a directory")
    verify.add_argument(
        "--sample",
        type=_checked(_percent),
        metavar="P",
        help="compare the ends of each tensor and P percent of what is between",
    )
    verify.add_argument(
        "--part", type=_checked(parse_part), metavar="I/N", help="the I-th of N shares of the files"
    )
    verify.add_argument(
        "--allow-extra", action="store_true", help="tensors that SPEC.toml lacks are no error"
    )
    verify.add_argument("--json", action="store_true", help="print the findings as JSON")
    _add_threads(verify, "fill")
    verify.add_argument(
        "--quiet", action="store_true", help="say nothing unless something is wrong"
    )


def _add_specification(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "specification", metavar="SPEC.toml", help="the tensors: names, shapes, initializers"
    )


def _add_threads(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument(
        "--threads",
        type=_count(_MAX_THREADS),
        metavar="N",
        help=f"threads that {what} (default: every core)",
    )


def _count(most: int) -> Callable[[str], int]:
    def parse_count(text: str) -> int:
        try:
            count = int(text)
        except ValueError:
            count = 0
        if not 1 <= count <= most:
            raise argparse.ArgumentTypeError(
                f"must be an integer in 1..{most}. Received: {text[:80]}"
            )
        return count

    return parse_count


def _percent(text: str) -> float:
    try:
        percent = float(text.removesuffix("%"))
    except ValueError:
        percent = -1.0
    if not 0 <= percent <= 100:
        raise ValueError(f"must be a percentage in 0..100. Received: {text[:80]}")
    return percent


def _checked(parse_text: Callable[[str], T]) -> Callable[[str], T]:
    """Return `parse_text` as argparse wants it: it forgets what a ValueError says."""

    def parse_or_refuse(text: str) -> T:
        try:
            return parse_text(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return parse_or_refuse
