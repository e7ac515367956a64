"""Large tensors: seedbed against a fill of the same pages and against Keras.

    python benches/python/initializers.py [--side 8192] [--rounds 5] [--backend numpy ...]

Keras takes its backend at import, so each backend gets a process of its own. Within one, every
contender runs once a round, round after round, so that a disturbance of the machine hits all of
them; the medians over the rounds are printed. seedbed and the fill write the same array, whose
pages are in memory already; "fresh" is seedbed's call without `out`, which Keras' calls compare to.
The fill writes a non-zero constant with as many threads as seedbed uses.
"""

import argparse
import importlib.util
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from rich.console import Console
from rich.table import Table

MODULES = {"numpy": "numpy", "tensorflow": "tensorflow", "jax": "jax", "torch": "torch"}
INITIALIZERS = {
    "HeNormal": {},
    "RandomUniform": {},
    "RandomNormal": {},
    "TruncatedNormal": {},
}


def median_times(contenders: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median seconds of each contender, all of them interleaved, after one unmeasured round."""
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for measured in [False] + [True] * rounds:
        for name, run in contenders.items():
            start = time.perf_counter()
            result = run()
            elapsed = time.perf_counter() - start
            del result
            if measured:
                times[name].append(elapsed)
    return {name: statistics.median(values) for name, values in times.items()}


def run(backend: str, side: int, rounds: int) -> None:
    """Measures and prints the table of one Keras backend in this process."""
    os.environ["KERAS_BACKEND"] = backend
    import keras

    import seedbed

    shape = (side, side)
    pages = np.ones(shape, np.float32)
    threads = seedbed.get_num_threads()
    bands = np.array_split(pages, threads)
    finished = keras.ops.convert_to_numpy if backend == "jax" else lambda tensor: tensor

    table = Table(
        title=f"float32 {side} x {side}, {threads} threads, {seedbed._core.isa()}, "
        f"Keras {keras.__version__} on {backend}; 1e9 elements a second"
    )
    table.add_column("initializer")
    for column in ("fill", "seedbed", "of fill", "seedbed, fresh", "Keras", "times Keras"):
        table.add_column(column, justify="right")
    with ThreadPoolExecutor(threads) as pool:
        for name, config in INITIALIZERS.items():
            ours = getattr(seedbed.initializers, name)(**config, seed=1)
            theirs = getattr(keras.initializers, name)(**config, seed=1)
            times = median_times(
                {
                    "fill": lambda: list(pool.map(lambda band: band.fill(1.5), bands)),
                    "ours": lambda ours=ours: ours(shape, dtype="float32", out=pages),
                    "fresh": lambda ours=ours: ours(shape, dtype="float32"),
                    "theirs": lambda theirs=theirs: finished(theirs(shape, dtype="float32")),
                },
                rounds,
            )
            rate = {key: side * side / seconds / 1e9 for key, seconds in times.items()}
            table.add_row(
                name,
                f"{rate['fill']:.2f}",
                f"{rate['ours']:.2f}",
                f"{rate['ours'] / rate['fill']:.2f}",
                f"{rate['fresh']:.2f}",
                f"{rate['theirs']:.4f}",
                f"{rate['fresh'] / rate['theirs']:.0f}",
            )
    Console(width=110).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=8192, help="rows and columns")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--backend",
        nargs="+",
        choices=MODULES,
        default=[name for name, module in MODULES.items() if importlib.util.find_spec(module)],
        help="Keras' backends; all that are installed if not given",
    )
    options = parser.parse_args()
    if len(options.backend) == 1:
        run(options.backend[0], options.side, options.rounds)
        return
    for backend in options.backend:
        arguments = ["--side", str(options.side), "--rounds", str(options.rounds)]
        subprocess.run([sys.executable, __file__, *arguments, "--backend", backend], check=True)


if __name__ == "__main__":
    main()
