"""The numpy stream against Keras on its NumPy backend, in one process.

    python benches/python/stream_numpy.py [--side 8192] [--rounds 3]

Each round times both on a fresh float32 array; figures are medians, and the two results of the
last round are compared byte for byte.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

os.environ["KERAS_BACKEND"] = "numpy"

import keras
import numpy as np
from rich.console import Console
from rich.table import Table

import seedbed


def seconds(call: Callable[[], Any]) -> tuple[float, Any]:
    """The time `call` takes, and what it returns."""
    start = time.perf_counter()
    result = call()
    return time.perf_counter() - start, result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=8192)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    shape = (options.side, options.side)
    table = Table(
        title=f"{shape} float32, {seedbed.get_num_threads()} threads, medians of "
        f"{options.rounds} rounds; Keras {keras.__version__}, NumPy {np.__version__}"
    )
    for column in ("sampler", "Keras, s", "seedbed, s", "ratio", "bytes"):
        table.add_column(column, justify="right")
    for name in ("truncated_normal", "normal", "uniform"):
        theirs, ours = [], []
        for _ in range(options.rounds):
            theirs.append(seconds(lambda name=name: getattr(keras.random, name)(shape, seed=1)))
            ours.append(
                seconds(
                    lambda name=name: getattr(seedbed.random, name)(shape, seed=1, stream="numpy")
                )
            )
            same = np.array_equal(theirs[-1][1].view(np.uint32), ours[-1][1].view(np.uint32))
            theirs[-1], ours[-1] = (theirs[-1][0], None), (ours[-1][0], None)
        keras_time = statistics.median(time for time, _ in theirs)
        our_time = statistics.median(time for time, _ in ours)
        table.add_row(
            name,
            f"{keras_time:.3f}",
            f"{our_time:.3f}",
            f"{keras_time / our_time:.1f}",
            "equal" if same else "DIFFERENT",
        )
    Console(width=90).print(table)


if __name__ == "__main__":
    main()
