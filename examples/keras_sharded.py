"""Shard a Keras model's weights over eight devices, each of which draws its own part alone.

    pip install 'seedbed[keras]' jax
    python examples/keras_sharded.py

The devices are pretended: JAX cuts this machine's processor into eight. On eight accelerators
nothing changes but the first lines.
"""

from __future__ import annotations

import os

os.environ["KERAS_BACKEND"] = "jax"
os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=8"
os.environ["JAX_PLATFORMS"] = "cpu"

import keras
import numpy as np

import seedbed.keras
from seedbed.keras import initializers


def build() -> keras.Model:
    """An embedding and a layer whose kernels have seeds of their own."""
    model = keras.Sequential(
        [
            keras.layers.Embedding(
                4096, 256, embeddings_initializer=initializers.RandomNormal(seed=1), name="words"
            ),
            keras.layers.Dense(1024, kernel_initializer=initializers.HeNormal(seed=2), name="wide"),
        ],
        name="sharded",
    )
    model.build((None, 16))
    return model


def main() -> None:
    """Build without and with a distribution, and compare."""
    whole = [np.asarray(keras.ops.convert_to_numpy(weight)) for weight in build().weights]

    # Four parts of each weight, each on two devices.
    mesh = keras.distribution.DeviceMesh((2, 4), ("batch", "model"))
    layout = keras.distribution.LayoutMap(mesh)
    layout[".*words/embeddings"] = ("model", None)
    layout[".*wide/kernel"] = (None, "model")
    distribution = keras.distribution.ModelParallel(layout_map=layout, batch_dim_name="batch")
    with distribution.scope():
        model = build()
        print(seedbed.keras.report(model))

    print()
    for weight, expected in zip(model.weights, whole, strict=True):
        array = weight.value
        parts = {str(shard.index) for shard in array.addressable_shards}
        if not np.array_equal(np.asarray(array), expected):
            raise SystemExit(f"{weight.path} is not what one device draws")
        devices = len(array.addressable_shards)
        print(
            f"{weight.path:24} {len(parts)} distinct parts on {devices} devices, values as on one"
        )

    # New values, of each device's part alone once more.
    with distribution.scope():
        seeds = seedbed.keras.reinitialize(model, seed=42)
    kernel = initializers.HeNormal(seed=seeds["sharded/wide/kernel"])((256, 1024))
    wide = model.get_layer("wide").kernel
    if not np.array_equal(np.asarray(wide.value), np.asarray(kernel)):
        raise SystemExit("wide/kernel is not what its seed says")
    print("reinitialize(model, seed=42): the kernel is HeNormal with the seed of its path, and")
    print(f"still lies on the devices as {wide.value.sharding.spec}")


if __name__ == "__main__":
    main()
