"""Makes the vectors of the jax stream with the installed Keras on JAX.

    JAX_PLATFORMS=cpu XLA_FLAGS=--xla_cpu_max_isa=AVX2 KERAS_BACKEND=jax \\
        python tests/vectors/make_jax_stream.py

writes, beside itself, jax_stream.txt and jax_erf_inv.txt. Nothing of seedbed is used. Each file
begins with the versions. The flag has float16 rounded as on processors without arithmetic of its
own for it; nothing else depends on it.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import jaxlib
import numpy as np

HERE = Path(__file__).parent
SEEDS = [0, 1, 2, 42, 1337, 2**31 - 1, 2**31, 2**31 + 5, 2**32 - 1]
DTYPES = ["float16", "bfloat16", "float32", "float64", "float8_e4m3fn", "float8_e5m2"]
PRIME = np.uint64(0x100000001B3)
OFFSET = 0xCBF29CE484222325


def fnv1a(data: bytes) -> int:
    """The 64-bit FNV-1a hash: a few lines in every language, and no adversary here."""
    value = OFFSET
    for byte in data:
        value = (value ^ byte) * int(PRIME) & 0xFFFFFFFFFFFFFFFF
    return value


def fnv1a_of_lanes(words: np.ndarray) -> int:
    """FNV-1a of the hashes of 4096 lanes, which take the words in turn: little time for many."""
    lanes = np.full(4096, OFFSET, np.uint64)
    for row in words.reshape(-1, 4096).astype(np.uint64):
        lanes = (lanes ^ row) * PRIME
    return fnv1a(lanes.astype("<u8").tobytes())


def all_fractions(low: float, high: float, bound: float | None) -> np.ndarray:
    """`sqrt(2) * erf_inv(u)` of every u that float32 values are made of, as `jax.random` does it.

    u is `max(low, fraction * (high - low) + low)` of the fractions k / 2^23, in order.
    """

    @jax.jit
    def values(low: Any, high: Any) -> Any:
        bits = jax.lax.iota(np.uint32, 1 << 23) | np.uint32(0x3F800000)
        fraction = jax.lax.bitcast_convert_type(bits, np.float32) - np.float32(1)
        u = jax.lax.max(low, fraction * (high - low) + low)
        z = np.float32(np.sqrt(2)) * jax.lax.erf_inv(u)
        return z if bound is None else jnp.clip(z, -np.float32(bound), np.float32(bound))

    return np.asarray(values(np.float32(low), np.float32(high))).view(np.uint32)


def normals() -> np.ndarray:
    """Every standard normal of float32."""
    return all_fractions(-np.nextafter(np.float32(1), np.float32(0)), 1.0, None)


def truncated_normals() -> np.ndarray:
    """Every standard normal of float32 within two standard deviations."""
    sqrt2 = np.float32(np.sqrt(2))
    bound = jax.jit(lambda upper: jax.lax.erf(upper / sqrt2))(np.float32(2))
    below_two = np.nextafter(np.float32(2), np.float32(0))
    return all_fractions(-float(bound), float(bound), below_two)


def header(keras_version: str) -> str:
    return (
        f"# Made by tests/vectors/make_jax_stream.py with keras {keras_version}, "
        f"jax {jax.__version__}, jaxlib {jaxlib.__version__}.\n"
    )


def erf_inv() -> str:
    """Rows `sampler : hash of the bits of all its 2^23 values`."""
    made = {"normal": normals(), "truncated_normal": truncated_normals()}
    return "".join(f"{name} : {fnv1a_of_lanes(bits):016x}\n" for name, bits in made.items())


def stream() -> str:
    """Rows `sampler dtype seed call count a b : 64-bit FNV-1a of the array's bytes`.

    `a` and `b`, bits of float64 in hexadecimal, are low and high, or mean and stddev. float64 is
    drawn with JAX's 64-bit numbers enabled.
    """
    import keras

    parameters = {
        "uniform": [(0.0, 1.0), (-0.05, 0.05), (-0.3, 0.7), (2.0, 1.0), (1e-38, 3e-38)],
        "normal": [(0.0, 1.0), (0.0, 0.05), (0.1, 0.5), (1e9, -1e-7), (0.0, 1e5), (0.0, 1e-37)],
        "truncated_normal": [(0.0, 1.0), (0.0, 0.05), (0.1, 0.5), (-3.3, -0.7), (3.0, 0.0)],
    }
    counts = [0, 1, 2, 3, 100, 1000, 4097, 200_001]
    text, turn = "", 0
    generator = keras.random.SeedGenerator(0)
    for sampler, pairs in parameters.items():
        for a, b in pairs:
            for count in counts:
                # The longest arrays alternate dtypes, the others run through all of them.
                names = DTYPES if count < 200_001 else [DTYPES[turn % len(DTYPES)], "float32"]
                seed, call = SEEDS[turn % len(SEEDS)], [0, 0, 3, 2**32 - 1][turn % 4]
                turn += 1
                bits = " ".join(f"{np.float64(x).view(np.uint64):x}" for x in (a, b))
                for name in names:
                    generator.state.assign(np.array([seed, call], np.uint32))
                    with jax.enable_x64(name == "float64"):
                        draw = getattr(keras.random, sampler)
                        values = np.asarray(draw((count,), a, b, dtype=name, seed=generator))
                    assert values.dtype.name == name
                    digest = f"{fnv1a(values.tobytes()):016x}"
                    text += f"{sampler} {name} {seed} {call} {count} {bits} : {digest}\n"
    return text


if __name__ == "__main__":
    import keras

    warnings.simplefilter("ignore")
    for name, make in {"jax_stream": stream, "jax_erf_inv": erf_inv}.items():
        (HERE / f"{name}.txt").write_text(header(keras.__version__) + make())
