"""Large tensors: seedbed against a fill of the same pages and against its peers.

    python benches/python/initializers.py [--side 8192] [--rounds 5] [--chart docs/speed.svg]

float32 matrices of which every element is set: 1e9 elements a second, medians over the rounds. In
one process, every contender runs once a round, so that a disturbance of the machine hits all of
them, and after a pause in which the idle threads of the one before stop spinning. Keras takes its
backend at import, so each backend gets a process of its own, with seedbed and the fill again.

"fill" writes a non-zero constant to pages that are in memory already, with as many threads as
seedbed uses; so do seedbed's "out=", `torch.nn.init` and NumPy's generator. All others return new
arrays. A second table holds seedbed alone: its instruction sets, element types and thread counts.
Peers that are not installed are left out, and so is the picture without matplotlib.
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
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.table import Table

import numpy as np

Run = Callable[[], object]
BACKENDS = {"numpy": "NumPy", "tensorflow": "TensorFlow", "jax": "JAX", "torch": "torch"}
DISTRIBUTIONS = {
    "uniform": "RandomUniform",
    "normal": "RandomNormal",
    "truncated normal": "TruncatedNormal",
}
PAUSE = 0.2  # seconds
NEW = "seedbed, new array"
OUT = "seedbed, out="


def installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def medians(contenders: dict[str, Run], rounds: int) -> dict[str, float]:
    """Median seconds of each contender, all of them interleaved, after one unmeasured round."""
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for measured in [False] + [True] * rounds:
        for name, run in contenders.items():
            time.sleep(PAUSE)
            start = time.perf_counter()
            result = run()
            elapsed = time.perf_counter() - start
            del result
            if measured:
                times[name].append(elapsed)
    return {name: statistics.median(values) for name, values in times.items()}


def ours(distribution: str, pages: np.ndarray) -> dict[str, Run]:
    """seedbed into `pages` and into a new array, and the constant fill."""
    import seedbed

    initializer = getattr(seedbed.initializers, DISTRIBUTIONS[distribution])(seed=1)
    threads = seedbed.get_num_threads()
    if installed("torch"):
        import torch

        torch.set_num_threads(threads)
        tensor = torch.from_numpy(pages)
        fill: Run = lambda: tensor.fill_(1.5)  # noqa: E731
    else:
        pool, bands = ThreadPoolExecutor(threads), np.array_split(pages, threads)
        fill = lambda: list(pool.map(lambda band: band.fill(1.5), bands))  # noqa: E731
    return {
        "fill": fill,
        OUT: lambda: initializer(pages.shape, dtype="float32", out=pages),
        NEW: lambda: initializer(pages.shape, dtype="float32"),
    }


def peers(distribution: str, pages: np.ndarray) -> Iterator[tuple[str, Run]]:
    """Libraries other than Keras, as their users call them."""
    shape = pages.shape
    generator = np.random.default_rng(1)
    if distribution == "uniform":
        yield "NumPy, out=", lambda: generator.random(out=pages, dtype=np.float32)
    if distribution == "normal":
        yield "NumPy, out=", lambda: generator.standard_normal(out=pages, dtype=np.float32)
    if installed("mkl_random") and distribution != "truncated normal":
        import mkl_random

        state = mkl_random.MKLRandomState(1)
        draw = state.uniform if distribution == "uniform" else state.normal
        yield "mkl_random, float64", lambda: draw(0.0, 1.0, shape)
    if installed("torch"):
        import torch

        tensor = torch.from_numpy(pages)
        init = torch.nn.init
        yield "torch.full", lambda: torch.full(shape, 1.5)
        yield (
            "torch.nn.init",
            {
                "uniform": lambda: init.uniform_(tensor, -0.05, 0.05),
                "normal": lambda: init.normal_(tensor, 0.0, 0.05),
                "truncated normal": lambda: init.trunc_normal_(tensor, 0.0, 0.05, -0.1, 0.1),
            }[distribution],
        )
    if installed("jax"):
        import jax

        initializer = {
            "uniform": jax.nn.initializers.uniform(0.05),
            "normal": jax.nn.initializers.normal(0.05),
            "truncated normal": jax.nn.initializers.truncated_normal(0.05),
        }[distribution]
        key = jax.random.key(1)
        yield "jax.nn.initializers", lambda: initializer(key, shape).block_until_ready()


def keras(backend: str, distribution: str, pages: np.ndarray) -> Iterator[tuple[str, Run]]:
    """Keras on a backend that this process has not yet chosen."""
    os.environ["KERAS_BACKEND"] = backend
    import keras

    initializer = getattr(keras.initializers, DISTRIBUTIONS[distribution])(seed=1)
    finished = keras.ops.convert_to_numpy if backend == "jax" else lambda tensor: tensor
    yield (
        f"Keras on {BACKENDS[backend]}",
        lambda: finished(initializer(pages.shape, dtype="float32")),
    )


def measure(what: str, side: int, rounds: int) -> dict[str, dict[str, float]]:
    """Elements a second by distribution and contender, in this process."""
    pages = np.ones((side, side), np.float32)
    rates: dict[str, dict[str, float]] = {}
    for distribution in DISTRIBUTIONS:
        others = peers(distribution, pages) if what == "peers" else keras(what, distribution, pages)
        seconds = medians(ours(distribution, pages) | dict(others), rounds)
        rates[distribution] = {name: pages.size / value for name, value in seconds.items()}
    return rates


def measure_alone(side: int, rounds: int) -> dict[str, dict[str, float]]:
    """Elements a second of seedbed's calls with `out` by "dtype, threads" and distribution."""
    import ml_dtypes

    import seedbed

    cases = [(dtype, seedbed.get_num_threads()) for dtype in ("float32", "float64", "bfloat16")]
    cases += [("float16", seedbed.get_num_threads()), ("float32", 1)]
    arrays = {
        dtype: np.ones((side, side), getattr(ml_dtypes, dtype, None) or dtype) for dtype, _ in cases
    }
    runs: dict[str, Run] = {}
    for dtype, threads in cases:
        for distribution, name in DISTRIBUTIONS.items():
            initializer = getattr(seedbed.initializers, name)(seed=1)
            fill = partial(initializer, (side, side), dtype=dtype, out=arrays[dtype])
            runs[f"{dtype}, {threads}/{distribution}"] = fill
    rates: dict[str, dict[str, float]] = {}
    for case, threads in dict.fromkeys((f"{d}, {t}", t) for d, t in cases):
        seedbed.set_num_threads(threads)
        seconds = medians({k: v for k, v in runs.items() if k.startswith(case + "/")}, rounds)
        rates[case] = {key.split("/")[1]: side * side / value for key, value in seconds.items()}
    return rates


def chart(rates: dict[str, dict[str, float]], caption: str, path: Path) -> None:
    """A bar a contender, a panel a distribution."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams |= {"svg.hashsalt": "seedbed", "svg.fonttype": "none"}
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(
        len(rates), figsize=(8, 8.5), sharex=True, height_ratios=[len(r) for r in rates.values()]
    )
    for panel, (distribution, values) in zip(panels, rates.items(), strict=True):
        names = list(reversed(values))
        widths = [values[name] / 1e9 for name in names]
        colors = ["#2f6f4f" if name.startswith("seedbed") else "#b0b0b0" for name in names]
        bars = panel.barh(names, widths, color=colors)
        panel.bar_label(bars, [f"{width:.3g}" for width in widths], padding=3, fontsize=8)
        panel.set_title(distribution, loc="left", fontsize=10)
        panel.tick_params(labelsize=8)
        panel.spines[["top", "right"]].set_visible(False)
    panels[-1].set_xlabel(caption, fontsize=8)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def show(title: str, rows: dict[str, dict[str, float]], of: str | None) -> None:
    """Prints 1e9 elements a second, and what share of the contender `of` that is."""
    columns = list(dict.fromkeys(name for row in rows.values() for name in row))
    table = Table(title=title)
    table.add_column("1e9 elements a second")
    for name in rows:
        table.add_column(name, justify="right")
    for name in columns:
        cells = []
        for row in rows.values():
            share = f" ({row[name] / row[of]:.2f})" if of in row and name in row else ""
            cells.append(f"{row[name] / 1e9:.3g}{share}" if name in row else "")
        table.add_row(name, *cells)
    Console(width=110).print(table)


def in_process(arguments: list[str], **environment: str) -> dict[str, dict[str, float]]:
    """What this script measures with `arguments` in a process of its own."""
    command = [sys.executable, __file__, *arguments]
    result = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, env=os.environ | environment, text=True
    )
    rates: dict[str, dict[str, float]] = json.loads(result.stdout.splitlines()[-1])
    return rates


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=8192, help="rows and columns")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--chart", type=Path, help="the SVG file to write the picture to")
    parser.add_argument("--only", choices=["peers", "alone", *BACKENDS], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        if options.only == "alone":
            rates = measure_alone(options.side, options.rounds)
        else:
            rates = measure(options.only, options.side, options.rounds)
        print(json.dumps(rates))
        return

    import seedbed

    size = ["--side", str(options.side), "--rounds", str(options.rounds)]
    config = f"seedbed {seedbed.__version__}, {seedbed._core.isa()}, {os.cpu_count()} cores"
    title = f"float32 {options.side} x {options.side}, {config}"
    rates = in_process([*size, "--only", "peers"])
    show(f"{title} (share of fill)", rates, "fill")
    for backend, name in BACKENDS.items():
        if not installed("keras") or not installed(backend):
            continue
        found = in_process([*size, "--only", backend])
        show(f"{title}, Keras on {name} (share of seedbed's new array)", found, NEW)
        for distribution, row in found.items():
            rates[distribution][f"Keras on {name}"] = row[f"Keras on {name}"]
    for isa in reversed(seedbed._core.available_isas()):
        alone = in_process([*size, "--only", "alone"], SEEDBED_ISA=isa)
        show(
            f"Into out=, {options.side} x {options.side}, {isa}; by element type and threads",
            transposed(alone),
            None,
        )
    if options.chart and not installed("matplotlib"):
        print(f"{options.chart} is left as it is: matplotlib is not installed")
    elif options.chart:
        chart(rates, f"1e9 elements a second; {title}", options.chart)


def transposed(rows: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    columns = dict.fromkeys(name for row in rows.values() for name in row)
    return {name: {key: row[name] for key, row in rows.items()} for name in columns}


if __name__ == "__main__":
    main()
