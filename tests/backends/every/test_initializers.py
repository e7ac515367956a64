"""The drop-in's names, classes, seeds and values."""

import copy
import pickle
from functools import partial
from typing import Any

import keras
import numpy as np
import pytest

import seedbed
from cases import BACKEND, NAMES, RANDOM, data, subclass_of, value
from seedbed import initializers as on_numpy
from seedbed.keras import initializers, plain

DTYPES = ["float16", "bfloat16", "float32", "float64", "float8_e4m3fn", "float8_e5m2"]


def test_every_name_of_keras_is_there() -> None:
    assert NAMES
    for name in NAMES:
        ours, theirs = getattr(initializers, name), getattr(keras.initializers, name)
        if isinstance(theirs, type) and theirs.__name__ in RANDOM:
            assert issubclass(ours, theirs)
            assert ours is not theirs
            assert ours.__name__ == theirs.__name__
            assert ours is getattr(initializers, theirs.__name__)
        elif isinstance(theirs, type):
            assert ours is theirs
    assert set(initializers.__all__) >= set(NAMES)
    assert issubclass(initializers.HeNormal, initializers.VarianceScaling)


@pytest.mark.parametrize("name", RANDOM)
def test_names_and_forms_give_the_classes_of_the_module(name: str) -> None:
    kind = getattr(initializers, name)
    theirs = getattr(keras.initializers, name)(**RANDOM[name])
    for identifier in (name, kind, kind(**RANDOM[name]), keras.initializers.serialize(theirs)):
        assert type(initializers.get(identifier)) is kind
    stored = initializers.serialize(kind(**RANDOM[name]))
    assert stored["config"] == theirs.get_config()
    assert stored["registered_name"] == f"seedbed>{name}"
    assert stored["class_name"] == name
    assert type(keras.initializers.get(stored)) is kind
    assert type(keras.saving.deserialize_keras_object(stored)) is kind
    # Importing seedbed changes no name of Keras.
    assert type(keras.initializers.get(name)) is getattr(keras.initializers, name)


def test_what_is_found_beside_classes() -> None:
    assert initializers.get(None) is None
    assert type(initializers.get("zeros")) is keras.initializers.Zeros
    assert value(initializers.get(np.eye(2, dtype="float32"))((2, 2), "float32")).tolist() == [
        [1, 0],
        [0, 1],
    ]
    with pytest.raises(ValueError, match="no such"):
        initializers.get("no such")
    users = subclass_of(initializers.HeNormal)
    stored = {"class_name": "Theirs", "config": {"seed": 3}}
    assert type(initializers.deserialize(stored, {"Theirs": users})) is users


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", RANDOM)
def test_values_are_those_of_the_layer_beneath(name: str, dtype: str) -> None:
    for seed in (0, 1, 2**31, 2**32 - 1, 2**60, 2**64 - 1):
        drawn = getattr(initializers, name)(seed=seed, **RANDOM[name])((12, 9), dtype)
        assert keras.ops.is_tensor(drawn)
        without_x64 = BACKEND == "jax" and dtype == "float64"
        meant = "float32" if without_x64 else dtype
        assert keras.backend.standardize_dtype(drawn.dtype) == meant
        expected = getattr(on_numpy, name)(seed=seed, **RANDOM[name])((12, 9), meant)
        assert np.array_equal(value(drawn).astype("float64"), expected.astype("float64"))


@pytest.mark.parametrize("shape", [(), (0,), (3, 0), (1,), (7,), [2, 3], (2, 3, 4, 5)])
def test_shapes(shape: Any) -> None:
    for dtype in DTYPES:
        drawn = initializers.HeUniform(seed=1)(shape, dtype)
        assert tuple(drawn.shape) == tuple(shape)
    whole = data(initializers.HeUniform(seed=1)(shape))
    assert data(initializers.HeUniform(seed=1)([np.int64(size) for size in shape])) == whole


def test_results_are_not_shared() -> None:
    init = initializers.HeNormal(seed=1)
    first = init((64, 64))
    before = data(first)
    variable = keras.Variable(first)
    variable.assign(variable * 0)
    assert data(init((64, 64))) == before


@pytest.mark.parametrize("name", RANDOM)
def test_generators_are_advanced_once_a_call(name: str) -> None:
    arguments = RANDOM[name]
    for make in (keras.random.SeedGenerator, seedbed.random.SeedGenerator):
        ours = getattr(initializers, name)(seed=make(5), **arguments)
        beneath = getattr(on_numpy, name)(seed=seedbed.random.SeedGenerator(5), **arguments)
        for shape in ((8, 8), (3, 4), (8, 8)):
            assert np.array_equal(value(ours(shape)), beneath(shape))


def test_seeds() -> None:
    with pytest.raises(ValueError, match="`seed`"):
        initializers.HeNormal(seed=2**64)
    with pytest.raises(ValueError, match="seed"):
        initializers.HeNormal(seed="1")
    # A backend's stream looks at a seed when it is called, as the backend does.
    assert initializers.HeNormal(seed=2**64, stream="torch").seed == 2**64
    assert initializers.HeNormal(seed=np.int64(3)).seed == 3
    unseeded = initializers.HeNormal()
    assert unseeded.get_config()["seed"] is None
    assert data(unseeded((4, 4))) == data(unseeded((4, 4)))
    assert data(unseeded((4, 4))) != data(unseeded.clone()((4, 4)))
    keras.utils.set_random_seed(3)
    first = initializers.HeNormal()
    keras.utils.set_random_seed(3)
    assert data(first((4, 4))) == data(initializers.HeNormal()((4, 4)))


def test_streams() -> None:
    with pytest.raises(ValueError, match="`stream`"):
        initializers.HeNormal(stream="no such")
    drawn = initializers.HeNormal(seed=1, stream="numpy")((8, 8))
    expected = on_numpy.HeNormal(seed=1, stream="numpy")((8, 8), "float32")
    assert np.array_equal(value(drawn), expected)
    with seedbed.use_stream("numpy"):
        assert np.array_equal(value(initializers.HeNormal(seed=1)((8, 8))), expected)
    # What a stream that was asked for cannot draw is not drawn from another.
    with pytest.raises(ValueError, match="dtype"):
        initializers.HeNormal(seed=1, stream="philox")((8, 8), "int32")
    theirs = keras.initializers.HeNormal(seed=1)((8, 8))
    assert np.array_equal(value(initializers.HeNormal(seed=1, stream="keras")((8, 8))), theirs)
    assert initializers.HeNormal(stream="keras").get_config()["stream"] == "keras"


WRONG: list[tuple[str, dict[str, Any], tuple[Any, ...]]] = [
    ("HeNormal", {"seed": 1}, ((4, 4), "int32")),
    ("HeNormal", {"seed": 1}, ((4, 4), "complex64")),
    ("RandomNormal", {"seed": 1}, ((4, 4), "string")),
    ("RandomNormal", {"seed": -1}, ((4, 4), "float32")),
    ("RandomNormal", {"seed": 1, "stddev": -1.0}, ((4, 4), "float32")),
    ("RandomUniform", {"seed": 1}, ((4, -1), "float32")),
    ("RandomUniform", {"seed": 1}, (5, "float32")),
    ("RandomUniform", {"seed": 1}, ((None, 3), "float32")),
    ("RandomUniform", {"seed": 1}, ((2.5, 3), "float32")),
    ("HeNormal", {"seed": 1}, ((4, 4), "no such")),
    ("HeNormal", {"seed": 1, "input_axes": [7], "output_axes": [0]}, ((4, 4), "float32")),
    ("Orthogonal", {"seed": 1}, ((4,), "float32")),
]


def outcome(make: Any, *call: Any) -> Any:
    """The dtype and bytes of a call, or the type of its exception."""
    try:
        result = make()(*call)
    except Exception as error:
        return type(error)
    return keras.backend.standardize_dtype(result.dtype), data(result)


@pytest.mark.parametrize("case", WRONG, ids=str)
def test_what_seedbed_cannot_draw_is_as_in_keras(case: Any) -> None:
    name, arguments, call = case
    theirs = partial(getattr(keras.initializers, name), **arguments)
    expected = outcome(theirs, *call)
    assert outcome(partial(getattr(initializers, name), **arguments), *call) == expected
    with seedbed.keras.installed():
        assert outcome(theirs, *call) == expected


def test_tensors_as_parameters_are_keras_affair() -> None:
    # Some backends refuse them.
    mean = keras.ops.convert_to_tensor([0.5, 0.25, 0.0, 1.0])
    expected = outcome(lambda: keras.initializers.RandomNormal(mean, 0.1, seed=1), (4, 4))
    assert outcome(lambda: initializers.RandomNormal(mean, 0.1, seed=1), (4, 4)) == expected
    if BACKEND != "numpy":  # whose tensors are arrays, and read as numbers
        number = keras.ops.convert_to_tensor(0.5)
        expected = outcome(lambda: keras.initializers.RandomNormal(number, 0.1, seed=1), (4, 4))
        assert outcome(lambda: initializers.RandomNormal(number, 0.1, seed=1), (4, 4)) == expected


@pytest.mark.parametrize(
    ("stream", "name", "seed", "dtype"),
    [("numpy", "HeNormal", 2**40, "float32"), ("jax", "Orthogonal", 1, "bfloat16")],
)
def test_what_the_default_stream_refuses_is_as_in_keras(
    stream: str, name: str, seed: int, dtype: str
) -> None:
    theirs = partial(getattr(keras.initializers, name), seed=seed)
    expected = outcome(theirs, (4, 4), dtype)
    with seedbed.use_stream(stream):
        assert outcome(partial(getattr(initializers, name), seed=seed), (4, 4), dtype) == expected
        with seedbed.keras.installed():
            assert outcome(theirs, (4, 4), dtype) == expected


@pytest.mark.parametrize("name", RANDOM)
def test_copies(name: str) -> None:
    for seed in (None, 3, 2**60, seedbed.random.SeedGenerator(2**60)):
        for stream in (None, "numpy"):
            if stream is not None and seed is not None and seed != 3:
                continue  # 64 bits are not for this stream
            init = getattr(initializers, name)(seed=seed, stream=stream, **RANDOM[name])
            for again in (copy.deepcopy(init), pickle.loads(pickle.dumps(init))):
                assert type(again) is type(init)
                assert data(again((5, 4))) == data(
                    copy.deepcopy(init)((5, 4)) if seed is not None else init((5, 4))
                )
            clone = init.clone()
            assert clone.get_config() == init.get_config()


def test_plain() -> None:
    for name, arguments in RANDOM.items():
        for library in (initializers, on_numpy):
            init = getattr(library, name)(seed=7, **arguments)
            theirs = plain(init)
            assert type(theirs) is getattr(keras.initializers, name)
            assert (
                theirs.get_config()
                == getattr(keras.initializers, name)(seed=7, **arguments).get_config()
            )
            assert "stream" not in vars(theirs)
    unseeded = initializers.HeNormal()
    assert plain(unseeded).seed == unseeded.seed
    assert plain(initializers.HeNormal(seed=2**32 - 1)).seed == 2**32 - 1
    assert plain(unseeded).get_config()["seed"] is None
    for name in ("Zeros", "Ones", "Identity", "STFT", "Constant"):
        assert type(plain(getattr(on_numpy, name)())) is getattr(keras.initializers, name)
        assert value(plain(on_numpy.Constant(2.5))((2,), "float32")).tolist() == [
            2.5,
            2.5,
        ]
    own = keras.initializers.HeNormal()
    assert plain(own) is own
    generator = plain(initializers.HeNormal(seed=seedbed.random.SeedGenerator(3))).seed
    assert isinstance(generator, keras.random.SeedGenerator)
    with pytest.raises(ValueError, match="`stream`"):
        plain(initializers.HeNormal(seed=1, stream="numpy"))
    for seed in (2**32, seedbed.random.SeedGenerator(2**32)):
        with pytest.raises(ValueError, match="`seed`"):
            plain(initializers.HeNormal(seed=seed))


def test_layouts_where_there_are_none() -> None:
    drawn = initializers.HeNormal(seed=1)((4, 4), "float32", None)
    assert data(drawn) == data(initializers.HeNormal(seed=1)((4, 4), dtype="float32", layout=None))
    with pytest.raises(ValueError, match="`layout`"):
        initializers.HeNormal(seed=1)((4, 4), layout="rows")
