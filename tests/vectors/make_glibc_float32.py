"""Makes glibc_float32.txt with the C library of this machine, which must be glibc 2.28 to 2.43.

    python tests/vectors/make_glibc_float32.py > tests/vectors/glibc_float32.txt

For each function the sum, modulo 2^64, of (2 k + 1) times the bits of its float32 result at
argument k = 0 .. 2^24 - 1: `logf` at (k + 1) / 2^24, `sinf` and `cosf` at the float32 nearest to
2 pi k / 2^24. Then the bits of `logf` at the float32 nearest to 1e-7. Takes about a minute.
"""

import ctypes
import ctypes.util
import math
from collections.abc import Callable

import numpy as np

COUNT = 1 << 24
CHUNK = 1 << 16


def function(name: str) -> Callable[[float], float]:
    found = getattr(ctypes.CDLL(ctypes.util.find_library("m")), name)
    found.argtypes = [ctypes.c_float]
    found.restype = ctypes.c_float
    return found


def checksum(name: str, arguments: np.ndarray) -> int:
    call, total = function(name), 0
    for first in range(0, COUNT, CHUNK):
        results = [call(x) for x in arguments[first : first + CHUNK].tolist()]
        bits = np.array(results, np.float32).view(np.uint32).astype(np.uint64)
        weights = 2 * np.arange(first, first + CHUNK, dtype=np.uint64) + 1
        total += int((bits * weights).sum(dtype=np.uint64))
    return total % (1 << 64)


def main() -> None:
    numbers = np.arange(COUNT, dtype=np.float64)
    version = ctypes.CDLL(None).gnu_get_libc_version
    version.restype = ctypes.c_char_p
    print(f"# Made by tests/vectors/make_glibc_float32.py with glibc {version().decode()}.")
    angles = (2 * math.pi / COUNT * numbers).astype(np.float32)
    print("logf", f"{checksum('logf', ((numbers + 1) / COUNT).astype(np.float32)):016x}")
    print("sinf", f"{checksum('sinf', angles):016x}")
    print("cosf", f"{checksum('cosf', angles):016x}")
    least = np.float32(function("logf")(np.float32(1e-7)))
    print("logf_1e-7", f"{int(least.view(np.uint32)):016x}")


if __name__ == "__main__":
    main()
