"""Layers built with our initializers, side by side with Keras': what a user sees of them."""

from typing import Any

import keras
import numpy as np
import pytest

import seedbed.keras
from cases import LAYERS, RANDOM, equal_pairs, forms, kernels, policy, value
from seedbed.keras import initializers

# Standard errors within which a deviation has to be: beyond them lies one in 5 * 10^8.
SIGMAS = 6.0


def check_like(ours: Any, theirs: Any) -> None:
    """Whether two layers have kernels of the same shapes, dtypes, laws, and equal among themselves
    alike."""
    mine, keras_own = kernels(ours), kernels(theirs)
    assert [v.name for v in mine] == [v.name for v in keras_own]
    assert [v.shape for v in mine] == [v.shape for v in keras_own]
    assert [v.dtype for v in mine] == [v.dtype for v in keras_own]
    assert equal_pairs(mine) == equal_pairs(keras_own)
    assert len(mine) > 0
    for a, b in zip(mine, keras_own, strict=True):
        x, y = value(a).astype(np.float64), value(b).astype(np.float64)
        # A sample deviation s of n normals has a standard error of sigma / sqrt(2n), and the other
        # laws a smaller one; two are compared, each of n. Half a unit of bfloat16 comes on top.
        assert x.std() / y.std() == pytest.approx(1, abs=SIGMAS / np.sqrt(x.size) + 2**-8), a.path
        assert abs(x.mean()) < SIGMAS * x.std() / np.sqrt(x.size), a.path
        assert np.isfinite(x).all()
        assert not np.array_equal(x, y)


def build(layer: str, init: Any, **kwargs: Any) -> Any:
    """A layer with an initializer, whose class is registered where it is a user's."""
    with keras.saving.custom_object_scope({"Users": type(init)}):
        return LAYERS[layer](init, **kwargs)


def check(layer: str, name: str, **kwargs: Any) -> None:
    """Whether a layer is alike with the drop-in, with Keras' own while installed, and without."""
    for (form, own), (_, ours) in zip(
        forms(name, keras.initializers), forms(name, initializers), strict=True
    ):
        if form == "string":
            ours = initializers.get(ours)  # Names are Keras' in Keras' layers.
        try:
            reference = build(layer, own, **kwargs)
        except (AttributeError, ValueError) as error:  # Attention and wrappers take no functions.
            if form != "callable":
                raise
            with seedbed.keras.installed(), pytest.raises(type(error)):
                build(layer, ours, **kwargs)
            continue
        check_like(build(layer, ours, **kwargs), reference)
        with seedbed.keras.installed():
            check_like(build(layer, own, **kwargs), reference)


@pytest.mark.parametrize("name", RANDOM)
@pytest.mark.parametrize("layer", LAYERS)
def test_every_layer_initializer_and_form(layer: str, name: str) -> None:
    check(layer, name)


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "float16", "bfloat16", "float64"])
@pytest.mark.parametrize("layer", LAYERS)
def test_dtype_policies(layer: str, dtype: str) -> None:
    if layer in ("bidirectional", "convolutional_lstm", "lstm") and dtype in (
        "float16",
        "bfloat16",
    ):
        # Recurrent kernels are orthogonal, which NumPy and JAX compute from 32 bits up.
        dtype = f"mixed_{dtype}"
    with policy(dtype):
        check(layer, "HeNormal")


def test_deviations_of_attention_are_those_of_its_fans() -> None:
    # 256 features, 8 heads of 64: a NumPy-layer object gives 0.0104 for the query.
    layer = keras.layers.MultiHeadAttention(
        8, 64, kernel_initializer=initializers.GlorotUniform(seed=1)
    )
    layer.build((None, 5, 256), (None, 5, 256))
    expected = np.sqrt(2 / (256 + 8 * 64))
    for kernel in kernels(layer):
        assert value(kernel).std() == pytest.approx(expected, rel=SIGMAS / np.sqrt(2 * 131072))


def test_floatx() -> None:
    keras.config.set_floatx("float16")
    try:
        assert (
            keras.backend.standardize_dtype(initializers.HeNormal(seed=1)((4, 4)).dtype)
            == "float16"
        )
        with seedbed.keras.installed():
            drawn = keras.initializers.HeNormal(seed=1)((4, 4))
        assert keras.backend.standardize_dtype(drawn.dtype) == "float16"
    finally:
        keras.config.set_floatx("float32")


def test_lora_and_quantized_layers() -> None:
    layer = LAYERS["dense"](initializers.HeNormal(seed=1))
    layer.enable_lora(4)
    assert value(layer.lora_kernel_a).std() > 0
    quantized = LAYERS["dense"](initializers.HeNormal(seed=1))
    quantized.quantize("int8")
    assert keras.backend.standardize_dtype(quantized.kernel.dtype) == "int8"
    keras_own = LAYERS["dense"](keras.initializers.HeNormal(seed=1))
    keras_own.quantize("int8")
    assert value(quantized.kernel).std() == pytest.approx(value(keras_own.kernel).std(), rel=0.1)
    float8 = LAYERS["dense"](initializers.HeNormal(seed=1), dtype="float8_from_mixed_bfloat16")
    assert value(float8.kernel).std() > 0


def test_seeds_of_64_bits_make_attention_and_recurrence() -> None:
    for seed in (2**60 + 1, 2**64 - 1, seedbed.random.fold_in(1, "a", 2)):
        for layer in LAYERS:
            again = [value(v) for v in kernels(LAYERS[layer](initializers.HeNormal(seed=seed)))]
            first = [value(v) for v in kernels(LAYERS[layer](initializers.HeNormal(seed=seed)))]
            # Orthogonal recurrent kernels of GRUs and the like keep Keras' unseeded default.
            assert np.array_equal(again[0], first[0])
            assert not np.array_equal(
                again[0], value(kernels(LAYERS[layer](initializers.HeNormal(seed=seed % 2**32)))[0])
            )
