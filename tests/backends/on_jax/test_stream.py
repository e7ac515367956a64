"""The jax stream against Keras on JAX: no byte may differ, and exceptions have the same types."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import warnings
from typing import Any

import jax
import keras
import keras_hub
import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import seedbed
import seedbed.keras
from cases import LAYERS, RANDOM, data

SAMPLERS = ["normal", "truncated_normal", "uniform"]
DTYPES = ["float16", "bfloat16", "float32", "float8_e4m3fn", "float8_e5m2"]
# What JAX returns float32 for is float32 in the adapter, and on the stream what 64 bits give.
OTHER_DTYPES = ["int32", "uint8", "bool"]
NUMBERS = st.one_of(
    st.floats(-10, 10),
    st.floats(allow_nan=True, allow_infinity=True),
    st.floats(-1e-36, 1e-36),
    st.integers(-(2**32), 2**32),
    st.sampled_from([0, -0.0, 1, True, 1e-38, -1e-38, 1e39, 65520.0, 470.0, 10**30]),
    st.sampled_from([np.float32(0.1), np.float64(0.1), np.float16(0.1), ml_dtypes.bfloat16(0.1)]),
    st.sampled_from([np.int64(2**40), np.int64(3), np.uint8(3), np.bool_(True)]),
)
SHAPES = st.one_of(
    # Few, for JAX compiles each.
    st.sampled_from([(), (0,), (1,), (7,), (3, 5), (2, 0, 3), (129,), (40, 50), [2, 3], 3, True]),
    st.sampled_from([(2.0, 3), (None, 2), np.int64(3), "23", (np.int64(2), 3), (np.bool_(True),)]),
)
SEEDS = st.one_of(
    st.integers(0, 2**32 - 1),
    st.sampled_from([0, 2**31, 2**32 - 1, 2**32, -1, True, 1.0, "5", np.int64(5), (1,)]),
)


def outcome(make: Any) -> Any:
    """dtype, shape and bits of the result, or the built-in type of the exception."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            array = np.array(make())
        except Exception as error:
            kinds = (kind for kind in type(error).__mro__ if kind.__module__ == "builtins")
            return next(kinds).__name__
    words = array.view(f"u{array.itemsize}")
    if array.dtype.kind != "c":
        # One pattern for all NaNs, whose sign and payload no one promises.
        words[np.isnan(array.astype(np.float64))] = 0x7F
    return array.dtype.name, array.shape, words.tobytes()


def assert_alike(ours: Any, theirs: Any, what: Any) -> None:
    """The same result or exception; where JAX makes another dtype, a refusal."""
    if isinstance(theirs, tuple) and isinstance(ours, str):
        # Numbers of NumPy that make the result another dtype, and complex numbers.
        assert ours in ("TypeError", "ValueError"), what
        assert theirs[0] not in DTYPES or theirs[0] != what[0], what
    else:
        assert ours == theirs, what


@pytest.mark.parametrize("name", SAMPLERS)
@settings(max_examples=80, deadline=None)
@given(
    shape=SHAPES,
    a=NUMBERS,
    b=NUMBERS,
    dtype=st.sampled_from(DTYPES + OTHER_DTYPES),
    seed=SEEDS,
)
def test_samplers(name: str, shape: Any, a: Any, b: Any, dtype: str, seed: Any) -> None:
    def draw(library: Any, **given: Any) -> Any:
        return getattr(library.random, name)(shape, a, b, dtype=dtype, seed=seed, **given)

    theirs, ours = outcome(lambda: draw(keras)), outcome(lambda: draw(seedbed, stream="jax"))
    if theirs == "OverflowError" and ours == "TypeError":
        # One number is beyond 32 bits, the other, which comes first, would make another dtype.
        assert isinstance(b, np.generic), (dtype, shape, a, b, seed)
    else:
        assert_alike(ours, theirs, (dtype, shape, a, b, seed))


@pytest.mark.parametrize("name", RANDOM)
def test_initializers(name: str) -> None:
    bound = 0.5 * 40 * 2.0**-23
    for shape in ((6, 5), (3, 3, 4, 8), (7, 300)):
        for dtype in DTYPES:
            for seed in (0, 2**32 - 1, True):
                theirs = getattr(keras.initializers, name)(seed=seed, **RANDOM[name])
                ours = getattr(seedbed.initializers, name)(seed=seed, stream="jax", **RANDOM[name])
                expected = outcome(lambda theirs=theirs: theirs(shape, dtype))  # noqa: B023
                drawn = outcome(lambda ours=ours: ours(shape, dtype))  # noqa: B023
                if name == "Orthogonal" and dtype == "float32":
                    # LAPACK's rounding is its own.
                    gap = np.abs(np.asarray(theirs(shape)) - ours(shape)).max()
                    assert gap <= bound
                else:
                    assert drawn == expected, (shape, dtype, seed)


def test_generators_of_either_library() -> None:
    for name in RANDOM:
        if name == "Orthogonal":
            continue
        theirs, given = keras.random.SeedGenerator(11), keras.random.SeedGenerator(11)
        ours = seedbed.random.SeedGenerator(11)
        for _ in range(3):
            expected = np.asarray(getattr(keras.initializers, name)(seed=theirs)((7, 5)))
            for source in (ours, given):
                made = getattr(seedbed.initializers, name)(seed=source, stream="jax")
                np.testing.assert_array_equal(made((7, 5)), expected)


def test_no_seed_draws_what_keras_would_draw() -> None:
    drawn = []
    for draw in (
        lambda name: getattr(keras.random, name)((4,)),
        lambda name: getattr(seedbed.random, name)((4,), stream="jax"),
    ):
        keras.utils.set_random_seed(3)
        drawn.append([np.asarray(draw(name)).tobytes() for name in 3 * SAMPLERS])
    assert drawn[0] == drawn[1]


@pytest.mark.parametrize("name", SAMPLERS)
def test_float64_where_it_is_enabled(name: str) -> None:
    with jax.enable_x64(True):
        theirs = getattr(keras.random, name)((1000, 301), 0.1, 0.7, dtype="float64", seed=7)
        init = keras.initializers.HeNormal(seed=1)
        own = init((300, 200), "float64")
        with seedbed.keras.installed("keras"):
            drawn = init((300, 200), "float64")
    sampler = getattr(seedbed.random, name)
    ours = sampler((1000, 301), 0.1, 0.7, dtype="float64", seed=7, stream="jax")
    np.testing.assert_array_equal(ours, np.asarray(theirs))
    assert own.dtype == drawn.dtype == np.float64
    np.testing.assert_array_equal(np.asarray(own), np.asarray(drawn))


@pytest.mark.parametrize("name", ["RandomNormal", "TruncatedNormal", "RandomUniform"])
def test_what_only_jax_makes_is_made_by_keras(name: str) -> None:
    """Arrays as parameters, and dtypes that the stream does not have."""
    parameter = "maxval" if name == "RandomUniform" else "stddev"
    for value, dtype in [
        (np.array([0.1, 0.2, 0.3]), "float32"),
        (jax.numpy.array(0.5), "float32"),
        (np.float32(0.5), "bfloat16"),
        (0.5, "float8_e4m3"),
        (0.5, "int32"),
        ("x", "float32"),
    ]:
        init = getattr(keras.initializers, name)(seed=1, **{parameter: value})
        own = outcome(lambda init=init, dtype=dtype: init((2, 3), dtype))
        with seedbed.keras.installed("keras"):
            assert outcome(lambda init=init, dtype=dtype: init((2, 3), dtype)) == own


@pytest.mark.parametrize("name", ["dense", "multi_head_attention", "separable_convolution", "lstm"])
def test_layers_keep_their_numbers(name: str) -> None:
    build = LAYERS[name]
    for init in (keras.initializers.HeNormal(seed=3), "glorot_uniform"):
        keras.utils.set_random_seed(1)
        own = [data(variable) for variable in build(init).weights]
        keras.utils.set_random_seed(1)
        with seedbed.keras.installed(stream="keras"):
            drawn = [data(variable) for variable in build(init).weights]
        assert drawn == own


def test_a_backbone_keeps_its_numbers() -> None:
    def build() -> list[bytes]:
        keras.utils.set_random_seed(2)
        backbone = keras_hub.models.BertBackbone(
            vocabulary_size=50, num_layers=2, num_heads=2, hidden_dim=16, intermediate_dim=32
        )
        return [data(variable) for variable in backbone.weights]

    own = build()
    with seedbed.keras.installed(stream="keras"):
        drawn = build()
    assert len(own) > 20
    assert drawn == own


def test_float16_of_processors_that_round_it_otherwise_is_left_to_keras() -> None:
    """In a process that may use them. On other processors it is the stream's."""
    program = (
        "import keras, numpy as np, seedbed.keras\n"
        "for name in ('TruncatedNormal', 'RandomUniform', 'RandomNormal'):\n"
        "    init = getattr(keras.initializers, name)(seed=1)\n"
        "    own = np.asarray(init((50, 60), 'float16'))\n"
        "    with seedbed.keras.installed(stream='keras'):\n"
        "        assert np.array_equal(np.asarray(init((50, 60), 'float16')), own), name\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True)


def test_infinite_and_missing_numbers() -> None:
    for name in SAMPLERS:
        for pair in [(0.0, math.inf), (math.nan, 1.0), (-math.inf, math.inf), (3e38, -3e38)]:
            theirs = outcome(lambda: getattr(keras.random, name)((500,), *pair, seed=3))  # noqa: B023
            sampler = getattr(seedbed.random, name)
            ours = outcome(lambda: sampler((500,), *pair, seed=3, stream="jax"))  # noqa: B023
            assert ours == theirs
