"""The jax stream against JAX itself: no byte may differ.

Keras runs on NumPy here; what it does on JAX is two lines for each sampler, which stand below.
`tests/backends/on_jax/test_stream.py` compares with Keras itself.
"""

from __future__ import annotations

import importlib.util
import math
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import seedbed
from core import fill_normal, fill_truncated_normal, fill_uniform
from seedbed import _core

VECTORS = Path(__file__).parents[1] / "vectors"
DTYPES = ["float16", "bfloat16", "float32", "float8_e4m3fn", "float8_e5m2"]
SAMPLERS = ["uniform", "normal", "truncated_normal"]
SEEDS = st.one_of(st.integers(0, 2**32 - 1), st.sampled_from([0, 1, 2**31, 2**32 - 1, True]))
SHAPES = st.one_of(
    st.lists(st.integers(0, 7), max_size=5).map(tuple),
    st.tuples(st.integers(1, 300), st.integers(1, 200)),
    st.tuples(st.sampled_from([127, 128, 129, 4096, 70_000])),
)
NUMBERS = st.one_of(
    st.sampled_from([0.0, 1.0, 0.05, 1, -2]),
    st.floats(-10, 10),
    st.floats(allow_nan=True, allow_infinity=True),
    # Around the smallest normal numbers, where results are flushed to zero.
    st.floats(-1e-36, 1e-36),
    st.sampled_from([1e-38, -1e-38, 1.2e-38, 1e-44, 65520.0, 7e4, 450.0, 470.0, -0.0, 1e39]),
)


@pytest.fixture(scope="module", autouse=True)
def _jax_stream() -> Iterator[None]:
    with seedbed.use_stream("jax"):
        yield


def by_jax(name: str, shape: Any, a: Any, b: Any, dtype: str, seed: int, call: int = 0) -> Any:
    """What Keras does on JAX, as in `keras.src.backend.jax.random`."""
    key = jax.numpy.array([seed, call], dtype="uint32")
    if name == "uniform":
        values = jax.random.uniform(key, shape=shape, dtype=dtype, minval=a, maxval=b)
    elif name == "normal":
        values = jax.random.normal(key, shape=shape, dtype=dtype) * b + a
    else:
        bounds = {"lower": -2.0, "upper": 2.0}
        values = jax.random.truncated_normal(key, shape=shape, dtype=dtype, **bounds) * b + a
    return np.asarray(values)


def bits(array: Any) -> Any:
    """The bits, one pattern for all NaNs, whose sign and payload no one promises."""
    array = np.array(array)
    nan = np.isnan(array.astype(np.float64))
    words = array.view(f"u{array.dtype.itemsize}")
    words[nan] = 0x7F
    return words


def assert_same(ours: Any, theirs: Any) -> None:
    assert ours.dtype == theirs.dtype
    assert ours.shape == theirs.shape
    np.testing.assert_array_equal(bits(ours), bits(theirs))


@pytest.fixture(scope="module")
def maker() -> Any:
    """The program that made the vectors."""
    spec = importlib.util.spec_from_file_location("maker", VECTORS / "make_jax_stream.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def rows(name: str) -> list[list[str]]:
    text = (VECTORS / f"{name}.txt").read_text()
    return [line.split() for line in text.splitlines() if not line.startswith("#")]


def test_the_vectors_of_keras_on_jax(maker: Any) -> None:
    fills = {"uniform": fill_uniform, "normal": fill_normal}
    table = [row for row in rows("jax_stream") if int(row[4]) <= 1000]
    assert len(table) > 500
    for name, dtype, seed, call, count, a, b, _, digest in table:
        a, b = (float(np.uint64(int(x, 16)).view(np.float64)) for x in (a, b))
        source = (dtype, int(seed), int(call), "jax")
        if name == "truncated_normal":
            values = fill_truncated_normal((int(count),), a, b, -2.0, 2.0, *source)
        else:
            values = fills[name]((int(count),), a, b, *source)
        assert f"{maker.fnv1a(values.tobytes()):016x}" == digest, (name, dtype, seed, call, count)


def test_every_number_that_a_normal_is_made_of(maker: Any) -> None:
    """The 2^23 values that the kernels are held against are those of the installed JAX."""
    made = {"normal": maker.normals(), "truncated_normal": maker.truncated_normals()}
    table = rows("jax_erf_inv")
    assert [row[0] for row in table] == list(made)
    for name, _, digest in table:
        assert f"{maker.fnv1a_of_lanes(made[name]):016x}" == digest


# JAX compiles a program for nearly every example.
@pytest.mark.parametrize("name", SAMPLERS)
@settings(max_examples=50, deadline=None)
@given(shape=SHAPES, a=NUMBERS, b=NUMBERS, dtype=st.sampled_from(DTYPES), seed=SEEDS)
def test_samplers(name: str, shape: Any, a: Any, b: Any, dtype: str, seed: int) -> None:
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # overflow in casts of parameters
        theirs = by_jax(name, shape, a, b, dtype, seed)
    assert_same(getattr(seedbed.random, name)(shape, a, b, dtype=dtype, seed=seed), theirs)


@pytest.mark.parametrize("name", SAMPLERS)
def test_float64_is_what_jax_draws_with_64_bits(name: str) -> None:
    for shape in [(), (5,), (0,), (300, 1001)]:
        for a, b in [(0.0, 1.0), (-0.3, 0.7), (1e9, -1e-7), (math.inf, 1.0), (3.0, math.nan)]:
            with jax.enable_x64(True):
                theirs = by_jax(name, shape, a, b, "float64", 2**31 + 7)
            ours = getattr(seedbed.random, name)(shape, a, b, dtype="float64", seed=2**31 + 7)
            assert_same(ours, theirs)


@pytest.mark.parametrize("dtype", DTYPES)
def test_large_arrays_with_any_number_of_threads(dtype: str) -> None:
    shape, before = (1501, 701), seedbed.get_num_threads()
    expected = {name: by_jax(name, shape, -0.3, 0.7, dtype, 7) for name in SAMPLERS}
    try:
        for threads in (1, 2, 3, 7):
            seedbed.set_num_threads(threads)
            for name in SAMPLERS:
                ours = getattr(seedbed.random, name)(shape, -0.3, 0.7, dtype=dtype, seed=7)
                assert_same(ours, expected[name])
    finally:
        seedbed.set_num_threads(before)


@settings(max_examples=100, deadline=None)
@given(data=st.data(), dtype=st.sampled_from(DTYPES), seed=SEEDS)
def test_blocks_and_outputs(data: st.DataObject, dtype: str, seed: int) -> None:
    shape = data.draw(st.lists(st.integers(1, 40), min_size=1, max_size=3).map(tuple))
    axis = st.tuples(
        st.integers(0, 39) | st.none(),
        st.integers(0, 39) | st.none(),
        st.integers(-5, 5).filter(bool) | st.none(),
    )
    index = tuple(slice(*data.draw(axis)) for _ in shape)
    name = data.draw(st.sampled_from(SAMPLERS))
    sampler = getattr(seedbed.random, name)
    expected = sampler(shape, dtype=dtype, seed=seed)[index]
    assert_same(sampler(shape, dtype=dtype, seed=seed, index=index), expected)
    memory = np.zeros(tuple(2 * extent for extent in reversed(expected.shape)), np.dtype(dtype))
    out = memory[tuple(slice(None, None, 2) for _ in expected.shape)].T
    assert sampler(shape, dtype=dtype, seed=seed, index=index, out=out) is out
    assert_same(np.ascontiguousarray(out).reshape(out.shape), expected)


@pytest.mark.parametrize("isa", _core.available_isas())
def test_every_instruction_set_gives_the_same_bytes(isa: str) -> None:
    program = (
        "import sys, hashlib, seedbed\n"
        "digest = hashlib.sha256()\n"
        "for name in ('uniform', 'normal', 'truncated_normal'):\n"
        "    for dtype in ('float32', 'float16', 'bfloat16', 'float64', 'float8_e5m2'):\n"
        "        values = getattr(seedbed.random, name)(\n"
        "            (301, 77), -0.3, 0.7, dtype=dtype, seed=5, stream='jax')\n"
        "        digest.update(values.tobytes())\n"
        "print(digest.hexdigest())\n"
    )
    printed = {
        subprocess.run(
            [sys.executable, "-c", program],
            env=os.environ | settings,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for settings in ({}, {"SEEDBED_ISA": isa})
    }
    assert len(printed) == 1


def test_the_stream_imports_no_jax() -> None:
    program = (
        "import sys, seedbed\n"
        "seedbed.initializers.HeNormal(seed=1, stream='jax')((3, 4))\n"
        "assert 'jax' not in sys.modules and 'keras' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize("name", ["HeNormal", "GlorotUniform", "LecunNormal", "VarianceScaling"])
def test_initializers_scale_by_fans(name: str) -> None:
    shape = (3, 3, 16, 8)
    ours = getattr(seedbed.initializers, name)(seed=5)(shape)
    fan_in, fan_out = 9 * 16, 9 * 8
    if name == "GlorotUniform":
        limit = math.sqrt(3.0 * (1.0 / ((fan_in + fan_out) / 2.0)))
        theirs = by_jax("uniform", shape, -limit, limit, "float32", 5)
    else:
        scale = 2.0 if name == "HeNormal" else 1.0
        stddev = math.sqrt(scale / fan_in) / 0.87962566103423978
        theirs = by_jax("truncated_normal", shape, 0.0, stddev, "float32", 5)
    assert_same(ours, theirs)


def test_generators_count_calls() -> None:
    generator = seedbed.random.SeedGenerator(2**32 - 2)
    for call in range(4):
        theirs = by_jax("normal", (33, 7), 0.0, 1.0, "float32", 2**32 - 2, call)
        assert_same(seedbed.random.normal((33, 7), seed=generator), theirs)


def test_orthogonal_is_q_of_the_gaussian() -> None:
    for dtype, eps in (("float32", 2.0**-23), ("float64", 2.0**-52)):
        for shape in [(5, 5), (4, 2, 3), (2, 9), (64, 64)]:
            rows, columns = math.prod(shape[:-1]), shape[-1]
            tall = (max(rows, columns), min(rows, columns))
            with jax.enable_x64(dtype == "float64"):
                gaussian = by_jax("normal", tall, 0.0, 1.0, dtype, 3).astype(np.float64)
            q, r = np.linalg.qr(gaussian)
            q = q * np.sign(np.diag(r))
            q = 0.5 * (q.T if rows < columns else q).reshape(shape)
            ours = seedbed.initializers.Orthogonal(gain=0.5, seed=3)(shape, dtype=dtype)
            assert ours.dtype == dtype
            # NumPy's QR is of float64: both are as near as its rounding and the last one here.
            np.testing.assert_allclose(ours, q, rtol=0, atol=max(eps, 1e-12))


@pytest.mark.parametrize(
    ("seed", "error"),
    [
        (-1, OverflowError),
        (2**32, OverflowError),
        (2**64, OverflowError),
        (1.0, ValueError),
        ("5", ValueError),
        (np.int64(5), ValueError),
        ([1, 2], ValueError),
        (np.array([1, 2], np.uint32), ValueError),
    ],
)
def test_seeds_that_are_refused(seed: Any, error: type[Exception]) -> None:
    for name in SAMPLERS:
        with pytest.raises(error, match=r"`seed`.*Received: seed="):
            getattr(seedbed.random, name)((2,), seed=seed)


@pytest.mark.parametrize(
    ("dtype", "error", "floating_error"),
    [
        ("int32", ValueError, ValueError),
        ("bool", ValueError, ValueError),
        ("complex64", ValueError, ValueError),
        ("foo", TypeError, ValueError),
        (">f4", TypeError, ValueError),
        ("S", TypeError, ValueError),
        ("longdouble", TypeError, ValueError),
        (3.5, TypeError, ValueError),
    ],
)
def test_dtypes_that_are_refused(dtype: Any, error: Any, floating_error: Any) -> None:
    for name in SAMPLERS:
        with pytest.raises(floating_error if name == "uniform" else error, match="dtype"):
            getattr(seedbed.random, name)((2,), seed=1, dtype=dtype)
    with pytest.raises(error, match="dtype"):
        seedbed.initializers.RandomUniform(seed=1)((2,), dtype=dtype)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float8_e4m3fn", "float8_e5m2"])
def test_orthogonal_matrices_have_32_bits_or_more(dtype: str) -> None:
    with pytest.raises(NotImplementedError, match=rf"`dtype` must.*Received: dtype={dtype}"):
        seedbed.initializers.Orthogonal(seed=1)((3, 4), dtype=dtype)


@pytest.mark.parametrize(
    ("shape", "error"),
    [
        (np.int64(3), TypeError),
        ("23", TypeError),
        ((2.0, 3), TypeError),
        ((None, 2), TypeError),
        ((np.bool(True), 2), TypeError),
        ({2, 3}, TypeError),
        ((-1, 2), ValueError),
    ],
)
def test_shapes_that_are_refused(shape: Any, error: type[Exception]) -> None:
    for name in SAMPLERS:
        with pytest.raises(error, match="shape"):
            getattr(seedbed.random, name)(shape, seed=1)


@pytest.mark.parametrize("shape", [3, True, (True, 2), [2, 3], range(2, 4), (np.int64(2), 3)])
def test_shapes_that_jax_takes(shape: Any) -> None:
    for name in SAMPLERS:
        ours = getattr(seedbed.random, name)(shape, seed=1)
        assert_same(ours, by_jax(name, shape, 0.0, 1.0, "float32", 1))


@pytest.mark.parametrize(
    "number",
    [
        *(0, True, -7, 2**24 + 1, 2**31 - 1, -(2**31), np.int64(2**31), np.int64(2**40)),
        *(np.uint32(2**32 - 1), np.int8(-100), np.bool_(True), np.float32(0.1), np.float64(0.1)),
        *(np.float16(0.1), ml_dtypes.bfloat16(0.1)),
    ],
)
def test_numbers_that_jax_takes(number: Any) -> None:
    for dtype in DTYPES:
        for name in SAMPLERS:
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                try:
                    theirs = by_jax(name, (3, 4), 0.0, number, dtype, 1)
                except ValueError:
                    theirs = None
            if theirs is None:
                with pytest.raises(ValueError, match="Received: stddev="):
                    getattr(seedbed.random, name)((3, 4), 0.0, number, dtype=dtype, seed=1)
            elif theirs.dtype != dtype:
                # What only JAX makes: the numbers become another dtype.
                with pytest.raises(TypeError, match="Received: stddev="):
                    getattr(seedbed.random, name)((3, 4), 0.0, number, dtype=dtype, seed=1)
            else:
                ours = getattr(seedbed.random, name)((3, 4), 0.0, number, dtype=dtype, seed=1)
                assert_same(ours, theirs)


@pytest.mark.parametrize(
    ("number", "error"),
    [
        *((2**31, OverflowError), (-(2**31) - 1, OverflowError), (10**400, OverflowError)),
        *(("1", TypeError), ([1.0], TypeError), (np.ones(3), TypeError), (1j, TypeError)),
        *((np.longdouble(1), TypeError), (object(), TypeError), ({}, TypeError)),
    ],
)
def test_numbers_that_are_refused(number: Any, error: type[Exception]) -> None:
    for name, arguments in {"uniform": ("minval", "maxval"), "normal": ("mean", "stddev")}.items():
        for argument in arguments:
            with pytest.raises(error, match=rf"`{argument}` must.*Received: {argument}="):
                getattr(seedbed.random, name)((2,), seed=1, **{argument: number})


def test_a_generator_is_not_advanced_for_what_is_refused() -> None:
    generator = seedbed.random.SeedGenerator(1)
    for wrong in ({"dtype": "int32"}, {"stddev": "x"}, {"shape": (2.0,)}):
        arguments: dict[str, Any] = {"shape": (2,), **wrong}
        with pytest.raises((TypeError, ValueError)):
            seedbed.random.normal(**arguments, seed=generator)
    with pytest.raises(ValueError, match=r"must be -2\.0"):
        seedbed.random.truncated_normal((2,), seed=generator, upper=1.0)
    assert generator.state[1] == 0
