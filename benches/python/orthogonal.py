"""Orthogonal: seedbed against torch, Keras on NumPy, SciPy, and one matrix product of the size.

    python benches/python/orthogonal.py [--largest 4096] [--rounds 5] [--dtype float32]

Each contender is timed alone, after a pause that lets the idle threads of the one before stop
spinning; medians over the rounds. The product is torch's where torch is installed, else NumPy's: m
by n times n by n for a matrix of m by n. Keras and SciPy are timed once above 10^9 operations.
"""

import argparse
import importlib.util
import os
import statistics
import time
from collections.abc import Callable

import numpy as np
from rich.console import Console
from rich.table import Table

os.environ["KERAS_BACKEND"] = "numpy"

SHAPES = [
    *[(64, 64), (256, 256), (512, 512), (1024, 1024), (2048, 2048), (4096, 4096), (8192, 8192)],
    *[(8192, 1024), (1024, 8192), (1048576, 64)],
]
PAUSE = 0.3


def median_time(run: Callable[[], object], rounds: int) -> float:
    """Median seconds of `rounds` runs, after a pause and, for several, one unmeasured run."""
    time.sleep(PAUSE)
    times = []
    for measured in [False] * (rounds > 1) + [True] * rounds:
        start = time.perf_counter()
        run()
        if measured:
            times.append(time.perf_counter() - start)
    return statistics.median(times)


def contenders(shape: tuple[int, int], dtype: str) -> dict[str, Callable[[], object]]:
    """What is timed on this shape, seedbed first."""
    import keras
    from scipy import stats

    from seedbed import initializers

    m, n = max(shape), min(shape)
    out = np.ones(shape, dtype)
    native = initializers.Orthogonal(seed=1)
    exact = initializers.Orthogonal(seed=1, stream="numpy")
    reference = keras.initializers.Orthogonal(seed=1)
    runs: dict[str, Callable[[], object]] = {
        "seedbed": lambda: native(shape, dtype=dtype, out=out),
        "numpy stream": lambda: exact(shape, dtype=dtype, out=out),
        "Keras on NumPy": lambda: reference(shape, dtype=dtype),
    }
    if shape[0] == shape[1]:
        runs["SciPy"] = lambda: stats.ortho_group.rvs(n, random_state=1)
    a, b = np.ones((m, n), dtype), np.ones((n, n), dtype)
    if importlib.util.find_spec("torch"):
        import torch

        tensor, x, y = (
            torch.from_numpy(np.ones(shape, dtype)),
            torch.from_numpy(a),
            torch.from_numpy(b),
        )
        runs["torch"] = lambda: torch.nn.init.orthogonal_(tensor)
        runs["product"] = lambda: torch.mm(x, y)
    else:
        runs["product"] = lambda: a @ b
    return runs


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--largest", type=int, default=4096, help="longest side of square ones")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--dtype", default="float32", choices=["float32", "float64"])
    arguments = parser.parse_args()
    names = ["seedbed", "numpy stream", "Keras on NumPy", "SciPy", "torch", "product"]
    table = Table("shape", *names, title=f"Orthogonal, {arguments.dtype}, milliseconds")
    for shape in SHAPES:
        if shape[0] == shape[1] > arguments.largest:
            continue
        runs = contenders(shape, arguments.dtype)
        slow = max(shape) * min(shape) ** 2 > 1e9
        cells = []
        for name in names:
            once = slow and name in ("Keras on NumPy", "SciPy", "numpy stream")
            run = runs.get(name)
            rounds = 1 if once else arguments.rounds
            cells.append(f"{median_time(run, rounds) * 1e3:.3g}" if run else "-")
        table.add_row(f"{shape[0]} x {shape[1]}", *cells)
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
