"""Every initializer class side by side with the installed Keras, and what its values promise."""

import inspect
import math
import random
import threading
from typing import Any

import keras
import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import seedbed
from cases import CASES, CLASSES, RANDOM, label
from seedbed import initializers

DTYPES = ["float16", "bfloat16", "float32", "float64", "float8_e4m3fn", "float8_e5m2"]
# The arguments that Keras does not have.
ADDED = {"stream", "cut"}
INVALID_SEEDS: list[Any] = [1.5, "a", [1], (), object, np.float32(2), seedbed.random.SeedGenerator]


def both(name: str) -> tuple[Any, Any]:
    return getattr(initializers, name), getattr(keras.initializers, name)


def test_every_public_name_of_keras_is_here() -> None:
    theirs = {name for name in dir(keras.initializers) if not name.startswith("_")}
    ours = set(initializers.__all__)
    assert ours == theirs | {"compute_fans"}
    for name in theirs:
        ours_object, keras_object = both(name)
        assert ours_object.__name__ == keras_object.__name__


@pytest.mark.parametrize("name", [*CLASSES, "Initializer"])
def test_signatures(name: str) -> None:
    ours, theirs = (inspect.signature(cls).parameters for cls in both(name))
    kept = [entry for entry in ours.values() if entry.name not in ADDED]
    assert [(entry.name, entry.default, entry.kind) for entry in kept] == [
        (entry.name, entry.default, entry.kind) for entry in theirs.values()
    ]
    if name in RANDOM:
        assert ours["stream"].kind is inspect.Parameter.KEYWORD_ONLY
        assert ours["stream"].default is None

    ours, theirs = (inspect.signature(cls.__call__).parameters for cls in both(name))
    assert list(ours)[:3] == list(theirs) == ["self", "shape", "dtype"]
    added = {key: (entry.kind, entry.default) for key, entry in list(ours.items())[3:]}
    if name != "Initializer":
        keyword = (inspect.Parameter.KEYWORD_ONLY, None)
        assert added == {"index": keyword, "out": keyword}
    # Keras hands a `layout` to initializers that name one, and expects a sharded tensor back.
    assert "layout" not in ours


@pytest.mark.parametrize("name", CLASSES)
def test_class_hierarchy(name: str) -> None:
    ours, theirs = both(name)
    assert issubclass(ours, initializers.Initializer)
    assert issubclass(ours, initializers.VarianceScaling) == issubclass(
        theirs, keras.initializers.VarianceScaling
    )


@pytest.mark.parametrize(("name", "kwargs", "shape"), CASES, ids=label)
def test_configs(name: str, kwargs: dict[str, Any], shape: tuple[int, ...]) -> None:
    ours, theirs = (cls(**kwargs) for cls in both(name))
    assert list(ours.get_config().items()) == list(theirs.get_config().items())
    public = {key for key in vars(theirs) if not key.startswith("_")}
    assert {key for key in vars(ours) if not key.startswith("_")} - ADDED == public
    again = type(ours).from_config(ours.get_config())
    assert again.get_config() == ours.get_config()
    assert type(ours.clone()) is type(ours)
    assert ours.clone().get_config() == ours.get_config()
    # The same text, but for where the class lives and the address.
    assert (
        repr(ours).rpartition(" at ")[0].rpartition(".")[2]
        == (repr(theirs).rpartition(" at ")[0].rpartition(".")[2])
    )


@pytest.mark.parametrize(("name", "kwargs", "shape"), CASES, ids=label)
def test_clones_repeat_the_values(
    name: str, kwargs: dict[str, Any], shape: tuple[int, ...]
) -> None:
    if name == "Identity":
        # Keras' config of Identity holds no gain, and so the clone has 1.
        assert getattr(initializers, name)(**kwargs).clone().gain == 1
        assert getattr(keras.initializers, name)(**kwargs).clone().gain == 1
        return
    ours = getattr(initializers, name)(**kwargs)
    repeats = name not in RANDOM or "seed" in kwargs
    assert (ours(shape).tobytes() == ours.clone()(shape).tobytes()) == repeats
    assert ours(shape).tobytes() == ours(shape).tobytes()


@pytest.mark.parametrize("name", RANDOM)
def test_stream_is_in_the_config_only_when_given(name: str) -> None:
    cls = getattr(initializers, name)
    assert "stream" not in cls().get_config()
    config = cls(seed=1, stream="philox").get_config()
    assert list(config)[-1] == "stream"
    assert cls.from_config(config).get_config() == config
    with pytest.raises(ValueError, match=r"`stream` must be one of 'philox'.*: stream='x'"):
        cls(stream="x")
    with pytest.raises(TypeError):
        cls.from_config({"streem": "philox"})


BAD_ARGUMENTS: list[tuple[str, dict[str, Any]]] = [
    *((name, {"seed": seed}) for name in ("HeNormal", "Orthogonal") for seed in INVALID_SEEDS),
    *(
        ("VarianceScaling", {"scale": scale})
        for scale in ("a", None, -1, 0, 0.0, [1], np.ones(2), 1j)
    ),
    *(("VarianceScaling", {"mode": mode}) for mode in ("x", None, "FAN_IN", [], 3)),
    *(("VarianceScaling", {"distribution": law}) for law in ("X", None, 3, [])),
    ("STFT", {"side": "x"}),
    ("STFT", {"side": None}),
    ("STFT", {"window": "x"}),
    ("STFT", {"scaling": "x"}),
    ("HeNormal", {"scale": 1.0}),
    ("Zeros", {"value": 1.0}),
]


@pytest.mark.parametrize(("name", "kwargs"), BAD_ARGUMENTS, ids=repr)
def test_bad_arguments(name: str, kwargs: dict[str, Any]) -> None:
    ours, theirs = both(name)
    with pytest.raises(Exception) as reference:
        theirs(**kwargs)
    # Keras trips over some of these before it looks at them; here every refusal names the argument.
    tripped = reference.type if reference.type is not AttributeError else ValueError
    with pytest.raises((tripped, ValueError)) as error:
        ours(**kwargs)
    if not isinstance(error.value, reference.type) or "not supported" in str(reference.value):
        assert f"`{next(iter(kwargs))}`" in str(error.value)
        return
    # Keras prints its choices as a set, in any order.
    theirs_text, ours_text = (str(info.value).split("{")[0] for info in (reference, error))
    assert ours_text.split("(")[0] == theirs_text.split("(")[0] or "__init__" in ours_text


def test_a_scale_of_nan_is_not_positive() -> None:
    with pytest.raises(ValueError, match="must be positive float"):
        initializers.VarianceScaling(scale=float("nan"))


@pytest.mark.parametrize("bad", ["a", None, [1, 2], 1j], ids=repr)
@pytest.mark.parametrize(
    ("name", "argument"),
    [
        ("RandomNormal", "mean"),
        ("RandomNormal", "stddev"),
        ("TruncatedNormal", "mean"),
        ("TruncatedNormal", "stddev"),
        ("RandomUniform", "minval"),
        ("RandomUniform", "maxval"),
        ("Orthogonal", "gain"),
    ],
)
def test_parameters_of_other_types(name: str, argument: str, bad: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        getattr(initializers, name)(**{argument: bad}, seed=1)((3, 3))


@pytest.mark.parametrize(
    ("name", "kwargs"),
    [
        ("RandomNormal", {"stddev": -1}),
        ("RandomNormal", {"stddev": math.nan}),
        ("RandomNormal", {"mean": math.inf}),
        ("TruncatedNormal", {"stddev": -1}),
        ("TruncatedNormal", {"mean": math.nan}),
        ("RandomUniform", {"minval": 1, "maxval": -1}),
        ("RandomUniform", {"minval": math.nan}),
        ("RandomUniform", {"maxval": math.inf}),
        ("VarianceScaling", {"scale": math.inf}),
        ("Orthogonal", {"gain": math.nan}),
        ("Orthogonal", {"gain": math.inf}),
    ],
    ids=repr,
)
def test_parameters_that_give_no_numbers(name: str, kwargs: dict[str, Any]) -> None:
    out = np.full((3, 3), 7, np.float32)
    with pytest.raises((ValueError, OverflowError), match="Received"):
        getattr(initializers, name)(**kwargs, seed=1)((3, 3), out=out)
    assert (out == 7).all()


@pytest.mark.parametrize("name", RANDOM)
def test_bad_shapes_and_dtypes(name: str) -> None:
    initializer = getattr(initializers, name)(seed=1)
    for shape in ((-1, 2), (2.0, 3), "ab", (True, 2), ((2,), 3), (None, 2), ("3", 2)):
        with pytest.raises(ValueError, match="shape"):
            initializer(shape)
    for dtype in ("int32", "bool", "complex64", "foo", 3):
        with pytest.raises(ValueError, match="dtype"):
            initializer((2, 3), dtype=dtype)


@pytest.mark.parametrize("shape", [(), (3,), [3]])
def test_orthogonal_and_identity_need_matrices(shape: Any) -> None:
    for name in ("Orthogonal", "Identity"):
        ours, theirs = both(name)
        with pytest.raises(ValueError) as reference:
            theirs()(shape)
        with pytest.raises(ValueError) as error:
            ours()(shape)
        assert str(error.value) == str(reference.value)


def test_the_base_class_draws_nothing() -> None:
    for library in (initializers, keras.initializers):
        with pytest.raises(NotImplementedError, match=r"must implement the `__call__\(\)` method"):
            library.Initializer()((2, 3))
        assert library.Initializer().get_config() == {}


# --- seeds ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RANDOM)
def test_no_seed_is_drawn_once_as_keras_draws_it(name: str) -> None:
    ours, theirs = both(name)
    random.seed(17)
    reference = theirs()
    random.seed(17)
    initializer = ours()
    assert initializer.seed == reference.seed
    assert initializer.get_config()["seed"] is None
    keras.utils.set_random_seed(3)
    first = ours()((4, 4))
    keras.utils.set_random_seed(3)
    assert ours()((4, 4)).tobytes() == first.tobytes()


@given(st.integers(0, 2**64 - 1))
def test_integer_seeds(seed: int) -> None:
    values = initializers.HeNormal(seed=seed)((3, 3))
    assert initializers.HeNormal(seed=seed)((3, 3)).tobytes() == values.tobytes()
    assert initializers.HeNormal(seed=np.uint64(seed))((3, 3)).tobytes() == values.tobytes()
    assert initializers.HeNormal(seed=np.uint64(seed)).get_config()["seed"] == seed
    assert initializers.HeNormal(seed=seed ^ 1)((3, 3)).tobytes() != values.tobytes()


@pytest.mark.parametrize("seed", [-1, 2**64, 10**30])
def test_seeds_out_of_range(seed: int) -> None:
    with pytest.raises(ValueError, match=r"`seed` must be in 0 .. 2\*\*64-1"):
        initializers.HeNormal(seed=seed)((3, 3))


@pytest.mark.parametrize("library", [seedbed.random, keras.random], ids=["seedbed", "keras"])
def test_generators_are_advanced_once_a_call(library: Any) -> None:
    for name in RANDOM:
        generator = library.SeedGenerator(11)
        initializer = getattr(initializers, name)(seed=generator)
        first, second = initializer((4, 4)), initializer((4, 4))
        assert first.tobytes() != second.tobytes()
        assert [int(word) for word in np.asarray(generator.next())] == [11, 2]
        # Draw 0 of a generator is the integer seed.
        assert first.tobytes() == getattr(initializers, name)(seed=11)((4, 4)).tobytes()


@pytest.mark.parametrize("library", [seedbed.random, keras.random], ids=["seedbed", "keras"])
def test_generators_are_stored_as_keras_stores_them(library: Any) -> None:
    generator = library.SeedGenerator(11, name="mine")
    config = initializers.HeNormal(seed=generator).get_config()
    reference = keras.initializers.HeNormal(seed=keras.random.SeedGenerator(11, name="mine"))
    assert config == reference.get_config()
    again = initializers.HeNormal.from_config(config)
    assert isinstance(again.seed, seedbed.random.SeedGenerator)
    assert again.get_config() == config
    assert again((3, 3)).tobytes() == initializers.HeNormal(seed=11)((3, 3)).tobytes()


@pytest.mark.parametrize(
    "seed",
    [
        {},
        {"a": 1},
        {"class_name": "SeedGenerator"},
        {"class_name": "SeedGenerator", "config": {"seed": 1, "evil": 2}},
        {"class_name": "Popen", "module": "subprocess", "config": {"args": "false"}},
        {"class_name": "SeedGenerator", "module": "os", "config": {"seed": 1}},
        {"class_name": "__lambda__", "config": {"value": "4wE="}},
        {"class_name": "SeedGenerator", "module": "keras.random", "config": [1]},
    ],
    ids=repr,
)
def test_dicts_that_describe_no_generator(seed: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="`seed` argument should be an instance of"):
        initializers.HeNormal(seed=seed)


def test_generators_under_threads_give_each_draw_once() -> None:
    initializer = initializers.HeNormal(seed=seedbed.random.SeedGenerator(3))
    found: list[bytes] = []
    workers = [
        threading.Thread(
            target=lambda: found.extend(initializer((9,)).tobytes() for _ in range(50))
        )
        for _ in range(4)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    one_by_one = initializers.HeNormal(seed=seedbed.random.SeedGenerator(3))
    assert sorted(found) == sorted(one_by_one((9,)).tobytes() for _ in range(200))


# --- values --------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", RANDOM)
def test_shapes_and_dtypes_of_results(name: str, dtype: str) -> None:
    initializer = getattr(initializers, name)(seed=1)
    for shape in [(2, 3), [4, 2, 3], (np.int64(1), 5), (0, 3), (3, 0)]:
        values = initializer(shape, dtype=dtype)
        assert values.shape == tuple(shape)
        assert values.dtype == np.dtype(getattr(ml_dtypes, dtype, dtype))
        assert values.flags.c_contiguous
        assert values.flags.writeable
        assert values.ctypes.data % 64 == 0
    assert initializer((2, 3)).dtype == np.float32
    assert np.isfinite(values.astype(np.float64)).all()


@pytest.mark.parametrize("name", RANDOM)
def test_index_and_out(name: str) -> None:
    initializer = getattr(initializers, name)(seed=1)
    whole = initializer((6, 5, 4))
    for index in [(slice(1, 5, 2),), (..., -1), (2, slice(None, None, -1), slice(0, 0)), (0, 1, 2)]:
        expected = whole[index]
        block = initializer((6, 5, 4), index=index)
        assert (block.shape, block.tobytes()) == (expected.shape, expected.tobytes())
        lent = np.zeros(expected.shape[::-1], np.float32).T
        assert initializer((6, 5, 4), index=index, out=lent) is lent
        assert lent.tobytes() == expected.tobytes()
    with pytest.raises(IndexError):
        initializer((6, 5, 4), index=(6,))
    with pytest.raises(TypeError, match="idx"):
        initializer((6, 5, 4), idx=(6,))


# Moments of 10^6 draws: the standard error of a mean is sigma / 1000, that of a standard deviation
# at most sigma / 1000 * sqrt((kurtosis - 1) / 4) <= 0.71 sigma / 1000. Five of these, twice because
# Keras' sample has its own error: false alarms at fixed seeds are no issue.
LAWS: list[tuple[str, dict[str, Any]]] = [
    ("RandomNormal", {"mean": 0.5, "stddev": 2.0}),
    ("RandomUniform", {"minval": -1.0, "maxval": 3.0}),
    ("TruncatedNormal", {"mean": 0.5, "stddev": 2.0}),
    ("VarianceScaling", {"scale": 3.0, "mode": "fan_out", "distribution": "untruncated_normal"}),
    *((name, {}) for name in CLASSES if name.startswith(("He", "Glorot", "Lecun"))),
]


@pytest.mark.parametrize(("name", "kwargs"), LAWS, ids=repr)
def test_moments_and_supports_are_those_of_keras(name: str, kwargs: dict[str, Any]) -> None:
    ours, theirs = (cls(**kwargs, seed=7)((2000, 500)).astype(np.float64) for cls in both(name))
    sigma = theirs.std()
    assert abs(ours.mean() - theirs.mean()) < 2 * 5 * sigma / 1000
    assert abs(ours.std() - sigma) < 2 * 5 * 0.71 * sigma / 1000
    # Bounded laws: the extremes of 10^6 draws come within 1e-4 of the support's ends, which are
    # the same.
    if name != "RandomNormal" and kwargs.get("distribution") != "untruncated_normal":
        width = theirs.max() - theirs.min()
        assert abs(ours.max() - theirs.max()) < 1e-4 * width
        assert abs(ours.min() - theirs.min()) < 1e-4 * width


@pytest.mark.parametrize("shape", [(40, 40), (60, 20), (20, 60), (5, 4, 30), (3, 2, 4)])
def test_orthogonal_is_orthogonal(shape: tuple[int, ...]) -> None:
    # Rounding of a product of n terms of modulus at most 1, times gain squared.
    for dtype, epsilon in (("float32", 2**-23), ("float64", 2**-52)):
        values = initializers.Orthogonal(gain=1.5, seed=3)(shape, dtype=dtype)
        matrix = values.reshape(-1, shape[-1]).astype(np.float64)
        matrix = matrix if matrix.shape[0] >= matrix.shape[1] else matrix.T
        product = matrix.T @ matrix
        tolerance = 2.25 * matrix.shape[0] * epsilon
        np.testing.assert_allclose(product, 2.25 * np.eye(len(product)), rtol=0, atol=tolerance)
