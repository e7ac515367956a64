"""The patterns of Keras' documentation, with real Keras layers on the NumPy backend."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import pytest
from keras import layers

import numpy as np
import seedbed
from seedbed import initializers

pytestmark = [
    # Keras' variables do not know NumPy 2's `copy` argument yet.
    pytest.mark.filterwarnings(
        "ignore:.*__array__ implementation doesn't accept a copy:DeprecationWarning"
    ),
    # Said once in a process, by whichever test is the first.
    pytest.mark.filterwarnings("ignore:Keras called an initializer of `seedbed.initializers`"),
]

RANDOM = [
    initializers.RandomNormal(mean=0.5, stddev=0.1, seed=1),
    initializers.RandomUniform(seed=1),
    initializers.TruncatedNormal(seed=1),
    initializers.VarianceScaling(scale=0.5, mode="fan_avg", seed=1),
    initializers.GlorotNormal(seed=1),
    initializers.GlorotUniform(seed=1),
    initializers.HeNormal(seed=1),
    initializers.HeUniform(seed=1),
    initializers.LecunNormal(seed=1),
    initializers.LecunUniform(seed=1),
    initializers.Orthogonal(gain=0.5, seed=1),
]
ALL = [
    *RANDOM,
    initializers.Zeros(),
    initializers.Ones(),
    initializers.Constant(0.25),
]


def value(variable: Any) -> Any:
    return keras.ops.convert_to_numpy(variable)


def name_of(initializer: Any) -> str:
    return type(initializer).__name__


@pytest.mark.parametrize("initializer", [*ALL, initializers.Identity()], ids=name_of)
def test_dense(initializer: Any) -> None:
    layer = layers.Dense(5, kernel_initializer=initializer)
    layer.build((None, 7))
    assert layer.kernel.dtype == "float32"
    assert value(layer.kernel).tobytes() == initializer((7, 5)).tobytes()
    assert layer(np.ones((2, 7), np.float32)).shape == (2, 5)


@pytest.mark.parametrize("initializer", ALL, ids=name_of)
def test_convolution_embedding_and_lstm(initializer: Any) -> None:
    convolution = layers.Conv2D(4, 3, kernel_initializer=initializer)
    convolution.build((None, 8, 8, 2))
    assert value(convolution.kernel).tobytes() == initializer((3, 3, 2, 4)).tobytes()
    assert convolution(np.ones((1, 8, 8, 2), np.float32)).shape == (1, 6, 6, 4)

    embedding = layers.Embedding(11, 3, embeddings_initializer=initializer)
    embedding.build()
    assert value(embedding.embeddings).tobytes() == initializer((11, 3)).tobytes()

    lstm = layers.LSTM(4, recurrent_initializer=initializer)
    lstm.build((None, 6, 3))
    assert value(lstm.cell.recurrent_kernel).tobytes() == initializer((4, 16)).tobytes()
    assert lstm(np.ones((2, 6, 3), np.float32)).shape == (2, 4)


def test_recurrent_kernels_are_orthogonal() -> None:
    lstm = layers.LSTM(8, recurrent_initializer=initializers.Orthogonal(seed=2))
    lstm.build((None, 6, 3))
    kernel = value(lstm.cell.recurrent_kernel)
    # Rows of 32 float32: sums of 32 products, each rounded.
    np.testing.assert_allclose(kernel @ kernel.T, np.eye(8), atol=32 * 2**-23)


def test_biases() -> None:
    layer = layers.Dense(
        5,
        kernel_initializer=initializers.HeNormal(seed=3),
        bias_initializer=initializers.Constant([1, 2, 3, 4, 5]),
    )
    layer.build((None, 7))
    assert value(layer.bias).tolist() == [1, 2, 3, 4, 5]
    # The LSTM calls its bias initializer for a part of the bias, with positional arguments.
    lstm = layers.LSTM(4, bias_initializer=initializers.Ones())
    lstm.build((None, 6, 3))
    assert (value(lstm.cell.bias) == 1).all()


def test_stft_spectrogram() -> None:
    arguments = {"filters": 5, "kernel_size": 8, "strides": 4, "use_bias": False}
    samples = np.sin(np.arange(64, dtype=np.float32)).reshape(1, 64, 1)
    ours, theirs = (
        layers.Conv1D(kernel_initializer=library.STFT("imag", "hann", "density", True), **arguments)
        for library in (initializers, keras.initializers)
    )
    assert value(ours(samples)).tobytes() == value(theirs(samples)).tobytes()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_dtypes_of_layers(dtype: str) -> None:
    for initializer in ALL:
        layer = layers.Dense(5, kernel_initializer=initializer, dtype=dtype)
        layer.build((None, 7))
        assert layer.kernel.dtype == dtype
        kernel = value(layer.kernel)
        # Keras shows float64 variables in float32 on this backend.
        assert kernel.dtype == ("float32" if dtype == "float64" else dtype)
        expected = initializer((7, 5), dtype=dtype).astype(kernel.dtype)
        assert kernel.tobytes() == expected.tobytes()


def test_einsum_dense_and_attention() -> None:
    # These set `input_axes` and `output_axes` of Keras' own VarianceScaling, or go by its defaults.
    dense = layers.EinsumDense("abc,cde->abde", (None, 2, 3), kernel_initializer="he_normal")
    dense.build((None, 4, 6))
    ours = layers.EinsumDense(
        "abc,cde->abde", (None, 2, 3), kernel_initializer=initializers.HeNormal(seed=1)
    )
    ours.build((None, 4, 6))
    assert ours.kernel.shape == dense.kernel.shape
    attention = layers.MultiHeadAttention(2, 4, kernel_initializer=initializers.HeNormal(seed=1))
    tokens = np.ones((1, 3, 8), np.float32)
    assert attention(tokens, tokens).shape == (1, 3, 8)


def half(shape: Any, dtype: Any = None) -> Any:
    """A custom callable."""
    return np.full(shape, 0.5, dtype)


class ExampleRandomNormal(initializers.Initializer):
    """The example of Keras' documentation."""

    def __init__(self, mean: float, stddev: float) -> None:
        self.mean = mean
        self.stddev = stddev

    def __call__(self, shape: Any, dtype: Any = None) -> Any:
        return seedbed.random.normal(shape, mean=self.mean, stddev=self.stddev, dtype=dtype, seed=5)

    def get_config(self) -> dict[str, Any]:
        return {"mean": self.mean, "stddev": self.stddev}


def test_custom_callables_and_subclasses() -> None:
    layer = layers.Dense(3, kernel_initializer=initializers.get(half))
    layer.build((None, 2))
    assert (value(layer.kernel) == 0.5).all()

    layer = layers.Dense(3, kernel_initializer=ExampleRandomNormal(0.0, 2.0))
    layer.build((None, 2))
    assert value(layer.kernel).tobytes() == ExampleRandomNormal(0.0, 2.0)((2, 3)).tobytes()
    with keras.saving.custom_object_scope({"ExampleRandomNormal": ExampleRandomNormal}):
        again = layers.Dense.from_config(layer.get_config())
    assert type(again.kernel_initializer) is ExampleRandomNormal
    assert again.kernel_initializer.stddev == 2.0

    layer = layers.Dense(3, kernel_initializer=initializers.get(np.eye(2, 3)))
    layer.build((None, 2))
    assert (value(layer.kernel) == np.eye(2, 3)).all()


@pytest.mark.parametrize("initializer", ALL, ids=name_of)
def test_configs_of_layers(initializer: Any) -> None:
    layer = layers.Dense(5, kernel_initializer=initializer)
    stored = layer.get_config()["kernel_initializer"]
    assert stored["class_name"] == name_of(initializer)
    assert stored["config"] == initializers.serialize(initializer)["config"]
    # Keras finds its own class of the name, we find ours.
    again = layers.Dense.from_config(layer.get_config()).kernel_initializer
    assert type(again) is getattr(keras.initializers, name_of(initializer))
    assert again.get_config() == initializer.get_config()
    ours = initializers.deserialize(stored)
    assert ours((7, 5)).tobytes() == initializer((7, 5)).tobytes()


def test_saved_models(tmp_path: Path) -> None:
    model = keras.Sequential(
        [
            layers.Input((8, 8, 2)),
            layers.Conv2D(4, 3, kernel_initializer=initializers.HeNormal(seed=1)),
            layers.BatchNormalization(gamma_initializer=initializers.Ones()),
            layers.Flatten(),
            layers.Dense(
                3,
                kernel_initializer=initializers.Orthogonal(
                    gain=0.5, seed=seedbed.random.SeedGenerator(4)
                ),
                bias_initializer=initializers.Constant(np.float32(0.1)),
            ),
        ]
    )
    images = np.random.default_rng(1).normal(size=(2, 8, 8, 2)).astype(np.float32)
    expected = value(model(images))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert value(loaded(images)).tobytes() == expected.tobytes()

    dense = loaded.layers[-1]
    assert type(dense.kernel_initializer) is keras.initializers.Orthogonal
    assert dense.kernel_initializer.gain == 0.5
    assert dense.kernel_initializer.get_config()["seed"]["config"]["seed"] == 4
    assert dense.bias_initializer.value == np.float32(0.1)


def test_initializers_of_keras_and_ours_agree_on_laws_in_a_layer() -> None:
    kernels = []
    for library in (initializers, keras.initializers):
        layer = layers.Dense(400, kernel_initializer=library.HeNormal(seed=1))
        layer.build((None, 500))
        kernels.append(value(layer.kernel))
    # 2 * 10^5 draws: five standard errors of a standard deviation, on both sides.
    ratio = kernels[0].std() / kernels[1].std()
    assert abs(ratio - 1) < 2 * 5 * 0.71 / np.sqrt(kernels[0].size)


def build_in_new_process(statement: str) -> str:
    """What a program says on standard error that builds two layers with a seedbed initializer."""
    program = f"""
import keras
{statement}
init = initializers.HeNormal(seed=1)
init((3, 4))
for _ in range(2):
    keras.layers.Dense(4, kernel_initializer=init).build((None, 3))
"""
    result = subprocess.run(
        [sys.executable, "-W", "always:Keras called", "-c", program],
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    return result.stderr


def test_keras_calling_is_warned_of_once() -> None:
    said = build_in_new_process("from seedbed import initializers")
    assert said.count("Keras called an initializer") == 1
    assert "`from seedbed.keras import initializers`" in said
    # The layer of Keras that called, not the user's own call before.
    assert "keras/src" in said.partition("Keras called")[0].splitlines()[-1]
    assert "Keras called" not in build_in_new_process("from seedbed.keras import initializers")
