"""What 100 000 tensors cost: reading their names from headers, and matching them with rules.

    python benches/python/many_tensors.py [--rounds 5] [--tensors 100000] [--rules 50]

`seedbed spec` runs in a process of its own, its start included, on a single header and on an index
of 20 files, whose data is a hole. The rules are tried on names that fit only the last one. Of
several rounds the shortest counts, as others' work on the machine only adds.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from seedbed import Plan

SHARDS = 20
KINDS = ("q", "k", "v", "o", "gate", "up", "down", "norm_1", "norm_2", "bias")


def names(count: int) -> list[str]:
    return [f"model.layers.{i // len(KINDS)}.{KINDS[i % len(KINDS)]}.weight" for i in range(count)]


def write_header(path: Path, tensors: list[str]) -> None:
    """Write a safetensors file as its library does, with 32 bytes of zeros each."""
    entries = {
        name: {"dtype": "BF16", "shape": [4, 4], "data_offsets": [32 * i, 32 * (i + 1)]}
        for i, name in enumerate(tensors)
    }
    header = {"__metadata__": {"format": "pt"}, **entries}
    text = json.dumps(header, separators=(",", ":")).encode()
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + 32 * len(tensors))


def write_shards(folder: Path, tensors: list[str]) -> Path:
    weight_map = {}
    for number in range(SHARDS):
        share = tensors[number::SHARDS]
        file = f"model-{number + 1:05}-of-{SHARDS:05}.safetensors"
        write_header(folder / file, share)
        weight_map.update(dict.fromkeys(share, file))
    index = folder / "model.safetensors.index.json"
    document = {"metadata": {"total_size": 32 * len(tensors)}, "weight_map": weight_map}
    index.write_text(json.dumps(document, indent=2, sort_keys=True))
    return index


def time_command(path: Path) -> tuple[float, float]:
    """Seconds, and those of the processor, of `seedbed spec` on `path`."""
    before, started = os.times(), time.perf_counter()
    command = [sys.executable, "-m", "seedbed", "spec", str(path)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    seconds, after = time.perf_counter() - started, os.times()
    user = after.children_user - before.children_user
    return seconds, user + after.children_system - before.children_system


def time_rules(tensors: list[str], rules: int) -> tuple[float, float]:
    """Seconds, and those of the processor, to resolve `tensors` by so many rules."""
    first = [
        {"match": f"blocks.{{block}}.part_{number}.*.weight", "init": "zeros", "optional": True}
        for number in range(rules - 1)
    ]
    plan = Plan([*first, ("**", {"normal": 0.02})], seed=1)
    shapes = dict.fromkeys(tensors, (4, 4))
    cpu, started = time.process_time(), time.perf_counter()
    plan.resolve(shapes)
    return time.perf_counter() - started, time.process_time() - cpu


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tensors", type=int, default=100_000)
    parser.add_argument("--rules", type=int, default=50)
    options = parser.parse_args()

    tensors = names(options.tensors)
    table = Table(title=f"{options.tensors:,} tensors, best of {options.rounds} rounds")
    for column in ("what", "seconds", "of the processor"):
        table.add_column(column, justify="left" if column == "what" else "right")
    with tempfile.TemporaryDirectory() as folder:
        single = Path(folder) / "model.safetensors"
        write_header(single, tensors)
        (Path(folder) / "shards").mkdir()
        index = write_shards(Path(folder) / "shards", tensors)
        measured = {
            "seedbed spec, one header": lambda: time_command(single),
            f"seedbed spec, an index of {SHARDS} files": lambda: time_command(index),
            f"Plan.resolve, {options.rules} rules": lambda: time_rules(tensors, options.rules),
        }
        for what, run in measured.items():
            times = [run() for _ in range(options.rounds)]
            best = [min(column) for column in zip(*times, strict=True)]
            table.add_row(what, *(f"{seconds:.2f}" for seconds in best))
    Console(width=90).print(table)


if __name__ == "__main__":
    main()
