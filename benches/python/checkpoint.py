"""The command: a whole model on disk, against writing as many bytes plainly to the same disk.

    python benches/python/checkpoint.py [SPEC] [--directory .] [--rounds 3]

Each round writes a file of the checkpoint's size, of non-zero bytes from one 8 MiB buffer, then
runs `seedbed init` in a process of its own; both times end when the data is on the disk, and the
files are removed in between. Peak memory is the command's largest resident set.
"""

import argparse
import os
import statistics
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

BUFFER = bytes([0x5A]) * (8 << 20)


def flush(path: Path) -> None:
    """Returns when the file's data is on the disk."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def write_plainly(path: Path, size: int) -> float:
    """Seconds to write `size` bytes to `path`."""
    start = time.perf_counter()
    with path.open("wb", buffering=0) as file:
        left = size
        while left:
            left -= file.write(BUFFER[:left] if left < len(BUFFER) else BUFFER)
    flush(path)
    return time.perf_counter() - start


def run_command(spec: str, path: Path) -> tuple[float, int]:
    """Seconds and peak resident bytes of `seedbed init`."""
    arguments = [sys.executable, "-m", "seedbed", "init", spec, "-o", str(path), "--quiet"]
    start = time.perf_counter()
    child = os.spawnv(os.P_NOWAIT, sys.executable, arguments)
    _, status, usage = os.wait4(child, 0)
    if status:
        sys.exit(f"{' '.join(arguments)} failed with status {status}")
    flush(path)
    # Linux counts ru_maxrss in KiB, macOS in bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    return time.perf_counter() - start, usage.ru_maxrss * unit


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("spec", nargs="?", default="examples/gpt2-xl.toml")
    parser.add_argument("--directory", type=Path, default=Path())
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()

    ours = options.directory / "bench-seedbed.safetensors"
    plain = options.directory / "bench-plain.bin"
    try:
        run_command(options.spec, ours)
        size = ours.stat().st_size
        ours.unlink()
        plain_times, our_times, peaks = [], [], []
        for _ in range(options.rounds):
            plain_times.append(write_plainly(plain, size))
            plain.unlink()
            seconds, peak = run_command(options.spec, ours)
            ours.unlink()
            our_times.append(seconds)
            peaks.append(peak)
    finally:
        ours.unlink(missing_ok=True)
        plain.unlink(missing_ok=True)

    table = Table(title=f"{options.spec}: {size:,} bytes, medians of {options.rounds} rounds")
    table.add_column("what")
    table.add_column("figure", justify="right")
    plainly, command = statistics.median(plain_times), statistics.median(our_times)
    table.add_row("plain write", f"{plainly:.2f} s")
    table.add_row("seedbed init", f"{command:.2f} s")
    table.add_row("ratio of the medians", f"{command / plainly:.2f}")
    table.add_row("peak resident memory", f"{max(peaks) / 1e6:.0f} MB")
    Console(width=90).print(table)


if __name__ == "__main__":
    main()
