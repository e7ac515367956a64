"""The command `seedbed`, from its arguments to its exit code.

What: `main` runs one subcommand and returns the exit code.
Consumes: nothing at import beyond the standard library and seedbed.
Promises: exit code 0 when done, 1 when the work failed, was interrupted or found something wrong, 2
when the arguments, the specification or the checkpoint that is read are wrong (or the environment:
`_refusal` says so before this file is imported); one line on standard error says why, never a
traceback. Standard output carries only what was asked for (tables, findings, JSON, help, the
version).
"""

from __future__ import annotations

import contextlib
import os
import sys
from argparse import Namespace
from collections.abc import Sequence

import seedbed
from seedbed._checkpoint.publish import WriteError
from seedbed._checkpoint.reader import ReadError
from seedbed._command import arguments as command_line
from seedbed._command import completion, init, inspect, preset, spec, verify
from seedbed._command.interruption import Interrupted, interruptible
from seedbed._command.terminal import say
from seedbed._command.usage import UsageError
from seedbed._spec.error import SpecError

DONE, FAILED, WRONG = 0, 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command with `arguments` (default: the process') and return its exit code."""
    try:
        options = command_line.parse(arguments)
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else WRONG
    subject = _subject(options)
    try:
        with interruptible():
            match options.command:
                case "init":
                    init.run(options)
                case "inspect":
                    return inspect.run(options)
                case "verify":
                    return verify.run(options)
                case "preset":
                    preset.run(options)
                case "spec":
                    spec.run(options)
                case "completion":
                    completion.run(options, *command_line.parsers())
                case "selfcheck":
                    return _selfcheck()
        return DONE
    except (UsageError, SpecError, ReadError) as error:
        return _complain(str(error), WRONG)
    except WriteError as error:
        return _complain(str(error), FAILED)
    except Interrupted as error:
        return _complain(f"{subject}: interrupted by {error}", FAILED)
    except KeyboardInterrupt:
        return _complain(f"{subject}: interrupted", FAILED)
    except BrokenPipeError:
        # Whoever read our output is gone; keep the interpreter from failing again when it flushes.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except (OSError, MemoryError, RuntimeError) as error:
        reason = "out of memory" if isinstance(error, MemoryError) else str(error)
        return _complain(f"{subject}: {reason}", FAILED)


def _subject(options: Namespace) -> str:
    """Return what the work is about, for messages."""
    for name in ("output", "path", "specification"):
        if value := getattr(options, name, None):
            return str(value)
    return str(getattr(options, "paths", [options.command])[0])


def _selfcheck() -> int:
    same = seedbed.selfcheck()
    if same is None:
        return WRONG
    return DONE if same else FAILED


def _complain(message: str, code: int) -> int:
    say(f"seedbed: error: {message}")
    return code
