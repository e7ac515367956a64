"""The numpy stream against Keras on its NumPy backend, in one process.

    python benches/python/stream_numpy.py [--side 8192] [--seconds 75]

A round times, one after the other, Keras, seedbed into a fresh array as Keras returns one, and
seedbed into an array whose pages exist (`out=`); ratios are taken within a round, so that a slow
moment of the machine meets all three, and every figure is the median over the rounds. Rounds go
on until the sampler's share of the seconds is used, at least three. The last results are compared
byte for byte. A second table times calls for small tensors beside the native stream's.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

os.environ["KERAS_BACKEND"] = "numpy"

import keras
from rich.console import Console
from rich.table import Table

import numpy as np
import seedbed

# Keras needs some ten times as long for the truncated normal, whose share is larger for that.
SAMPLERS = {"truncated_normal": 0.6, "normal": 0.2, "uniform": 0.2}
LEAST_ROUNDS = 3
# Small tensors: the ratio of the two streams' calls, and how many calls are timed at a time.
SMALL = [(8,), (64, 64), (256, 256)]
BATCHES, CALLS = 9, 300


def seconds(call: Callable[[], Any]) -> tuple[float, Any]:
    """The time `call` takes, and what it returns."""
    start = time.perf_counter()
    result = call()
    return time.perf_counter() - start, result


def large(side: int, budget: float) -> Table:
    """Large tensors against Keras."""
    shape = (side, side)
    table = Table(
        title=f"{shape} float32, {seedbed.get_num_threads()} threads, {seedbed._core.isa()}; "
        f"Keras {keras.__version__}, NumPy {np.__version__}"
    )
    for column in ("sampler", "rounds", "Keras, s", "fresh, s", "out=, s", "fresh, x", "out=, x"):
        table.add_column(column, justify="right")
    table.add_column("bytes")
    out = np.ones(shape, np.float32)
    for name, share in SAMPLERS.items():
        theirs, ours = getattr(keras.random, name), getattr(seedbed.random, name)
        rounds: list[tuple[float, float, float]] = []
        end = time.perf_counter() + budget * share
        while len(rounds) < LEAST_ROUNDS or time.perf_counter() < end:
            keras_time, expected = seconds(lambda: theirs(shape, seed=1))  # noqa: B023
            fresh_time, fresh = seconds(lambda: ours(shape, seed=1, stream="numpy"))  # noqa: B023
            same = expected.tobytes() == fresh.tobytes()
            del fresh
            out_time, _ = seconds(lambda: ours(shape, seed=1, stream="numpy", out=out))  # noqa: B023
            same = same and np.array_equal(expected.view(np.uint32), out.view(np.uint32))
            del expected
            rounds.append((keras_time, fresh_time, out_time))
        table.add_row(
            name,
            str(len(rounds)),
            *(f"{statistics.median(times):.3f}" for times in zip(*rounds, strict=True)),
            f"{statistics.median(k / fresh for k, fresh, _ in rounds):.1f}",
            f"{statistics.median(k / filled for k, _, filled in rounds):.1f}",
            "equal" if same else "DIFFERENT",
        )
    return table


def small() -> Table:
    """Small tensors against the native stream."""
    table = Table(title=f"HeNormal, float32: medians of {BATCHES} batches of {CALLS} calls")
    for column in ("shape", "philox, us", "numpy, us", "ratio", "Keras, us"):
        table.add_column(column, justify="right")
    makers = [
        seedbed.initializers.HeNormal(seed=1, stream="philox"),
        seedbed.initializers.HeNormal(seed=1, stream="numpy"),
        keras.initializers.HeNormal(seed=1),
    ]
    for shape in SMALL:
        batches: list[list[float]] = [[], [], []]
        for _ in range(BATCHES):
            for maker, times in zip(makers, batches, strict=True):
                calls = CALLS if maker is not makers[2] else CALLS // 10
                start = time.perf_counter()
                for _ in range(calls):
                    maker(shape)
                times.append((time.perf_counter() - start) / calls * 1e6)
        ratio = statistics.median(b / a for a, b in zip(batches[0], batches[1], strict=True))
        native, exact, theirs = (f"{statistics.median(times):.2f}" for times in batches)
        table.add_row(str(shape), native, exact, f"{ratio:.2f}", theirs)
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=8192)
    parser.add_argument("--seconds", type=float, default=75, help="for the large tensors")
    options = parser.parse_args()
    console = Console(width=96)
    console.print(small())
    console.print(large(options.side, options.seconds))


if __name__ == "__main__":
    main()
