"""`seedbed inspect`: tables, JSON, statistics, and what lint finds in values that are wrong."""

from __future__ import annotations

import json
import math
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

from command import COMMAND, TINY, run
from seedbed import _law, initializers
from seedbed._checkpoint.finding import Finding
from seedbed._checkpoint.reader import open_checkpoint
from seedbed._command.main import main
from seedbed._inspect import limits
from seedbed._inspect.fold import fold, natural
from seedbed._inspect.lint import Measured, lint
from seedbed._inspect.statistics import Statistics, measure
from seedbed._spec.reader import parse_specification

FLOATS = ["float16", "bfloat16", "float32", "float64", "float8_e4m3fn", "float8_e5m2"]


def dtype_of(name: str) -> np.dtype[Any]:
    return np.dtype(getattr(ml_dtypes, name, name))


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    out = tmp_path / "tiny.safetensors"
    assert main(["init", str(TINY), "-o", str(out), "--quiet"]) == 0
    return out


def test_the_table_folds_repeated_layers(tiny: Path) -> None:
    done = run("inspect", tiny)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["name", "dtype", "shape", "parameters", "bytes"]
    assert "layer.{0..1}.expert.{0..3}.kernel  BF16   [64, 256]    8 x 16384  8 x 32768" in lines
    assert lines[8] == (
        "22 tensors, 205954 parameters (I64 1, F32 72833, BF16 133120), 557580 bytes (557.6 kB)"
    )
    assert "metadata: format pt, seed 7, " in lines[10]
    assert len(run("inspect", tiny, "--no-fold").stdout.splitlines()) == 22 + 4


def test_orders(tiny: Path) -> None:
    def names(*more: str) -> list[str]:
        lines = run("inspect", tiny, "--no-fold", *more).stdout.splitlines()
        return [line.split()[0] for line in lines[1:23]]

    assert names() == sorted(names(), key=natural)
    assert names("--sort", "size")[0] == "embedding.weight"
    assert names("--sort", "offset")[0] == "steps"


def test_match(tiny: Path) -> None:
    done = run("inspect", tiny, "--match", "*.bias", "--match", "expert.{0,1}.kernel")
    assert "12 of 22 tensors" in done.stdout
    done = run("inspect", tiny, "--match", "nothing")
    assert done.returncode == 2
    assert "no tensor matches nothing" in done.stderr
    done = run("inspect", tiny, "--match", "{a")
    assert (done.returncode, done.stdout) == (2, "")
    assert "--match: " in done.stderr


def test_a_name_of_megabytes_fits_no_pattern(tmp_path: Path) -> None:
    # The square of its length would be a week.
    path = tmp_path / "a.safetensors"
    arrays = {"a" * 10_000_000: np.zeros(1, np.float32), "aab": np.zeros(1, np.float32)}
    safetensors.numpy.save_file(arrays, path)
    done = run("inspect", path, "--match", "**a*b")
    assert done.returncode == 0
    assert "1 of 2 tensors" in done.stdout


def test_json(tiny: Path) -> None:
    done = run("inspect", tiny, "--json", "--spec", TINY, "--lint")
    assert (done.returncode, done.stderr) == (0, "")
    document = json.loads(done.stdout)
    assert document["schema"] == 1
    assert document["path"] == str(tiny)
    assert document["files"][0]["bytes"] == tiny.stat().st_size
    assert document["totals"]["by_dtype"] == {"I64": 1, "F32": 72833, "BF16": 133120}
    assert document["tied"] == {}
    assert document["findings"] == []
    tensors = {tensor["name"]: tensor for tensor in document["tensors"]}
    arrays = safetensors.numpy.load_file(tiny)
    data = tiny.read_bytes()
    for name, tensor in tensors.items():
        values = arrays[name].astype(np.float64)
        assert tensor["stats"]["mean"] == pytest.approx(values.mean(), rel=1e-5, abs=1e-9)
        assert tensor["stats"]["std"] == pytest.approx(values.std(), rel=1e-5)
        assert tensor["stats"]["min"] == values.min()
        assert tensor["stats"]["max"] == values.max()
        begin = tensor["offset"]
        assert data[begin : begin + tensor["bytes"]] == arrays[name].tobytes()
    assert tensors["layer.0.expert.0.kernel"]["expected"]["law"] == "truncated_normal"
    assert tensors["layer.0.expert.0.kernel"]["expected"]["std"] == pytest.approx(math.sqrt(2 / 64))


def test_several_paths(tiny: Path) -> None:
    assert len(json.loads(run("inspect", tiny, tiny, "--json").stdout)) == 2
    assert run("inspect", tiny, tiny).stdout.count(f"{tiny}:\n") == 2


def test_numbers_that_json_has_not_are_text(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    arrays = {"a": np.array([np.nan, np.inf, 1, 0], np.float32), "b": np.zeros((0, 3), np.float32)}
    safetensors.numpy.save_file(arrays, path)
    document = json.loads(run("inspect", path, "--stats", "--json").stdout)
    a, b = document["tensors"][0]["stats"], document["tensors"][1]["stats"]
    if document["tensors"][0]["name"] == "b":
        a, b = b, a
    assert (a["nan"], a["inf"], a["zeros"], a["max"], a["mean"]) == (1, 1, 1, 1.0, 0.5)
    assert b == {
        "mean": "nan",
        "std": "nan",
        "min": "nan",
        "max": "nan",
        "zeros": 0,
        "nan": 0,
        "inf": 0,
    }


def test_a_long_name_does_not_widen_every_row(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    names = ["n" * 1_000_000, *(f"a{number}" for number in range(99))]
    safetensors.numpy.save_file({name: np.zeros(1, np.float32) for name in names}, path)
    done = run("inspect", path)
    assert done.returncode == 0
    assert len(done.stdout) < 100_000
    assert f"{'n' * 497}..." in done.stdout


def test_colour_only_on_a_terminal_and_not_without_it(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    safetensors.numpy.save_file({"a": np.array([np.nan], np.float32)}, path)
    assert "\x1b" not in run("inspect", path, "--lint").stdout
    master, slave = os.openpty()
    for environment, coloured in (
        ({}, True),
        ({"NO_COLOR": "1"}, False),
        ({"TERM": "dumb"}, False),
    ):
        with subprocess.Popen(
            [*COMMAND, "inspect", str(path), "--lint"],
            stdout=slave,
            env={**os.environ, "TERM": "xterm", "NO_COLOR": "", **environment},
        ) as process:
            process.wait(timeout=100)
        assert (b"\x1b[31merror\x1b[0m" in os.read(master, 100_000)) == coloured
    os.close(master)
    os.close(slave)


def test_a_terminal_without_bars(tiny: Path) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = run("inspect", tiny, "--stats", env=environment)
    assert done.returncode == 0
    assert "histogram" not in done.stdout
    assert "histogram" in run("inspect", tiny, "--stats").stdout


@given(
    names=st.lists(
        st.lists(st.sampled_from(["h", "w", "0", "1", "2", "10", "07"]), min_size=1, max_size=4),
        unique_by=tuple,
        max_size=30,
    )
)
def test_folding_loses_no_name(names: list[list[str]]) -> None:
    full = [".".join(parts) for parts in names]
    groups = fold(full, lambda name: name, len)
    assert sorted(name for group in groups for name in group.members) == sorted(full)
    for group in groups:
        # What a line says is what it has.
        assert sorted(unfolded(group.name)) == sorted(group.members)


def unfolded(name: str) -> list[str]:
    """The names that a folded one stands for."""
    before, brace, rest = name.partition("{")
    if not brace:
        return [name]
    inside, _, after = rest.partition("}")
    numbers = []
    for run_ in inside.split(","):
        first, _, last = run_.partition("..")
        numbers += range(int(first), int(last or first) + 1)
    return [f"{before}{number}{end}" for number in numbers for end in unfolded(after)]


def statistics_of(
    tmp_path: Path, arrays: dict[str, np.ndarray[Any, Any]], **options: Any
) -> dict[str, Statistics]:
    path = tmp_path / "s.safetensors"
    safetensors.numpy.save_file(arrays, path)
    checkpoint = open_checkpoint(str(path))
    found = measure(
        lambda: checkpoint.open(0), checkpoint.tensors, options.pop("threads", 2), **options
    )
    return {tensor.name: statistics for tensor, statistics in found}


@pytest.mark.parametrize("dtype", [*FLOATS, "int8", "uint64", "bool"])
def test_statistics_are_numpys(tmp_path: Path, dtype: str) -> None:
    rng = np.random.default_rng(0)
    kind = dtype_of(dtype)
    arrays = {
        # Several runs, one, a few numbers, none, far from 0, and numbers that square to nothing.
        "long": (rng.standard_normal((1300, 999)) * 3).astype(kind),
        "short": (rng.standard_normal(5000) * 3).astype(kind),
        "two": np.array([1, 0], kind),
        "none": np.zeros((3, 0), kind),
        "far": (rng.standard_normal((70, 1000)) / 8 + 40).astype(kind),
        "small": (rng.standard_normal(9999) * 1e-25).astype(kind),
    }
    found = statistics_of(tmp_path, arrays)
    assert found.keys() == arrays.keys()
    for name, values in arrays.items():
        moments, exact = found[name].moments, values.astype(np.float64)
        assert moments.count == values.size
        if values.size:
            assert moments.mean == pytest.approx(exact.mean(), rel=1e-6, abs=1e-6 * exact.std())
            assert moments.std == pytest.approx(exact.std(), rel=2e-6)
            assert (moments.low, moments.high) == (exact.min(), exact.max())
            assert moments.zeros == np.count_nonzero(exact == 0)
            assert (moments.nan, moments.inf) == (0, 0)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float8_e5m2"])
def test_every_pattern_is_converted(tmp_path: Path, dtype: str) -> None:
    kind = dtype_of(dtype)
    bits = min(16, 8 * kind.itemsize)
    patterns = np.arange(1 << bits, dtype=np.dtype(f"u{kind.itemsize}"))
    values = (patterns << (8 * kind.itemsize - bits)).view(kind)
    moments = statistics_of(tmp_path, {"a": values})["a"].moments
    with np.errstate(invalid="ignore"):
        exact = values.astype(np.float64)
    finite = exact[np.isfinite(exact)]
    assert moments.count == finite.size
    assert moments.nan == np.count_nonzero(np.isnan(exact))
    assert moments.inf == np.count_nonzero(np.isinf(exact))
    assert (moments.low, moments.high) == (finite.min(), finite.max())
    assert moments.zeros == 2


@pytest.mark.parametrize(("dtype", "pattern"), [("float16", 0x7C01), ("float32", 0x7F800001)])
def test_numbers_that_are_none_warn_of_nothing(tmp_path: Path, dtype: str, pattern: int) -> None:
    # A signalling NaN, of which NumPy's conversions and comparisons warn.
    values = np.zeros((4, 64), dtype)
    values[0, :9].view(f"u{values.itemsize}")[...] = pattern
    values[1, 0] = 1
    statistics = statistics_of(tmp_path, {"a": values})["a"]
    assert (statistics.moments.nan, statistics.zero_rows) == (9, 2)
    assert sum(statistics.histogram(4)) == values.size - 9


@settings(max_examples=25, deadline=None)
@given(threads=st.integers(1, 5))
def test_threads_change_no_statistic(
    tmp_path_factory: pytest.TempPathFactory, threads: int
) -> None:
    arrays = {
        "a": np.random.default_rng(1).standard_normal((700, 3001)).astype(np.float32),
        "b": np.arange(9, dtype=np.float32),
    }
    tmp_path = tmp_path_factory.mktemp("threads")
    one = statistics_of(tmp_path, arrays, threads=1)
    more = statistics_of(tmp_path, arrays, threads=threads)
    for name in arrays:
        assert one[name].moments == more[name].moments
        assert one[name].signs == more[name].signs


def test_rows_of_zeros(tmp_path: Path) -> None:
    values = np.ones((3, 500, 700), np.float32)
    values[0, 3] = values[2, 499] = -0.0
    values[1, 1, 1:] = 0
    statistics = statistics_of(tmp_path, {"a": values})["a"]
    assert statistics.zero_rows == 2


# The limits, each recomputed or simulated.


def test_names_of_many_numbers_take_no_time() -> None:
    # The square of their count would be hours.
    names = [".".join(["1"] * 100_000) + end for end in (".1", ".2")]
    assert [group.name for group in fold(names, str, len)] == names


def test_the_limits_of_the_specification() -> None:
    for count, low, high in (
        (1024, 0.75, 1.19),
        (4096, 0.885, 1.092),
        (16384, 0.944, 1.045),
        (2**18, 0.986, 1.011),
        (2**20, 0.993, 1.0055),
        (2**30, 0.9998, 1.0002),
    ):
        least, most = limits.variance_limits(count, np.dtype(np.float32))
        assert least is not None
        assert math.sqrt(least) == pytest.approx(low, abs=4e-3)
        assert math.sqrt(most) == pytest.approx(high, abs=6e-3)
    assert limits.variance_limits(192, np.dtype(np.float32))[0] is None
    assert limits.mean_limit(10_000) == pytest.approx(8 / 100)
    assert limits.extreme_limit(10**6) == pytest.approx(9.6, abs=0.05)
    assert limits.extreme_limit(10**9) == pytest.approx(10.3, abs=0.05)
    assert not limits.surely_exceeded(703, 2.0)
    assert limits.surely_exceeded(704, 2.0)
    assert not limits.surely_exceeded(11_850, 3.0)
    assert limits.surely_exceeded(11_853, 3.0)
    assert limits.distribution_limit(10_000) == pytest.approx(4 / 100)


@pytest.mark.parametrize("law", ["normal", "uniform", "cut"])
@pytest.mark.parametrize("count", [64, 1024])
def test_the_limits_hold_at_a_level_that_can_be_seen(
    monkeypatch: pytest.MonkeyPatch, law: str, count: int
) -> None:
    # With X = 5 each side may fail with probability exp(-5) = 0.0067. The bound holds; 30 000
    # trials of a binomial law at the bound exceed 1.3 times it with probability below 1e-4.
    monkeypatch.setattr(limits, "X", 5.0)
    monkeypatch.setattr(limits, "LEAST_COUNT", 30)
    rng = np.random.default_rng(count)
    trials = 30_000
    shape = (trials, count)
    if law == "normal":
        values = rng.standard_normal(shape)
    elif law == "uniform":
        values = rng.uniform(-math.sqrt(3), math.sqrt(3), shape)
    else:
        inside = special.ndtr(2.0)
        values = special.ndtri(rng.uniform(1 - inside, inside, shape)) / _law.truncated_stddev(2.0)
    r = np.square(values).mean(axis=1)
    low, high = limits.variance_limits(count, np.dtype(np.float64))
    allowed = 1.3 * math.exp(-5) * trials
    assert np.count_nonzero(r > high) < allowed
    assert low is None or np.count_nonzero(r < low) < allowed
    assert np.count_nonzero(np.abs(values.mean(axis=1)) > limits.mean_limit(count)) < 2 * allowed


@pytest.mark.parametrize(
    "law", [_law.normal(0.5, 2), _law.uniform(-1, 3), _law.truncated_normal(1, 2)]
)
def test_distribution_functions_are_scipys(law: _law.Law) -> None:
    assert law.mean is not None
    assert law.std is not None
    assert law.low is None or law.high is not None
    exact = {
        "normal": lambda: stats.norm(law.mean, law.std),
        "uniform": lambda: stats.uniform(law.low, law.high - law.low),
        "truncated_normal": lambda: stats.truncnorm(-2, 2, law.mean, (law.high - law.mean) / 2),
    }[law.kind]()
    for x in np.linspace(-8, 8, 101):
        assert limits.distribution(law, x) == pytest.approx(exact.cdf(x), abs=1e-12)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(
    "law",
    [_law.normal(0, 1), _law.uniform(-1, 1), _law.truncated_normal(0, 1), _law.normal(3, 0.5)],
    ids=["normal", "uniform", "cut", "shifted"],
)
def test_the_distance_of_distributions_knows_rounding(
    tmp_path: Path, dtype: str, law: _law.Law
) -> None:
    # Quantiles of the law itself, rounded: the distance is that of 2**20 equal steps, not more,
    # however coarse the dtype.
    count = 1 << 18
    ranks = (np.arange(count) + 0.5) / count
    if law.kind == "normal":
        values = law.mean + law.std * special.ndtri(ranks)  # type: ignore[operator]
    elif law.kind == "uniform":
        values = law.low + (law.high - law.low) * ranks  # type: ignore[operator]
    else:
        inside = special.ndtr(2.0)
        values = special.ndtri(1 - inside + (2 * inside - 1) * ranks)
    kind = dtype_of(dtype)
    rounded = values.astype(np.float32).astype(kind)
    statistics = statistics_of(tmp_path, {"a": rounded}, deep=True)["a"]
    assert statistics.patterns is not None
    distance = limits.distribution_distance(statistics.patterns, law, kind)
    assert distance < 3 / count
    # A law that is a little wider is further away.
    wider = np.float32(1.05) * values.astype(np.float32)
    statistics = statistics_of(tmp_path, {"a": wider.astype(kind)}, deep=True)["a"]
    assert statistics.patterns is not None
    assert limits.distribution_distance(statistics.patterns, law, kind) > 0.005


# Lint: a specification, values that are wrong in one way, and the finding; none on right ones.

MODEL = """seed = 3
dtype = "{dtype}"
[[tensor]]
name = "h.{{layer}}.attn.c_proj.weight"
repeat = {{ layer = 12 }}
shape = [64, 96]
init = {{ class_name = "RandomNormal", config = {{ stddev = 0.05 }} }}
[[tensor]]
name = "fc.weight"
shape = [256, 100]
init = "he_normal"
[[tensor]]
name = "uniform"
shape = [400, 30]
init = "glorot_uniform"
[[tensor]]
name = "wte.weight"
shape = [500, 64]
init = {{ class_name = "RandomNormal", config = {{ stddev = 0.1, mean = 0.2 }} }}
[[tensor]]
name = "norm.weight"
shape = [64]
init = "ones"
[[tensor]]
name = "q"
shape = [60, 60]
init = "orthogonal"
"""


def linted(
    tmp_path: Path,
    text: str,
    change: Callable[[dict[str, Any]], None] = lambda arrays: None,
    *,
    deep: bool = False,
    blind: bool = False,
) -> list[Finding]:
    """The findings about what a specification makes, after a change; `blind` hides it."""
    specification = parse_specification(text.encode(), "m.toml")
    arrays = {tensor.name: np.asarray(tensor.prepare().draw()) for tensor in specification.tensors}
    change(arrays)
    path = tmp_path / "s.safetensors"
    safetensors.numpy.save_file(arrays, path)
    checkpoint = open_checkpoint(str(path))
    expected = {} if blind else {tensor.name: tensor for tensor in specification.tensors}
    found = measure(lambda: checkpoint.open(0), checkpoint.tensors, 1, deep=deep)
    measured = [
        Measured(
            tensor,
            statistics,
            expected.get(tensor.name),
            expected[tensor.name].law() if tensor.name in expected else None,
        )
        for tensor, statistics in found
    ]
    return lint(measured, deep=deep)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("blind", [False, True])
def test_right_values_have_no_finding(tmp_path: Path, dtype: str, blind: bool) -> None:
    text = MODEL.format(dtype=dtype)
    if dtype == "float8_e4m3fn":
        # 16 of its least steps are 0.031: what is finer is too coarse there.
        text = text.replace("0.05", "0.5")
    assert linted(tmp_path, text, deep=True, blind=blind) == []


PROJECTIONS = [f"h.{layer}.attn.c_proj.weight" for layer in range(12)]


def scale(factor: float, *names: str) -> Callable[[dict[str, Any]], None]:
    def change(arrays: dict[str, Any]) -> None:
        for name in names:
            arrays[name] = (arrays[name] * np.float32(factor)).astype(arrays[name].dtype)

    return change


def replace(
    name: str, make: Callable[[np.ndarray[Any, Any]], Any]
) -> Callable[[dict[str, Any]], None]:
    def change(arrays: dict[str, Any]) -> None:
        values = make(arrays[name].copy())
        arrays[name] = np.ascontiguousarray(values, dtype=arrays[name].dtype)

    return change


def put(name: str, index: Any, value: float) -> Callable[[dict[str, Any]], None]:
    def make(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        values[index] = value
        return values

    return replace(name, make)


def drawn(name: str, initializer: initializers.Initializer) -> Callable[[dict[str, Any]], None]:
    return replace(name, lambda values: initializer(values.shape, dtype="float32"))


def copied(source: str, target: str, factor: float = 1.0) -> Callable[[dict[str, Any]], None]:
    def change(arrays: dict[str, Any]) -> None:
        arrays[target] = (arrays[source] * np.float32(factor)).astype(arrays[source].dtype)

    return change


UNIFORM_BOUND = math.sqrt(6 / 430)
FC_STD = math.sqrt(2 / 256)
WRONG: dict[str, tuple[Callable[[dict[str, Any]], None], str, str, str]] = {
    # name: change, id, level, what the message says
    "depth scale missing": (
        scale(math.sqrt(24), *PROJECTIONS),
        "std",
        "error",
        "h.{0..11}.attn.c_proj.weight: std 0.245 in 12 tensors, expected 0.05 "
        "(ratio 4.9 = sqrt(2 * layers): depth scale missing?)",
    ),
    "depth scale twice": (
        scale(1 / math.sqrt(24), *PROJECTIONS),
        "std",
        "error",
        "= 1 / sqrt(2 * layers): depth scale applied twice?",
    ),
    "cut not corrected": (
        scale(0.87962566, "fc.weight"),
        "std",
        "error",
        "= 0.8796: cut at 2 deviations without correction?",
    ),
    "variance for deviation": (scale(FC_STD, "fc.weight"), "std", "error", "= sigma: the variance"),
    "bound for deviation": (scale(1 / math.sqrt(3), "uniform"), "std", "error", "= 1 / sqrt(3): a"),
    "axes swapped": (
        drawn("fc.weight", initializers.TruncatedNormal(0, math.sqrt(2 / 100) / 0.8796, seed=1)),
        "std",
        "error",
        "(ratio 1.61 = sqrt(fan_in / fan_out): axes swapped?)",
    ),
    "a little too wide": (scale(1.06, "fc.weight"), "std", "error", "ratio 1.06)"),
    "orthogonal gain": (scale(1.01, "q"), "std", "error", "RMS 0.13, expected 0.129"),
    "mean": (replace("uniform", lambda v: v + 0.02), "mean", "error", "expected 0 +- "),
    "outside": (put("uniform", (3, 4), 0.2), "bounds", "error", "has the value 0.2, outside of"),
    "never cut": (
        drawn("fc.weight", initializers.RandomNormal(0, FC_STD, seed=1)),
        "bounds",
        "error",
        "outside of -0.2",
    ),
    "norm that is not 1": (put("norm.weight", 7, 0.5), "bounds", "error", "expected 1 everywhere"),
    "extreme": (put("wte.weight", (3, 4), 1.5), "extreme", "error", "deviations from the mean"),
    "cut": (
        replace("wte.weight", lambda v: np.clip(v, 0, 0.4)),
        "cut",
        "error",
        "no value is beyond 2 deviations",
    ),
    "cut at 3": (
        replace("wte.weight", lambda v: np.clip(v, -0.1, 0.5)),
        "cut",
        "error",
        "no value is beyond 3 deviations",
    ),
    "NaN": (put("uniform", (0, 0), math.nan), "nan", "error", "has 1 NaN values"),
    "infinity": (put("uniform", (0, 0), math.inf), "inf", "error", "has 1 infinite values"),
    "constant": (put("fc.weight", ..., 0.0), "constant", "error", "every value is 0, expected"),
    "identical": (
        copied("h.0.attn.c_proj.weight", "h.5.attn.c_proj.weight"),
        "identical",
        "error",
        "has the values of h.0.",
    ),
    "same numbers": (
        copied("h.0.attn.c_proj.weight", "h.5.attn.c_proj.weight", 1.01),
        "same-numbers",
        "error",
        "has the random numbers of h.0.attn.c_proj.weight (one seed for both?)",
    ),
    "padding": (put("wte.weight", 0, 0.0), "zero-rows", "note", "1 of 500 rows are all zeros, for"),
    "a row of zeros": (put("fc.weight", 3, 0.0), "zero-rows", "warning", "1 of 256 rows are all"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_values_are_found(tmp_path: Path, case: str) -> None:
    change, kind, level, message = WRONG[case]
    findings = linted(tmp_path, MODEL.format(dtype="float32"), change)
    [found] = [finding for finding in findings if finding.id == kind]
    assert found.level == level
    assert message in found.message
    # Nothing else is accused, apart from what follows from the same change.
    about = {finding.tensor for finding in findings}
    assert about == {found.tensor}


@pytest.mark.parametrize("case", ["NaN", "infinity", "identical", "same numbers", "a row of zeros"])
def test_what_is_wrong_without_a_specification(tmp_path: Path, case: str) -> None:
    change, kind, level, message = WRONG[case]
    [found] = linted(tmp_path, MODEL.format(dtype="float32"), change, blind=True)
    assert (found.id, found.level) == (kind, level)
    assert message in found.message


def test_many_small_tensors_are_found_together(tmp_path: Path) -> None:
    text = (
        'seed = 1\n[[tensor]]\nname = "h.{i}"\nrepeat = { i = 400 }\nshape = [20, 10]\n'
        'init = { class_name = "RandomNormal", config = { stddev = 1.0 } }\n'
    )
    names = [f"h.{i}" for i in range(400)]
    assert linted(tmp_path, text) == []
    # 5% too wide: no tensor of 200 values shows it.
    [found] = linted(tmp_path, text, scale(1.05, *names))
    assert found.id == "pooled-std"
    assert "and 399 more tensors of one rule" in found.message

    def shift(arrays: dict[str, Any]) -> None:
        for name in names:
            arrays[name] += np.float32(0.05)

    [found] = linted(tmp_path, text, shift)
    assert found.id == "pooled-mean"


def test_values_whose_squares_float64_has_not(tmp_path: Path) -> None:
    path, spec = tmp_path / "a.safetensors", tmp_path / "s.toml"
    values = np.random.default_rng(0).standard_normal((64, 64)) * 1e200
    safetensors.numpy.save_file({"a": values}, path)
    spec.write_text(
        'seed = 1\n[[tensor]]\nname = "a"\nshape = [64, 64]\ndtype = "float64"\n'
        "init = { class_name = 'RandomNormal', config = { stddev = 1.0 } }\n"
    )
    done = run("inspect", path, "--lint", "--spec", spec, "--json")
    assert (done.returncode, done.stderr) == (1, "")
    assert "std" in [finding["id"] for finding in json.loads(done.stdout)["findings"]]


def test_the_whole_distribution(tmp_path: Path) -> None:
    # Uniform, of the right mean and deviation and beyond the 2 deviations that a cut would leave.
    text = (
        'seed = 1\n[[tensor]]\nname = "w"\nshape = [500, 500]\n'
        'init = { class_name = "TruncatedNormal", config = { stddev = 1.0 } }\n'
    )
    bound = 0.87962566103423978 * math.sqrt(3)
    change = drawn("w", initializers.RandomUniform(-bound, bound, seed=1))
    assert linted(tmp_path, text, change) == []
    [found] = linted(tmp_path, text, change, deep=True)
    assert found.id == "distribution"
    assert "not distributed as truncated_normal" in found.message
    assert linted(tmp_path, text, deep=True) == []


def test_a_dtype_that_is_too_coarse(tmp_path: Path) -> None:
    text = (
        'seed = 1\ndtype = "float8_e4m3fn"\n[[tensor]]\nname = "w"\nshape = [500, 500]\n'
        'init = { class_name = "RandomNormal", config = { stddev = 0.00204 } }\n'
    )
    [found] = linted(tmp_path, text)
    assert (found.id, found.level) == ("coarse", "warning")
    assert "float8_e4m3fn is too coarse for a deviation of 0.00204; 37% of the values are 0" in (
        found.message
    )


def test_tensors_with_one_seed_of_their_own_are_a_warning(tmp_path: Path) -> None:
    text = (
        'seed = 1\n[[tensor]]\nname = "h.{i}"\nrepeat = { i = 3 }\nshape = [20, 10]\n'
        'init = { class_name = "RandomNormal", config = { seed = 5 } }\n'
    )
    [found] = linted(tmp_path, text)
    assert (found.id, found.level) == ("identical", "warning")
    assert found.tensor == "h.{1..2}"


def test_findings_are_the_exit_code(tmp_path: Path, tiny: Path) -> None:
    arrays = dict(safetensors.numpy.load_file(tiny))
    arrays["embedding.weight"][0] = 0
    safetensors.numpy.save_file(arrays, tiny)
    done = run("inspect", tiny, "--spec", TINY, "--lint")
    assert done.returncode == 0
    assert "note: embedding.weight: 1 of 1000 rows are all zeros, for padding?" in done.stdout
    arrays["embedding.weight"] *= np.float32(2)
    safetensors.numpy.save_file(arrays, tiny)
    done = run("inspect", tiny, "--spec", TINY, "--lint")
    assert done.returncode == 1
    assert "error: embedding.weight: std 0.115, expected 0.0577 (ratio 2 = 2)" in done.stdout
    document = json.loads(run("inspect", tiny, "--spec", TINY, "--lint", "--json").stdout)
    [finding] = [f for f in document["findings"] if f["id"] == "std"]
    assert finding["measured"] == pytest.approx(0.115, rel=0.01)
    assert finding["allowed"][0] < finding["expected"] < finding["allowed"][1]
    # Without --lint it is shown, not judged.
    assert run("inspect", tiny, "--spec", TINY).returncode == 0
