"""The command: a whole model on disk, against writing as many bytes plainly to the same disk.

    python benches/python/checkpoint.py [SPEC] [--directory .] [--rounds 3] [--shards 4]

Each round writes as many non-zero bytes as the checkpoint has from one 8 MiB buffer, then runs the
command, each time in a process of its own: `seedbed init` to a file and to a directory, without
waiting for the disk, and with; then `seedbed verify` and `seedbed inspect --stats` on what the page
cache holds. A plain write is timed with and without the wait, too. Peak memory is the largest
resident set of each.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.table import Table

BUFFER = bytes([0x5A]) * (8 << 20)


def write_plainly(path: Path, size: int, sync: bool) -> float:
    """Seconds to write `size` bytes to `path`, with `sync` until the disk has them."""
    start = time.perf_counter()
    with path.open("wb", buffering=0) as file:
        left = size
        while left:
            left -= file.write(BUFFER[:left] if left < len(BUFFER) else BUFFER)
        if sync:
            os.fsync(file.fileno())
    seconds = time.perf_counter() - start
    path.unlink()
    return seconds


def run_command(*arguments: object) -> tuple[float, int]:
    """Seconds and peak resident bytes of the command."""
    command = [sys.executable, "-m", "seedbed", *map(str, arguments)]
    quiet = os.open(os.devnull, os.O_WRONLY)
    start = time.perf_counter()
    child = os.posix_spawn(
        sys.executable, command, os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, quiet, 1)]
    )
    os.close(quiet)
    _, status, usage = os.wait4(child, 0)
    if status:
        sys.exit(f"{' '.join(command)} failed with status {status}")
    # Linux counts ru_maxrss in KiB, macOS in bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    return time.perf_counter() - start, usage.ru_maxrss * unit


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("spec", nargs="?", default="examples/gpt2-xl.toml")
    parser.add_argument("--directory", type=Path, default=Path())
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--shards", type=int, default=4)
    options = parser.parse_args()

    spec = options.spec
    ours = options.directory / "bench-seedbed.safetensors"
    shards = options.directory / "bench-seedbed"
    plain = options.directory / "bench-plain.bin"
    to_file = ("init", spec, "-o", ours, "--quiet")
    to_shards = ("init", spec, "-o", f"{shards}/", "--shards", options.shards, "--quiet")
    to_shards += ("--overwrite",)
    seconds: dict[str, list[float]] = {}
    peaks: dict[str, int] = {}

    def timed(what: str, run: Callable[[], tuple[float, int]]) -> None:
        took, peak = run()
        seconds.setdefault(what, []).append(took)
        peaks[what] = max(peak, peaks.get(what, 0))

    try:
        run_command(*to_file)
        size = ours.stat().st_size
        for _ in range(options.rounds):
            ours.unlink(missing_ok=True)
            timed("plain write, synced", lambda: (write_plainly(plain, size, True), 0))
            timed("init FILE", lambda: run_command(*to_file))
            ours.unlink()
            timed("plain write", lambda: (write_plainly(plain, size, False), 0))
            timed("init FILE --no-fsync", lambda: run_command(*to_file, "--no-fsync"))
            timed("verify", lambda: run_command("verify", spec, ours, "--quiet"))
            timed("inspect --stats", lambda: run_command("inspect", ours, "--stats"))
            ours.unlink()
            timed("init DIR/ --no-fsync", lambda: run_command(*to_shards, "--no-fsync"))
            shutil.rmtree(shards)
    finally:
        ours.unlink(missing_ok=True)
        plain.unlink(missing_ok=True)
        shutil.rmtree(shards, ignore_errors=True)

    table = Table(title=f"{spec}: {size:,} bytes, medians of {options.rounds} rounds")
    for column in ("what", "seconds", "GB/s", "of a plain write", "peak MB"):
        table.add_column(column, justify="left" if column == "what" else "right")
    medians = {what: statistics.median(times) for what, times in seconds.items()}
    for what, took in medians.items():
        like = (
            "plain write, synced" if what in ("init FILE", "plain write, synced") else "plain write"
        )
        table.add_row(
            what,
            f"{took:.2f}",
            f"{size / took / 1e9:.2f}",
            f"{took / medians[like]:.2f}",
            f"{peaks[what] / 1e6:.0f}" if peaks[what] else "",
        )
    Console(width=90).print(table)
    rate = medians["init FILE --no-fsync"] / medians["verify"]
    print(f"verify has {rate:.2f} of the rate of init --no-fsync")


if __name__ == "__main__":
    main()
