"""What constructors and calls take beyond plain numbers, and what they say of the rest."""

from typing import Any

import jax.numpy as jnp
import keras
import ml_dtypes
import numpy as np
import pytest

import cases
from float_modes import MODES, float_modes
from seedbed import initializers, random

SHAPES = {name: shape for name, _, shape in cases.CASES}


def reloaded(initializer: Any) -> Any:
    """The initializer that either library's stored form of it describes."""
    ours = initializers.deserialize(initializers.serialize(initializer))
    theirs = keras.saving.deserialize_keras_object(initializers.serialize(initializer))
    assert type(theirs).__name__ == type(ours).__name__
    return ours


@pytest.mark.parametrize(
    "value",
    [
        [np.float32(1), np.float32(0.1), 2],
        [np.ones(3), np.zeros(3)],
        [[np.float16(0.5), True, 1], (2, 3.5, np.int8(3))],
        np.ma.array([1, 2, 3], mask=[0, 1, 0]),
        np.matrix([[1, 2, 3]]),
        jnp.float32(2),
        jnp.ones((3,), jnp.bfloat16),
        keras.Variable([1.0, 2.0, 3.0]),
        keras.Variable(2, dtype="int32"),
    ],
    ids=str,
)
def test_constants_of_any_kind_of_array_are_keras_and_reload(value: Any) -> None:
    shape = (2, 3)
    made = initializers.Constant(value)
    values = made(shape)
    if not isinstance(value, np.ma.MaskedArray):
        np.testing.assert_array_equal(values, keras.initializers.Constant(value)(shape))
    np.testing.assert_array_equal(reloaded(made)(shape), values)
    if hasattr(value, "shape"):
        own = tuple(value.shape)
        np.testing.assert_array_equal(initializers.get(value)(own), made(own))


def test_lists_of_unequal_lengths_are_named() -> None:
    with pytest.raises(ValueError, match=r"`value` must be .*Received: value=\[3, \[1\.5\]\]"):
        initializers.Constant((np.int8(3), [1.5]))((2,))


@pytest.mark.parametrize("gain", [jnp.float32(2), keras.Variable(2.0), np.float16(2), 2, True])
def test_gains_of_any_kind_of_number_are_keras(gain: Any) -> None:
    ours, theirs = initializers.Identity(gain), keras.initializers.Identity(gain)
    np.testing.assert_array_equal(ours((3, 4)), theirs((3, 4)))


SEEDS: list[Any] = [
    *(None, 0, 5, True, 2**31, 2**64 - 1, np.int64(5), np.uint8(7)),
    random.SeedGenerator(5),
    random.SeedGenerator(np.int64(5)),
    keras.random.SeedGenerator(5),
]


@pytest.mark.parametrize(("name", "kwargs", "shape"), cases.CASES, ids=cases.label)
@pytest.mark.parametrize("seed", SEEDS, ids=lambda seed: f"{type(seed).__name__}-{seed}"[:40])
def test_every_initializer_reloads_with_every_kind_of_seed(
    name: str, kwargs: dict[str, Any], shape: tuple[int, ...], seed: Any
) -> None:
    if name in cases.RANDOM:
        kwargs = {**kwargs, "seed": seed}
    elif seed is not None:
        return
    made = getattr(initializers, name)(**kwargs)
    again = reloaded(made)
    assert again.get_config() == made.get_config()
    if name == "Identity":
        return  # Keras keeps its gain out of the config.
    if isinstance(seed, int | np.integer) or name not in cases.RANDOM:
        np.testing.assert_array_equal(again(shape), made(shape))
    clone = made.clone()
    assert type(clone) is type(made)
    assert clone.get_config() == made.get_config()


@pytest.mark.parametrize("name", cases.CLASSES)
@pytest.mark.parametrize(
    "shape", [np.array(5), {3, 4}, frozenset((3, 4)), {3: 4, 5: 6}, 5, "ab", None], ids=repr
)
def test_what_is_no_shape_is_refused_alike(name: str, shape: Any) -> None:
    initializer = getattr(initializers, name)()
    for call in (initializer, initializer.prepare):
        with pytest.raises(ValueError, match=r"Received: shape=") as refused:
            call(shape)
        by_rank = name == "Identity" and "2D matrices" in str(refused.value)
        assert by_rank or "Cannot convert" in str(refused.value)


def test_dimensions_given_one_by_one_are_no_shape() -> None:
    with pytest.raises(ValueError, match=r"Cannot convert '2' to a shape.*Received: shape=2"):
        initializers.HeNormal()(2, 2)


@pytest.mark.parametrize("bad", ["x", b"1", None, 1j, {1.0}], ids=repr)
@pytest.mark.parametrize(
    ("name", "argument"),
    [
        ("RandomNormal", "mean"),
        ("RandomNormal", "stddev"),
        ("TruncatedNormal", "mean"),
        ("TruncatedNormal", "stddev"),
        ("RandomUniform", "minval"),
        ("RandomUniform", "maxval"),
        ("VarianceScaling", "scale"),
        ("Orthogonal", "gain"),
    ],
)
def test_parameters_that_are_no_numbers_are_named_at_construction(
    name: str, argument: str, bad: Any
) -> None:
    match = rf"`{argument}` must be a real number\. Received: {argument}="
    with pytest.raises(TypeError, match=match):
        getattr(initializers, name)(**{argument: bad})


@pytest.mark.parametrize("law", ["truncated_normal", "untruncated_normal", "uniform"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_scales_too_large_are_spoken_of_as_scales(law: str, dtype: str) -> None:
    made = initializers.VarianceScaling(1e308, distribution=law)
    match = rf"^`scale` must keep the values within the range of {dtype}. Received: scale=1e308$"
    with pytest.raises(OverflowError, match=match):
        made((2, 3), dtype)
    assert np.isfinite(made((2, 3), "float64")).all()


def test_numbers_of_hundreds_of_digits_are_cut() -> None:
    with pytest.raises(OverflowError, match="`stddev` must be within") as refused:
        initializers.RandomNormal(stddev=10**400)((2,))
    assert len(str(refused.value)) < 200
    with pytest.raises(OverflowError, match="`stddev` must keep") as refused:
        initializers.RandomNormal(stddev=1e300)((2,))
    assert str(refused.value).endswith("Received: stddev=1e300")


@pytest.mark.parametrize("name", ["HeNormal", "GlorotUniform", "LecunNormal", "VarianceScaling"])
def test_unknown_keywords_are_blamed_on_the_class_that_was_called(name: str) -> None:
    with pytest.raises(TypeError, match=rf"^{name}\.__init__\(\) got an unexpected"):
        getattr(initializers, name)(sead=1)

    class Named(initializers.HeNormal):
        pass

    assert Named(seed=3).get_config()["seed"] == 3


@pytest.mark.parametrize("seed", [2**64, 10**30, np.uint64(2**64 - 1)])
def test_seeds_that_no_stream_takes_are_refused_at_construction(seed: Any) -> None:
    if seed < 2**64:
        assert initializers.HeNormal(seed=seed).seed == 2**64 - 1
        return
    with pytest.raises(ValueError, match=r"`seed` must be in 0 .. 2\*\*64-1. Received"):
        initializers.HeNormal(seed=seed)


def test_negative_seeds_wait_for_the_stream() -> None:
    made = initializers.HeNormal(seed=-1)
    with pytest.raises(ValueError, match="Received: seed=-1"):
        made((2, 3))


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        (1e39, "float32"),
        (-1e39, "bfloat16"),
        (1e5, "float16"),
        ([1.0, 1e6], "float8_e4m3fn"),
        (np.float64(1e300), "float32"),
        (300, "int8"),
        (-1, "uint8"),
    ],
    ids=str,
)
def test_constants_beyond_the_dtype_are_errors(value: Any, dtype: str) -> None:
    with pytest.raises(OverflowError, match=rf"`value` must be .*{dtype}.*Received: value="):
        initializers.Constant(value)((2,), dtype)


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_infinite_constants_are_what_was_asked_for(value: float, dtype: str) -> None:
    assert initializers.Constant(value)((), dtype).astype("float64").tobytes() in (
        np.float64(value).tobytes(),
        (-np.float64(value)).tobytes(),
    )


@pytest.mark.parametrize("value", [1e-40, [1e-40, 3e-42], np.float64(1e-45)], ids=str)
@pytest.mark.parametrize("mode", list(MODES))
def test_subnormal_constants_survive_other_libraries_modes(value: Any, mode: str) -> None:
    made = initializers.Constant(value)
    wanted = made((3, 2), "float32").tobytes()
    assert any(wanted)
    with float_modes(MODES[mode]):
        got = made((3, 2), "float32").tobytes()
    assert got == wanted


@pytest.mark.parametrize("name", cases.CLASSES)
@pytest.mark.parametrize("dtype", ["float64", "float16", ml_dtypes.bfloat16])
def test_out_brings_its_dtype(name: str, dtype: Any) -> None:
    made = getattr(initializers, name)(**({"seed": 3} if name in cases.RANDOM else {}))
    out = np.zeros(SHAPES[name], dtype)
    assert made(out.shape, out=out) is out
    np.testing.assert_array_equal(out, made(out.shape, dtype))
    if name in cases.RANDOM and dtype == "float64":
        sampled = random.normal((3, 4), seed=3, out=np.zeros((3, 4)))
        np.testing.assert_array_equal(sampled, random.normal((3, 4), dtype="float64", seed=3))


class Gradient:
    """What torch's parameters say of themselves."""

    requires_grad = True
    dtype = np.dtype("float32")

    def __repr__(self) -> str:
        return "Parameter containing: " + "0.1, " * 1000


def test_memory_that_requires_a_gradient_is_refused_in_short() -> None:
    with pytest.raises(TypeError, match=r"pass `out.detach\(\)`") as refused:
        initializers.HeNormal()((2, 3), out=Gradient())
    assert len(str(refused.value)) < 200
