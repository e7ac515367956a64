"""Counts the patterns of bits of Keras' bfloat16 values on JAX.

    KERAS_BACKEND=jax python tests/stats/keras_on_jax.py FILE SEED COUNT

Writes FILE, an npz archive with 2^16 counts for each sampler.
"""

import sys

import keras
import numpy as np

SAMPLERS = {
    "uniform": keras.random.uniform,
    "normal": keras.random.normal,
    "two_sigma": keras.random.truncated_normal,
}


def main() -> None:
    file, seed, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    assert keras.backend.backend() == "jax"
    counts = {}
    for name, sampler in SAMPLERS.items():
        values = np.asarray(sampler((count,), dtype="bfloat16", seed=seed))
        counts[name] = np.bincount(values.view(np.uint16), minlength=1 << 16)
    np.savez(file, **counts)


if __name__ == "__main__":
    main()
