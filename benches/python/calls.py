"""Small costs: microseconds of one call, milliseconds of the import and until Ctrl-C stops a fill.

    python benches/python/calls.py [--repeats 9]

A call's figure is the best mean of several thousand calls over the repeats, as timeit advises. The
import's is the median over alternating fresh interpreters, with and without seedbed after NumPy.
How late Ctrl-C is comes from fills of seconds.
"""

import argparse
import statistics
import subprocess
import sys
import timeit
from collections.abc import Callable
from functools import partial

import ml_dtypes
from rich.console import Console
from rich.table import Table

import numpy as np
import seedbed
from interrupts import lateness
from seedbed import initializers, random

CALLS = 5000
CLOCK = "import numpy, time; start = time.perf_counter(); {}; print(time.perf_counter() - start)"


def interrupt_time() -> float:
    """Milliseconds from a signal to KeyboardInterrupt, in a fill whose end it does not reach."""
    out = np.empty(1 << 32, ml_dtypes.float8_e5m2)
    fill = partial(random.truncated_normal, out.shape, dtype=out.dtype, seed=1, out=out)
    late = lateness(fill, delay=0.1)
    assert late is not None, "the fill ended before it was interrupted"
    return late


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=9)
    repeats = parser.parse_args().repeats

    table = Table(title=f"seedbed {seedbed.__version__}, Python {sys.version.split()[0]}")
    table.add_column("what")
    table.add_column("time", justify="right")
    he = initializers.HeNormal(seed=1)
    calls: dict[str, Callable[[], object]] = {
        f"he({shape}, {dtype!r})": partial(he, shape, dtype=dtype)
        for shape in [(8,), (64, 64), (1024, 64)]
        for dtype in ("float32", "bfloat16")
    }
    calls["HeNormal(seed=1)((64, 64), 'float32')"] = lambda: initializers.HeNormal(seed=1)(
        (64, 64), dtype="float32"
    )
    for name, call in calls.items():
        best = min(timeit.repeat(call, number=CALLS, repeat=repeats)) / CALLS
        table.add_row(name, f"{best * 1e6:.2f} us")

    times: dict[str, list[float]] = {"pass": [], "import seedbed": []}
    for _ in range(repeats + 1):
        for statement, values in times.items():
            command = [sys.executable, "-c", CLOCK.format(statement)]
            values.append(float(subprocess.run(command, check=True, capture_output=True).stdout))
    # The first pair warms the file cache.
    medians = {statement: statistics.median(values[1:]) for statement, values in times.items()}
    added = medians["import seedbed"] - medians["pass"]
    table.add_row("import seedbed, beyond import numpy", f"{added * 1e3:.2f} ms")
    late = [interrupt_time() for _ in range(repeats)]
    table.add_row(
        "Ctrl-C in a fill, late (median, most)",
        f"{statistics.median(late):.0f}, {max(late):.0f} ms",
    )
    Console(width=90).print(table)


if __name__ == "__main__":
    main()
