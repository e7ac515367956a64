"""Keras' layers as modules of nnx, which a process has or has not from its start."""

import os
import subprocess
import sys

PROGRAM = """
import jax, keras, numpy as np
from flax import nnx
import seedbed, seedbed.keras
from seedbed import initializers as on_numpy
from seedbed.keras import initializers

assert keras.config.is_nnx_enabled()
model = keras.Sequential([
    keras.Input((6,)),
    keras.layers.Dense(5, kernel_initializer=initializers.HeNormal(seed=2**40)),
])
kernel = np.asarray(model.layers[0].kernel)
assert np.array_equal(kernel, on_numpy.HeNormal(seed=2**40)((6, 5)))
graph, state = nnx.split(model)
assert any(np.array_equal(leaf, kernel) for leaf in jax.tree.leaves(state))
ones = np.ones((1, 6), "float32")
compiled = nnx.jit(lambda model, x: model(x))(model, ones)
assert np.allclose(compiled, ones @ kernel, rtol=1e-5)

generator = keras.random.SeedGenerator(3)
init = initializers.HeNormal(seed=generator)
first, second = np.asarray(init((4, 4))), np.asarray(init((4, 4)))
twin = seedbed.random.SeedGenerator(3)
assert np.array_equal(first, on_numpy.HeNormal(seed=twin)((4, 4)))
assert np.array_equal(second, on_numpy.HeNormal(seed=twin)((4, 4)))

with seedbed.keras.installed():
    layer = keras.layers.MultiHeadAttention(4, 16)
    layer.build((None, 5, 96), (None, 5, 96))
    deviation = float(np.asarray(layer._query_dense.kernel).std())
assert abs(deviation / (2 / (96 + 64)) ** 0.5 - 1) < 0.06, deviation
report = seedbed.keras.report(model)
assert not report.flagged, report
seedbed.keras.reinitialize(model, seed=1)
assert not np.array_equal(np.asarray(model.layers[0].kernel), kernel)
"""


def test_modules_of_nnx_hold_the_values_of_the_layer_beneath() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        timeout=500,
        env={**os.environ, "KERAS_NNX_ENABLED": "1", "KERAS_BACKEND": "jax"},
    )
    assert ended.returncode == 0, ended.stderr
