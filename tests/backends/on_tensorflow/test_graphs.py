"""Graphs of TensorFlow, memory that it is lent, and replicas."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

import seedbed
import seedbed.keras
from cases import RANDOM, data
from seedbed.keras import initializers
from seedbed.keras._backends import BACKEND


def test_integers_as_seeds_are_drawn_outside_the_graph() -> None:
    for name, arguments in RANDOM.items():
        init = getattr(initializers, name)(seed=2**60, **arguments)
        for compiled in (False, True):
            function = tf.function(lambda init=init: init((512, 512)), jit_compile=compiled)
            assert data(function()) == data(init((512, 512)))
        graph = function.get_concrete_function().graph.as_graph_def()
        assert graph.ByteSize() < 10_000  # 1 MiB of values is no part of it


def test_generators_advance_whenever_the_graph_runs() -> None:
    for make in (keras.random.SeedGenerator, seedbed.random.SeedGenerator):
        init = initializers.HeNormal(seed=make(3))
        function = tf.function(lambda init=init: init((4, 4)))
        first, second = data(function()), data(function())
        assert first != second
    twin = initializers.HeNormal(seed=seedbed.random.SeedGenerator(3))
    assert first == data(twin((4, 4)))
    assert function().shape == (4, 4)


def test_graphs_of_the_first_version() -> None:
    with tf.Graph().as_default():
        drawn = initializers.HeNormal(seed=1)((4, 4))
        assert drawn.shape == (4, 4)


def test_memory_that_is_not_aligned_is_copied() -> None:
    # TensorFlow ends the process when it uses lent memory that starts elsewhere.
    aligned = np.arange(64, dtype=np.float32)
    for offset in range(1, 16):
        part = aligned[offset : offset + 16]
        assert np.array_equal(tf.add(BACKEND.tensor(part), 0.0), part)


def test_variables_of_keras_take_the_memory() -> None:
    variable = keras.Variable(initializers.HeNormal(seed=1), (64, 64))
    before = data(variable)
    other = keras.Variable(initializers.HeNormal(seed=1), (64, 64))
    variable.assign_add(keras.ops.ones((64, 64)))
    assert data(other) == before


def test_replicas_are_equal() -> None:
    cpus = tf.config.list_physical_devices("CPU")
    assert cpus
    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    with strategy.scope(), seedbed.keras.installed():
        layer = keras.layers.Dense(4, kernel_initializer=keras.initializers.HeNormal(seed=1))
        layer.build((None, 3))
    assert data(layer.kernel) == data(initializers.HeNormal(seed=1)((3, 4)))


def test_unbuilt_models_are_built_by_fit() -> None:
    with seedbed.keras.installed():
        model = keras.Sequential([keras.layers.Dense(8), keras.layers.Dense(1)])
        model.compile("sgd", "mse", jit_compile=True)
        model.fit(np.ones((8, 4)), np.ones((8, 1)), verbose=0)
    result: Any = model(np.ones((1, 4)))
    assert result.shape == (1, 1)
