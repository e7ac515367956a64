"""seedbed.random: signatures, supports, dtypes and refusals of the samplers."""

import inspect
import itertools
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import keras
import ml_dtypes
import pytest

import core
import numpy as np
import seedbed
from seedbed import _core, _dtypes, random

DTYPES = ("float16", "bfloat16", "float32", "float64", "float8_e4m3fn", "float8_e5m2")
SAMPLERS = (random.uniform, random.normal, random.truncated_normal)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_signatures_begin_with_keras(sampler: Any) -> None:
    ours = list(inspect.signature(sampler).parameters.values())
    theirs = list(inspect.signature(getattr(keras.random, sampler.__name__)).parameters.values())
    positional = [p for p in ours if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert [(p.name, p.default) for p in positional] == [(p.name, p.default) for p in theirs]
    added = {p.name for p in ours if p.kind is p.KEYWORD_ONLY}
    assert added - {"lower", "upper"} == {"stream", "index", "out"}


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (0,), (7,), (3, 0, 5), (4, 5, 6), [2, 3], (np.int64(3),)])
def test_result_has_shape_dtype_and_aligned_memory(sampler: Any, dtype: str, shape: Any) -> None:
    array = sampler(shape, dtype=dtype, seed=1)
    assert type(array) is np.ndarray
    assert array.shape == tuple(shape)
    assert array.dtype == _dtypes.standardize(dtype)
    assert array.flags.c_contiguous
    assert array.flags.writeable
    assert array.flags.aligned
    assert array.ctypes.data % 64 == 0
    assert np.isfinite(array.astype(np.float64)).all()


def test_large_results_start_at_a_huge_page() -> None:
    assert random.uniform((1 << 20,), dtype="float32", seed=1).ctypes.data % (2 << 20) == 0


@pytest.mark.parametrize("dtype", DTYPES)
def test_supports_hold_in_every_dtype(dtype: str) -> None:
    uniform = random.uniform((1 << 16,), -3.0, 5.0, dtype, seed=3).astype(np.float64)
    assert uniform.min() >= -3.0
    assert uniform.max() < 5.0
    truncated = random.truncated_normal((1 << 16,), 0.0, 2.0, dtype, seed=3).astype(np.float64)
    assert np.abs(truncated).max() <= 4.0
    # Standard error of the mean: 8 / sqrt(12) / 2**8 < 0.01, of the deviation less; 8-bit floats
    # add a rounding error of up to 2**-3 relative, unbiased only to first order.
    coarse = 0.05 if dtype.startswith("float8") else 0.01
    assert abs(uniform.mean() - 1.0) < 5 * coarse
    assert abs(truncated.std() / 2.0 - 0.8796) < 2 * coarse


def test_truncation_bounds_are_in_standard_deviations() -> None:
    values = random.truncated_normal((5000,), 10.0, 2.0, seed=1, lower=-0.5, upper=1.5)
    assert values.min() >= 9.0
    assert values.max() <= 13.0
    assert values.min() < 9.05
    assert values.max() > 12.9


def test_default_dtype_is_keras_floatx() -> None:
    assert random.uniform((2,), seed=1).dtype == np.float32
    keras.config.set_floatx("bfloat16")
    try:
        assert random.uniform((2,), seed=1).dtype == ml_dtypes.bfloat16
    finally:
        keras.config.set_floatx("float32")


def test_variance_scaling_is_the_distribution_keras_computes() -> None:
    shape, scale = (3, 5, 8, 4), 2.0
    fans = {"fan_in": 120.0, "fan_out": 60.0, "fan_avg": 90.0}
    assert _core.compute_fans(shape) == (120, 60)
    for mode, n in fans.items():
        for law in ("truncated_normal", "untruncated_normal", "uniform"):
            got = core.fill_variance_scaling(
                shape, scale, mode, law, None, None, "float64", 7, 0, "philox"
            )
            deviation = np.sqrt(scale / n)
            if law == "uniform":
                limit = np.sqrt(3 * (scale / n))
                want = random.uniform(shape, -limit, limit, "float64", 7)
            elif law == "untruncated_normal":
                want = random.normal(shape, 0.0, deviation, "float64", 7)
            else:
                deviation /= 0.87962566103423978
                want = random.truncated_normal(shape, 0.0, deviation, "float64", 7)
            np.testing.assert_array_equal(got, want)


def test_variance_scaling_counts_the_axes_it_is_given() -> None:
    def fill(*axes: Any) -> Any:
        return core.fill_variance_scaling(
            (2, 3, 4), 1.0, "fan_in", "uniform", *axes, "float32", 7, 0, "philox"
        )

    limit = np.sqrt(3 / 8)
    np.testing.assert_array_equal(
        fill([0, -1], [1]), random.uniform((2, 3, 4), -limit, limit, "float32", 7)
    )
    with pytest.raises(IndexError, match="input_axes"):
        fill([3], [1])
    with pytest.raises(TypeError, match="`output_axes` must be a list of integers"):
        fill([0], ["x"])


# Keras' `standardize_shape` raises ValueError for all of these, save booleans.
BAD_SHAPES = [
    (-1,),
    (2, -3),
    (2.0,),
    (2.5, 3),
    (True, 2),
    (np.True_,),
    ("3",),
    "32",
    (None, 2),
    ((2, 3),),
    [[2], 3],
    None,
    5,
    3.0,
    (1 << 63,),
    (1 << 64,),
    (-(1 << 70),),
    (np.float32(2),),
]


@pytest.mark.parametrize("shape", BAD_SHAPES, ids=repr)
def test_bad_shapes_are_value_errors(shape: Any) -> None:
    with pytest.raises(ValueError, match=r"Cannot convert .* to a shape") as raised:
        random.normal(shape, seed=1)
    assert "`shape`" in str(raised.value)
    assert f"Received: shape={shape}" in str(raised.value)


@pytest.mark.parametrize("shape", [(1 << 62,), (1 << 40, 1 << 40), (0, 1 << 62, 1 << 62)], ids=repr)
def test_shapes_beyond_memory_are_value_errors_as_in_numpy(shape: Any) -> None:
    with pytest.raises(ValueError):
        np.empty(shape, np.float32)
    with pytest.raises(ValueError, match="`shape`"):
        random.normal(shape, seed=1)


def test_too_many_dimensions_are_a_value_error_as_in_numpy() -> None:
    assert random.uniform((1,) * 64, seed=1).ndim == 64
    with pytest.raises(ValueError, match="at most 64 dimensions"):
        random.uniform((1,) * 65, seed=1)
    with pytest.raises(ValueError, match="at most 64 dimensions"):
        random.uniform(itertools.repeat(1), seed=1)
    assert random.uniform(iter((2, 3)), seed=1).shape == (2, 3)


def test_errors_do_not_repeat_all_of_what_was_received() -> None:
    with pytest.raises(ValueError, match="Cannot convert") as raised:
        random.uniform(["x" * 10**6], seed=1)
    assert len(str(raised.value)) < 2000


def test_out_of_memory_is_a_memory_error() -> None:
    with pytest.raises(
        MemoryError, match=r"Unable to allocate \d+ bytes .*\(4611686018427387904,\)"
    ):
        random.uniform((1 << 62,), dtype="float8_e5m2", seed=1)


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"dtype": "int32"}, ValueError, "`dtype` must be one of float16"),
        ({"dtype": "float31"}, ValueError, "Invalid dtype: float31"),
        ({"dtype": [1]}, ValueError, "Invalid dtype"),
        ({"stream": "dice"}, ValueError, "`stream` must be one of 'philox'.*'dice'"),
        ({"stream": 3}, ValueError, "stream"),
        ({"stddev": "1"}, TypeError, "stddev"),
        ({"stddev": None}, TypeError, "stddev"),
        ({"mean": [1.0, 2.0]}, TypeError, "mean"),
        ({"stddev": -1.0}, ValueError, "`stddev`"),
        ({"stddev": np.nan}, ValueError, "`stddev`"),
        ({"seed": -1}, ValueError, "`seed` must be in"),
    ],
)
def test_bad_arguments_are_named(arguments: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        random.normal((2, 2), **{"seed": 1, **arguments})


def test_streams_are_chosen_by_call_block_and_process() -> None:
    def draw(**arguments: Any) -> Any:
        return random.uniform((4,), seed=1, **arguments).tobytes()

    philox, numpy = draw(stream="philox"), draw(stream="numpy")
    assert philox != numpy
    assert seedbed.get_stream() == "philox"
    assert draw() == philox
    with seedbed.use_stream("numpy"):
        assert draw() == numpy
        assert draw(stream="philox") == philox
        with seedbed.use_stream("philox"):
            assert draw() == philox
        with ThreadPoolExecutor(1) as pool:  # another thread has another context
            assert pool.submit(draw).result() == philox
    assert draw() == philox
    seedbed.set_stream("numpy")
    try:
        assert seedbed.get_stream() == "numpy"
        assert draw() == numpy
    finally:
        seedbed.set_stream("philox")
    for choose in (seedbed.set_stream, lambda name: seedbed.use_stream(name).__enter__()):
        with pytest.raises(ValueError, match=r"`stream` must be one of 'philox'.*'dice'"):
            choose("dice")
    assert seedbed.get_stream() == "philox"


@pytest.mark.parametrize(
    "dtype",
    [
        "float32",
        np.float32,
        np.dtype("f4"),
        np.dtype(">f4"),
        float,
        type("torch_like", (), {"__str__": lambda self: "torch.float32"})(),
        type("tf_like", (), {"name": "float32"})(),
    ],
    ids=str,
)
def test_dtypes_are_understood_however_written(dtype: Any) -> None:
    assert _dtypes.standardize(dtype) == np.dtype("=f4")
    assert _dtypes.standardize(dtype).isnative


def test_dtypes_agree_with_keras() -> None:
    for name in keras.src.backend.common.dtypes.ALLOWED_DTYPES:
        if name != "string":
            assert _dtypes.standardize(name).name == name
    for kind in (bool, int, float, complex, "int"):
        assert _dtypes.standardize(kind).name == keras.backend.standardize_dtype(kind)
    assert _dtypes.standardize(ml_dtypes.bfloat16).name == "bfloat16"


def test_import_is_light() -> None:
    code = (
        "import sys, numpy.typing; before = set(sys.modules); import seedbed, seedbed.random;"
        "print(*{name.partition('.')[0] for name in set(sys.modules) - before})"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(run.stdout.split()) - sys.stdlib_module_names
    assert loaded == {"seedbed"}
