"""Keras' layers with `seedbed.keras.install()` against Keras alone, in one process.

    KERAS_BACKEND=jax python benches/python/keras_layers.py [--repeats 3] [--profile] [--gpt2]

Each pair is measured in turn, best of the repeats, the values made ready. `--profile` prints what
the time with seedbed is spent on; `--gpt2` adds keras-hub's GPT-2 of 124 million parameters.
"""

import argparse
import cProfile
import gc
import pstats
import statistics
import subprocess
import sys
import time
import timeit
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import keras
from rich.console import Console
from rich.table import Table

import seedbed.keras

SMALL_CALLS = 200


def ready(model: Any) -> None:
    """Waits for the values of a model."""
    if keras.backend.backend() == "jax":
        import jax

        jax.block_until_ready([variable.value for variable in model.weights])


def wide(units: int, count: int, initializer: str) -> Any:
    layers = [keras.layers.Dense(units, kernel_initializer=initializer) for _ in range(count)]
    return keras.Sequential([keras.Input((units,)), *layers])


def small() -> Any:
    layer = keras.layers.Dense(8, kernel_initializer="he_normal", use_bias=False)
    layer.build((None, 8))
    return layer


def gpt2() -> Any:
    import keras_hub

    return keras_hub.models.GPT2Backbone(
        vocabulary_size=50257,
        num_layers=12,
        num_heads=12,
        hidden_dim=768,
        intermediate_dim=3072,
        max_sequence_length=1024,
    )


def seconds(build: Callable[[], Any]) -> float:
    gc.collect()
    start = time.perf_counter()
    ready(build())
    return time.perf_counter() - start


def imports(repeats: int) -> tuple[float, float]:
    """Milliseconds of `import keras`, and what `import seedbed.keras` adds."""
    program = (
        "import time; a = time.perf_counter(); import keras; b = time.perf_counter(); "
        "import seedbed.keras; c = time.perf_counter(); print(b - a, c - b)"
    )
    command = [sys.executable, "-c", program]
    pairs = [
        [
            float(t) * 1e3
            for t in subprocess.run(command, check=True, capture_output=True).stdout.split()
        ]
        for _ in range(repeats)
    ]
    return statistics.median(p[0] for p in pairs), min(p[1] for p in pairs)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--gpt2", action="store_true")
    arguments = parser.parse_args()
    builds: dict[str, Callable[[], Any]] = {
        "two Dense(8192), he_normal": lambda: wide(8192, 2, "he_normal"),
        "two Dense(8192), glorot_uniform": lambda: wide(8192, 2, "glorot_uniform"),
        "three Dense(4096), he_normal": lambda: wide(4096, 3, "he_normal"),
    }
    if arguments.gpt2:
        builds["GPT-2, 124 M"] = gpt2

    table = Table(title=f"Keras {keras.__version__} on {keras.backend.backend()}")
    for column in ("what", "Keras", "seedbed", "times faster"):
        table.add_column(column, justify="left" if column == "what" else "right")
    for name, build in builds.items():
        own, ours = [], []
        for _ in range(arguments.repeats):
            own.append(seconds(build))
            with seedbed.keras.installed():
                ours.append(seconds(build))
        ratio = min(own) / min(ours)
        table.add_row(name, f"{min(own):.3f} s", f"{min(ours):.3f} s", f"{ratio:.1f}")
    init = keras.initializers.get("he_normal")
    calls: dict[str, Callable[[], Any]] = {
        "initializer((8,))": lambda: init((8,), dtype="float32"),
        "initializer((512, 512))": lambda: init((512, 512), dtype="float32"),
        "Dense with a kernel (8, 8)": small,
    }
    for name, call in calls.items():
        best = []
        for scope in (nullcontext(), seedbed.keras.installed()):
            with scope:
                call()
                number = 5 if "512" in name else SMALL_CALLS
                best.append(min(timeit.repeat(call, number=number, repeat=7)) / number * 1e6)
        table.add_row(name, f"{best[0]:.0f} us", f"{best[1]:.0f} us", f"{best[0] / best[1]:.1f}")
    own_import, added = imports(arguments.repeats)
    table.add_row("import", f"{own_import:.0f} ms", f"+{added:.1f} ms", "")
    Console(width=100).print(table)

    if arguments.profile:
        for name, build in builds.items():
            with seedbed.keras.installed(), cProfile.Profile() as profile:
                ready(build())
            print(name)
            pstats.Stats(profile).sort_stats("tottime").print_stats(12)


if __name__ == "__main__":
    main()
