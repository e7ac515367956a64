"""`get`, `serialize`, `deserialize`: what Keras understands, both ways, and nothing else."""

import json
import subprocess
import sys
from typing import Any

import keras
import pytest
from keras.src.initializers import ALL_OBJECTS_DICT

import numpy as np
from cases import CASES, CLASSES, RANDOM, label
from seedbed import initializers
from seedbed.initializers.registry import _BY_NAME

# --- names, classes, callables, arrays -----------------------------------------------------------


def test_the_names_are_those_of_keras() -> None:
    assert {name: cls.__name__ for name, cls in _BY_NAME.items()} == {
        name: cls.__name__ for name, cls in ALL_OBJECTS_DICT.items()
    }


@pytest.mark.parametrize("name", sorted(ALL_OBJECTS_DICT))
def test_strings(name: str) -> None:
    expected = ALL_OBJECTS_DICT[name].__name__
    for found in (initializers.get(name), initializers.deserialize(name)):
        assert type(found).__name__ == expected
        assert type(found) is getattr(initializers, expected)
    assert type(initializers.get({"class_name": name, "config": {}})).__name__ == expected
    assert type(initializers.get({"class_name": name, "config": None})).__name__ == expected
    assert type(initializers.get({"class_name": name})).__name__ == expected


@pytest.mark.parametrize("identifier", ["foo", "HE_NORMAL", "", "henormal", 3, 2.5, [1], (), {1}])
def test_unknown_identifiers(identifier: Any) -> None:
    with pytest.raises(ValueError) as reference:
        keras.initializers.get(identifier)
    with pytest.raises(ValueError) as error:
        initializers.get(identifier)
    assert str(error.value) == str(reference.value)


def test_none_is_none() -> None:
    assert initializers.get(None) is None
    assert initializers.deserialize(None) is None
    assert initializers.serialize(None) is None


@pytest.mark.parametrize("name", CLASSES)
def test_classes_and_instances(name: str) -> None:
    cls = getattr(initializers, name)
    assert type(initializers.get(cls)) is cls
    instance = cls()
    assert initializers.get(instance) is instance
    assert initializers.deserialize(instance) is instance


def ones_like_this(shape: Any, dtype: Any = None) -> Any:
    """A callable that is not a class."""
    return np.ones(shape, dtype)


def test_callables_are_returned_as_they_are() -> None:
    assert initializers.get(ones_like_this) is ones_like_this
    theirs = keras.initializers.HeNormal(seed=1)
    assert initializers.get(theirs) is theirs


@pytest.mark.parametrize("dtype", ["float32", "float16", "int32", None])
def test_arrays_are_their_own_values(dtype: Any) -> None:
    values = np.arange(6.0).reshape(2, 3)
    ours, theirs = initializers.get(values), keras.initializers.get(values)
    expected = theirs((2, 3), dtype=dtype)
    result = ours([2, 3], dtype=dtype)
    assert (result.dtype, result.tobytes()) == (expected.dtype, expected.tobytes())
    result[:] = 0
    assert values[1, 2] == 5
    assert ours((2, 3), index=(1, slice(1, None))).tolist() == [4, 5]
    with pytest.raises(ValueError) as reference:
        theirs((3, 2))
    with pytest.raises(ValueError) as error:
        ours((3, 2))
    assert str(error.value) == str(reference.value)
    assert initializers.get(np.float32(3))(()) == 3
    variable = keras.Variable(values)
    assert initializers.get(variable)((2, 3)).tolist() == values.tolist()


# --- stored forms --------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "kwargs", "shape"), CASES, ids=label)
def test_stored_forms_are_those_of_keras(
    name: str, kwargs: dict[str, Any], shape: tuple[int, ...]
) -> None:
    ours = getattr(initializers, name)(**kwargs)
    theirs = getattr(keras.initializers, name)(**kwargs)
    stored = initializers.serialize(ours)
    assert stored == keras.initializers.serialize(theirs)
    assert list(stored) == list(keras.initializers.serialize(theirs))
    through_json = json.loads(json.dumps(stored))

    # Keras reads ours; we read Keras'; and either finds the other's arguments.
    read = keras.initializers.deserialize(through_json)
    assert type(read) is type(theirs)
    assert keras.initializers.serialize(read) == stored
    read = initializers.deserialize(json.loads(json.dumps(keras.initializers.serialize(theirs))))
    assert type(read) is type(ours)
    assert initializers.serialize(read) == stored
    assert type(initializers.get(through_json)) is type(ours)
    if "seed" in kwargs or (name not in RANDOM and name != "Identity"):
        assert read(shape).tobytes() == ours(shape).tobytes()


def test_windows_that_are_arrays_survive() -> None:
    ours = initializers.STFT(window=np.linspace(0, 1, 8))
    stored = json.loads(json.dumps(initializers.serialize(ours)))
    assert stored == keras.initializers.serialize(
        keras.initializers.STFT(window=np.linspace(0, 1, 8))
    )
    read = initializers.deserialize(stored)
    assert read((8, 1, 5)).tobytes() == ours((8, 1, 5)).tobytes()


def test_arrays_stored_by_any_backend() -> None:
    for kind in ("__numpy__", "__tensor__"):
        value = {"class_name": kind, "config": {"value": [[1, 2]], "dtype": "bfloat16"}}
        read = initializers.get({"class_name": "Constant", "config": {"value": value}})
        assert read.value.dtype.name == "bfloat16"
        assert read((2, 2)).tolist() == [[1, 2], [1, 2]]


def test_the_stream_is_stored_when_given() -> None:
    stored = initializers.serialize(initializers.HeNormal(seed=1, stream="philox"))
    assert stored["config"]["stream"] == "philox"
    assert initializers.deserialize(stored).stream == "philox"


def test_configs_without_a_module() -> None:
    for module in ({}, {"module": "keras.initializers"}, {"module": "keras.src.initializers"}):
        config = {"class_name": "HeNormal", "config": {"seed": 4}, **module}
        assert initializers.get(config).seed == 4
    # What Keras stores when a layer holds one of ours.
    stored = keras.initializers.serialize(initializers.HeNormal(seed=4))
    assert type(initializers.get(stored)) is initializers.HeNormal
    assert type(keras.initializers.get(stored)) is keras.initializers.HeNormal


# --- the user's own ------------------------------------------------------------------------------


class Ramp(initializers.Initializer):
    """A subclass with `get_config` only."""

    def __init__(self, slope: float = 1.0) -> None:
        self.slope = slope

    def __call__(self, shape: Any, dtype: Any = None) -> Any:
        return self.slope * np.arange(np.prod(shape), dtype=dtype).reshape(shape)

    def get_config(self) -> dict[str, Any]:
        return {"slope": self.slope}


@keras.saving.register_keras_serializable(package="tests")
class Registered(Ramp):
    """A subclass that Keras knows."""


class KerasRamp(keras.initializers.Initializer):
    """The same on Keras' own base class."""

    def __init__(self, slope: float = 1.0) -> None:
        self.slope = slope

    def get_config(self) -> dict[str, Any]:
        return {"slope": self.slope}


KerasRamp.__name__ = KerasRamp.__qualname__ = "Ramp"


def test_subclasses() -> None:
    ramp = Ramp(2.0)
    assert ramp.clone().slope == 2.0
    stored = initializers.serialize(ramp)
    assert stored == keras.initializers.serialize(KerasRamp(2.0))
    assert stored == {
        "module": __name__,
        "class_name": "Ramp",
        "config": {"slope": 2.0},
        "registered_name": "Ramp",
    }
    read = initializers.deserialize(stored, custom_objects={"Ramp": Ramp})
    assert type(read) is Ramp
    assert read.slope == 2.0
    assert type(keras.initializers.deserialize(stored, {"Ramp": Ramp})) is Ramp
    assert initializers.deserialize("Ramp", {"Ramp": Ramp}) is Ramp
    with pytest.raises(ValueError, match="Could not interpret initializer identifier"):
        initializers.deserialize(stored)
    with keras.saving.custom_object_scope({"Ramp": Ramp}):
        assert type(initializers.get(stored)) is Ramp
        assert type(initializers.get("Ramp")) is Ramp


def test_subclasses_of_built_ins() -> None:
    class Wider(initializers.HeNormal):
        """A subclass that takes the arguments of its base."""

    stored = initializers.serialize(Wider(seed=3))
    assert (stored["class_name"], stored["registered_name"]) == ("Wider", "Wider")
    read = initializers.deserialize(stored, {"Wider": Wider})
    assert type(read) is Wider
    assert read((3, 3)).tobytes() == initializers.HeNormal(seed=3)((3, 3)).tobytes()


def test_classes_registered_in_keras() -> None:
    stored = initializers.serialize(Registered(3.0))
    assert stored["registered_name"] == "tests>Registered"
    for library in (initializers, keras.initializers):
        read = library.deserialize(stored)
        assert type(read) is Registered
        assert read.slope == 3.0


def test_functions() -> None:
    stored = initializers.serialize(ones_like_this)
    assert stored == keras.initializers.serialize(ones_like_this)
    known = {"ones_like_this": ones_like_this}
    assert initializers.deserialize(stored, known) is ones_like_this
    assert initializers.deserialize("ones_like_this", known) is ones_like_this
    with pytest.raises(ValueError, match="Could not interpret"):
        initializers.deserialize(stored)


def test_what_cannot_be_stored() -> None:
    for library in (initializers, keras.initializers):
        with pytest.raises(TypeError, match="Cannot serialize object"):
            library.serialize(object())
    with pytest.raises(ValueError, match="Cannot serialize a lambda"):
        initializers.serialize(lambda shape, dtype=None: None)

    class NoDict(initializers.Initializer):
        def get_config(self) -> Any:
            return [1]

    with pytest.raises(TypeError, match="should return a dict"):
        initializers.serialize(NoDict())


def test_custom_classes_that_cannot_be_made() -> None:
    class NoFromConfig:
        pass

    with pytest.raises(TypeError, match="missing a `from_config"):
        initializers.deserialize({"class_name": "X", "config": {}}, {"X": NoFromConfig})


# --- bad and hostile configs ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "config",
    [
        {"class_name": "HeNormal", "config": {"scale": 3}},
        {"class_name": "HeNormal", "config": "seed"},
        {"class_name": "HeNormal", "config": {}, "module": None},
        {"class_name": "VarianceScaling", "config": {"scale": "a"}},
        {},
        {"config": {}},
        {"class_name": "Foo", "config": {}, "module": "foo.bar", "registered_name": "x"},
        {"class_name": "VarianceScaling", "config": {"scale": -1}},
    ],
    ids=repr,
)
def test_errors_are_of_the_type_that_keras_raises(config: dict[str, Any]) -> None:
    with pytest.raises((TypeError, ValueError)) as reference:
        keras.initializers.get(config)
    with pytest.raises(reference.type) as error:
        initializers.get(config)
    assert str(error.value)[:25] == str(reference.value)[:25] or "could not be" in str(error.value)


def nested(levels: int, kind: type) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"class_name": "Constant", "config": {"value": value}} if kind is dict else [value]
    return value


def doubled(levels: int) -> Any:
    value: Any = [1.0]
    for _ in range(levels):
        value = [value, value]
    return value


def cyclic() -> Any:
    value: list[Any] = []
    value.append(value)
    return value


def array_of(value: Any, dtype: Any = "float32") -> dict[str, Any]:
    return {"class_name": "__numpy__", "config": {"value": value, "dtype": dtype}}


HOSTILE: dict[str, Any] = {
    "module": {"module": "os", "class_name": "system", "config": {"command": "true"}},
    "module of a built-in": {"module": "antigravity", "class_name": "HeNormal", "config": {}},
    "dots": {"class_name": "os.system", "config": {}},
    "dotted string": "subprocess.Popen",
    "keras module": {"module": "keras.layers", "class_name": "Dense", "config": {"units": 1}},
    "non-modeling": {"module": "keras.utils", "class_name": "get_file", "config": {}},
    "dunder": {"module": "builtins", "class_name": "__import__", "config": {"name": "this"}},
    "function": {
        "module": "builtins",
        "class_name": "function",
        "config": "eval",
        "registered_name": "eval",
    },
    "lambda": {"class_name": "__lambda__", "config": {"value": "4wAAAAA="}},
    "lambda as value": {
        "class_name": "Constant",
        "config": {"value": {"class_name": "__lambda__", "config": {"value": "4wE="}}},
    },
    "object as value": {
        "class_name": "Constant",
        "config": {"value": {"module": "os", "class_name": "system", "config": {}}},
    },
    "lambda as seed": {
        "class_name": "HeNormal",
        "config": {"seed": {"class_name": "__lambda__", "config": {"value": "4wE="}}},
    },
    "list as name": {"class_name": ["HeNormal"], "config": {}},
    "number as module": {"class_name": "HeNormal", "module": 3, "config": {}},
    "typespec": {
        "class_name": "__typespec__",
        "spec_name": "x",
        "module": "os",
        "registered_name": None,
        "config": [],
    },
    "deep dicts": nested(50_000, dict),
    "deep lists": {"class_name": "Constant", "config": {"value": nested(50_000, list)}},
    "deep array": {"class_name": "Constant", "config": {"value": array_of(nested(50_000, list))}},
    "doubled array": {"class_name": "Constant", "config": {"value": array_of(doubled(60))}},
    "cyclic array": {"class_name": "Constant", "config": {"value": array_of(cyclic())}},
    "cyclic list": {"class_name": "Constant", "config": {"value": cyclic()}},
    "ragged array": {"class_name": "Constant", "config": {"value": array_of([[1], [1, 2]])}},
    "objects": {"class_name": "Constant", "config": {"value": array_of([1], "object")}},
    "array without dtype": {
        "class_name": "Constant",
        "config": {"value": {"class_name": "__numpy__", "config": {"value": 1}}},
    },
    "deep seed": {"class_name": "HeNormal", "config": {"seed": nested(50_000, list)}},
    "deep window": {"class_name": "STFT", "config": {"window": nested(50_000, dict)}},
    "doubled name": {"class_name": doubled(60), "config": {}},
    "unknown stream": {"class_name": "HeNormal", "config": {"stream": "os"}},
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_configs_are_values_that_are_refused(name: str) -> None:
    before = set(sys.modules)
    with pytest.raises(ValueError) as error:
        initializers.get(HOSTILE[name])
    assert len(str(error.value)) < 10_000
    assert set(sys.modules) - before == set()


@pytest.mark.parametrize("value", [doubled(60), [[1.0], doubled(60)]], ids=["doubled", "ragged"])
def test_values_that_would_blow_up_are_refused_when_called(value: Any) -> None:
    initializer = initializers.get({"class_name": "Constant", "config": {"value": value}})
    for shape in ((2, 2), (2, 1), ()):
        with pytest.raises(ValueError):
            initializer(shape)
    window = initializers.get({"class_name": "STFT", "config": {"window": value}})
    with pytest.raises(ValueError, match="The shape of `window`"):
        window((2, 1, 5))


def test_no_framework_is_imported() -> None:
    program = """
import sys
from seedbed import initializers
for name in ("he_normal", "STFT", "Orthogonal", "zeros"):
    config = {"class_name": name, "config": {"window": None} if name == "STFT" else {}}
    initializer = initializers.get(config)
    initializers.deserialize(initializers.serialize(initializer))
    initializer((4, 1, 3) if name == "STFT" else (4, 3))
for name in ("keras.layers", "scipy", "this"):
    try:
        initializers.get({"module": name, "class_name": "Dense", "config": {}})
    except ValueError:
        pass
loaded = {"keras", "jax", "torch", "tensorflow", "scipy", "rich", "this"} & set(sys.modules)
assert not loaded, loaded
"""
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True)
