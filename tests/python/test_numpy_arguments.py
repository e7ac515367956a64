"""The numpy stream takes what Keras on NumPy takes, and refuses the rest with Keras' types."""

from __future__ import annotations

import decimal
import math
from collections.abc import Iterator
from typing import Any

import keras
import ml_dtypes
import pytest

import numpy as np
import seedbed

SAMPLERS = ["normal", "truncated_normal", "uniform"]
INITIALIZERS: list[tuple[str, dict[str, Any]]] = [
    ("RandomNormal", {}),
    ("RandomUniform", {}),
    ("TruncatedNormal", {}),
    ("VarianceScaling", {"mode": "fan_avg"}),
    ("VarianceScaling", {"distribution": "uniform"}),
    ("VarianceScaling", {"distribution": "untruncated_normal"}),
    ("HeNormal", {}),
    ("GlorotUniform", {}),
]
MATRICES = [("Orthogonal", {})]
# Every way to draw: a function of a module, and what is fixed for it.
DRAWS = [("random", name, {}) for name in SAMPLERS] + [
    ("initializers", name, fixed) for name, fixed in INITIALIZERS + MATRICES
]


@pytest.fixture(scope="module", autouse=True)
def _numpy_stream() -> Iterator[None]:
    assert keras.backend.backend() == "numpy"
    with seedbed.use_stream("numpy"):
        yield


def draw(
    library: Any, kind: str, name: str, fixed: dict[str, Any], shape: Any, dtype: Any, **given: Any
) -> Any:
    given = {"seed": 5, **fixed, **given}
    maker = getattr(getattr(library, kind), name)
    with np.errstate(all="ignore"):
        if kind == "random":
            return maker(shape, dtype=dtype, **given)
        return maker(**given)(shape, dtype=dtype)


def outcome(library: Any, *arguments: Any, **given: Any) -> tuple[Any, ...]:
    """dtype, shape and bytes of the result, or the type of the exception."""
    try:
        array = np.asarray(draw(library, *arguments, **given))
    except Exception as error:
        # NumPy has types of its own below the built-in ones.
        return (next(kind for kind in type(error).__mro__ if kind.__module__ == "builtins"),)
    return array.dtype, array.shape, array.tobytes()


def assert_alike(*arguments: Any, **given: Any) -> None:
    assert outcome(seedbed, *arguments, **given) == outcome(keras, *arguments, **given)


SEEDS = [
    *(0, 1, True, False, 2**31, 2**32 - 1, 2**32, 2**63, 2**64 - 1, 2**64, -1, -(2**63)),
    *(1.0, math.nan, "5", b"5", [1, 2], (1,), np.int64(5), np.uint8(5), np.bool_(True)),
    *(np.float32(3), np.array(3), np.array([1, 2], np.uint32), decimal.Decimal(3), 3j),
    *(keras.random.SeedGenerator, object()),
]


@pytest.mark.parametrize(("kind", "name", "fixed"), DRAWS)
def test_seeds(kind: str, name: str, fixed: dict[str, Any]) -> None:
    for seed in SEEDS:
        assert_alike(kind, name, fixed, (3, 4), "float32", seed=seed)


def test_seeds_fail_when_keras_seeds_do() -> None:
    """Integers out of range at the call, other types in the constructor."""
    for name, fixed in INITIALIZERS + MATRICES:
        for seed in (-1, 2**32, 10**30):
            made = getattr(seedbed.initializers, name)(**fixed, seed=seed)
            getattr(keras.initializers, name)(**fixed, seed=seed)
            with pytest.raises(OverflowError, match=rf"`seed` must be.*Received: seed={seed}"):
                made((3, 4))
        for seed in (1.5, np.int64(5), "x"):
            for library in (keras, seedbed):
                with pytest.raises(ValueError, match="`seed` argument should be an instance"):
                    getattr(library.initializers, name)(**fixed, seed=seed)


@pytest.mark.parametrize("seed", SEEDS)
def test_generators(seed: Any) -> None:
    def states(library: Any) -> Any:
        try:
            generator = library.random.SeedGenerator(seed)
        except Exception as error:
            return type(error)
        return [np.asarray(generator.next(ordered)).tolist() for ordered in (True, False, True)]

    assert states(seedbed) == states(keras)


@pytest.mark.parametrize("ordered", [True, False])
def test_generators_count_in_32_bits(ordered: bool) -> None:
    ours, theirs = seedbed.random.SeedGenerator(2**32 - 2), keras.random.SeedGenerator(2**32 - 2)
    for _ in range(6):
        np.testing.assert_array_equal(ours.next(ordered), theirs.next(ordered))
        expected = keras.random.normal((5,), seed=theirs)
        np.testing.assert_array_equal(seedbed.random.normal((5,), seed=ours), expected)


def test_generators_of_either_library_are_shared_in_any_order() -> None:
    ours, theirs = seedbed.random.SeedGenerator(11), keras.random.SeedGenerator(11)
    given = keras.random.SeedGenerator(11)
    for name in ("RandomNormal", "HeUniform", "TruncatedNormal", "Orthogonal", "RandomNormal"):
        expected = getattr(keras.initializers, name)(seed=theirs)((7, 5))
        for source in (ours, given):
            result = getattr(seedbed.initializers, name)(seed=source)((7, 5))
            np.testing.assert_array_max_ulp(result, expected, 1 if name == "Orthogonal" else 0)


def test_no_seed_draws_what_keras_would_draw() -> None:
    drawn = []
    for library in (keras, seedbed):
        keras.utils.set_random_seed(3)
        arrays = [getattr(library.random, name)((4,)) for name in 3 * SAMPLERS]
        arrays += [
            getattr(library.initializers, name)(**fixed)((4, 3)) for name, fixed in INITIALIZERS
        ]
        drawn.append(b"".join(array.tobytes() for array in arrays))
    assert drawn[0] == drawn[1]


SHAPES = [
    *((), (0,), (3,), (2, 0, 3), [2, 3], range(2, 4), np.array([2, 3]), (np.int64(2), 3)),
    *(3, np.int64(3), np.array(3), None, "", "23", b"ab", {2: 3}, {2, 3}, (1,) * 64, (1,) * 65),
    *((-1, 2), (0, -1), (2.0, 3), (2.5,), ("2",), (True, 2), (None, 2), ((2, 3),), (2j,)),
    *((2**63,), (2**62, 2**62)),
]


@pytest.mark.parametrize(("kind", "name", "fixed"), DRAWS)
def test_shapes(kind: str, name: str, fixed: dict[str, Any]) -> None:
    for shape in SHAPES:
        theirs = outcome(keras, kind, name, fixed, shape, "float32")
        ours = outcome(seedbed, kind, name, fixed, shape, "float32")
        if str(shape) == "(-1, 2)" and len(theirs) > 1:
            # Keras' loop draws nothing for a negative size, which then becomes an empty axis.
            theirs = (ValueError,)
        assert ours[:2] == theirs[:2], shape
        assert name == "Orthogonal" or ours == theirs, shape


DTYPES: list[Any] = [
    *("float16", "bfloat16", "float32", "float64", "float8_e4m3fn", "float8_e5m2"),
    *("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool"),
    *("complex64", "complex128", "half", "single", "double", "float", "int", "f4", "<f8", "e"),
    *("float8_e4m3", "int4", "S", "str", "string", "foo", "float32 ", "", None),
    *(float, int, bool, complex, np.float16, np.int32, np.dtype("float64")),
    *(ml_dtypes.bfloat16, np.dtype(ml_dtypes.float8_e5m2), 0, 1, 3.5, b"float32", True, object()),
]


@pytest.mark.parametrize(("kind", "name", "fixed"), DRAWS[:-1])
def test_dtypes(kind: str, name: str, fixed: dict[str, Any]) -> None:
    for dtype in DTYPES:
        assert_alike(kind, name, fixed, (40, 30), dtype)
        assert_alike(kind, name, fixed, (), dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_dtypes_of_orthogonal_matrices(dtype: Any) -> None:
    """Keras' exceptions where it raises; where its result has another dtype, the one asked for."""
    ours = outcome(seedbed, "initializers", "Orthogonal", {}, (4, 3), dtype)
    theirs = outcome(keras, "initializers", "Orthogonal", {}, (4, 3), dtype)
    if len(theirs) == 1:
        assert ours == theirs
    elif np.dtype(dtype or "float32").name in ("bfloat16", "float32", "float64"):
        assert ours[0] == np.dtype(dtype or "float32")
    else:
        assert ours == (ValueError,)


@pytest.mark.parametrize("dtype", ["int32", "uint8", "bool", "complex64"])
def test_blocks_and_outputs_of_other_dtypes(dtype: str) -> None:
    whole = keras.random.normal((30, 20), 3.0, 50.0, dtype=dtype, seed=2)
    for index in [(slice(None, None, -1), 3), (slice(20, 2, -4), slice(1, 9, 3)), Ellipsis, (4,)]:
        ours = seedbed.random.normal((30, 20), 3.0, 50.0, dtype=dtype, seed=2, index=index)
        assert ours.dtype == whole.dtype
        np.testing.assert_array_equal(ours, whole[index])
        out = np.empty(whole[index].shape[::-1], dtype).T
        given = {"dtype": dtype, "seed": 2, "index": index, "out": out}
        assert seedbed.random.normal((30, 20), 3.0, 50.0, **given) is out
        np.testing.assert_array_equal(out, whole[index])
    for out, error in [(np.empty(3, dtype), ValueError), (np.empty((30, 20)), TypeError)]:
        with pytest.raises(error, match="`out` must have"):
            seedbed.random.normal((30, 20), dtype=dtype, seed=2, out=out)


NUMBERS: list[Any] = [
    *(0, -0.0, 1, -1, 2.5, True, math.inf, -math.inf, 10**400, 10**30, 1e308, -1e308, 5e-324),
    *("1", "x", None, [1.0], [1.0, 2.0, 3.0], (1.0,), {}, 1j, b"1", object()),
    *(np.float32(0.1), np.float64(0.1), np.float16(0.1), np.int64(2), np.uint8(2), np.int8(-100)),
    *(np.array(0.1), np.array([0.1]), np.array([0.1, 0.2, 0.3]), np.array([[0.1], [0.2]])),
    *(ml_dtypes.bfloat16(0.1), decimal.Decimal("0.1"), 2**53 + 1, -(2**53) - 1),
]


@pytest.mark.parametrize(
    ("kind", "name", "parameter"),
    [
        ("random", "normal", "mean"),
        ("random", "normal", "stddev"),
        ("random", "truncated_normal", "mean"),
        ("random", "truncated_normal", "stddev"),
        ("random", "uniform", "minval"),
        ("random", "uniform", "maxval"),
        ("initializers", "RandomNormal", "stddev"),
        ("initializers", "TruncatedNormal", "stddev"),
        ("initializers", "RandomUniform", "maxval"),
        ("initializers", "VarianceScaling", "scale"),
    ],
)
def test_parameters(kind: str, name: str, parameter: str) -> None:
    for number in NUMBERS:
        for shape in [(2, 3), (0,), ()] if kind == "random" else [(2, 3)]:
            assert_alike(kind, name, {}, shape, "float32", **{parameter: number})


@pytest.mark.parametrize("law", ["uniform", "truncated_normal", "untruncated_normal"])
@pytest.mark.parametrize("mode", ["fan_in", "fan_out", "fan_avg"])
@pytest.mark.parametrize(
    "scale", [1, 1e-300, 1e308, math.inf, 5e-324, np.float32(0.3), np.float16(0.7), np.int64(2)]
)
def test_scales(law: str, mode: str, scale: Any) -> None:
    fixed = {"mode": mode, "distribution": law, "scale": scale}
    assert_alike("initializers", "VarianceScaling", fixed, (3, 5, 7), "float64")


def test_bounds_of_low_precision_are_keras_bounds() -> None:
    """float16 and float32 parameters round the bounds that values are held to."""
    for mean, stddev in [
        (np.float16(10.0), np.float16(0.01)),
        (np.float32(1000.0), np.float32(0.001)),
        (np.float16(0.3), 0.01),
        (0.5, np.float32(0.3)),
    ]:
        given = {"mean": mean, "stddev": stddev}
        assert_alike("random", "truncated_normal", {}, (60, 50), "float64", **given)


@pytest.mark.parametrize(
    "given",
    [{"stddev": math.nan}, {"mean": np.float16(6e4)}, {"stddev": np.int8(100)}, {"mean": [1, 2]}],
)
def test_what_keras_never_returns_from_is_an_error(given: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError)):
        seedbed.random.truncated_normal((2, 3), seed=1, **given)


def test_refusals_say_what_was_received() -> None:
    with pytest.raises(TypeError, match=r"Found invalid dimension '2.5'.*Received: shape=\(2.5,\)"):
        seedbed.random.normal((2.5,), seed=1)
    with pytest.raises(TypeError, match=r"`dtype` must be one of NumPy.*Received: dtype=foo"):
        seedbed.random.normal((2,), seed=1, dtype="foo")
    with pytest.raises(ValueError, match=r"floating-point dtype\. Received: dtype=int32"):
        seedbed.random.uniform((2,), seed=1, dtype="int32")
    with pytest.raises(TypeError, match=r"`dtype` must be one whose QR.*Received: dtype=float16"):
        seedbed.initializers.Orthogonal(seed=1)((2, 3), dtype="float16")
