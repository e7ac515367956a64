"""`seedbed inspect`: what checkpoints hold, as a table or as JSON, and what is wrong with it."""

from __future__ import annotations

import math
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from seedbed import get_num_threads
from seedbed._checkpoint.finding import Finding
from seedbed._checkpoint.reader import Checkpoint, ReadError, Stored, open_checkpoint
from seedbed._checkpoint.store import reason
from seedbed._command import terminal
from seedbed._command.findings import exit_code, finding_document, print_findings
from seedbed._command.laws import law_document, number
from seedbed._command.usage import UsageError
from seedbed._inspect.fold import Group, fold, natural
from seedbed._inspect.lint import Measured, lint
from seedbed._inspect.statistics import Moments, Statistics, measure
from seedbed._law import Law
from seedbed._plan.patterns import Pattern, PatternError
from seedbed._plan.resolve import MAX_MATCHED_NAME
from seedbed._spec.model import Specification, TensorSpec
from seedbed._spec.reader import read_specification

# Of what --json prints.
SCHEMA = 1

_BARS = "▁▂▃▄▅▆▇█"
_BINS = 12


@dataclass(slots=True)
class _Seen:
    """A checkpoint as far as it was looked at."""

    checkpoint: Checkpoint
    tensors: list[Stored]
    statistics: dict[int, Statistics]
    specification: Specification | None
    expected: dict[str, TensorSpec]
    laws: dict[str, Law]
    findings: list[Finding]

    def statistics_of(self, tensor: Stored) -> Statistics | None:
        return self.statistics.get(id(tensor))


def run(options: Namespace) -> int:
    """Do what the options of `seedbed inspect` say, and return the exit code.

    Raises:
        UsageError: The options make no sense.
        SpecError: The specification is wrong.
        ReadError: A checkpoint cannot be read or is malformed.
    """
    patterns = _patterns(options.match or [])
    specification = None if options.spec is None else read_specification(options.spec)
    seen = [_look(path, specification, patterns, options) for path in options.paths]
    code = max(exit_code(one.findings, strict=options.strict) for one in seen)
    if options.json:
        documents = [_document(one) for one in seen]
        terminal.print_json(documents[0] if len(documents) == 1 else documents)
        return code
    for count, one in enumerate(seen):
        if len(seen) > 1:
            terminal.print_line(f"{chr(10) if count else ''}{one.checkpoint.path}:")
        _print(one, options)
    return code


def _patterns(texts: Sequence[str]) -> list[Pattern]:
    try:
        return [Pattern(text) for text in texts]
    except PatternError as error:
        raise UsageError(f"--match: {error}") from error


def _look(
    path: str,
    specification: Specification | None,
    patterns: Sequence[Pattern],
    options: Namespace,
) -> _Seen:
    checkpoint = open_checkpoint(path)
    tensors = checkpoint.tensors
    if patterns:
        # As in plans, longer names fit nothing: patterns take the square of the length.
        tensors = [
            t
            for t in tensors
            if len(t.name) <= MAX_MATCHED_NAME and any(p.match(t.name) for p in patterns)
        ]
        if not tensors:
            raise UsageError(f"{path}: no tensor matches {' or '.join(options.match)}")
    expected = {} if specification is None else {t.name: t for t in specification.tensors}
    laws = {
        tensor.name: expected[tensor.name].law()
        for tensor in tensors
        if tensor.name in expected and expected[tensor.name].shape == tensor.shape
    }
    seen = _Seen(checkpoint, tensors, {}, specification, expected, laws, list(checkpoint.faults))
    wants_lint = options.lint or options.deep
    if options.stats or wants_lint or specification is not None:
        _measure(seen, options)
    if wants_lint:
        measured = [
            Measured(t, statistics, expected.get(t.name), laws.get(t.name))
            for t in tensors
            if (statistics := seen.statistics_of(t)) is not None
        ]
        seen.findings += lint(measured, deep=options.deep)
    return seen


def _measure(seen: _Seen, options: Namespace) -> None:
    """Read the values."""
    checkpoint = seen.checkpoint
    threads = options.threads or get_num_threads()
    total = sum(tensor.nbytes for tensor in seen.tensors)
    quiet = options.json or total < 1 << 30
    with terminal.progress(checkpoint.path, total, quiet) as advance:
        for count, file in enumerate(checkpoint.files):
            own = [tensor for tensor in seen.tensors if tensor.file == count]

            def open_file(count: int = count) -> Any:
                return checkpoint.open(count)

            try:
                for tensor, statistics in measure(
                    open_file, own, threads, advance, deep=options.deep
                ):
                    seen.statistics[id(tensor)] = statistics
            except OSError as error:
                where = checkpoint.store.path(file.name)
                raise ReadError(f"{where}: cannot be read: {reason(error)}") from error


def _ordered(tensors: Sequence[Stored], order: str) -> list[Stored]:
    match order:
        case "size":
            return sorted(tensors, key=lambda t: (-t.nbytes, natural(t.name)))
        case "offset":
            return sorted(tensors, key=lambda t: (t.file, t.offset))
        case _:
            return sorted(tensors, key=lambda t: natural(t.name))


def _print(seen: _Seen, options: Namespace) -> None:
    """Print the table, the sums and the findings."""
    ordered = _ordered(seen.tensors, options.sort)
    if options.no_fold:
        groups = [Group(tensor.name, [tensor]) for tensor in ordered]
    else:
        groups = fold(
            ordered,
            lambda t: t.name,
            lambda t: (t.code, t.shape, _deviation(seen.laws.get(t.name))),
        )
    columns = _columns(seen, bool(seen.statistics))
    rows = [[title for title, _ in columns]]
    rows += [[cell(group) for _, cell in columns] for group in groups]
    terminal.print_table(rows, numbers_from=3)
    for line in _sums(seen):
        terminal.print_line(line)
    print_findings(seen.findings)


def _deviation(law: Law | None) -> object:
    """Return what must be equal of laws on one line."""
    return None if law is None else (law.kind, law.mean, law.std)


_Column = tuple[str, Callable[[Group[Stored]], str]]


def _columns(seen: _Seen, with_statistics: bool) -> list[_Column]:
    """Return the titles of the table, and what makes their cells; numbers come last."""
    columns: list[_Column] = [
        ("name", lambda group: group.name),
        ("dtype", lambda group: group.members[0].code),
        ("shape", lambda group: str(list(group.members[0].shape))),
        ("parameters", _times(lambda tensor: tensor.elements)),
        ("bytes", _times(lambda tensor: tensor.nbytes)),
    ]
    if len(seen.checkpoint.files) > 1:
        columns.append(("file", lambda group: _files(seen, group)))
    if not with_statistics:
        return columns

    def of_moments(show: Callable[[Moments], str]) -> Callable[[Group[Stored]], str]:
        def cell(group: Group[Stored]) -> str:
            moments = _pooled(seen, group)
            return "-" if moments is None or not moments.count else show(moments)

        return cell

    columns += [
        ("mean", of_moments(lambda m: f"{m.mean:.3g}")),
        ("std", of_moments(lambda m: f"{m.std:.4g}")),
        ("min", of_moments(lambda m: f"{m.low:.3g}")),
        ("max", of_moments(lambda m: f"{m.high:.3g}")),
        ("zeros", of_moments(lambda m: f"{100 * m.zeros / m.count:.3g}%")),
        ("nonfinite", of_moments(lambda m: str(m.nan + m.inf))),
    ]
    if seen.laws:
        columns += [
            ("expected", lambda group: _expected(seen, group)),
            ("ratio", lambda group: _ratio(seen, group)),
        ]
    if terminal.can_show(_BARS):
        columns.append(("histogram", lambda group: _bars(seen, group)))
    return columns


def _times(measure_one: Callable[[Stored], int]) -> Callable[[Group[Stored]], str]:
    def cell(group: Group[Stored]) -> str:
        count = len(group.members)
        one = measure_one(group.members[0])
        return str(one) if count == 1 else f"{count} x {one}"

    return cell


def _files(seen: _Seen, group: Group[Stored]) -> str:
    names = sorted({seen.checkpoint.files[tensor.file].name for tensor in group.members})
    return names[0] if len(names) == 1 else f"{len(names)} files"


def _pooled(seen: _Seen, group: Group[Stored]) -> Moments | None:
    """Return the moments of all members."""
    found = [s.moments for t in group.members if (s := seen.statistics_of(t)) is not None]
    if not found:
        return None
    pooled = Moments()
    for moments in found:
        pooled.add(moments)
    return pooled


def _expected(seen: _Seen, group: Group[Stored]) -> str:
    law = seen.laws.get(group.members[0].name)
    return "-" if law is None or law.std is None else f"{law.std:.4g}"


def _ratio(seen: _Seen, group: Group[Stored]) -> str:
    law, moments = seen.laws.get(group.members[0].name), _pooled(seen, group)
    if law is None or not law.std or law.mean is None or moments is None or not moments.count:
        return "-"
    return f"{math.sqrt(moments.about(law.mean, law.std)):.4f}"


def _bars(seen: _Seen, group: Group[Stored]) -> str:
    """Return a histogram of the first member, a character a bin."""
    statistics = seen.statistics_of(group.members[0])
    counts = [] if statistics is None else statistics.histogram(_BINS)
    most = max(counts, default=0)
    return "".join(_BARS[count * (len(_BARS) - 1) // most] for count in counts) if most else "-"


def _sums(seen: _Seen) -> Iterator[str]:
    """Give the lines below the table."""
    checkpoint = seen.checkpoint
    parameters = sum(tensor.elements for tensor in seen.tensors)
    nbytes = sum(tensor.nbytes for tensor in seen.tensors)
    kinds = ", ".join(f"{code} {count}" for code, count in _by_dtype(seen).items())
    all_of_them = len(checkpoint.tensors)
    of = "" if len(seen.tensors) == all_of_them else f" of {all_of_them}"
    yield (
        f"{len(seen.tensors)}{of} tensors, {parameters} parameters ({kinds}), "
        f"{nbytes} bytes ({terminal.size(nbytes)})"
    )
    files = checkpoint.files
    header = sum(file.header_bytes for file in files)
    yield f"{len(files)} file{'' if len(files) == 1 else 's'}, {header} bytes of headers"
    unaligned = sum(
        tensor.offset % max(1, tensor.dtype.itemsize) != 0
        for tensor in checkpoint.tensors
        if tensor.dtype is not None
    )
    if unaligned:
        yield f"{unaligned} tensors begin at no multiple of their element's size"
    for name, other in checkpoint.tied.items():
        yield f"tied: {name} is {other}"
    shown = {key: value for key, value in files[0].metadata.items() if key != "tied"}
    if shown:
        yield "metadata: " + ", ".join(f"{key} {_cut(value)}" for key, value in shown.items())


def _cut(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:77]}..."


def _by_dtype(seen: _Seen) -> dict[str, int]:
    """Return how many parameters each dtype has."""
    counts: dict[str, int] = {}
    for tensor in seen.tensors:
        counts[tensor.code] = counts.get(tensor.code, 0) + tensor.elements
    return counts


def _document(seen: _Seen) -> dict[str, Any]:
    """Return everything, for programs."""
    checkpoint = seen.checkpoint
    return {
        "schema": SCHEMA,
        "path": checkpoint.path,
        "files": [
            {
                "name": file.name,
                "bytes": file.nbytes,
                "header_bytes": file.header_bytes,
                "metadata": file.metadata,
            }
            for file in checkpoint.files
        ],
        "totals": {
            "tensors": len(seen.tensors),
            "parameters": sum(tensor.elements for tensor in seen.tensors),
            "bytes": sum(tensor.nbytes for tensor in seen.tensors),
            "by_dtype": _by_dtype(seen),
        },
        "tied": checkpoint.tied,
        "tensors": [_tensor_document(seen, tensor) for tensor in seen.tensors],
        "findings": [finding_document(finding) for finding in seen.findings],
    }


def _tensor_document(seen: _Seen, tensor: Stored) -> dict[str, Any]:
    made: dict[str, Any] = {
        "name": tensor.name,
        "dtype": tensor.code,
        "shape": list(tensor.shape),
        "parameters": tensor.elements,
        "bytes": tensor.nbytes,
        "file": tensor.file,
        "offset": tensor.offset,
    }
    if (statistics := seen.statistics_of(tensor)) is not None:
        moments = statistics.moments
        made["stats"] = {
            "mean": number(moments.mean if moments.count else math.nan),
            "std": number(moments.std),
            "min": number(moments.low if moments.count else math.nan),
            "max": number(moments.high if moments.count else math.nan),
            "zeros": moments.zeros,
            "nan": moments.nan,
            "inf": moments.inf,
        }
    if seen.specification is not None:
        spec = seen.expected.get(tensor.name)
        law = seen.laws.get(tensor.name)
        made["rule"] = None if spec is None else spec.rule
        made["zero_row"] = None if spec is None else spec.entry.zero_row
        made["expected"] = None if law is None else law_document(law)
    return made
