"""Makes the vectors of the numpy stream with the installed NumPy.

    python tests/vectors/make_numpy_stream.py

writes, beside itself, numpy_seed_sequence.txt, numpy_pcg64.txt, numpy_standard_normal.txt and
numpy_stream.txt. Nothing of seedbed is used: the values are NumPy's, and Keras' where a sampler
is Keras' composition of NumPy calls (spelled out below). Each file begins with the versions.
"""

from __future__ import annotations

import random
from pathlib import Path

import ml_dtypes

import numpy as np

HERE = Path(__file__).parent
HEADER = (
    f"# Made by tests/vectors/make_numpy_stream.py with numpy {np.__version__}, "
    f"ml_dtypes {ml_dtypes.__version__}.\n"
)
SEEDS = [0, 1, 2, 42, 1337, 2**31 - 1, 2**31, 2**31 + 5, 2**32 - 1]
DTYPES = ["float16", "bfloat16", "float32", "float64", "float8_e4m3fn", "float8_e5m2"]


def generator(seed: int, draw: int) -> np.random.Generator:
    """The generator that Keras' NumPy backend makes of a seed and a call number."""
    return np.random.default_rng(np.array([seed, draw], dtype=np.uint32))


def seed_sequences() -> str:
    """Rows `entropy words : six 64-bit state words in hexadecimal`."""
    picker = random.Random(7)
    rows = [[], [0], [1, 2, 3], [1, 2, 3, 4], [1, 2, 3, 4, 5], [9] * 11]
    rows += [[seed, 0] for seed in SEEDS]
    rows += [[picker.getrandbits(32), picker.getrandbits(32)] for _ in range(10)]
    text = HEADER
    for row in rows:
        state = np.random.SeedSequence(row).generate_state(6, np.uint64)
        words = " ".join(f"{word:x}" for word in state.tolist())
        text += f"{' '.join(map(str, row))} : {words}\n"
    return text


def pcg64() -> str:
    """Rows `seed, call, jump : state, increment after the jump, then draws, in hexadecimal`."""
    picker = random.Random(8)
    jumps = [0, 1, 2**64, 2**128 - 1]
    jumps += [picker.getrandbits(bits) for bits in (8, 33, 64, 127, 128) for _ in range(4)]
    text = HEADER
    for i, jump in enumerate(jumps):
        seed, draw = SEEDS[i % len(SEEDS)], picker.choice([0, 0, 1, 7, 2**32 - 1])
        bits = np.random.PCG64(np.array([seed, draw], dtype=np.uint32)).advance(jump)
        state = bits.state["state"]
        words = [state["state"], state["inc"], *bits.random_raw(8).tolist()]
        text += f"{seed} {draw} {jump} : {' '.join(f'{word:x}' for word in words)}\n"
    return text


def standard_normal() -> str:
    """Rows `seed, call, jump : bits of the values that follow the jump`.

    Long rows from the start; then rows of one value, found because it lies in the tail.
    """
    text = HEADER
    for seed, draw in [(0, 0), (42, 0), (42, 1), (2**32 - 1, 2**32 - 1)]:
        bits = generator(seed, draw).standard_normal(400).view(np.uint64)
        text += f"{seed} {draw} 0 : {' '.join(f'{word:x}' for word in bits.tolist())}\n"
    source = np.random.PCG64(np.array([5, 0], dtype=np.uint32))
    draws = source.random_raw(1_500_000)
    # Layer 0 with a magnitude at or above its threshold is the tail.
    tail = ((draws & 255) == 0) & ((draws >> 9 & (2**52 - 1)) >= 0x000EF33D8025EF6A)
    for jump in np.flatnonzero(tail)[:200].tolist():
        bits = np.random.PCG64(np.array([5, 0], dtype=np.uint32)).advance(jump)
        value = np.random.Generator(bits).standard_normal()
        text += f"5 0 {jump} : {np.float64(value).view(np.uint64):x}\n"
    return text


def fnv1a(data: bytes) -> int:
    """The 64-bit FNV-1a hash: a few lines in every language, and no adversary here."""
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return value


def truncated_normal(seed: int, draw: int, count: int, mean: float, stddev: float) -> np.ndarray:
    """Keras' loop: batches of `count` normals, of which those within 2 sigma are kept."""
    source = generator(seed, draw)
    kept = np.empty(0)
    while kept.size < count:
        batch = source.normal(mean, stddev, count)
        inside = (batch >= mean - 2 * stddev) & (batch <= mean + 2 * stddev)
        kept = np.append(kept, batch[inside])
    return kept[:count]


def stream() -> str:
    """Rows `sampler dtype seed call count a b : 64-bit FNV-1a of the array's bytes`.

    `a` and `b`, bits of float64 in hexadecimal, are low and high, or mean and stddev.
    """
    text = HEADER
    parameters = {
        "uniform": [(0.0, 1.0), (-0.05, 0.05), (-0.3, 0.7), (2.0, 2.0), (0.0, 1e-45)],
        "normal": [(0.0, 1.0), (0.0, 0.05), (0.1, 0.5), (1e9, 1e-7), (0.0, 1e5), (0.0, 1e-7)],
        "truncated": [(0.0, 1.0), (0.0, 0.05), (0.1, 0.5), (1e9, 1e-7), (3.0, 0.0)],
    }
    counts = [0, 1, 2, 3, 100, 1000, 4097, 200_001]
    turn = 0
    for sampler, pairs in parameters.items():
        for a, b in pairs:
            for count in counts:
                # The longest arrays alternate dtypes, the others run through all of them.
                names = DTYPES if count < 200_001 else [DTYPES[turn % len(DTYPES)], "float32"]
                seed, draw = SEEDS[turn % len(SEEDS)], [0, 0, 3, 2**32 - 1][turn % 4]
                turn += 1
                if sampler == "uniform":
                    values = generator(seed, draw).uniform(a, b, count)
                elif sampler == "normal":
                    values = generator(seed, draw).normal(a, b, count)
                else:
                    values = truncated_normal(seed, draw, count, a, b)
                bits = " ".join(f"{np.float64(x).view(np.uint64):x}" for x in (a, b))
                for name in names:
                    with np.errstate(over="ignore"):
                        cast = values.astype(np.dtype(name))
                    digest = f"{fnv1a(cast.tobytes()):016x}"
                    text += f"{sampler} {name} {seed} {draw} {count} {bits} : {digest}\n"
    return text


if __name__ == "__main__":
    for name, make in {
        "numpy_seed_sequence": seed_sequences,
        "numpy_pcg64": pcg64,
        "numpy_standard_normal": standard_normal,
        "numpy_stream": stream,
    }.items():
        (HERE / f"{name}.txt").write_text(make())
