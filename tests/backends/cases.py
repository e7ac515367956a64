"""What the tests of all backends go through: initializers, how they are handed over, and layers."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import keras
import keras_hub
from keras import layers

import numpy as np

BACKEND = keras.backend.backend()

# Every class that draws, with arguments that are not the defaults where it takes some.
RANDOM: dict[str, dict[str, Any]] = {
    "RandomNormal": {"mean": 0.0, "stddev": 0.1},
    "RandomUniform": {"minval": -0.2, "maxval": 0.2},
    "TruncatedNormal": {"mean": 0.0, "stddev": 0.1},
    "VarianceScaling": {"scale": 0.5, "mode": "fan_avg", "distribution": "untruncated_normal"},
    "GlorotNormal": {},
    "GlorotUniform": {},
    "HeNormal": {},
    "HeUniform": {},
    "LecunNormal": {},
    "LecunUniform": {},
    "Orthogonal": {"gain": 0.5},
}

# A layer built with an initializer for its kernels.
LAYERS: dict[str, Callable[..., Any]] = {}


def layer(build: Callable[..., Any]) -> Callable[..., Any]:
    LAYERS[build.__name__] = build
    return build


@layer
def dense(init: Any, **kwargs: Any) -> Any:
    made = layers.Dense(64, kernel_initializer=init, **kwargs)
    made.build((None, 80))
    return made


@layer
def einsum_dense(init: Any, **kwargs: Any) -> Any:
    made = layers.EinsumDense("abc,cde->abde", (None, 4, 16), kernel_initializer=init, **kwargs)
    made.build((None, 5, 256))
    return made


@layer
def multi_head_attention(init: Any, **kwargs: Any) -> Any:
    made = layers.MultiHeadAttention(4, 16, kernel_initializer=init, **kwargs)
    made.build((None, 5, 96), (None, 5, 96))
    return made


@layer
def grouped_query_attention(init: Any, **kwargs: Any) -> Any:
    made = layers.GroupQueryAttention(16, 4, 2, kernel_initializer=init, **kwargs)
    made.build((None, 5, 96), (None, 5, 96))
    return made


@layer
def convolution(init: Any, **kwargs: Any) -> Any:
    made = layers.Conv2D(32, 3, kernel_initializer=init, **kwargs)
    made.build((None, 8, 8, 16))
    return made


@layer
def transposed_convolution(init: Any, **kwargs: Any) -> Any:
    made = layers.Conv1DTranspose(32, 3, kernel_initializer=init, **kwargs)
    made.build((None, 8, 48))
    return made


@layer
def separable_convolution(init: Any, **kwargs: Any) -> Any:
    made = layers.SeparableConv2D(
        64, 5, depthwise_initializer=init, pointwise_initializer=init, depth_multiplier=2, **kwargs
    )
    made.build((None, 8, 8, 32))
    return made


@layer
def embedding(init: Any, **kwargs: Any) -> Any:
    made = layers.Embedding(100, 48, embeddings_initializer=init, **kwargs)
    made.build()
    return made


@layer
def lstm(init: Any, **kwargs: Any) -> Any:
    made = layers.LSTM(24, kernel_initializer=init, recurrent_initializer=init, **kwargs)
    made.build((None, 5, 48))
    return made


@layer
def bidirectional(init: Any, **kwargs: Any) -> Any:
    made = layers.Bidirectional(layers.GRU(24, kernel_initializer=init, **kwargs))
    made.build((None, 5, 64))
    return made


@layer
def convolutional_lstm(init: Any, **kwargs: Any) -> Any:
    made = layers.ConvLSTM1D(16, 3, kernel_initializer=init, **kwargs)
    made.build((None, 5, 8, 24))
    return made


@layer
def transformer_encoder(init: Any, **kwargs: Any) -> Any:
    made = keras_hub.layers.TransformerEncoder(64, 4, kernel_initializer=init, **kwargs)
    made.build((None, 5, 96))
    return made


def kernels(made: Any) -> list[Any]:
    """The variables of a layer that are drawn; biases and scales of normalizations are not."""
    return [
        variable
        for variable in made.weights
        if len(variable.shape) > 1 and "bias" not in variable.path.rpartition("/")[2]
    ]


def value(tensor: Any) -> Any:
    """The values of a variable or tensor, in its own dtype where NumPy has it, else in float32."""
    tensor = getattr(tensor, "value", tensor)
    if BACKEND == "torch":
        import torch

        tensor = tensor.detach().cpu()
        if tensor.dtype not in (torch.float16, torch.float32, torch.float64):
            tensor = tensor.float()
    return np.asarray(tensor)


def data(tensor: Any) -> bytes:
    """The values of a tensor as bytes."""
    return bytes(np.ascontiguousarray(value(tensor)).tobytes())


def equal_pairs(variables: list[Any]) -> set[tuple[int, int]]:
    """Which of the variables have equal values."""
    contents = [(tuple(variable.shape), data(variable)) for variable in variables]
    return {(i, j) for j in range(len(contents)) for i in range(j) if contents[i] == contents[j]}


def forms(name: str, library: Any) -> Iterator[tuple[str, Any]]:
    """The ways to hand over the initializer of a class, unseeded unless it says how."""
    kind, arguments = getattr(library, name), RANDOM[name]
    snake = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
    yield "string", snake
    yield "class", kind
    yield "instance", kind(seed=1, **arguments)
    yield "unseeded instance", kind(**arguments)
    yield "config", library.serialize(kind(**arguments))

    plain = kind(seed=2, **arguments)

    def function(shape: Any, dtype: Any = None) -> Any:
        return plain(shape, dtype=dtype)

    yield "callable", function
    yield "subclass", subclass_of(kind)(seed=3, **arguments)


def subclass_of(kind: Any) -> Any:
    """A user's class, which is registered as Keras wants it where it is to be stored."""

    class Users(kind):  # type: ignore[misc]
        def __call__(self, shape: Any, dtype: Any = None) -> Any:
            return super().__call__(shape, dtype)

    return Users


@contextmanager
def policy(name: str) -> Iterator[None]:
    """Keras' dtype policy inside a block."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


# Every public name of Keras' module.
NAMES = [name for name in dir(keras.initializers) if not name.startswith("_")]
