"""The exact streams against Keras on the backends that they repeat, a process for each.

    python benches/python/exact_streams.py [numpy jax ...] [--side 8192] [--seconds 75]

Without names: every exact stream whose backend is installed. A round times, one after the other,
Keras, seedbed into a fresh array as Keras returns one, and seedbed into an array whose pages exist
(`out=`); ratios are taken within a round, so that a slow moment of the machine meets all three, and
every figure is the median over the rounds. The first round is not counted, for some backends
compile in it. Rounds go on until the sampler's share of the seconds is used, at least three. The
last results are compared byte for byte. A second table times calls for small tensors beside the
native stream's.
"""

import argparse
import importlib.util
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

import seedbed

# Keras on NumPy needs some ten times as long for the truncated normal, whose share is larger for
# that.
SAMPLERS = {"truncated_normal": 0.6, "normal": 0.2, "uniform": 0.2}
LEAST_ROUNDS = 3
# Small tensors: the ratio of the two streams' calls, and how many calls are timed at a time.
SMALL = [(8,), (64, 64), (256, 256)]
BATCHES, CALLS = 9, 300


def finished(tensor: Any) -> Any:
    """`tensor`, once its values are there: JAX returns before it has computed them."""
    getattr(tensor, "block_until_ready", lambda: None)()
    return tensor


def seconds(call: Callable[[], Any]) -> tuple[float, Any]:
    """The time `call` takes, and what it returns."""
    start = time.perf_counter()
    result = finished(call())
    return time.perf_counter() - start, result


def large(keras: Any, stream: str, side: int, budget: float) -> Table:
    """Large tensors against Keras."""
    shape = (side, side)
    table = Table(
        title=f"{shape} float32, {seedbed.get_num_threads()} threads, {seedbed._core.isa()}; "
        f"Keras {keras.__version__}, {stream} {sys.modules[stream].__version__}"
    )
    for column in ("sampler", "rounds", "Keras, s", "fresh, s", "out=, s", "fresh, x", "out=, x"):
        table.add_column(column, justify="right")
    table.add_column("bytes")
    out = np.ones(shape, np.float32)
    for name, share in SAMPLERS.items():
        rounds, same = sampled(keras, stream, name, out, budget * share)
        table.add_row(
            name,
            str(len(rounds)),
            *(f"{statistics.median(times):.3f}" for times in zip(*rounds, strict=True)),
            f"{statistics.median(k / fresh for k, fresh, _ in rounds):.1f}",
            f"{statistics.median(k / filled for k, _, filled in rounds):.1f}",
            "equal" if same else "DIFFERENT",
        )
    return table


def sampled(
    keras: Any, stream: str, name: str, out: np.ndarray, budget: float
) -> tuple[list[tuple[float, float, float]], bool]:
    """The times of the rounds of a sampler, and whether the bytes were equal in all of them."""
    shape = out.shape
    theirs, ours = getattr(keras.random, name), getattr(seedbed.random, name)
    rounds: list[tuple[float, float, float]] = []
    same, counted = True, False
    end = time.perf_counter() + budget
    while len(rounds) < LEAST_ROUNDS or time.perf_counter() < end:
        keras_time, tensor = seconds(lambda: theirs(shape, seed=1))
        fresh_time, fresh = seconds(lambda: ours(shape, seed=1, stream=stream))
        expected = keras.ops.convert_to_numpy(tensor).view(np.uint32)
        same = same and np.array_equal(expected, fresh.view(np.uint32))
        del fresh
        out_time, _ = seconds(lambda: ours(shape, seed=1, stream=stream, out=out))
        same = same and np.array_equal(expected, out.view(np.uint32))
        del expected, tensor
        if counted:
            rounds.append((keras_time, fresh_time, out_time))
        counted = True
    return rounds, same


def small(keras: Any, stream: str) -> Table:
    """Small tensors against the native stream."""
    table = Table(title=f"HeNormal, float32: medians of {BATCHES} batches of {CALLS} calls")
    for column in ("shape", "philox, us", f"{stream}, us", "ratio", "Keras, us"):
        table.add_column(column, justify="right")
    makers = [
        seedbed.initializers.HeNormal(seed=1, stream="philox"),
        seedbed.initializers.HeNormal(seed=1, stream=stream),
        keras.initializers.HeNormal(seed=1),
    ]
    for shape in SMALL:
        batches: list[list[float]] = [[], [], []]
        for maker in makers:
            finished(maker(shape))
        for _ in range(BATCHES):
            for maker, times in zip(makers, batches, strict=True):
                calls = CALLS if maker is not makers[2] else CALLS // 10
                start = time.perf_counter()
                for _ in range(calls):
                    finished(maker(shape))
                times.append((time.perf_counter() - start) / calls * 1e6)
        ratio = statistics.median(b / a for a, b in zip(batches[0], batches[1], strict=True))
        native, exact, theirs = (f"{statistics.median(times):.2f}" for times in batches)
        table.add_row(str(shape), native, exact, f"{ratio:.2f}", theirs)
    return table


def compare(stream: str, side: int, budget: float) -> None:
    """Prints the tables of a stream; this process is the one of its backend."""
    import keras

    if keras.backend.backend() != stream:
        raise RuntimeError(f"Keras runs on {keras.backend.backend()}, not on {stream}")
    console = Console(width=96)
    console.print(small(keras, stream))
    console.print(large(keras, stream, side, budget))


def main() -> None:
    exact = [name for name in seedbed._core.streams() if name != "philox"]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("streams", nargs="*", help=f"of {', '.join(exact)}; all that can be")
    parser.add_argument("--side", type=int, default=8192)
    parser.add_argument("--seconds", type=float, default=75, help="for the large tensors of each")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    unknown = set(options.streams) - set(exact)
    if unknown:
        parser.error(f"no exact stream: {', '.join(sorted(unknown))}")
    if options.here:
        compare(options.streams[0], options.side, options.seconds)
        return
    for stream in options.streams or [name for name in exact if importlib.util.find_spec(name)]:
        # The streams stand for the backends on the CPU.
        settings = {
            "KERAS_BACKEND": stream,
            "JAX_PLATFORMS": "cpu",
            "CUDA_VISIBLE_DEVICES": "",
            "TF_CPP_MIN_LOG_LEVEL": "3",
        }
        given = ["--here", "--side", str(options.side), "--seconds", str(options.seconds)]
        command = [sys.executable, __file__, stream, *given]
        subprocess.run(command, env=os.environ | settings, check=True)


if __name__ == "__main__":
    main()
