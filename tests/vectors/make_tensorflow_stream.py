"""Makes the vectors of the tensorflow stream with the installed Keras and TensorFlow.

    CUDA_VISIBLE_DEVICES= KERAS_BACKEND=tensorflow python tests/vectors/make_tensorflow_stream.py

writes, beside itself, tensorflow_stream.txt and tensorflow_digests.txt. Nothing of seedbed is used.
A row of the first has a sampler, a dtype, a seed, the number of a call on a generator (0 is the
integer itself), the distribution's two parameters, the number of an element, and the bits of it
and those behind it, in hexadecimal. A row of the second ends in a number of elements from 0 on and
the SHA-256 of their bytes. float64 normals are those of the machine's C library and therefore not
among the rows. Takes 3 GB and half a minute.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

HERE = Path(__file__).parent
HEADER = (
    f"# Made by tests/vectors/make_tensorflow_stream.py with tensorflow {tf.__version__}, "
    f"keras {keras.__version__}.\n"
)
SEEDS = [(0, 0), (1, 3), (42, 0), (2**31 - 3, 1), (2**31 - 1, 0), (2**40 + 12345, 2)]
SEEDS += [(2**63 - 1, 0)]
# Means and deviations, or bounds, subnormal and infinite ones among them.
PARAMETERS = [
    (0.0, 1.0),
    (0.1, 0.37),
    (-0.05, 0.05),
    (0.0, 3e-38),
    (2e-38, 1.2e-38),
    (1e-40, -1e-30),
    (60000.0, 70000.0),
    (3e38, 3.3e38),
]
LENGTH, SHOWN = 9001, 6
DIGEST_LENGTH = 100_003
# Where the truncated normals' counter no longer fits 32 bits.
CARRY = 1 << 26


def drawn(
    sampler: str, length: int, a: float, b: float, dtype: str, seed: int, call: int
) -> np.ndarray[Any, Any]:
    source: Any = seed
    if call:
        source = keras.random.SeedGenerator(seed)
        for _ in range(call):
            source.next()
    return np.asarray(getattr(keras.random, sampler)((length,), a, b, dtype=dtype, seed=source))


def bits(values: np.ndarray[Any, Any]) -> str:
    size = values.itemsize
    return " ".join(f"{int(word):0{2 * size}x}" for word in values.view(f"u{size}"))


def rows() -> tuple[str, str]:
    values, digests = [HEADER], [HEADER]
    for sampler in ("uniform", "normal", "truncated_normal"):
        for dtype in ("float32", "float16", "bfloat16", "float64"):
            if dtype == "float64" and sampler != "uniform":
                continue
            for i, (seed, call) in enumerate(SEEDS):
                for a, b in PARAMETERS if i < 2 else PARAMETERS[:2]:
                    array = drawn(sampler, LENGTH, a, b, dtype, seed, call)
                    if np.isnan(array).any():
                        continue
                    key = f"{sampler} {dtype} {seed} {call} {a!r} {b!r}"
                    for first in (0, 1021, LENGTH - SHOWN):
                        values.append(f"{key} {first} {bits(array[first : first + SHOWN])}\n")
            array = drawn(sampler, DIGEST_LENGTH, 0.1, 0.37, dtype, 7, 1)
            digest = hashlib.sha256(array.tobytes()).hexdigest()
            digests.append(f"{sampler} {dtype} 7 1 0.1 0.37 {DIGEST_LENGTH} {digest}\n")
    array = drawn("truncated_normal", CARRY + 4096, 0.0, 1.0, "float32", 5, 0)
    for first in (CARRY - 4096, CARRY - 3, CARRY, CARRY + 4090):
        shown = bits(array[first : first + SHOWN])
        values.append(f"truncated_normal float32 5 0 0.0 1.0 {first} {shown}\n")
    return "".join(values), "".join(digests)


def main() -> None:
    if keras.backend.backend() != "tensorflow":
        raise SystemExit("set KERAS_BACKEND=tensorflow")
    values, digests = rows()
    (HERE / "tensorflow_stream.txt").write_text(values)
    (HERE / "tensorflow_digests.txt").write_text(digests)


if __name__ == "__main__":
    main()
