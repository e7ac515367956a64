"""The command `seedbed`: write a model's initial values from a specification.

What: `main` parses the arguments, runs one subcommand and returns the exit code.
Method: argparse; `_spec` reads, `_checkpoint` writes, this file only talks to the person.
Consumes: nothing at import beyond the standard library and seedbed; rich only for a progress bar on
a terminal.
Promises: exit code 0 when done, 1 when the work failed or was interrupted, 2 when the arguments or
the specification are wrong (or the environment: `_refusal` says so before this file is imported);
one line on standard error says why, never a traceback. Standard output carries only what was asked
for (the table of `--dry-run`, help, the version).
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from types import FrameType

import seedbed
from seedbed._checkpoint.format import Layout
from seedbed._checkpoint.publish import WriteError
from seedbed._checkpoint.writer import write_checkpoint
from seedbed._spec import SpecError, Specification, TensorSpec, read_specification

DONE, FAILED, WRONG = 0, 1, 2

# Plain progress lines are at least this far apart, in seconds and in parts of the whole.
_LINE_SECONDS = 1.0
_LINE_PARTS = 20

_EPILOG = """exit codes:
  0  done
  1  failed (disk full, unwritable, interrupted); the output is as it was before
  2  wrong usage or specification"""


class Interrupted(KeyboardInterrupt):
    """A signal asked the command to end."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command with `arguments` (default: the process') and return its exit code."""
    parser = _parser()
    try:
        options = parser.parse_args(arguments)
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else WRONG
    if options.command is None:
        parser.print_help(sys.stderr)
        return WRONG
    subject = getattr(options, "output", None) or getattr(options, "specification", "selfcheck")
    try:
        with _signals():
            if options.command == "selfcheck":
                return DONE if seedbed.selfcheck() else FAILED
            return _init(options)
    except SpecError as error:
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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="seedbed",
        description="Initial values of neural networks at memory speed.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"seedbed {seedbed.__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    init = commands.add_parser(
        "init",
        help="write every tensor of a specification to a safetensors file",
        description="Write every tensor of the specification SPEC.toml to a safetensors file.",
        epilog=_EPILOG,
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
    commands.add_parser(
        "selfcheck",
        help="compare the exact streams with the backends that are installed",
        description="Compare the exact streams with the backends that are installed.",
        epilog="exit codes: 0 nothing differs; 1 something does",
    )
    return parser


def _threads(text: str) -> int:
    try:
        count = int(text)
    except ValueError:
        count = 0
    # The range of `set_num_threads`.
    if not 1 <= count <= 1024:
        raise argparse.ArgumentTypeError(f"must be an integer in 1..1024. Received: {text[:80]}")
    return count


def _init(options: argparse.Namespace) -> int:
    output: str | None = options.output
    if output is None and not options.dry_run:
        return _complain("the following arguments are required: -o/--output (or --dry-run)", WRONG)
    if output is not None and ("\0" in output or not output):
        return _complain(f"-o/--output must name a file. Received: {output!r}", WRONG)
    with contextlib.suppress(OSError, ValueError):
        if output is not None and os.path.samefile(options.specification, output):
            return _complain(f"{output}: -o/--output must not be the specification itself", WRONG)
    specification = read_specification(options.specification)
    layout = specification.layout()
    if output is None or options.dry_run:
        _print_table(specification, layout)
        return DONE
    if options.threads is not None:
        seedbed.set_num_threads(options.threads)
    started = time.perf_counter()
    total = specification.nbytes
    with _progress(output, total, options.quiet) as advance:
        write_checkpoint(output, layout, advance)
    if not options.quiet:
        seconds = time.perf_counter() - started
        _say(
            f"{output}: {len(specification.tensors)} tensors, {specification.elements} parameters, "
            f"{_bytes(layout.nbytes)} in {seconds:.2f} s ({_bytes(layout.nbytes / seconds)}/s)"
        )
    return DONE


def _print_table(specification: Specification, layout: Layout[TensorSpec]) -> None:
    """Print a line a tensor, then the sums."""
    rows = [
        (
            t.name,
            t.init_name,
            str(t.dtype),
            "x".join(map(str, t.shape)) or "scalar",
            str(t.elements),
            str(t.nbytes),
        )
        for t in specification.tensors
    ]
    header = ("tensor", "initializer", "dtype", "shape", "parameters", "bytes")
    count = len(specification.tensors)
    sums = (f"{count} tensors", "", "", "", str(specification.elements), str(specification.nbytes))
    widths = [max(map(len, column)) for column in zip(header, *rows, sums, strict=True)]
    for row in (header, *rows, sums):
        cells = [
            cell.rjust(width) if column > 2 else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        print("  ".join(cells))
    made = ", ".join(f"{key} {value}" for key, value in specification.metadata().items())
    print(f"file: {layout.nbytes} bytes; {made}", flush=True)


@contextlib.contextmanager
def _progress(output: str, total: int, quiet: bool) -> Iterator[Callable[[int], None]]:
    """Lend a function that shows progress, given the bytes written since its last call."""
    if quiet:
        yield lambda count: None
    elif sys.stderr.isatty():
        # Imported here: it takes longer than writing a small model does.
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )

        with Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        ) as bar:
            task = bar.add_task(os.path.basename(output), total=total)
            yield lambda count: bar.advance(task, count)
    else:
        yield _PlainProgress(output, total)


class _PlainProgress:
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
        _say(
            f"{self._output}: {100 * self._written // self._total}%, {_bytes(self._written)} of "
            f"{_bytes(self._total)}, {_bytes(rate)}/s, {left:.0f} s left"
        )
        self._last, self._shown = now, self._written


@contextlib.contextmanager
def _signals() -> Iterator[None]:
    """Turn the first SIGINT, SIGTERM or SIGHUP into `Interrupted`; ignore those that follow."""
    if threading.current_thread() is not threading.main_thread():
        # Only the main thread may set handlers, and only it receives signals.
        yield
        return
    raised = False

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal raised
        if not raised:
            raised = True
            raise Interrupted(signal.Signals(number).name)

    names = [name for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    previous = {}
    for name in names:
        number = signal.Signals[name]
        # A signal that our parent told us to ignore (nohup) stays ignored; None is a handler not
        # set by Python.
        if signal.getsignal(number) not in (signal.SIG_IGN, None):
            previous[number] = signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _bytes(count: float) -> str:
    """Return a count of bytes for people: 3.1 GB."""
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if count < 1000 or unit == "TB":
            break
        count /= 1000
    return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"


def _complain(message: str, code: int) -> int:
    _say(f"seedbed: error: {message}")
    return code


def _say(line: str) -> None:
    # A closed or broken standard error must not turn a finished checkpoint into a failure.
    with contextlib.suppress(OSError, ValueError):
        print(line, file=sys.stderr, flush=True)
