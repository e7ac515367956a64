"""What memory costs that a process takes fresh from the system: a plain write, and no seedbed.

    python benches/python/fresh_memory.py [--blocks 12] [--mebibytes 512]

Takes block after block, on huge pages as seedbed's results are, keeps them all, and writes one
number to every page. Where a virtual machine has given memory back to its host, a block costs
several times what it costs while such memory lasts that was used a moment ago.
"""

import argparse
import mmap
import resource
import time

PAGE = 4096


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--blocks", type=int, default=12)
    parser.add_argument("--mebibytes", type=int, default=512)
    arguments = parser.parse_args()
    kept = []
    for number in range(1, arguments.blocks + 1):
        block = mmap.mmap(-1, arguments.mebibytes << 20)
        block.madvise(mmap.MADV_HUGEPAGE)
        kept.append(block)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_stime
        started = time.perf_counter()
        block[::PAGE] = bytes(len(range(0, len(block), PAGE)))
        seconds = time.perf_counter() - started
        system = resource.getrusage(resource.RUSAGE_SELF).ru_stime - before
        print(f"block {number}: {seconds:.2f} s, of which the system {system:.2f} s", flush=True)


if __name__ == "__main__":
    main()
