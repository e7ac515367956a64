"""`seedbed init`: from a specification to a checkpoint, or to the table that `--dry-run` prints."""

from __future__ import annotations

import contextlib
import os
import time
from argparse import Namespace
from collections.abc import Iterator, Sequence
from typing import Any

import seedbed
from seedbed._checkpoint.directory import (
    Existing,
    Outcome,
    Planned,
    publish_index,
    write_directory,
)
from seedbed._checkpoint.format import SAFETENSORS_DTYPES, HeaderError, Layout, lay_out
from seedbed._checkpoint.publish import WriteError
from seedbed._checkpoint.shards import DEFAULT_SHARD_BYTES, by_count, by_size, file_names
from seedbed._checkpoint.store import directory_of, is_url
from seedbed._checkpoint.writer import DrawError, write_checkpoint
from seedbed._command import terminal
from seedbed._command.laws import law_document
from seedbed._command.usage import UsageError
from seedbed._plan.lint import lint_values
from seedbed._spec.error import Place, SpecError, shortened
from seedbed._spec.model import Specification, TensorSpec
from seedbed._spec.reader import read_specification

# Of what --dry-run --json prints.
SCHEMA = 1

_DIRECTORY_OPTIONS = ("max_shard_size", "shards", "resume", "overwrite", "part", "finish")
# A config.json has some kilobytes.
_MAX_CONFIG_BYTES = 16 << 20


def run(options: Namespace) -> None:
    """Do what the options of `seedbed init` say.

    Raises:
        UsageError: The options make no sense.
        SpecError: The specification is wrong.
        WriteError: The checkpoint could not be written; a file is as it was.
    """
    output: str | None = options.output
    if output is None and not options.dry_run:
        raise UsageError("the following arguments are required: -o/--output (or --dry-run)")
    if options.json and not options.dry_run:
        raise UsageError("--json needs --dry-run")
    is_directory = _is_directory(options)
    if output is not None and not is_directory:
        _require_file_name(output, options.specification)
    specification = read_specification(options.specification)
    layouts = _layouts(specification, options) if is_directory else {"": specification.layout()}
    if not options.quiet:
        for finding in lint_values(specification):
            terminal.say(f"{options.specification}: {finding.level}: {finding.message}")
    if output is None or options.dry_run:
        _show(specification, layouts, options)
        return
    if options.threads is not None:
        seedbed.set_num_threads(options.threads)
    if is_directory:
        _write_directory(output, specification, layouts, options)
    else:
        _write_file(output, specification, layouts[""], options)


def _is_directory(options: Namespace) -> bool:
    """Whether what is to be written is a directory.

    Raises:
        UsageError: It is none, but has options of one.
    """
    output: str | None = options.output
    given = [name for name in _DIRECTORY_OPTIONS if getattr(options, name)]
    if output is None:
        return bool(given)
    if "\0" in output or not output:
        raise UsageError(f"-o/--output must name a file or a directory. Received: {output!r}")
    if _ends_like_directory(output) or (not is_url(output) and os.path.isdir(output)):
        return True
    if given and (output.endswith(".safetensors") or os.path.exists(output)):
        option = f"--{given[0].replace('_', '-')}"
        raise UsageError(f"{option} is for a directory, -o {output} is a file; end it with /")
    return bool(given)


def _ends_like_directory(output: str) -> bool:
    base = output.rpartition("/")[2] if is_url(output) else os.path.basename(output)
    return base in ("", os.curdir, os.pardir)


def _require_file_name(output: str, specification: str) -> None:
    try:
        same = os.path.samefile(specification, output)
    except (OSError, ValueError):
        # One of them does not exist, as is usual for the output.
        same = False
    if same:
        raise UsageError(f"{output}: -o/--output must not be the specification itself")


def _layouts(specification: Specification, options: Namespace) -> dict[str, Layout[TensorSpec]]:
    """Return the files of a directory by their names."""
    tensors = specification.tensors
    groups: Sequence[Sequence[TensorSpec]]
    if options.shards is None:
        groups = by_size(tensors, options.max_shard_size or DEFAULT_SHARD_BYTES)
    elif options.shards > len(tensors):
        raise UsageError(f"--shards must be at most {len(tensors)}, the number of tensors")
    else:
        groups = by_count(tensors, options.shards)
    metadata = specification.metadata()
    layouts = {}
    try:
        for name, group in zip(file_names(len(groups)), groups, strict=True):
            layouts[name] = lay_out(group, metadata)
    except HeaderError as error:
        Place(specification.path, f"`{shortened(error.tensor)}`").fail("name", str(error))
    return layouts


def _write_file(
    output: str, specification: Specification, layout: Layout[TensorSpec], options: Namespace
) -> None:
    started = time.perf_counter()
    shown = terminal.progress(output, specification.nbytes, options.quiet)
    with _drawing(specification), shown as advance:
        write_checkpoint(output, layout, advance, sync=not options.no_fsync)
    if not options.quiet:
        seconds = time.perf_counter() - started
        terminal.say(f"{output}: {_sums(specification)}, {_rate(layout.nbytes, seconds)}")


def _write_directory(
    output: str,
    specification: Specification,
    layouts: dict[str, Layout[TensorSpec]],
    options: Namespace,
) -> None:
    try:
        store = directory_of(output)
    except OSError as error:
        raise WriteError(f"{output}: cannot be written: {error}") from error
    planned = Planned(layouts, specification.digest, _beside(specification))
    sync = not options.no_fsync
    if options.finish:
        # Like a part: not while a run of all shards replaces them.
        with store.claim(shared=True):
            missing = publish_index(store, planned, overwrite=options.overwrite, sync=sync)
        if missing:
            raise WriteError(f"{output}: not finished; missing: {', '.join(missing)}")
        if not options.quiet:
            terminal.say(f"{output}: {_sums(specification)} in {_files(len(layouts))}, all there")
        return
    existing = Existing.REFUSE
    if options.overwrite:
        existing = Existing.OVERWRITE
    elif options.resume:
        existing = Existing.RESUME if options.resume == "full" else Existing.RESUME_QUICKLY
    started = time.perf_counter()
    total = sum(layout.nbytes - len(layout.header) for layout in layouts.values())
    part, parts = options.part or (1, 1)
    # Shares are about equal; the last of a bar may be missing or too much.
    shown = terminal.progress(output, total // parts, options.quiet)
    with _drawing(specification), shown as advance:
        outcome = write_directory(
            store, planned, advance, part=options.part, existing=existing, sync=sync
        )
    if not options.quiet:
        nbytes = sum(layouts[name].nbytes for name in (*outcome.written, *outcome.kept))
        rate = _rate(nbytes, time.perf_counter() - started)
        who = f"{output}:" if options.part is None else f"{output}: part {part} of {parts}:"
        terminal.say(f"{who} {_sums(specification)} in {_files(len(layouts))}; {rate}")
        _say_more(output, outcome, options)


def _say_more(output: str, outcome: Outcome, options: Namespace) -> None:
    if outcome.kept:
        how = "compared" if options.resume == "full" else "not compared"
        terminal.say(f"{output}: kept {_files(len(outcome.kept))}, {how}")
    if options.part is not None and not outcome.written and not outcome.kept:
        terminal.say(f"{output}: no file is left for this part")
    if outcome.missing:
        terminal.say(
            f"{output}: {_files(len(outcome.missing))} of other parts not there yet; the last part "
            f"writes the index, or --finish"
        )


def _beside(specification: Specification) -> dict[str, bytes]:
    """Return the small files that belong beside the shards."""
    path = specification.model
    if path is None:
        return {}
    try:
        with open(path, "rb") as file:
            data = file.read(_MAX_CONFIG_BYTES + 1)
    except OSError as error:
        raise SpecError(f"{path}: cannot be read: {error.strerror or error}") from error
    if len(data) > _MAX_CONFIG_BYTES:
        raise SpecError(f"{path}: is longer than {_MAX_CONFIG_BYTES} bytes")
    return {"config.json": data}


@contextlib.contextmanager
def _drawing(specification: Specification) -> Iterator[None]:
    """Turn what only drawing shows into an error of the specification."""
    try:
        yield
    except DrawError as error:
        Place(specification.path, f"`{shortened(error.tensor)}`").refuse(error.cause)


def _sums(specification: Specification) -> str:
    return f"{len(specification.tensors)} tensors, {specification.elements} parameters"


def _files(count: int) -> str:
    return f"{count} file{'' if count == 1 else 's'}"


def _rate(nbytes: int, seconds: float) -> str:
    return (
        f"{terminal.size(nbytes)} in {seconds:.2f} s "
        f"({terminal.size(nbytes / max(seconds, 1e-9))}/s)"
    )


def _show(
    specification: Specification, layouts: dict[str, Layout[TensorSpec]], options: Namespace
) -> None:
    if options.json:
        terminal.print_json(_document(specification, layouts))
    else:
        _print_table(specification, layouts)


def _print_table(specification: Specification, layouts: dict[str, Layout[TensorSpec]]) -> None:
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
    for name, layout in layouts.items():
        if name:
            terminal.print_line(f"{name}: {len(layout.tensors)} tensors, {layout.nbytes} bytes")
    nbytes = sum(layout.nbytes for layout in layouts.values())
    terminal.print_line(f"{'file' if '' in layouts else 'files'}: {nbytes} bytes; {made}")


def _document(
    specification: Specification, layouts: dict[str, Layout[TensorSpec]]
) -> dict[str, Any]:
    """Return what the table says, for programs."""
    places: dict[str, tuple[int, int]] = {}
    for number, layout in enumerate(layouts.values()):
        offset = len(layout.header)
        for tensor in layout.tensors:
            places[tensor.name] = number, offset
            offset += tensor.nbytes
    return {
        "schema": SCHEMA,
        "specification": specification.path,
        "files": [
            {"name": name or None, "bytes": layout.nbytes, "header_bytes": len(layout.header)}
            for name, layout in layouts.items()
        ],
        "totals": {
            "tensors": len(specification.tensors),
            "parameters": specification.elements,
            "bytes": specification.nbytes,
        },
        "metadata": specification.metadata(),
        "tied": specification.tied,
        "tensors": [
            {
                "name": tensor.name,
                "dtype": SAFETENSORS_DTYPES[tensor.dtype.name],
                "shape": list(tensor.shape),
                "parameters": tensor.elements,
                "bytes": tensor.nbytes,
                "file": places[tensor.name][0],
                "offset": places[tensor.name][1],
                "initializer": type(tensor.entry.template).__name__,
                "zero_row": tensor.entry.zero_row,
                "rule": tensor.rule,
                "expected": law_document(tensor.law()),
            }
            for tensor in specification.tensors
        ],
    }
