"""`seedbed.keras.reinitialize`: what is refused, fails or is interrupted changes no weight."""

import itertools

import keras
import numpy as np
import pytest

import seedbed
import seedbed.keras
from reinitialized import named, snapshot, values
from seedbed.keras import _reinitialize


class Unconfigured(keras.layers.Layer):
    def __init__(self, thing, **arguments):
        super().__init__(**arguments)
        self.thing = thing
        self.inner = keras.layers.Dense(4, name="inner")

    def build(self, shape):
        self.scale = self.add_weight(shape=(4,), initializer="he_normal", name="scale")
        self.inner.build(shape)


def test_an_unknown_initializer_leaves_its_weight_with_a_warning():
    layer = Unconfigured(object(), name="outer")
    layer.build((None, 3))
    before = snapshot(layer)
    with pytest.warns(UserWarning, match=r"left 1 weights .*outer/scale \(the layer cannot be"):
        seeds = seedbed.keras.reinitialize(layer, seed=1)
    assert "outer/scale" not in seeds
    (kernel,) = [path for path in before if path.endswith("inner/kernel")]
    assert np.array_equal(snapshot(layer)["outer/scale"], before["outer/scale"])
    assert not np.array_equal(snapshot(layer)[kernel], before[kernel])


class Failing(keras.initializers.Initializer):
    """Works once for each weight, when the model is built."""

    calls = itertools.count()

    def __call__(self, shape, dtype=None):
        if next(self.calls):
            raise RuntimeError("no second time")
        return keras.ops.ones(shape, dtype)


def test_a_failure_leaves_every_weight_as_it_was():
    Failing.calls = itertools.count()
    model = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(8, name="first"),
            keras.layers.Dense(8, kernel_initializer=Failing(), name="second"),
        ],
        name="model",
    )
    before = snapshot(model)
    with pytest.raises(RuntimeError, match="no second time"):
        seedbed.keras.reinitialize(model, seed=1)
    after = snapshot(model)
    for path, array in before.items():
        assert np.array_equal(array, after[path]), path


def test_a_wrong_shape_leaves_every_weight_as_it_was():
    shapes = iter([(4, 8), (8, 4)])

    def once_right(shape, dtype=None):
        return keras.ops.ones(next(shapes), dtype)

    layers = [
        keras.layers.Dense(4, name="first"),
        keras.layers.Dense(8, kernel_initializer=once_right, name="second"),
    ]
    model = keras.Sequential([keras.Input((4,)), *layers], name="model")
    before = snapshot(model)
    with pytest.raises(ValueError, match=r"second/kernel must return .* \(4, 8\)"):
        seedbed.keras.reinitialize(model, seed=1)
    after = snapshot(model)
    assert all(np.array_equal(array, after[path]) for path, array in before.items())


def test_an_interruption_while_drawing_leaves_every_weight_as_it_was(monkeypatch):
    model = named()
    before = snapshot(model)

    def interrupted(*arguments, **keywords):
        raise KeyboardInterrupt

    monkeypatch.setattr(_reinitialize, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        seedbed.keras.reinitialize(model, seed=1)
    after = snapshot(model)
    assert all(np.array_equal(array, after[path]) for path, array in before.items())


def test_an_interruption_while_assigning_waits_for_the_last(monkeypatch):
    model = named()
    seedbed.keras.reinitialize(model, seed=1)
    expected = snapshot(model)
    seedbed.keras.reinitialize(model, seed=2)
    kind = type(model.weights[0])
    assign, calls = kind.assign, itertools.count()

    def once_interrupted(self, value):
        if next(calls) == 3:
            raise KeyboardInterrupt
        return assign(self, value)

    monkeypatch.setattr(kind, "assign", once_interrupted)
    with pytest.raises(KeyboardInterrupt):
        seedbed.keras.reinitialize(model, seed=1)
    after = snapshot(model)
    assert all(np.array_equal(array, after[path]) for path, array in expected.items())


def test_two_weights_of_one_path_need_positions():
    twins = [keras.layers.Dense(3, name="same") for _ in range(2)]
    outer = [keras.Sequential([keras.Input((3,)), twin], name="outer") for twin in twins]

    class Both(keras.layers.Layer):
        def __init__(self):
            super().__init__(name="both")
            self.parts = outer

    layer = Both()
    layer.built = True
    with pytest.raises(ValueError, match=r'"position".*/same/kernel'):
        seedbed.keras.reinitialize(layer, seed=1)
    seeds = seedbed.keras.reinitialize(layer, seed=1, key="position")
    assert len(seeds) == 4
    assert set(seeds) == {
        p + end for p in ("outer/same/kernel", "outer/same/bias") for end in ("", " (2)")
    }
    assert not np.array_equal(values(twins[0].kernel), values(twins[1].kernel))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seed": -1}, "`seed` must be in 0"),
        ({"seed": 2**64}, "`seed` must be in 0"),
        ({"seed": None}, "`seed` must be an integer"),
        ({"seed": True}, "`seed` must be an integer"),
        ({"seed": 1.5}, "`seed` must be an integer"),
        ({"seed": 1, "stream": "mersenne"}, "`stream` must be one of"),
        ({"seed": 1, "key": "name"}, '`key` must be "path" or "position"'),
    ],
)
def test_bad_arguments_are_refused_and_change_nothing(arguments, message):
    model = named()
    before = snapshot(model)
    with pytest.raises(ValueError, match=message):
        seedbed.keras.reinitialize(model, **arguments)
    after = snapshot(model)
    assert all(np.array_equal(array, after[path]) for path, array in before.items())


@pytest.mark.parametrize("arguments", [{"seed": -1}, {"seed": 1, "stream": "mersenne"}])
def test_bad_arguments_are_refused_where_nothing_is_drawn(arguments):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dropout(0.5)])
    with pytest.raises(ValueError, match="must be"):
        seedbed.keras.reinitialize(model, **arguments)
    assert seedbed.keras.reinitialize(model, seed=1) == {}


@pytest.mark.parametrize("state", [False, True])
@pytest.mark.parametrize("mode", ["int8", "int4"])
def test_a_quantized_layer_is_refused_and_stays(mode, state):
    first = keras.layers.Dense(8, name="first")
    second = keras.layers.Dense(8, bias_initializer="ones", name="second")
    model = keras.Sequential([keras.Input((4,)), first, second], name="model")
    second.quantize(mode)
    before = snapshot(model)
    with pytest.raises(ValueError, match=r"must not be quantized.* with second$"):
        seedbed.keras.reinitialize(model, seed=1, state=state)
    after = snapshot(model)
    assert all(np.array_equal(array, after[path]) for path, array in before.items())


def test_what_is_no_built_model_is_refused():
    with pytest.raises(TypeError, match="`model` must be a model or layer"):
        seedbed.keras.reinitialize(np.zeros(3), seed=1)
    with pytest.raises(ValueError, match="`model` must be built"):
        seedbed.keras.reinitialize(keras.Sequential([keras.layers.Dense(3)]), seed=1)
    with keras.StatelessScope(initialize_variables=False):
        layer = keras.layers.Dense(3)
        layer.build((None, 3))
    with pytest.raises(ValueError, match="without a value"):
        seedbed.keras.reinitialize(layer, seed=1)
