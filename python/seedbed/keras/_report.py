"""`report(model)`: what the weights of a model were drawn from, and whether they look like it.

Each weight is compared with the law of its initializer: its mean, its deviation, the share beyond
two deviations and the number of values on a bound. The limits are those of `_law`, and the
probability that a model whose weights are all right raises any flag is at most `FALSE_ALARM`.
"""

from __future__ import annotations

import io
import math
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import keras
import ml_dtypes
import numpy as np

from seedbed._core import get_num_threads
from seedbed._tensors import to_numpy
from seedbed.keras._law import Law, fans_of, law_of
from seedbed.keras._origin import Origin, layers_of, origins
from seedbed.keras._private import has_value

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt
    from rich.console import Console, ConsoleOptions, RenderResult

# The probability of any flag on a model without a fault.
FALSE_ALARM: Final = 1e-6
# How many comparisons with a law a weight takes part in.
_COMPARISONS: Final = 4
# Elements that are measured at once: few enough to stay in a cache.
_CHUNK: Final = 1 << 16
# Elements of a histogram, taken evenly from the whole weight, and its bins at most.
_SAMPLE: Final = 1 << 16
_BINS: Final = 60
# First elements by which weights of one seed are told: 32 independent pairs of numbers have a
# cosine beyond 0.999 with probability below 1e-40.
_PREFIX: Final = 32
_SAME_NUMBERS: Final = 0.999
# Elements up to which a weight is timed twice.
_TWICE: Final = 1 << 20
# Bits of chance that two weights must share, or one lack, before chance is ruled out.
_BITS: Final = 64


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
        initializer: The class of its initializer, "function" for another callable, None where it
            is not known.
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


@dataclass
class _Measured:
    """What one pass over the values of a weight yields."""

    count: int
    mean: float
    stddev: float
    about_expected: float
    beyond: int
    on_bound: int
    low: float
    high: float
    finite: bool
    prefix: npt.NDArray[Any]
    sample: npt.NDArray[np.float64]


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

        terminal = sys.stdout.isatty()
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


def report(model: Any, *, timing: bool = True) -> Report:
    """What the weights of `model` were drawn from, and whether they look like it.

    Meant for a model that has not been trained: training moves weights away from what is
    expected of them. Of a weight that is sharded over processes, each process sees its own part.

    Args:
        model: A model or layer of Keras, with Keras' initializers or seedbed's.
        timing: Whether to measure how long the values take to make, by making one tensor for each
            kind that the model has. Weights under a distribution are never timed.

    Returns:
        The report: a table when printed, plain values from `to_dict()`, histograms from `plot()`.

    Raises:
        TypeError: `model` is no layer or model of Keras.
    """
    found = origins(model)
    laws = [_law(origin) for origin in found]
    weights = [_row(origin, law) for origin, law in zip(found, laws, strict=True)]
    with ThreadPoolExecutor(max_workers=get_num_threads()) as threads:
        measured = list(threads.map(_measure, found, laws))
    comparisons = _COMPARISONS * max(1, sum(law is not None for law in laws))
    x = math.log(2 * comparisons / FALSE_ALARM)
    for origin, law, weight, values in zip(found, laws, weights, measured, strict=True):
        if values is None:
            weight.flags.append(Flag("uninitialized", "it has no value yet"))
            continue
        weight.mean, weight.stddev = values.mean, values.stddev
        if weight.expected_beyond is not None and values.count:
            weight.beyond = values.beyond / values.count
        weight.flags += _against_law(origin, law, values, x)
    _flag_equal(found, laws, weights, measured)
    if timing:
        _time(found, weights)
    unbuilt = [layer.name for layer in layers_of(model) if not layer.built]
    empty = np.zeros(0)
    samples = [
        (law, empty if values is None else values.sample)
        for law, values in zip(laws, measured, strict=True)
    ]
    return Report(model.name, weights, unbuilt, samples)


def _law(origin: Origin) -> Law | None:
    if origin.initializer is None:
        return None
    variable = origin.variable
    return law_of(origin.initializer, tuple(variable.shape), variable.dtype)


def _row(origin: Origin, law: Law | None) -> Weight:
    variable, initializer = origin.variable, origin.initializer
    kind = None
    if initializer is not None:
        is_class = isinstance(initializer, keras.initializers.Initializer)
        kind = type(initializer).__name__ if is_class else "function"
    seed = origin.seed
    shape = tuple(variable.shape)
    return Weight(
        variable.path,
        shape,
        variable.dtype,
        kind,
        origin.reason,
        getattr(initializer, "stream", None),
        seed if seed is None or isinstance(seed, int) else "generator",
        None if initializer is None else fans_of(initializer, shape),
        expected_mean=None if law is None else law.mean,
        expected_stddev=None if law is None else law.stddev,
        expected_beyond=None if law is None or not law.is_drawn else law.beyond,
    )


def _blocks(variable: Any) -> Iterator[npt.NDArray[Any]]:
    """The values that this process holds, each once; one piece for each part of a sharded one."""
    value = variable.value
    shards = getattr(value, "addressable_shards", ())
    if len(shards) > 1:
        for shard in shards:
            if shard.replica_id == 0:
                yield np.asarray(shard.data)
    else:
        yield to_numpy(variable)


def _measure(origin: Origin, law: Law | None) -> _Measured | None:
    """One pass over the values, None where there are none yet."""
    variable = origin.variable
    if not has_value(variable):
        return None
    low, high = math.inf, -math.inf
    count = beyond = on_bound = 0
    # Sums of what is left after taking away a number near the mean, which keeps them exact enough.
    centre = None if law is None else law.mean
    total = squares = 0.0
    bounds = _rounded_bounds(law, variable.dtype)
    size = math.prod(variable.shape)
    step = max(1, size // _SAMPLE)
    prefix: npt.NDArray[Any] | None = None
    samples = []
    for block in _blocks(variable):
        flat = block.reshape(-1)
        if flat.dtype.kind == "c":
            flat = flat.real
        prefix = flat[:_PREFIX].copy() if prefix is None else prefix
        samples.append(flat[::step].astype(np.float64))
        for start in range(0, flat.size, _CHUNK):
            chunk = flat[start : start + _CHUNK].astype(np.float64)
            centre = float(chunk[0]) if centre is None else centre
            low, high = min(low, float(chunk.min())), max(high, float(chunk.max()))
            if bounds is not None and (low <= bounds[0] or high >= bounds[1]):
                on_bound += int(np.count_nonzero((chunk <= bounds[0]) | (chunk >= bounds[1])))
            chunk -= centre
            with np.errstate(invalid="ignore", over="ignore"):
                total += float(chunk.sum())
                squares += float(np.square(chunk).sum())  # no BLAS: it has threads of its own
            if law is not None:
                beyond += int(np.count_nonzero(np.abs(chunk) > 2 * law.stddev))
            count += chunk.size
    divisor = max(count, 1)
    mean = total / divisor
    finite = math.isfinite(squares)
    spread = math.sqrt(max(0.0, squares / divisor - mean * mean)) if finite else math.nan
    return _Measured(
        count,
        mean + (centre or 0.0),
        spread,
        math.sqrt(squares / divisor) if finite else math.nan,
        beyond,
        on_bound,
        low,
        high,
        finite,
        np.zeros(0) if prefix is None else prefix,
        np.concatenate(samples) if samples else np.zeros(0),
    )


def _rounded_bounds(law: Law | None, dtype: str) -> tuple[float, float] | None:
    """The bounds as values of `dtype`."""
    if law is None or law.bounds is None:
        return None
    low, high = (float(np.array(bound).astype(_numpy_dtype(dtype))) for bound in law.bounds)
    return low, high


def _numpy_dtype(name: str) -> np.dtype[Any]:
    return np.dtype(getattr(ml_dtypes, name, name))


def _against_law(origin: Origin, law: Law | None, values: _Measured, x: float) -> list[Flag]:
    """What is wrong with one weight by itself."""
    if not values.count:
        return []
    if not values.finite:
        return [Flag("uninitialized", "some values are not finite")]
    if law is None or origin.is_state:  # state moves, and is no fault when it does
        return []
    dtype = origin.variable.dtype
    if not law.is_drawn:
        return [] if _holds_constant(origin, law, values) else [_not_constant(law, values)]
    if values.low == values.high and values.count * _mantissa(dtype) >= _BITS:
        text = f"every value is {values.low:.6g}, where values are drawn"
        return [Flag("uninitialized", text)]
    flags = []
    limit = law.mean_limit(values.count, dtype, x)
    if abs(values.mean - law.mean) > limit:
        flags.append(
            Flag("mean", f"the mean is {values.mean:.4g}, not {law.mean:.4g} within {limit:.2g}")
        )
    low, high = law.stddev_limits(values.count, dtype, x)
    if not low <= values.about_expected <= high:
        ratio = values.about_expected / law.stddev
        flags.append(
            Flag(
                "deviation",
                f"the deviation is {values.about_expected:.4g}, {ratio:.3g} times the expected "
                f"{law.stddev:.4g}; chance explains {low:.4g} to {high:.4g}",
            )
        )
    shares = law.beyond_limits(values.count, dtype, x)
    if shares is not None and not shares[0] <= values.beyond / values.count <= shares[1]:
        flags.append(
            Flag(
                "tail",
                f"{values.beyond / values.count:.2%} of the values are beyond 2 deviations, "
                f"not {law.beyond:.2%}: another law",
            )
        )
    if values.on_bound > law.bound_limit(values.count, dtype, x):
        assert law.bounds is not None
        flags.append(
            Flag(
                "bound",
                f"{values.on_bound:,} values are on a bound or beyond, "
                f"{law.bounds[0]:.4g} to {law.bounds[1]:.4g}",
            )
        )
    return flags


def _holds_constant(origin: Origin, law: Law, values: _Measured) -> bool:
    if law.values is not None:
        held = to_numpy(origin.variable)
        return bool(np.array_equal(held, law.values.astype(held.dtype)))
    constant = float(np.array(law.mean).astype(_numpy_dtype(origin.variable.dtype)))
    return values.low == values.high == constant


def _not_constant(law: Law, values: _Measured) -> Flag:
    wanted = "those of its initializer" if law.values is not None else f"all {law.mean:.6g}"
    return Flag("value", f"values of {values.low:.4g} to {values.high:.4g} are not {wanted}")


def _mantissa(dtype: str) -> int:
    """Bits of chance in a value of a floating-point `dtype`, at least."""
    info: Any = ml_dtypes.finfo(dtype)  # type: ignore[no-untyped-call]
    return min(23, int(info.nmant))


def _flag_equal(
    found: list[Origin],
    laws: list[Law | None],
    weights: list[Weight],
    measured: list[_Measured | None],
) -> None:
    """Flag weights that are drawn and yet equal another, or hold the same random numbers."""
    firsts: dict[tuple[Any, ...], list[int]] = {}
    directions: list[tuple[int, npt.NDArray[np.float64]]] = []
    for number, (origin, law, values) in enumerate(zip(found, laws, measured, strict=True)):
        if law is None or values is None or not law.is_drawn or not values.finite:
            continue
        dtype = origin.variable.dtype
        if values.low == values.high or values.count * _mantissa(dtype) < _BITS:
            continue
        key = (weights[number].shape, dtype, values.prefix.tobytes())
        same = firsts.setdefault(key, [])
        original = next((first for first in same if _equal(found[first], origin)), None)
        if original is not None:
            weights[number].flags.append(_equal_flag(weights[original], weights[number]))
            continue
        same.append(number)
        if values.count < _PREFIX or law.sums_squares:
            continue
        direction = (values.prefix.astype(np.float64) - law.mean) / law.stddev
        length = float(np.linalg.norm(direction))
        if length == 0:
            continue
        directions.append((number, direction / length))
    if not directions:
        return
    matrix = np.array([direction for _, direction in directions])
    alike = np.abs(matrix @ matrix.T) > _SAME_NUMBERS
    for place, (number, _) in enumerate(directions):
        first = int(np.argmax(alike[place]))
        if first < place:
            path = weights[directions[first][0]].path
            text = f"it starts with the numbers of {path}, up to a factor: one seed for both"
            weights[number].flags.append(Flag("same numbers", text))


def _equal(one: Origin, other: Origin) -> bool:
    pairs = zip(_blocks(one.variable), _blocks(other.variable), strict=False)
    return all(np.array_equal(a, b) for a, b in pairs)


def _equal_flag(original: Weight, copy: Weight) -> Flag:
    cause = "an unseeded initializer that both share"
    if copy.seed == "generator":
        cause = "copies of one generator"
    elif copy.seed is not None:
        cause = f"seed {copy.seed} in both"
    return Flag("equal", f"equal to {original.path}, value by value ({cause})")


def _time(found: list[Origin], weights: list[Weight]) -> None:
    """Fill in how long the values of each weight take to make."""
    if keras.distribution.distribution() is not None:
        return
    known: dict[str, float | None] = {}
    for origin, weight in zip(found, weights, strict=True):
        initializer = origin.initializer
        if not isinstance(initializer, keras.initializers.Initializer):
            continue
        try:
            config = initializer.get_config()
            config = {**config, "seed": 0} if "seed" in config else config
            key = repr((type(initializer), config, weight.shape, weight.dtype))
            if key not in known:
                known[key] = _seconds(type(initializer).from_config(config), weight)
            weight.seconds = known[key]
        except Exception:  # of a user's class: any; its time stays unknown
            continue


def _seconds(initializer: Any, weight: Weight) -> float:
    """The time of a call; the better one of two where that is cheap, as the first may set up."""
    times = []
    for _ in range(2 if math.prod(weight.shape) <= _TWICE else 1):
        started = time.perf_counter()
        value = initializer(weight.shape, dtype=weight.dtype)
        if hasattr(value, "block_until_ready"):
            value.block_until_ready()
        times.append(time.perf_counter() - started)
    return min(times)


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
