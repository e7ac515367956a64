"""A model that the tests of `reinitialize` draw anew, and what its weights hold."""

import keras
import numpy as np


def values(variable):
    return np.asarray(keras.ops.convert_to_numpy(keras.ops.cast(variable, "float32")))


def snapshot(model):
    return {variable.path: values(variable) for variable in model.weights}


def named(extra=False, kernel="he_normal"):
    x = inputs = keras.Input((8, 16), name="in")
    x = keras.layers.MultiHeadAttention(2, 8, kernel_initializer=kernel, name="attention")(x, x)
    if extra:
        x = keras.layers.Dense(16, name="added")(x)
    x = keras.layers.EinsumDense(
        "abc,cd->abd", (None, 12), kernel_initializer="orthogonal", name="einsum"
    )(x)
    x = keras.layers.BatchNormalization(name="norm")(x)
    x = keras.layers.Dense(4, kernel_initializer="random_normal", name="out")(x)
    return keras.Model(inputs, x, name="named")
