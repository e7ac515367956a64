"""Graphs of TensorFlow, memory that it is lent, and replicas."""

import subprocess
import sys
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


REPLICAS = """
import numpy as np, tensorflow as tf
# Two devices of one processor, which must be asked for before TensorFlow has looked at it.
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
import keras
import seedbed.keras
from seedbed import initializers as on_numpy
from seedbed.keras import initializers

strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
assert strategy.num_replicas_in_sync == 2

def replicas(variable):
    return [np.asarray(part) for part in strategy.experimental_local_results(variable.value)]

generator = keras.random.SeedGenerator(7)
with strategy.scope(), seedbed.keras.installed():
    seeded = keras.layers.Dense(4, kernel_initializer=keras.initializers.HeNormal(seed=1))
    drawn = keras.layers.Dense(4, kernel_initializer=initializers.HeNormal(seed=generator))
    unseeded = keras.layers.Dense(4, kernel_initializer="he_normal")
    model = keras.Sequential([keras.Input((4,)), seeded, drawn, unseeded])
    model.compile("sgd", "mse")
for layer in model.layers:
    first, second = replicas(layer.kernel)
    assert np.array_equal(first, second)
assert np.array_equal(replicas(seeded.kernel)[0], on_numpy.HeNormal(seed=1)((4, 4)))
twin = seedbed.random.SeedGenerator(7)
assert np.array_equal(replicas(drawn.kernel)[0], on_numpy.HeNormal(seed=twin)((4, 4)))
model.fit(np.ones((8, 4), "float32"), np.ones((8, 4), "float32"), batch_size=4, verbose=0)
for layer in model.layers:
    first, second = replicas(layer.kernel)
    assert np.array_equal(first, second)

with strategy.scope():
    layer = keras.layers.Dense(4, name="layer")
    layer.build((None, 4))
assert not seedbed.keras.report(layer).flagged
seeds = seedbed.keras.reinitialize(layer, seed=1)
drawn = on_numpy.GlorotUniform(seed=seeds["layer/kernel"])((4, 4))
assert all(np.array_equal(part, drawn) for part in replicas(layer.kernel))
assert len(replicas(layer.kernel)) == 2
"""


def test_replicas_are_equal() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", REPLICAS], capture_output=True, text=True, timeout=500
    )
    assert ended.returncode == 0, ended.stderr


def test_unbuilt_models_are_built_by_fit() -> None:
    with seedbed.keras.installed():
        model = keras.Sequential([keras.layers.Dense(8), keras.layers.Dense(1)])
        model.compile("sgd", "mse", jit_compile=True)
        model.fit(np.ones((8, 4)), np.ones((8, 1)), verbose=0)
    result: Any = model(np.ones((1, 4)))
    assert result.shape == (1, 1)
