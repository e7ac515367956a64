"""`seedbed init`: from a specification to a checkpoint, or to the table that `--dry-run` prints."""

from __future__ import annotations

import os
import time
from argparse import Namespace

import seedbed
from seedbed._checkpoint.format import Layout
from seedbed._checkpoint.writer import DrawError, write_checkpoint
from seedbed._command import terminal
from seedbed._spec.error import Place, shortened
from seedbed._spec.model import Specification, TensorSpec
from seedbed._spec.reader import read_specification


class UsageError(ValueError):
    """The options contradict each other or name what cannot be written."""


def run(options: Namespace) -> None:
    """Do what the options of `seedbed init` say.

    Raises:
        UsageError: The options make no sense.
        SpecError: The specification is wrong.
        WriteError: The file could not be written; it is as it was.
    """
    output: str | None = options.output
    if output is None:
        if not options.dry_run:
            raise UsageError("the following arguments are required: -o/--output (or --dry-run)")
    else:
        _require_file_name(output, options.specification)
    specification = read_specification(options.specification)
    layout = specification.layout()
    if output is None or options.dry_run:
        _print_table(specification, layout)
        return
    if options.threads is not None:
        seedbed.set_num_threads(options.threads)
    started = time.perf_counter()
    try:
        with terminal.progress(output, specification.nbytes, options.quiet) as advance:
            write_checkpoint(output, layout, advance)
    except DrawError as error:
        # What only drawing shows; everything else was refused when the specification was read.
        Place(specification.path, f"`{shortened(error.tensor)}`").refuse(error.cause)
    if not options.quiet:
        seconds = time.perf_counter() - started
        terminal.say(
            f"{output}: {len(specification.tensors)} tensors, {specification.elements} parameters, "
            f"{terminal.size(layout.nbytes)} in {seconds:.2f} s "
            f"({terminal.size(layout.nbytes / seconds)}/s)"
        )


def _require_file_name(output: str, specification: str) -> None:
    if "\0" in output or not output:
        raise UsageError(f"-o/--output must name a file. Received: {output!r}")
    if os.path.basename(output) in ("", os.curdir, os.pardir):
        raise UsageError(
            f"-o/--output must name a file; checkpoints of several files in a directory are not "
            f"supported yet. Received: {output!r}"
        )
    try:
        same = os.path.samefile(specification, output)
    except (OSError, ValueError):
        # One of them does not exist, as is usual for the output.
        same = False
    if same:
        raise UsageError(f"{output}: -o/--output must not be the specification itself")


def _print_table(specification: Specification, layout: Layout[TensorSpec]) -> None:
    """Print a line a tensor, in the order of the specification, then the sums."""
    rows = [
        (
            tensor.name,
            tensor.init_name,
            str(tensor.dtype),
            "x".join(map(str, tensor.shape)) or "scalar",
            str(tensor.elements),
            str(tensor.nbytes),
        )
        for tensor in specification.tensors
    ]
    header = ("tensor", "initializer", "dtype", "shape", "parameters", "bytes")
    count = len(specification.tensors)
    sums = (f"{count} tensors", "", "", "", str(specification.elements), str(specification.nbytes))
    made = ", ".join(f"{key} {value}" for key, value in specification.metadata().items())
    terminal.print_table([header, *rows, sums], numbers_from=3)
    terminal.print_line(f"file: {layout.nbytes} bytes; {made}")
