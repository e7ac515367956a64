"""Orthogonal: seedbed against torch, SciPy, Keras on every backend installed, and matrix products.

    python benches/python/orthogonal.py [--dtype float32 float64] [--largest 8192] [--rounds 5]
        [--chart docs/orthogonal.svg]

Milliseconds into memory that is there already, medians; what takes a second or more is timed once,
after one run that is not counted.
Each contender is timed alone, after a pause that lets the idle threads of the one before stop
spinning; Keras on each backend in a process of its own. The product is that of m by n times n by n
for a matrix of m by n, m >= n: torch's, or NumPy's without torch. Slow contenders get no larger
matrices than keep the whole at some minutes. The last table is how soon Ctrl-C stops a large one.
The picture needs matplotlib.
"""

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
from interrupts import lateness

Shape = tuple[int, int]

SHAPES: list[Shape] = [
    *[(64, 64), (256, 256), (512, 512), (1024, 1024), (2048, 2048), (4096, 4096), (8192, 8192)],
    *[(8192, 1024), (1024, 8192), (1048576, 64)],
]
BACKENDS = ["numpy", "jax", "tensorflow", "torch"]
PAUSE = 0.3

# The largest m n^2 that a contender is given.
MOST = {
    "seedbed": 1e12,
    "product": 1e12,
    "torch": 1e11,
    "numpy stream": 1e11,
    "SciPy": 2e7,
    "Keras numpy": 1e11,
    "Keras jax": 2e9,
    "Keras tensorflow": 2e9,
    "Keras torch": 2e9,
}


def seconds(run: Callable[[], object], rounds: int) -> float:
    """Median of `rounds` runs after a pause and a run that is not counted: of many quick ones, of
    one slow one."""
    time.sleep(PAUSE)
    first = seconds_of(run)
    rounds = 200 if first < 2e-3 else rounds if first < 1 else 1
    return statistics.median(seconds_of(run) for _ in range(rounds))


def seconds_of(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def fits(name: str, shape: Shape) -> bool:
    return max(shape) * min(shape) ** 2 <= MOST[name]


def libraries(shape: Shape, dtype: str) -> Iterator[tuple[str, Callable[[], object]]]:
    """What is timed in this process, seedbed first."""
    from scipy import stats

    from seedbed import initializers

    m, n = max(shape), min(shape)
    out = np.ones(shape, dtype)
    native = initializers.Orthogonal(seed=1)
    exact = initializers.Orthogonal(seed=1, stream="numpy")
    yield "seedbed", lambda: native(shape, dtype=dtype, out=out)
    if fits("numpy stream", shape):
        yield "numpy stream", lambda: exact(shape, dtype=dtype, out=out)
    if fits("SciPy", shape) and m == n:
        yield "SciPy", lambda: stats.ortho_group.rvs(n, random_state=1)
    a, b, c = np.ones((m, n), dtype), np.ones((n, n), dtype), np.ones((m, n), dtype)
    if importlib.util.find_spec("torch") is None:
        yield "product", lambda: np.matmul(a, b, out=c)
        return
    import torch

    x, y, z = torch.from_numpy(a), torch.from_numpy(b), torch.from_numpy(c)
    tensor = torch.from_numpy(out)
    if fits("torch", shape):
        yield "torch", lambda: torch.nn.init.orthogonal_(tensor)
    yield "product", lambda: torch.mm(x, y, out=z)


def keras_times(backend: str, dtype: str, shapes: list[Shape], rounds: int) -> dict[str, float]:
    """Seconds by shape of Keras on `backend`, which this process has not imported yet."""
    os.environ["KERAS_BACKEND"] = backend
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import keras

    initializer = keras.initializers.Orthogonal(seed=1)

    def run(shape: Shape) -> object:
        made = initializer(shape, dtype=dtype)
        return made.block_until_ready() if backend == "jax" else made

    return {str(s): seconds(lambda s=s: run(s), rounds) for s in shapes}


def in_process(*arguments: str) -> str:
    """What this program prints with `arguments`; what it prints to the error output is dropped."""
    ran = subprocess.run(
        [sys.executable, __file__, *arguments], capture_output=True, text=True, check=False
    )
    return ran.stdout if ran.returncode == 0 else "{}"


def compare(dtype: str, shapes: list[Shape], rounds: int) -> dict[str, dict[str, float]]:
    """Prints the table of a dtype and returns its seconds by shape and contender."""
    from rich.console import Console
    from rich.table import Column, Table

    times: dict[str, dict[str, float]] = {str(shape): {} for shape in shapes}
    for shape in shapes:
        for name, run in libraries(shape, dtype):
            times[str(shape)][name] = seconds(run, rounds)
    # Keras once: it takes longest, and JAX has no float64 unless told so for the whole process.
    backends = [name for name in BACKENDS if importlib.util.find_spec(name)]
    for backend in backends if dtype == "float32" else []:
        name = f"Keras {backend}"
        sizes = [f"{m}x{n}" for m, n in shapes if fits(name, (m, n))]
        options = ["--keras", backend, "--dtype", dtype, "--rounds", str(rounds)]
        for shape, taken in json.loads(in_process(*options, "--shapes", *sizes)).items():
            times[shape][name] = taken
    names = [name for name in MOST if any(name in row for row in times.values())]
    ratios = ["torch / seedbed", "seedbed / product"]
    table = Table(Column("shape", no_wrap=True), *names, *ratios, title=f"Orthogonal, {dtype}, ms")
    for (m, n), row in zip(shapes, times.values(), strict=True):
        cells = [f"{row[name] * 1e3:.3g}" if name in row else "-" for name in names]
        torch = f"{row['torch'] / row['seedbed']:.1f}" if "torch" in row else "-"
        product = f"{row['seedbed'] / row['product']:.2f}"
        table.add_row(f"{m} x {n}", *cells, torch, product)
    Console(width=140).print(table)
    return times


def chart(tables: dict[str, dict[str, dict[str, float]]], path: Path) -> None:
    """A panel a dtype: milliseconds of every contender by shape, on a logarithmic scale."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams |= {"svg.hashsalt": "seedbed", "svg.fonttype": "none"}
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(len(tables), figsize=(8, 3.6 * len(tables)), squeeze=False)
    for panel, (dtype, times) in zip(panels[:, 0], tables.items(), strict=True):
        for name in MOST:
            points = [(shape, row[name] * 1e3) for shape, row in times.items() if name in row]
            style = {"color": "#2f6f4f", "s": 60} if name == "seedbed" else {"s": 25}
            if points:
                panel.scatter(*zip(*points, strict=True), label=name, **style)
        panel.set_yscale("log")
        panel.set_ylabel("ms", fontsize=8)
        panel.set_title(f"Orthogonal, {dtype}", loc="left", fontsize=10)
        panel.tick_params(labelsize=7)
        panel.legend(fontsize=7, frameon=False)
        panel.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def interrupt_times(stream: str) -> list[float]:
    """Milliseconds from a signal to KeyboardInterrupt, in matrices that would take seconds."""
    from seedbed import initializers

    taken = []
    for shape in [(8000, 8000), (400_000, 400), (400, 400_000)]:
        for delay in (0.1, 0.4, 0.7):
            initializer = initializers.Orthogonal(seed=1, stream=stream)
            late = lateness(partial(initializer, shape, dtype="float64"), delay)
            if late is not None:
                taken.append(late)
    return taken


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--dtype", nargs="+", default=["float32", "float64"])
    parser.add_argument("--largest", type=int, default=8192, help="longest side of square ones")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--chart", type=Path, help="the SVG file to write the picture to")
    parser.add_argument("--keras", help=argparse.SUPPRESS)
    parser.add_argument("--shapes", nargs="*", help=argparse.SUPPRESS)
    parser.add_argument("--interrupt", help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    """Prints the tables."""
    arguments = parse()
    if arguments.keras:
        shapes = [(int(m), int(n)) for m, n in (text.split("x") for text in arguments.shapes)]
        dtype = arguments.dtype[0]
        print(json.dumps(keras_times(arguments.keras, dtype, shapes, arguments.rounds)))
        return
    if arguments.interrupt:
        print(json.dumps(interrupt_times(arguments.interrupt)))
        return
    tables = {}
    for dtype in arguments.dtype:
        largest = min(arguments.largest, 8192 if dtype == "float32" else 4096)
        shapes = [shape for shape in SHAPES if shape[0] != shape[1] or shape[0] <= largest]
        tables[dtype] = compare(dtype, shapes, arguments.rounds)
    if arguments.chart and importlib.util.find_spec("matplotlib") is None:
        print(f"{arguments.chart} is left as it is: matplotlib is not installed")
    elif arguments.chart:
        chart(tables, arguments.chart)
    for stream in ("philox", "numpy"):
        taken = json.loads(in_process("--interrupt", stream)) or [float("nan")]
        print(
            f"Ctrl-C, {stream}: median {statistics.median(taken):.0f} ms, most {max(taken):.0f} ms"
        )


if __name__ == "__main__":
    main()
