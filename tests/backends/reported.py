"""Layers and a model that the tests of `report` look at, and what it says of them."""

import keras
import numpy as np


def dense(initializer="glorot_uniform", units=64, inputs=64, **arguments):
    layer = keras.layers.Dense(units, kernel_initializer=initializer, **arguments)
    layer.build((None, inputs))
    return layer


def kinds(report, path):
    (weight,) = [weight for weight in report.weights if weight.path.endswith(path)]
    return [flag.kind for flag in weight.flags]


def set_kernel(layer, values):
    layer.kernel.assign(np.asarray(values, "float32"))


def model_of_many_kinds():
    inputs = keras.Input((16, 32))
    x = keras.layers.MultiHeadAttention(4, 8, kernel_initializer="he_normal")(inputs, inputs)
    x = keras.layers.GroupQueryAttention(8, 4, 2)(x, x)
    x = keras.layers.EinsumDense("abc,cd->abd", (None, 48), bias_axes="d")(x)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.Conv1D(24, 3, kernel_initializer="lecun_uniform")(x)
    x = keras.layers.Bidirectional(keras.layers.LSTM(12, return_sequences=True))(x)
    x = keras.layers.GRU(16)(x)
    x = keras.layers.Dense(10, kernel_initializer="random_normal")(x)
    return keras.Model(inputs, x, name="many")
