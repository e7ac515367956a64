"""`seedbed verify`: whether a checkpoint is what its specification makes, byte for byte."""

from __future__ import annotations

import difflib
import time
from argparse import Namespace
from collections.abc import Callable, Sequence

import seedbed
from seedbed._checkpoint.compare import Difference, differences
from seedbed._checkpoint.finding import Finding, Level
from seedbed._checkpoint.format import SAFETENSORS_DTYPES
from seedbed._checkpoint.pieces import Placed
from seedbed._checkpoint.reader import Checkpoint, ReadError, Stored, open_checkpoint
from seedbed._checkpoint.shards import share
from seedbed._checkpoint.store import reason
from seedbed._checkpoint.writer import DrawError
from seedbed._command import terminal
from seedbed._command.findings import exit_code, finding_document, print_findings
from seedbed._spec.error import Place, shortened
from seedbed._spec.model import Specification, TensorSpec
from seedbed._spec.reader import read_specification

# Of what --json prints.
SCHEMA = 1


def run(options: Namespace) -> int:
    """Do what the options of `seedbed verify` say, and return the exit code.

    Raises:
        SpecError: The specification is wrong.
        ReadError: The checkpoint cannot be read or is malformed.
    """
    specification = read_specification(options.specification)
    checkpoint = open_checkpoint(options.path)
    if options.threads is not None:
        seedbed.set_num_threads(options.threads)
    findings = list(checkpoint.faults)
    files = _files_of_part(checkpoint, options.part)
    placed = _compare_headers(specification, checkpoint, files, options.allow_extra, findings)
    nbytes = sum(one.tensor.nbytes for ones in placed.values() for one in ones)
    started = time.perf_counter()
    compared = [0]

    def count(number: int) -> None:
        compared[0] += number

    quiet = options.quiet or options.json
    with terminal.progress(options.path, nbytes, quiet) as advance:
        for file, tensors in placed.items():

            def tell(number: int, advance: Callable[[int], None] = advance) -> None:
                count(number)
                advance(number)

            findings += _compare_values(specification, checkpoint, file, tensors, options, tell)
    seconds = time.perf_counter() - started
    findings += _digest_note(specification, checkpoint, files, findings)
    code = exit_code(findings)
    if options.json:
        terminal.print_json(
            {
                "schema": SCHEMA,
                "specification": specification.path,
                "path": options.path,
                "same": code == 0,
                "compared": {
                    "files": len(files),
                    "tensors": sum(map(len, placed.values())),
                    "bytes": compared[0],
                },
                "findings": [finding_document(finding) for finding in findings],
            }
        )
        return code
    print_findings(
        [f for f in findings if f.level == "error" or not options.quiet] if findings else []
    )
    if not options.quiet:
        if options.part is not None and not files:
            terminal.say(f"{options.path}: no file is left for this part")
        count_tensors = sum(map(len, placed.values()))
        verdict = "same" if code == 0 else "different"
        terminal.say(
            f"{options.path}: {verdict}; compared {count_tensors} tensors, "
            f"{terminal.size(compared[0])} in {seconds:.2f} s "
            f"({terminal.size(compared[0] / max(seconds, 1e-9))}/s)"
        )
    return code


def _files_of_part(checkpoint: Checkpoint, part: tuple[int, int] | None) -> set[int]:
    """Return the numbers of the files to compare."""
    if part is None:
        return set(range(len(checkpoint.files)))
    return set(share([file.nbytes for file in checkpoint.files], *part))


def _compare_headers(
    specification: Specification,
    checkpoint: Checkpoint,
    files: set[int],
    allow_extra: bool,
    findings: list[Finding],
) -> dict[int, list[Placed[TensorSpec]]]:
    """Note in `findings` what headers get wrong, and return what is left to compare by file."""

    def note(kind: str, message: str, tensor: str | None = None, level: Level = "error") -> None:
        findings.append(Finding(kind, level, f"{checkpoint.path}: {message}", tensor))

    for file in checkpoint.files:
        if file.metadata.get("format") != "pt":
            note("metadata", f"{file.name} does not say `format` = `pt`", level="warning")
    stored = {tensor.name: tensor for tensor in checkpoint.tensors}
    placed: dict[int, list[Placed[TensorSpec]]] = {}
    known = set()
    for tensor in specification.tensors:
        known.add(tensor.name)
        found = stored.get(tensor.name)
        shown = f"tensor `{shortened(tensor.name)}`"
        if found is None:
            note("missing", f"{shown} is missing{_nearest(tensor.name, stored)}", tensor.name)
            continue
        code = SAFETENSORS_DTYPES[tensor.dtype.name]
        if found.code != code:
            note("dtype", f"{shown} is {found.code}, expected {code}", tensor.name)
        if found.shape != tensor.shape:
            message = f"{shown} has the shape {list(found.shape)}, expected {list(tensor.shape)}"
            note("shape", message, tensor.name)
        if found.code == code and found.shape == tensor.shape and found.file in files:
            placed.setdefault(found.file, []).append(Placed(tensor, found.offset))
    for name in stored:
        shown = f"tensor `{shortened(name)}`"
        if name in specification.tied:
            other = shortened(specification.tied[name])
            note("tied", f"{shown} is there, though it is tied to `{other}`", name)
        elif name not in known and not allow_extra:
            note("extra", f"{shown} is not in the specification", name)
    if checkpoint.tied and checkpoint.tied != specification.tied:
        note("tied", "the metadata name other ties than the specification")
    return dict(sorted(placed.items()))


def _nearest(name: str, stored: dict[str, Stored]) -> str:
    """Say which stored tensor may be meant, where there are few enough to compare with."""
    if len(stored) > 2000:
        return ""
    near = difflib.get_close_matches(name, stored, n=1, cutoff=0.8)
    return f"; there is `{shortened(near[0])}`" if near else ""


def _compare_values(
    specification: Specification,
    checkpoint: Checkpoint,
    number: int,
    placed: Sequence[Placed[TensorSpec]],
    options: Namespace,
    advance: Callable[[int], None],
) -> list[Finding]:
    """Compare the tensors of one file, and return what differs."""
    path = checkpoint.store.path(checkpoint.files[number].name)
    try:
        with checkpoint.open(number) as file:
            found = differences(file, placed, advance, sample=options.sample)
            return [_finding(path, difference) for difference in found]
    except OSError as error:
        raise ReadError(f"{path}: cannot be read: {reason(error)}") from error
    except DrawError as error:
        Place(specification.path, f"`{shortened(error.tensor)}`").refuse(error.cause)


def _finding(path: str, difference: Difference) -> Finding:
    message = (
        f"{path}: tensor `{shortened(difference.tensor)}` differs first at "
        f"{list(difference.index)}: {difference.stored} stored, {difference.expected} expected; "
        f"{difference.count} of {difference.compared} values differ"
    )
    return Finding("values", "error", message, difference.tensor, n=difference.count)


def _digest_note(
    specification: Specification,
    checkpoint: Checkpoint,
    files: set[int],
    findings: Sequence[Finding],
) -> list[Finding]:
    """Say that a file comes from another text, where its values are right all the same."""
    if any(finding.level == "error" for finding in findings):
        return []
    for number in sorted(files):
        file = checkpoint.files[number]
        digest = file.metadata.get("specification_digest")
        if digest is not None and digest != specification.digest:
            message = (
                f"{checkpoint.store.path(file.name)}: was made from another text of the "
                f"specification, with the same values"
            )
            return [Finding("digest", "note", message)]
    return []
