"""The tensorflow stream against a live Keras on TensorFlow: no byte may differ.

NaN aside, of which IEEE 754 leaves sign and payload open.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import keras
import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

import seedbed
import seedbed.keras

DTYPES = ["float16", "bfloat16", "float32", "float64"]
SEEDS = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.integers(0, 2**32),
    st.sampled_from([0, 1, -1, 2**31 - 3, 2**31 - 2, 2**31 - 1, 2**63 - 1, -(2**63)]),
)
SHAPES = st.one_of(
    st.lists(st.integers(0, 7), max_size=5).map(tuple),
    st.lists(st.integers(1, 5), max_size=3),
    st.tuples(st.integers(1, 300), st.integers(1, 200)),
    st.tuples(st.integers(65_000, 75_000)),
)
# Where floats become subnormal, or stop, in one dtype or another.
EDGES = [1e-40, 1.1754943508222875e-38, 1.2e-38, 3e-36, 1e-45, 6e-8, 65504.0, 3.4e38, 1e-310]
EDGES += [2.3e-308, 0.0, math.inf, -math.inf, math.nan, 1e300]
NUMBERS = st.one_of(
    st.just(0.0),
    st.just(1.0),
    st.floats(-10, 10),
    st.floats(allow_nan=False),
    st.sampled_from(EDGES),
    st.integers(-5, 5),
    st.sampled_from([2**24 + 1, 2**62 + 2**38 + 1, -(2**63), 2**63 - 1, True]),
    st.floats(-3, 3).map(np.float64),
    st.sampled_from([1 + 2.0**-11 + 2.0**-30, 1e-39, 1e39, 1e-310]).map(np.float64),
    st.floats(-3, 3, width=32).map(np.float32),
    st.floats(-3, 3, width=16).map(np.float16),
    st.integers(-100, 100).map(np.int8),
    st.sampled_from([np.int64(2**62 + 2**38 + 1), np.uint64(2**63 + 5), np.bool(True)]),
    st.sampled_from([np.longdouble(0.1), ml_dtypes.bfloat16(0.1), np.array(0.5)]),
    st.sampled_from([None, "1", 10**400, 2**64, -(2**70)]),
)


@pytest.fixture(scope="module", autouse=True)
def _tensorflow_stream() -> Iterator[None]:
    assert keras.backend.backend() == "tensorflow"
    with seedbed.use_stream("tensorflow"), warnings.catch_warnings():
        # NumPy's words on numbers beyond a dtype, which TensorFlow has it convert.
        warnings.simplefilter("ignore", RuntimeWarning)
        yield


def as_met_first(number: Any) -> Any:
    """The number in the form that TensorFlow takes whatever it met before.

    It keeps the scalars that it made of numbers of Python, and finds them by their value: for
    either zero it gives the one that came first, and it takes True as bfloat16 only where a 1 came
    before.
    """
    if isinstance(number, bool):
        return int(number)
    return 0.0 if type(number) is float and number == 0.0 else number


def words(array: Any) -> Any:
    """The bits of an array of floats, one pattern for all NaNs."""
    array = np.asarray(array)
    bits = array.view(f"u{array.itemsize}")
    return np.where(np.isnan(array.astype(np.float64)), bits.dtype.type(-1 % 2**16), bits)


def assert_same(ours: Any, theirs: Any) -> None:
    # TensorFlow makes no array of one bfloat16 that has no axis.
    theirs = np.asarray(tf.reshape(theirs, [-1])).reshape(theirs.shape)
    assert ours.dtype == theirs.dtype
    assert ours.shape == theirs.shape
    if ours.tobytes() != theirs.tobytes():
        np.testing.assert_array_equal(words(ours), words(theirs))


def compare(ours: Callable[[], Any], theirs: Callable[[], Any]) -> None:
    """The same bytes, or the same built-in exception; ValueError for TensorFlow's own."""
    try:
        expected = theirs()
    except tf.errors.OpError:
        kind: type[Exception] = ValueError
    except (TypeError, ValueError, OverflowError) as error:
        kind = type(error)
    else:
        assert_same(ours(), expected)
        return
    with pytest.raises(kind):
        ours()


@pytest.mark.parametrize("name", ["uniform", "normal", "truncated_normal"])
@settings(max_examples=250, deadline=None)
@given(SHAPES, NUMBERS, NUMBERS, st.sampled_from(DTYPES), SEEDS)
def test_samplers(name: str, shape: Any, a: Any, b: Any, dtype: str, seed: int) -> None:
    a, b = as_met_first(a), as_met_first(b)
    compare(
        lambda: getattr(seedbed.random, name)(shape, a, b, dtype=dtype, seed=seed),
        lambda: getattr(keras.random, name)(shape, a, b, dtype=dtype, seed=seed),
    )


@pytest.mark.parametrize("name", ["uniform", "normal", "truncated_normal"])
@pytest.mark.parametrize("dtype", DTYPES)
@settings(max_examples=40, deadline=None)
@given(st.floats(-1e-36, 1e-36), st.floats(-1e-36, 1e-36), st.integers(0, 2**31), st.booleans())
def test_where_numbers_become_subnormal(
    name: str, dtype: str, a: float, b: float, seed: int, double: bool
) -> None:
    if double and dtype == "float64" and name != "uniform":
        a, b = a * 1e-271, b * 1e-271
    a, b = as_met_first(a), as_met_first(b)
    assert_same(
        getattr(seedbed.random, name)((3000,), a, b, dtype=dtype, seed=seed),
        getattr(keras.random, name)((3000,), a, b, dtype=dtype, seed=seed),
    )


@pytest.mark.parametrize("name", ["uniform", "normal", "truncated_normal"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_large_tensors(name: str, dtype: str) -> None:
    ours = getattr(seedbed.random, name)((1501, 1403), 0.1, 0.37, dtype=dtype, seed=7)
    assert_same(ours, getattr(keras.random, name)((1501, 1403), 0.1, 0.37, dtype=dtype, seed=7))


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
        for scale in (0.3, 2, np.float32(0.7), np.int64(3), np.float64(0.1))
        for mode in ("fan_in", "fan_out", "fan_avg")
        for law in ("truncated_normal", "untruncated_normal", "uniform")
    ),
]
INITIALIZER_DTYPES = [*DTYPES, None, "half", "double", float, "int8", "bool", "complex64", "what"]


@pytest.mark.parametrize(("name", "arguments"), INITIALIZERS)
@settings(max_examples=12, deadline=None)
@given(
    shape=st.one_of(
        st.lists(st.integers(0, 5), max_size=5).map(tuple),
        st.lists(st.integers(1, 24), max_size=4).map(tuple),
    ),
    dtype=st.sampled_from(INITIALIZER_DTYPES),
    seed=SEEDS,
    calls=st.integers(0, 3),
)
def test_initializers(
    name: str, arguments: dict[str, Any], shape: Any, dtype: Any, seed: int, calls: int
) -> None:
    ours = getattr(seedbed.initializers, name)
    theirs = getattr(keras.initializers, name)
    compare(
        lambda: ours(**arguments, seed=seed)(shape, dtype=dtype),
        lambda: theirs(**arguments, seed=seed)(shape, dtype=dtype),
    )
    # Call number `calls` of a generator of ours, and of one of Keras' that is given to both.
    our_source, their_source = seedbed.random.SeedGenerator(seed), keras.random.SeedGenerator(seed)
    shared = keras.random.SeedGenerator(seed)
    for _ in range(calls):
        for generator in (our_source, their_source, shared):
            generator.next()
    for source in (our_source, shared):
        twin = keras.random.SeedGenerator(seed)
        twin.state.assign(their_source.state)
        compare(
            lambda source=source: ours(**arguments, seed=source)(shape, dtype=dtype),
            lambda twin=twin: theirs(**arguments, seed=twin)(shape, dtype=dtype),
        )


@pytest.mark.parametrize("dtype", [*DTYPES, "int32", "complex64", "what"])
@settings(max_examples=15, deadline=None)
@given(
    shape=st.lists(st.integers(0, 40), min_size=1, max_size=4).map(tuple),
    gain=st.sampled_from([1.0, 2, -0.5, np.float64(0.1), None, "1"]),
    seed=SEEDS,
)
def test_orthogonal(dtype: str, shape: Any, gain: Any, seed: int) -> None:
    try:
        expected = np.asarray(keras.initializers.Orthogonal(gain, seed=seed)(shape, dtype))
    except tf.errors.OpError:
        kind: type[Exception] = ValueError
    except (TypeError, ValueError) as error:
        kind = type(error)
    else:
        made = seedbed.initializers.Orthogonal(gain, seed=seed)(shape, dtype)
        assert made.dtype == expected.dtype
        assert made.shape == expected.shape
        # The condition of a Gaussian of these sizes, times what a factorization loses.
        bound = abs(float(gain)) * 2000 * float(np.finfo(dtype).eps)
        gap = np.abs(made.astype(np.float64) - expected.astype(np.float64))
        assert gap.max(initial=0.0) <= bound
        return
    with pytest.raises(kind):
        seedbed.initializers.Orthogonal(gain, seed=seed)(shape, dtype)


@pytest.mark.parametrize("seed", [True, 2**63, -(2**63) - 1, np.int64(3), 1.0, "1", [1]])
def test_seeds_that_keras_refuses(seed: Any) -> None:
    for make in (
        lambda library: library.random.normal((2,), seed=seed),
        lambda library: library.initializers.HeNormal(seed=seed)((2, 2)),
        lambda library: library.random.SeedGenerator(seed),
    ):
        with pytest.raises(ValueError):
            make(keras)
        with pytest.raises(ValueError, match="seed"):
            make(seedbed)


@pytest.mark.parametrize(
    "shape",
    [3, None, "ab", (2.0,), (True,), (None,), (-1,), (0, -1), {2: 3}, {2}, (2**63,), (1,) * 255],
)
def test_shapes_that_keras_refuses(shape: Any) -> None:
    for name in ("uniform", "normal", "truncated_normal"):
        compare(
            lambda name=name: getattr(seedbed.random, name)(shape, seed=1),
            lambda name=name: getattr(keras.random, name)(shape, seed=1),
        )


def test_unseeded_calls_advance_keras_generator() -> None:
    keras.utils.set_random_seed(5)
    ours = [seedbed.random.normal((3,)), seedbed.initializers.HeNormal()((3, 3))]
    keras.utils.set_random_seed(5)
    theirs = [keras.random.normal((3,)), keras.initializers.HeNormal()((3, 3))]
    for our, their in zip(ours, theirs, strict=True):
        assert_same(our, their)


def test_layers_have_keras_own_weights() -> None:
    def weights() -> list[Any]:
        keras.utils.set_random_seed(3)
        keras.backend.clear_session()
        inputs = keras.Input((16, 8))
        x = keras.layers.Dense(32, kernel_initializer="he_normal")(inputs)
        x = keras.layers.Conv1D(8, 3)(x)
        x = keras.layers.MultiHeadAttention(2, 4)(x, x)
        x = keras.layers.LSTM(8, recurrent_initializer="glorot_uniform")(x)
        x = keras.layers.Dense(4, kernel_initializer=keras.initializers.TruncatedNormal(seed=3))(x)
        return [np.asarray(weight) for weight in keras.Model(inputs, x).weights]

    expected = weights()
    with seedbed.keras.installed(stream="keras"):
        made = weights()
    assert len(made) == len(expected) > 10
    for ours, theirs in zip(made, expected, strict=True):
        assert ours.tobytes() == theirs.tobytes()


def test_parameters_that_only_tensorflow_takes_are_left_to_it() -> None:
    make = keras.initializers.RandomNormal(mean=[0.0, 1.0], stddev=tf.constant(0.5), seed=1)
    expected = np.asarray(make((3, 2)))
    with seedbed.keras.installed(stream="keras"):
        assert np.asarray(make((3, 2))).tobytes() == expected.tobytes()


def test_the_promise_covers_graphs_and_no_xla() -> None:
    def draw() -> Any:
        return keras.random.normal((64,), seed=4)

    ours = seedbed.random.normal((64,), seed=4)
    assert_same(ours, tf.function(draw)())
    assert np.asarray(tf.function(draw, jit_compile=True)()).tobytes() != ours.tobytes()
