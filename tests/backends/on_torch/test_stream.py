"""The torch stream against a live Keras on torch: no byte may differ.

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
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import seedbed
import seedbed.keras

DTYPES = ["float16", "bfloat16", "float32", "float64"]
SAMPLERS = ["uniform", "normal", "truncated_normal"]
SEEDS = st.one_of(
    st.integers(0, 2**32 - 1),
    st.integers(-(2**70), 2**70),
    st.sampled_from([0, 1, -1, True, False, 2**31 - 1, 2**31, 2**32, -(2**31), 2**64]),
)
GENERATOR_SEEDS = st.integers(-(2**31), 2**31 - 1)
# Normal values come one by one below 16, then in blocks of 16; truncated ones in blocks of 4.
SIZES = [1, 2, 3, 4, 5, 15, 16, 17, 31, 32, 33, 47, 48, 623, 1279, 1280, 1281, 1296, 5119, 5121]
SHAPES = st.one_of(
    st.lists(st.integers(0, 7), max_size=5).map(tuple),
    st.lists(st.integers(1, 5), max_size=3),
    st.sampled_from(SIZES).map(lambda size: (size,)),
    st.tuples(st.integers(1, 300), st.integers(1, 200)),
    st.tuples(st.integers(65_000, 75_000)),
)
# Where floats become subnormal, or stop, in one dtype or another.
EDGES = [1e-40, 1.1754943508222875e-38, 3e-36, 1e-45, 6e-8, 65504.0, 65520.0, 3.4e38, 1e-310]
EDGES += [0.0, -0.0, math.inf, -math.inf, math.nan, 1e300, 1e39, 5e-324]
NUMBERS = st.one_of(
    st.just(0.0),
    st.just(1.0),
    st.floats(-10, 10),
    st.floats(0, 10),
    st.floats(allow_nan=False),
    st.sampled_from(EDGES),
    st.integers(-5, 5),
    # Differences of bounds among them are within 2**53, beyond which integers are refused.
    st.sampled_from([2**24 + 1, 2**52, -(2**52), 10**15 + 7, True, False]),
    st.floats(-3, 3).map(np.float64),
    st.integers(-100, 100).map(np.int8),
    st.integers(0, 200).map(np.uint8),
    st.sampled_from([np.int64(2**50 + 1), np.bool(True)]),
    st.sampled_from([None, "1", [1.0], 10**400]),
)
# Scalars of NumPy that lower the precision of what they meet.
NARROW = st.one_of(
    st.floats(-3, 3, width=32).map(np.float32), st.floats(-3, 3, width=16).map(np.float16)
)


@pytest.fixture(scope="module", autouse=True)
def _torch_stream() -> Iterator[None]:
    assert keras.backend.backend() == "torch"
    with seedbed.use_stream("torch"), warnings.catch_warnings():
        # NumPy's words on numbers that its scalars cannot hold.
        warnings.simplefilter("ignore", RuntimeWarning)
        yield


def array(tensor: Any) -> np.ndarray[Any, Any]:
    tensor = tensor.detach()
    if tensor.dtype == torch.bfloat16:
        return np.asarray(tensor.view(torch.int16).numpy().view(ml_dtypes.bfloat16))
    return np.asarray(tensor.numpy())


def words(values: Any) -> Any:
    """The bits of an array of floats, one pattern for all NaNs."""
    bits = np.ascontiguousarray(values).view(f"u{values.itemsize}")
    return np.where(np.isnan(values.astype(np.float64)), bits.dtype.type(-1 % 2**16), bits)


def assert_same(ours: Any, theirs: Any) -> None:
    theirs = array(theirs)
    assert ours.dtype == theirs.dtype
    assert ours.shape == theirs.shape
    if ours.tobytes() != theirs.tobytes():
        np.testing.assert_array_equal(words(ours), words(theirs))


def compare(ours: Callable[[], Any], theirs: Callable[[], Any]) -> None:
    """The same bytes, or the same built-in exception."""
    try:
        expected = theirs()
    except Exception as error:
        kind = next(kind for kind in type(error).__mro__ if kind.__module__ == "builtins")
        with pytest.raises(kind) as raised:
            ours()
        assert raised.type is kind, raised.value
        return
    assert_same(ours(), expected)


@pytest.mark.parametrize("name", SAMPLERS)
@settings(max_examples=250, deadline=None)
@given(SHAPES, NUMBERS, NUMBERS, st.sampled_from(DTYPES), SEEDS)
def test_samplers(name: str, shape: Any, a: Any, b: Any, dtype: str, seed: int) -> None:
    compare(
        lambda: getattr(seedbed.random, name)(shape, a, b, dtype=dtype, seed=seed),
        lambda: getattr(keras.random, name)(shape, a, b, dtype=dtype, seed=seed),
    )


@pytest.mark.parametrize("name", SAMPLERS)
@settings(max_examples=60, deadline=None)
@given(NUMBERS, NARROW, st.booleans(), st.sampled_from(DTYPES), SEEDS)
def test_narrow_scalars(name: str, a: Any, b: Any, swap: bool, dtype: str, seed: int) -> None:
    a, b = (b, a) if swap else (a, b)
    try:
        ours = getattr(seedbed.random, name)((70,), a, b, dtype=dtype, seed=seed)
    except ValueError:
        # The only refusal that is not Keras'.
        with pytest.raises(ValueError, match="differ by what float64 has"):
            seedbed.random.uniform((70,), a, b, dtype=dtype, seed=seed)
        return
    except (RuntimeError, TypeError, OverflowError) as error:
        with pytest.raises(type(error)):
            getattr(keras.random, name)((70,), a, b, dtype=dtype, seed=seed)
        return
    assert_same(ours, getattr(keras.random, name)((70,), a, b, dtype=dtype, seed=seed))


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_size(dtype: str) -> None:
    for name in SAMPLERS:
        for size in [*range(100), *range(1270, 1300)]:
            ours = getattr(seedbed.random, name)((size,), dtype=dtype, seed=size)
            assert_same(ours, getattr(keras.random, name)((size,), dtype=dtype, seed=size))


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_large_tensors(name: str, dtype: str) -> None:
    for shape in [(1501, 1403), (1024, 1024)]:
        ours = getattr(seedbed.random, name)(shape, 0.1, 0.37, dtype=dtype, seed=7)
        assert_same(ours, getattr(keras.random, name)(shape, 0.1, 0.37, dtype=dtype, seed=7))


INITIALIZERS: list[tuple[str, dict[str, Any]]] = [
    ("RandomNormal", {"mean": 0.5, "stddev": 0.2}),
    ("RandomNormal", {}),
    ("RandomNormal", {"stddev": -1.0}),
    ("RandomUniform", {"minval": -0.3, "maxval": 0.7}),
    ("RandomUniform", {}),
    ("TruncatedNormal", {"mean": -1.0, "stddev": 3.0}),
    ("TruncatedNormal", {"stddev": -0.5}),
    ("TruncatedNormal", {}),
    *((name + law, {}) for name in ("Glorot", "He", "Lecun") for law in ("Normal", "Uniform")),
    *(
        ("VarianceScaling", {"scale": scale, "mode": mode, "distribution": law})
        for scale in (0.3, 2, math.inf, np.float32(0.7), np.int64(3), np.float64(0.1))
        for mode in ("fan_in", "fan_out", "fan_avg")
        for law in ("truncated_normal", "untruncated_normal", "uniform")
    ),
]
INITIALIZER_DTYPES = [*DTYPES, None, "", float, "half", "int32", "bool", "float8_e5m2", "what"]


@pytest.mark.parametrize(("name", "arguments"), INITIALIZERS)
@settings(max_examples=12, deadline=None)
@given(
    shape=st.one_of(
        st.lists(st.integers(0, 5), max_size=5).map(tuple),
        st.lists(st.integers(1, 24), max_size=4).map(tuple),
    ),
    dtype=st.sampled_from(INITIALIZER_DTYPES),
    seed=GENERATOR_SEEDS,
    calls=st.integers(0, 3),
)
def test_initializers(
    name: str, arguments: dict[str, Any], shape: Any, dtype: Any, seed: int, calls: int
) -> None:
    # Of a dtype that torch does not draw Keras makes empty tensors alone.
    assume(0 not in shape or dtype not in ("int32", "bool", "float8_e5m2"))
    ours = getattr(seedbed.initializers, name)
    theirs = getattr(keras.initializers, name)
    compare(
        lambda: ours(**arguments, seed=seed)(shape, dtype=dtype),
        lambda: theirs(**arguments, seed=seed)(shape, dtype=dtype),
    )
    # Call number `calls` of a generator of ours, and of one of Keras' that is given to ours.
    for kind in (seedbed.random.SeedGenerator, keras.random.SeedGenerator):
        our_source, their_source = kind(seed), keras.random.SeedGenerator(seed)
        for _ in range(calls):
            our_source.next()
            their_source.next()
        compare(
            lambda source=our_source: ours(**arguments, seed=source)(shape, dtype=dtype),
            lambda source=their_source: theirs(**arguments, seed=source)(shape, dtype=dtype),
        )


@pytest.mark.parametrize("dtype", [*DTYPES, "int32", "what"])
@settings(max_examples=15, deadline=None)
@given(
    shape=st.lists(st.integers(0, 40), min_size=1, max_size=4).map(tuple),
    gain=st.sampled_from([1.0, 2, -0.5, np.float64(0.1)]),
    seed=SEEDS,
)
def test_orthogonal(dtype: str, shape: Any, gain: Any, seed: int) -> None:
    try:
        expected = array(keras.initializers.Orthogonal(gain, seed=seed)(shape, dtype))
    except (RuntimeError, ValueError) as error:
        with pytest.raises(type(error)):
            seedbed.initializers.Orthogonal(gain, seed=seed)(shape, dtype)
        return
    made = seedbed.initializers.Orthogonal(gain, seed=seed)(shape, dtype)
    assert made.dtype == expected.dtype
    assert made.shape == expected.shape
    # The condition of a Gaussian of these sizes, times what a factorization loses.
    bound = abs(float(gain)) * 2000 * float(np.finfo(dtype).eps)
    gap = np.abs(made.astype(np.float64) - expected.astype(np.float64))
    assert gap.max(initial=0.0) <= bound


@pytest.mark.parametrize("seed", [2**31, -(2**31) - 1, 2**63, 1.0, "1", [1], np.int64(3), None])
def test_generators_that_keras_refuses(seed: Any) -> None:
    def states(library: Any) -> Any:
        try:
            library.random.SeedGenerator(seed)
        except Exception as error:
            return type(error)
        return None

    assert states(seedbed) == states(keras)


@pytest.mark.parametrize(
    "seed", [1.0, "5", np.int64(5), np.bool(True), [1, 2], 3j, keras.random.SeedGenerator]
)
def test_seeds_that_keras_refuses(seed: Any) -> None:
    for make in (
        lambda library: library.random.normal((2,), seed=seed),
        lambda library: library.initializers.HeNormal(seed=seed)((2, 2)),
    ):
        for library in (keras, seedbed):
            with pytest.raises(ValueError, match="seed"):
                make(library)


SHAPES_OF_ALL_KINDS: list[Any] = [
    *((np.int64(2), 3), torch.Size([2, 3]), (torch.tensor(2), 3), range(2, 4), np.array([2, 3])),
    *(3, np.int64(3), None, "23", b"ab", {2: 3}, {2, 3}, (-1, 2), (0, -1), (2.0, 3), (True, 2)),
    *((None, 2), ((2, 3),), (2**63,), (2**62, 2**62)),
]


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("shape", SHAPES_OF_ALL_KINDS)
def test_shapes(name: str, shape: Any) -> None:
    compare(
        lambda: getattr(seedbed.random, name)(shape, seed=1),
        lambda: getattr(keras.random, name)(shape, seed=1),
    )


DTYPES_OF_ALL_KINDS: list[Any] = [
    *("float8_e4m3fn", "int32", "bool", "half", "single", "float", "int", "f4", "foo", "", None),
    *(float, int, np.float32, np.dtype("float64"), torch.float16, torch.float32, 0, 1, 3.5),
    *(b"float32",),
]


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("dtype", DTYPES_OF_ALL_KINDS)
def test_dtypes(name: str, dtype: Any) -> None:
    compare(
        lambda: getattr(seedbed.random, name)((20,), dtype=dtype, seed=1),
        lambda: getattr(keras.random, name)((20,), dtype=dtype, seed=1),
    )


def test_unseeded_calls_advance_keras_generator() -> None:
    keras.utils.set_random_seed(5)
    ours = [seedbed.random.normal((30,)), seedbed.initializers.HeNormal()((3, 3))]
    ours += [getattr(seedbed.random, name)((30,)) for name in SAMPLERS]
    keras.utils.set_random_seed(5)
    theirs = [keras.random.normal((30,)), keras.initializers.HeNormal()((3, 3))]
    theirs += [getattr(keras.random, name)((30,)) for name in SAMPLERS]
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
        return [array(weight.value) for weight in keras.Model(inputs, x).weights]

    expected = weights()
    with seedbed.keras.installed(stream="keras"):
        made = weights()
    assert len(made) == len(expected) > 10
    for ours, theirs in zip(made, expected, strict=True):
        assert ours.tobytes() == theirs.tobytes()


def test_what_only_torch_takes_is_left_to_it() -> None:
    makers = [
        lambda: keras.initializers.RandomNormal(torch.tensor(1.0), seed=1)((3, 2)),
        lambda: keras.initializers.RandomUniform(0.0, 2**60 + 1, seed=1)((3, 2)),
        lambda: keras.initializers.RandomUniform(seed=1)((3, 2), dtype="complex64"),
        lambda: keras.initializers.Orthogonal(gain=math.inf, seed=1)((3, 2)),
    ]
    for make in makers:
        expected = make()
        with seedbed.keras.installed(stream="keras"):
            made = make()
        assert made.dtype == expected.dtype
        np.testing.assert_array_equal(made.numpy(), expected.numpy())


def test_what_keras_refuses_is_refused_in_its_words() -> None:
    for make in (
        lambda: keras.initializers.RandomNormal(stddev=-1.0, seed=1)((3, 2)),
        lambda: keras.initializers.HeNormal(seed=1)((3, 2), dtype="int32"),
        lambda: keras.initializers.HeNormal(seed=1)((3, -2)),
        lambda: keras.initializers.Orthogonal(seed=1)((3, 2), dtype="float16"),
    ):
        with pytest.raises(RuntimeError) as theirs:
            make()
        with seedbed.keras.installed(stream="keras"), pytest.raises(theirs.type) as ours:
            make()
        assert str(ours.value) == str(theirs.value)


def test_documented_refusals_name_the_argument() -> None:
    for argument, arguments in [
        ("minval", {"minval": torch.tensor(0.5)}),
        ("minval", {"minval": 2**60 + 1}),
        ("dtype", {"dtype": "complex64"}),
    ]:
        with pytest.raises((TypeError, ValueError), match=f"`{argument}` must"):
            seedbed.random.uniform((3,), seed=1, **arguments)
