"""What a report says: a row for each weight, a table when printed, histograms when plotted."""

from __future__ import annotations

import io
import math
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt
    from rich.console import Console, ConsoleOptions, RenderResult

    from seedbed.keras._law import Law

# Bins of a histogram at most.
_BINS: Final = 60


@dataclass(frozen=True)
class Flag:
    """Something that is wrong with a weight.

    Attributes:
        kind: "uninitialized", "equal", "same numbers", "mean", "deviation", "tail", "bound" or
            "value".
        text: What was found, in words.
    """

    kind: str
    text: str


@dataclass
class Weight:
    """A row of a report. `expected` values are None where the initializer does not tell them.

    Attributes:
        path: The path of the variable.
        shape: Its shape.
        dtype: Its dtype.
        initializer: The class of its initializer, "function" for one, None where it is not known.
        note: Why it is not known.
        stream: The stream that the initializer names.
        seed: The seed that the initializer was given, "generator" for a generator.
        fans: (fan_in, fan_out) where the initializer scales by them.
        expected_mean: Of the initializer's law.
        mean: Of the values.
        expected_stddev: Of the initializer's law.
        stddev: Of the values.
        expected_beyond: Share further than two expected deviations from the expected mean.
        beyond: That share of the values.
        seconds: What making these values takes, measured on a new tensor.
        flags: What is wrong.
    """

    path: str
    shape: tuple[int, ...]
    dtype: str
    initializer: str | None
    note: str
    stream: str | None
    seed: int | str | None
    fans: tuple[int, int] | None
    expected_mean: float | None = None
    mean: float | None = None
    expected_stddev: float | None = None
    stddev: float | None = None
    expected_beyond: float | None = None
    beyond: float | None = None
    seconds: float | None = None
    flags: list[Flag] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """The row as plain values."""
        entries = {name: value for name, value in vars(self).items() if name != "flags"}
        return {**entries, "flags": [vars(flag) for flag in self.flags]}


class Report:
    """What `report` returns: a table when printed.

    Attributes:
        name: The name of the model.
        weights: The rows.
        unbuilt: Names of layers that are not built and so have no weights yet.
    """

    def __init__(
        self,
        name: str,
        weights: list[Weight],
        unbuilt: list[str],
        samples: list[tuple[Law | None, npt.NDArray[np.float64]]],
    ) -> None:
        self.name = name
        self.weights = weights
        self.unbuilt = unbuilt
        self._histograms = [_histogram(law, sample) for law, sample in samples]
        self._laws = [law for law, _ in samples]

    @property
    def flagged(self) -> list[Weight]:
        """The rows with a flag."""
        return [weight for weight in self.weights if weight.flags]

    def to_dict(self) -> dict[str, Any]:
        """The report as plain values, which `json.dumps` takes (nan and infinities among them)."""
        return {
            "model": self.name,
            "weights": [weight.to_dict() for weight in self.weights],
            "unbuilt": list(self.unbuilt),
        }

    def __repr__(self) -> str:
        return (
            f"<Report of {self.name!r}: {len(self.weights)} weights, {len(self.flagged)} flagged>"
        )

    def __str__(self) -> str:
        from rich.console import Console

        terminal = sys.stdout is not None and sys.stdout.isatty()
        # On a terminal its own width; elsewhere as wide as the table wants to be.
        console = Console(
            file=io.StringIO(), force_terminal=terminal, width=None if terminal else 1000
        )
        console.print(self)
        assert isinstance(console.file, io.StringIO)
        text: str = console.file.getvalue()
        return "\n".join(line.rstrip() for line in text.splitlines())

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich import box
        from rich.table import Table
        from rich.text import Text

        table = Table(
            title=f"Weights of {self.name}",
            title_justify="left",
            caption_justify="left",
            box=box.SIMPLE_HEAD,
            pad_edge=False,
        )
        table.add_column("weight", overflow="fold")
        for header in ("shape", "dtype", "initializer", "seed", "fans"):
            table.add_column(header, no_wrap=header != "seed")
        for header in ("mean", "deviation", "beyond 2 dev."):
            table.add_column(f"{header}\nexpected, found", justify="right")
        table.add_column("time", justify="right")
        table.add_column("flags")
        for weight in self.weights:
            kinds = ", ".join(dict.fromkeys(flag.kind for flag in weight.flags))
            table.add_row(
                Text(weight.path),
                "x".join(map(str, weight.shape)) or "scalar",
                weight.dtype,
                Text(_initializer_text(weight)),
                "" if weight.seed is None else str(weight.seed),
                "" if weight.fans is None else f"{weight.fans[0]}, {weight.fans[1]}",
                _pair(weight.expected_mean, weight.mean, _short),
                _pair(weight.expected_stddev, weight.stddev, _short),
                _pair(weight.expected_beyond, weight.beyond, lambda share: f"{share:.1%}"),
                "" if weight.seconds is None else _time_text(weight.seconds),
                Text(kinds, style="bold red"),
            )
        count = sum(math.prod(weight.shape) for weight in self.weights)
        table.caption = f"{len(self.weights)} weights, {count:,} parameters"
        yield table
        for weight in self.flagged:
            for flag in weight.flags:
                yield Text.assemble((f"{weight.path}: ", "bold red"), flag.text)
        for name in self.unbuilt:
            yield Text.assemble((f"{name}: ", "bold red"), "not built, so it has no weights yet")
        for weight in self.weights:
            if weight.note:
                yield Text(f"{weight.path}: initializer not known, {weight.note}", style="dim")
        if not self.flagged and not self.unbuilt:
            yield Text("nothing to flag", style="green")

    def plot(self, columns: int = 4) -> Any:
        """Histograms of the weights that are drawn, over the density that is expected.

        Args:
            columns: How many histograms stand side by side.

        Returns:
            A figure of matplotlib, outside `pyplot`: nothing is shown, and nothing to be closed.

        Raises:
            ImportError: matplotlib is not installed; `pip install 'seedbed[plot]'`.
            ValueError: No weight is drawn.
        """
        try:
            from matplotlib.figure import Figure
        except ImportError as error:
            raise ImportError(
                "`plot` needs matplotlib, which `pip install 'seedbed[plot]'` brings along."
            ) from error
        shown = [
            (weight, law, *histogram)
            for weight, law, histogram in zip(
                self.weights, self._laws, self._histograms, strict=True
            )
            if histogram is not None
        ]
        if not shown:
            raise ValueError(f"`plot` needs a weight that is drawn. Received: model={self.name!r}")
        columns = min(columns, len(shown))
        rows = -(-len(shown) // columns)
        figure = Figure(figsize=(3.4 * columns, 2.5 * rows), layout="constrained")
        panels = figure.subplots(rows, columns, squeeze=False).ravel()
        for panel, (weight, law, density, edges) in zip(panels, shown, strict=False):
            wrong = bool(weight.flags)
            panel.stairs(density, edges, fill=True, color="#e8a0a8" if wrong else "#8fb8de")
            if law is not None:
                x = np.linspace(edges[0], edges[-1], 400)
                panel.plot(x, law.density(x), color="#1b3a57", linewidth=1.2)
            panel.set_title(weight.path, fontsize=8, color="#d1495b" if wrong else "black")
            panel.tick_params(labelsize=7)
            panel.set_yticks([])
            panel.set_ylim(0, 1.3 * max(panel.get_ylim()[1] / 1.05, 1e-300))  # room for the flags
            if wrong:
                kinds = "\n".join(dict.fromkeys(flag.kind for flag in weight.flags))
                panel.text(0.02, 0.95, kinds, transform=panel.transAxes, va="top", fontsize=7)
        for panel in panels[len(shown) :]:
            panel.set_axis_off()
        figure.suptitle(f"{self.name}: weights over the expected density", fontsize=10)
        return figure


def _histogram(
    law: Law | None, sample: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]] | None:
    """Density and edges of the bins, None of what is not drawn."""
    sample = sample[np.isfinite(sample)]
    if not sample.size or law is None or not law.is_drawn:
        return None
    low, high = float(sample.min()), float(sample.max())
    if low == high:  # one column in the middle of what is expected
        low, high = low - 4 * law.stddev, high + 4 * law.stddev
    bins = min(_BINS, 4 + math.isqrt(sample.size))
    density, edges = np.histogram(sample, bins=bins, range=(low, high), density=True)
    return density, edges


def _initializer_text(weight: Weight) -> str:
    if weight.initializer is None:
        return "unknown"
    return weight.initializer + (f" ({weight.stream})" if weight.stream else "")


def _pair(expected: float | None, found: float | None, text: Any) -> str:
    if expected is None and found is None:
        return ""
    return f"{'?' if expected is None else text(expected)}, {'?' if found is None else text(found)}"


def _short(value: float) -> str:
    return f"{value:.3g}"


def _time_text(seconds: float) -> str:
    if seconds >= 1:
        return f"{seconds:.1f} s"
    return f"{seconds * 1e3:.1f} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.0f} µs"
