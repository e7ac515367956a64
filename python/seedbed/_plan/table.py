"""What the rules of a plan make of a model's tensors, as a table."""

from __future__ import annotations

from dataclasses import dataclass, field

from seedbed._escape import escape
from seedbed._plan.document import Document
from seedbed._plan.quantities import evaluated
from seedbed._spec.error import Place, shortened
from seedbed._spec.model import Specification, TensorSpec

_HEADER = ("rule", "match", "tensors", "parameters", "initializer", "std", "range", "lr")


@dataclass(slots=True)
class Row:
    """The tensors that one rule makes by one initializer.

    Attributes:
        rule: The number of the rule, None for tensors with an initializer of their own.
        match: Its patterns, or the name of the first tensor.
        preset: The preset that the rule is from, None for the plan's own.
        initializer: The class.
        names: The tensors.
        parameters: How many values they have.
        stds: The least and the greatest standard deviation, None where unknown.
        bounds: The least and the greatest value that there can be, None where there is no bound.
        lrs: The least and the greatest factor of the learning rate.
    """

    rule: int | None
    match: str
    preset: str | None
    initializer: str
    names: list[str] = field(default_factory=list)
    parameters: int = 0
    stds: tuple[float, float] | None = None
    bounds: tuple[float, float] | None = None
    lrs: tuple[float, float] = (1.0, 1.0)


@dataclass(slots=True)
class Table:
    """What each rule makes; `print(table)` shows it.

    Attributes:
        rows: A row for each rule and initializer.
        tied: The names that share another tensor, and the names of those.
        forward: Factors that the model's forward pass must have for these initial values.
    """

    rows: list[Row]
    tied: dict[str, str]
    forward: dict[str, float]

    def __str__(self) -> str:
        cells = [_HEADER, *map(_cells, self.rows)]
        # What every row has alike says nothing.
        kept = [
            column
            for column in range(len(_HEADER))
            if _HEADER[column] != "lr" or any(row.lrs != (1.0, 1.0) for row in self.rows)
        ]
        widths = {column: max(len(row[column]) for row in cells) for column in kept}
        lines = [
            "  ".join(
                row[column].rjust(widths[column])
                if column in (2, 3)
                else row[column].ljust(widths[column])
                for column in kept
            ).rstrip()
            for row in cells
        ]
        lines += [f"{escape(name)}: is {escape(other)}" for name, other in self.tied.items()]
        lines += [f"forward: {escape(name)} x {value:.6g}" for name, value in self.forward.items()]
        return "\n".join(lines)


def table_of(document: Document, specification: Specification) -> Table:
    """Return the table of a plan and what it made.

    Raises:
        SpecError: A factor of the forward pass has no value.
    """
    rows: dict[tuple[int | None, str, str], Row] = {}
    for tensor in specification.tensors:
        own = "" if tensor.rule is not None else tensor.name
        key = (tensor.rule, tensor.init_name, own)
        row = rows.get(key)
        if row is None:
            row = rows[key] = _row(document, tensor)
        _add(row, tensor)
    order = sorted(rows.values(), key=lambda row: (row.rule is not None, row.rule or 0))
    place = Place(document.path)
    forward = {
        name: float(evaluated(value, document.let, f"forward.{shortened(name)}", place))
        for name, value in document.forward.items()
    }
    return Table(order, dict(specification.tied), forward)


def _row(document: Document, tensor: TensorSpec) -> Row:
    if tensor.rule is None:
        return Row(None, tensor.name, None, tensor.init_name, lrs=(tensor.lr, tensor.lr))
    rule = document.rules[tensor.rule - 1]
    lrs = (tensor.lr, tensor.lr)
    return Row(tensor.rule, rule.shown, rule.preset, tensor.init_name, lrs=lrs)


def _add(row: Row, tensor: TensorSpec) -> None:
    law = tensor.law()
    if row.names and row.stds is None:
        pass
    elif law.std is None:
        row.stds = None
    else:
        least, most = row.stds or (law.std, law.std)
        row.stds = min(least, law.std), max(most, law.std)
    if law.low is not None and law.high is not None:
        low, high = row.bounds or (law.low, law.high)
        row.bounds = min(low, law.low), max(high, law.high)
    row.lrs = min(row.lrs[0], tensor.lr), max(row.lrs[1], tensor.lr)
    row.names.append(tensor.name)
    row.parameters += tensor.elements


def _cells(row: Row) -> tuple[str, ...]:
    number = "" if row.rule is None else str(row.rule)
    return (
        f"{number} {row.preset}" if row.preset else number,
        escape(row.match),
        str(len(row.names)),
        str(row.parameters),
        row.initializer,
        "" if row.stds is None else _span(row.stds),
        "" if row.bounds is None else f"[{row.bounds[0]:.6g}, {row.bounds[1]:.6g}]",
        _span(row.lrs),
    )


def _span(span: tuple[float, float]) -> str:
    low, high = (f"{value:.6g}" for value in span)
    return low if low == high else f"{low} .. {high}"
