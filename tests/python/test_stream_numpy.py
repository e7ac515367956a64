"""The numpy stream against Keras on its NumPy backend: no byte may differ."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import numpy as np
import seedbed

DTYPES = ["float16", "bfloat16", "float32", "float64", "float8_e4m3fn", "float8_e5m2"]
# What the core does not fill is converted by NumPy; `keras.random.uniform` does not take it.
OTHER_DTYPES = ["int32", "uint8", "bool", "complex64"]
SEEDS = st.one_of(st.integers(0, 2**32 - 1), st.sampled_from([0, 1, 2**31, 2**32 - 1, True]))
SHAPES = st.one_of(
    st.lists(st.integers(0, 7), max_size=5).map(tuple),
    st.tuples(st.integers(1, 300), st.integers(1, 200)),
    st.tuples(st.integers(65_000, 75_000)),
)
MEANS = st.one_of(st.just(0.0), st.floats(-10, 10), st.sampled_from([1e9, -0.0, 1e20, 5]))
STDDEVS = st.one_of(st.just(0.05), st.floats(0, 10), st.sampled_from([1e-7, 1e-300, 1e5, 2]))


@pytest.fixture(scope="module", autouse=True)
def _numpy_stream() -> Iterator[None]:
    assert keras.backend.backend() == "numpy"
    # Casts to integers may overflow, in NumPy's hands on both sides.
    with seedbed.use_stream("numpy"), np.errstate(all="ignore"):
        yield


def assert_same(ours: Any, theirs: Any) -> None:
    assert ours.dtype == theirs.dtype
    assert ours.shape == theirs.shape
    assert ours.tobytes() == theirs.tobytes()


def astype(array: np.ndarray, dtype: str) -> np.ndarray:
    with np.errstate(all="ignore"):
        return array.astype(np.dtype(dtype))


# What the embedded tables are, in Rust.
TABLES = Path(__file__).parents[2] / "src/core/dist/ziggurat_tables.rs"
MULTIPLIER = (2549297995355413924 << 64) | 4865540595714422341
MASK = 2**128 - 1


def read_tables() -> dict[str, np.ndarray]:
    source = TABLES.read_text()
    tables = {}
    for name in ("KI", "WI", "FI"):
        body = re.search(rf"{name}: \[u64; 256\] = \[(.*?)\];", source, re.DOTALL)
        assert body is not None
        words = [int(word.replace("_", ""), 16) for word in re.findall(r"0x[0-9a-f_]+", body[1])]
        tables[name] = np.array(words, dtype=np.uint64)
        assert tables[name].shape == (256,)
    return tables


class Probe:
    """`standard_normal` of the installed NumPy for any two draws that we choose.

    State and increment of PCG64 can be set: the state after one step is made the first draw, the
    one after the next step the second (high halves 0, so that nothing is rotated), which fixes an
    increment that has to be odd; the lowest bit of the second draw is given up for that.
    """

    def __init__(self) -> None:
        self.bits = np.random.PCG64(0)
        self.generator = np.random.Generator(self.bits)
        self.state: Any = self.bits.state
        self.inverse = pow(MULTIPLIER, -1, 2**128)

    def __call__(self, first: int, second: int = 0) -> tuple[float, int]:
        """The value, and how many draws it took: 1, 2, or 3 for more."""
        second = (second & ~1) | ((first ^ 1) & 1)
        increment = (second - first * MULTIPLIER) & MASK
        state = (first - increment) * self.inverse & MASK
        self.state["state"] = {"state": state, "inc": increment}
        self.bits.state = self.state
        value = self.generator.standard_normal()
        after = self.bits.state["state"]["state"]
        return value, 1 if after == first else 2 if after == second else 3


def least(low: int, high: int, holds: Any) -> int:
    """The least number in [low, high] from which `holds` is true; `high` is taken to hold."""
    while low < high:
        middle = (low + high) // 2
        if holds(middle):
            high = middle
        else:
            low = middle + 1
    return low


def test_the_tables_are_those_of_the_installed_numpy() -> None:
    tables = read_tables()
    thresholds = tables["KI"].tolist()
    widths = tables["WI"].view(np.float64).tolist()
    edges = tables["FI"].view(np.float64).tolist()
    probe = Probe()

    def draw(layer: int, magnitude: int, sign: int = 0) -> int:
        return magnitude << 9 | sign << 8 | layer

    for layer in range(256):
        if layer != 1:  # Layer 1 accepts nothing at once.
            assert probe(draw(layer, 1)) == (widths[layer], 1)
            assert probe(draw(layer, 1, sign=1)) == (-widths[layer], 1)
        second = 0 if layer else 1 << 63

        def slow(magnitude: int, layer: int = layer, second: int = second) -> bool:
            return probe(draw(layer, magnitude), second)[1] != 1

        assert least(0, 1 << 52, slow) == thresholds[layer]
        if layer == 0:
            continue
        for fraction in (0.02, 0.5, 0.98):
            magnitude = thresholds[layer] + int((2**52 - thresholds[layer]) * fraction)
            x = magnitude * widths[layer]
            if layer == 1:
                assert probe(draw(1, magnitude))[0] == x
            density = math.exp(-0.5 * x * x)

            def refused(unit: int, layer: int = layer, magnitude: int = magnitude) -> bool:
                return probe(draw(layer, magnitude), unit << 11)[1] != 2

            def under(unit: int, layer: int = layer, density: float = density) -> bool:
                height = edges[layer - 1] - edges[layer]
                return height * (unit * 2.0**-53) + edges[layer] < density

            # The last accepted and the first refused of the 2^53 units are the embedded edges'.
            first = least(0, 1 << 53, refused)
            assert first == 0 or under(first - 1)
            assert first == 1 << 53 or not under(first)


@settings(max_examples=150, deadline=None)
@given(SHAPES, MEANS, STDDEVS, st.sampled_from(DTYPES + OTHER_DTYPES), SEEDS)
def test_normal(shape: Any, mean: float, stddev: float, dtype: str, seed: int) -> None:
    with np.errstate(all="ignore"):
        theirs = keras.random.normal(shape, mean, stddev, dtype=dtype, seed=seed)
    assert_same(seedbed.random.normal(shape, mean, stddev, dtype=dtype, seed=seed), theirs)


@settings(max_examples=150, deadline=None)
@given(SHAPES, MEANS, STDDEVS, st.sampled_from(DTYPES + OTHER_DTYPES), SEEDS)
def test_truncated_normal(shape: Any, mean: float, stddev: float, dtype: str, seed: int) -> None:
    with np.errstate(all="ignore"):
        theirs = keras.random.truncated_normal(shape, mean, stddev, dtype=dtype, seed=seed)
    ours = seedbed.random.truncated_normal(shape, mean, stddev, dtype=dtype, seed=seed)
    assert_same(ours, theirs)


@settings(max_examples=150, deadline=None)
@given(SHAPES, MEANS, STDDEVS, st.sampled_from(DTYPES), SEEDS)
def test_uniform(shape: Any, low: float, width: float, dtype: str, seed: int) -> None:
    high = low + width
    with np.errstate(all="ignore"):
        theirs = keras.random.uniform(shape, low, high, dtype=dtype, seed=seed)
    assert_same(seedbed.random.uniform(shape, low, high, dtype=dtype, seed=seed), theirs)


@pytest.mark.parametrize("dtype", DTYPES)
def test_large_arrays_with_any_number_of_threads(dtype: str) -> None:
    source = np.random.default_rng(np.array([7, 0], dtype=np.uint32))
    normal = astype(source.normal(0.1, 0.5, (1501, 701)), dtype)
    source = np.random.default_rng(np.array([7, 0], dtype=np.uint32))
    uniform = astype(source.uniform(-0.3, 0.7, (1501, 701)), dtype)
    truncated = astype(keras.random.truncated_normal((1501, 701), seed=7, dtype="float64"), dtype)
    before = seedbed.get_num_threads()
    try:
        for threads in (1, 2, 3, 7):
            seedbed.set_num_threads(threads)
            random, shape = seedbed.random, (1501, 701)
            assert_same(random.normal(shape, 0.1, 0.5, dtype=dtype, seed=7), normal)
            assert_same(random.uniform(shape, -0.3, 0.7, dtype=dtype, seed=7), uniform)
            assert_same(random.truncated_normal(shape, dtype=dtype, seed=7), truncated)
    finally:
        seedbed.set_num_threads(before)


INITIALIZERS: list[tuple[str, dict[str, Any]]] = [
    ("RandomNormal", {"mean": 0.5, "stddev": 0.2}),
    ("RandomNormal", {}),
    ("RandomUniform", {"minval": -0.3, "maxval": 0.7}),
    ("RandomUniform", {}),
    ("TruncatedNormal", {"mean": -1.0, "stddev": 3.0}),
    ("TruncatedNormal", {}),
    *((name + law, {}) for name in ("Glorot", "He", "Lecun") for law in ("Normal", "Uniform")),
    *(
        ("VarianceScaling", {"scale": scale, "mode": mode, "distribution": law})
        for scale in (0.3, 2.0)
        for mode in ("fan_in", "fan_out", "fan_avg")
        for law in ("truncated_normal", "untruncated_normal", "uniform")
    ),
]


@pytest.mark.parametrize(("name", "arguments"), INITIALIZERS)
@settings(max_examples=12, deadline=None)
@given(
    shape=st.one_of(
        st.lists(st.integers(0, 5), max_size=5).map(tuple),
        st.lists(st.integers(1, 24), max_size=4).map(tuple),
    ),
    dtype=st.sampled_from(DTYPES + OTHER_DTYPES),
    seed=SEEDS,
    calls=st.integers(0, 3),
)
def test_initializers(
    name: str, arguments: dict[str, Any], shape: Any, dtype: str, seed: int, calls: int
) -> None:
    ours = getattr(seedbed.initializers, name)
    theirs = getattr(keras.initializers, name)
    assert_same(
        ours(**arguments, seed=seed)(shape, dtype=dtype),
        theirs(**arguments, seed=seed)(shape, dtype=dtype),
    )
    # Call number `calls` of a generator that both were given.
    our_source = seedbed.random.SeedGenerator(int(seed))
    their_source = keras.random.SeedGenerator(int(seed))
    for _ in range(calls):
        our_source.next()
        their_source.next()
    assert_same(
        ours(**arguments, seed=our_source)(shape, dtype=dtype),
        theirs(**arguments, seed=their_source)(shape, dtype=dtype),
    )


@settings(max_examples=120, deadline=None)
@given(data=st.data(), dtype=st.sampled_from(DTYPES), seed=SEEDS)
def test_blocks_and_outputs(data: st.DataObject, dtype: str, seed: int) -> None:
    shape = data.draw(st.lists(st.integers(1, 40), min_size=1, max_size=3).map(tuple))
    axis = st.tuples(
        st.integers(0, 39) | st.none(),
        st.integers(0, 39) | st.none(),
        st.integers(-5, 5).filter(bool) | st.none(),
    )
    index = tuple(slice(*data.draw(axis)) for _ in shape)
    name = data.draw(st.sampled_from(["uniform", "normal", "truncated_normal"]))
    expected = getattr(keras.random, name)(shape, dtype=dtype, seed=seed)[index]
    sampler = getattr(seedbed.random, name)
    assert_same(sampler(shape, dtype=dtype, seed=seed, index=index), expected)
    doubled = tuple(2 * extent for extent in reversed(expected.shape))
    memory = np.zeros(doubled, np.dtype(dtype))
    out = memory[tuple(slice(None, None, 2) for _ in doubled)].T
    assert sampler(shape, dtype=dtype, seed=seed, index=index, out=out) is out
    assert_same(np.ascontiguousarray(out).reshape(out.shape), expected)


@pytest.mark.parametrize("name", ["uniform", "normal", "truncated_normal"])
def test_tiles_of_a_large_array(name: str) -> None:
    whole = getattr(keras.random, name)((800, 500), seed=3)
    sampler = getattr(seedbed.random, name)
    for first in range(0, 800, 160):
        rows = slice(first, first + 160)
        assert_same(sampler((800, 500), seed=3, index=(rows,)), whole[rows])
    columns = (slice(None, None, -1), slice(100, 300))
    assert_same(sampler((800, 500), seed=3, index=columns), whole[columns])


@pytest.mark.parametrize(
    ("name", "shape", "arguments"),
    [
        ("normal", (2,), {"stddev": -1.0}),
        ("normal", (2,), {"stddev": -0.0}),
        ("normal", (0,), {"stddev": -1.0}),
        ("truncated_normal", (2,), {"stddev": -1.0}),
        ("uniform", (2,), {"minval": 1.0, "maxval": 0.0}),
        ("uniform", (2,), {"minval": 0.0, "maxval": -0.0}),
        ("uniform", (2,), {"minval": -1e308, "maxval": 1e308}),
        ("uniform", (2,), {"maxval": math.inf}),
        ("uniform", (2,), {"maxval": math.nan}),
        ("normal", (2,), {"seed": 2**32}),
        ("truncated_normal", (2,), {"seed": 2**40}),
    ],
)
def test_what_keras_refuses(name: str, shape: Any, arguments: dict[str, Any]) -> None:
    arguments = {"seed": 1, **arguments}
    with pytest.raises((ValueError, OverflowError)) as theirs:
        getattr(keras.random, name)(shape, **arguments)
    with pytest.raises(theirs.type, match="Received"):
        getattr(seedbed.random, name)(shape, **arguments)


@pytest.mark.parametrize(
    ("name", "shape", "arguments"),
    [
        ("normal", (3,), {"stddev": math.nan}),
        ("normal", (3,), {"stddev": math.inf}),
        ("normal", (3,), {"stddev": 0.0, "mean": -0.0}),
        ("truncated_normal", (3,), {"stddev": math.inf}),
        ("truncated_normal", (0,), {"stddev": -1.0}),
        ("truncated_normal", (3,), {"stddev": 1e308}),
        ("uniform", (3,), {"minval": 2.0, "maxval": 2.0}),
        ("normal", (300,), {"stddev": 1e-40}),
        ("normal", (300,), {"stddev": 1e39}),
    ],
)
def test_what_keras_takes(name: str, shape: Any, arguments: dict[str, Any]) -> None:
    for dtype in DTYPES:
        with np.errstate(all="ignore"):
            theirs = getattr(keras.random, name)(shape, seed=1, dtype=dtype, **arguments)
        assert_same(getattr(seedbed.random, name)(shape, seed=1, dtype=dtype, **arguments), theirs)


@pytest.mark.parametrize(
    "arguments",
    [{"stddev": math.nan}, {"mean": math.nan}, {"mean": math.inf, "stddev": math.inf}],
)
def test_what_keras_never_returns_from_is_an_error(arguments: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must"):
        seedbed.random.truncated_normal((2,), seed=1, **arguments)
