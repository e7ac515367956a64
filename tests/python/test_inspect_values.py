"""What `seedbed inspect` measures of values, and the limits, each recomputed or simulated."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

from seedbed import _law
from seedbed._checkpoint.reader import open_checkpoint
from seedbed._inspect import limits
from seedbed._inspect.statistics import Statistics, measure

FLOATS = ["float16", "bfloat16", "float32", "float64", "float8_e4m3fn", "float8_e5m2"]


def dtype_of(name: str) -> np.dtype[Any]:
    return np.dtype(getattr(ml_dtypes, name, name))


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
