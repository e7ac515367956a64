"""What the default stream cannot draw is drawn by Keras' own code."""

import keras
import numpy as np

import seedbed
import seedbed.keras


def test_orthogonal_matrices_in_bfloat16() -> None:
    # JAX computes no QR of bfloat16, and neither does its stream; Keras on NumPy does.
    layer = keras.layers.Dense(
        8, kernel_initializer="orthogonal", dtype="bfloat16", use_bias=False, name="layer"
    )
    layer.build((None, 4))
    with seedbed.use_stream("jax"):
        seeds = seedbed.keras.reinitialize(layer, seed=1)
    own = keras.initializers.Orthogonal(seed=seeds["layer/kernel"])((4, 8), "bfloat16")
    assert np.array_equal(layer.kernel.value, np.asarray(own).astype(layer.kernel.value.dtype))
