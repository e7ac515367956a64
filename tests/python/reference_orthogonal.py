"""The native stream's orthogonal matrix in NumPy, bit for bit: a second implementation of the
section "Orthogonal" of docs/streams.md.

Fused multiply-adds are emulated from sums and products whose rounding errors are known exactly,
rounded to odd before the last rounding (S. Boldo and G. Melquiond, IEEE Trans. Comput. 57 (2008)
462). Slow: a second or so for some hundred rows and columns.

    python tests/python/reference_orthogonal.py > tests/vectors/orthogonal.txt
"""

import hashlib
import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import reference_philox as philox

B, SC, KC, RC = 96, 64, 256, 1024

Array = np.ndarray


def two_sum(a: Array, b: Array) -> tuple[Array, Array]:
    """The rounded sum and its error."""
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)


def two_product(a: Array, b: Array) -> tuple[Array, Array]:
    """The rounded product of float64 and its error (T. J. Dekker, Numer. Math. 18 (1971) 224)."""

    def split(x: Array) -> tuple[Array, Array]:
        scaled = x * 134217729.0  # 2**27 + 1
        high = scaled - (scaled - x)
        return high, x - high

    product = a * b
    (a1, a2), (b1, b2) = split(a), split(b)
    return product, a2 * b2 - (((product - a1 * b1) - a2 * b1) - a1 * b2)


def sum_to_odd(a: Array, b: Array) -> Array:
    """a + b, if inexact the neighbour whose last bit is 1: rounding it again is then right."""
    total, rest = two_sum(a, b)
    bits = np.ascontiguousarray(total).view(np.int64)
    outwards = np.where((rest > 0) == (total > 0), 1, -1)
    return np.where((rest != 0) & (bits & 1 == 0), bits + outwards, bits).view(np.float64)


def fma32(a: Array, b: Array, c: Array) -> Array:
    return sum_to_odd(a.astype(np.float64) * b, c.astype(np.float64)).astype(np.float32)


def fma64(a: Array, b: Array, c: Array) -> Array:
    high, low = two_product(a, b)
    sum_high, sum_low = two_sum(c, low)
    top, rest = two_sum(high, sum_high)
    return top + sum_to_odd(sum_low, rest)


FMA: dict[str, Callable[[Array, Array, Array], Array]] = {"float32": fma32, "float64": fma64}


def fused(a: float, b: float, c: float) -> float:
    return float(fma64(np.array([a]), np.array([b]), np.array([c]))[0])


def sums_of_squares(g: Array) -> Array:
    """For each column, of its rows from the diagonal on, in float64."""
    m, n = g.shape
    x = np.zeros((-(-m // SC) * SC, n))
    x[:m] = np.tril(g)  # zeros before a chain's first term leave it zero
    cuts = x.reshape(-1, SC, n)
    chains = np.zeros((len(cuts), n))
    for row in range(SC):
        chains = fma64(cuts[:, row], cuts[:, row], chains)
    total, low = np.zeros(n), np.zeros(n)
    for chain in chains:
        total, rest = two_sum(total, chain)
        low = low + rest
    return total + low


def reflectors(g: Array) -> tuple[Array, Array]:
    """V and D."""
    m, n = g.shape
    v, d = np.zeros_like(g), np.zeros(n, g.dtype)
    sums = sums_of_squares(g)
    for k in range(n):
        x = g[k:, k].astype(np.float64)
        sign = -1.0 if x[0] < 0 else 1.0
        ss = float(sums[k])
        if k == m - 1 or ss == 0:
            d[k] = sign
            continue
        a, r = abs(float(x[0])), math.sqrt(ss)
        p = r + a
        q = r * p
        c = 1 / math.sqrt(q)
        low = p_low = 0.0
        if g.dtype == np.float64:
            r_low = fused(-r, r, ss) / (2 * r)
            b = p - r
            p_low = r_low + ((r - (p - b)) + (a - b))
            q_low = fused(r, p, -q) + fused(r, p_low, r_low * p)
            u = q * c
            low = c / 2 * (fused(-u, c, 1) - fused(fused(q, c, -u), c, q_low * c * c))
        v[k:, k] = fma64(x, np.full_like(x, c), x * low)
        v[k, k] = sign * fused(p, c, fused(p, low, p_low * c))
        d[k] = -sign
    return v, d


def products(v: Array, c: Array, first: int) -> Array:
    """V^T C, for matrices of the rows `first` on."""
    fma = FMA[v.dtype.name]
    total: Array | None = None
    for chunk in range(first // RC * RC, first + len(v), RC):
        inside: Array | None = None
        for cut in range(chunk, min(chunk + RC, first + len(v)), KC):
            chain = np.zeros((v.shape[1], c.shape[1]), v.dtype)
            rows = range(max(cut, first) - first, min(cut + KC - first, len(v)))
            if not rows:
                continue
            for row in rows:
                chain = fma(v[row, :, None], c[row, None, :], chain)
            inside = chain if inside is None else inside + chain
        if inside is not None:
            total = inside if total is None else total + inside
    assert total is not None
    return total


def orthogonal(rows: int, columns: int, gain: float, dtype: str, seed: int, call: int) -> Array:
    """The rows by columns matrix."""
    m, n = max(rows, columns), min(rows, columns)
    kind, fma = np.dtype(dtype).type, FMA[dtype]
    elements = np.arange(m * n, dtype=np.uint64)
    normals = philox.SAMPLERS["normal"](
        elements, 0.0, 1.0, philox.DTYPES[dtype], seed, call
    ).reshape(m, n)
    v, d = reflectors(normals)
    c = np.eye(m, n, dtype=dtype)
    for first in reversed(range(0, n, B)):
        block = v[first:, first : first + B]
        u = products(block, block, first)
        y = products(block, c[first:], first)
        sums = np.zeros_like(y)
        for k in reversed(range(len(y))):
            y[k] = y[k] - sums[k]
            sums[:k] = fma(u[:k, k, None], y[None, k], sums[:k])
        taken = np.zeros_like(c[first:])
        for k in range(len(y)):
            taken = fma(block[:, k, None], y[None, k], taken)
        c[first:] = c[first:] - taken
    q = c * (d * kind(gain))
    return q if rows >= columns else np.ascontiguousarray(q.T)


class Golden(NamedTuple):
    """A row of tests/vectors/orthogonal.txt."""

    rows: int
    columns: int
    dtype: str
    sha256: str


# Blocks', chunks' and cuts' edges, from both sides; square, tall, wide, thin.
SHAPES = [
    *[(1, 1), (2, 1), (1, 5), (3, 2), (17, 16), (64, 64), (95, 95), (96, 96), (97, 97), (191, 97)],
    *[(193, 192), (100, 194), (255, 257), (256, 97), (9, 257), (1023, 10), (1024, 3), (1025, 97)],
    *[(1100, 1), (2100, 20)],
]
GAIN, SEED, CALL = 1.1, 0x0123_4567_89AB_CDEF, 7
TABLE = philox.VECTORS / "orthogonal.txt"


def digest(q: Array) -> str:
    return hashlib.sha256(np.ascontiguousarray(q).tobytes()).hexdigest()


def golden_lines(shapes: list[tuple[int, int]]) -> Iterator[str]:
    for rows, columns in shapes:
        for dtype in FMA:
            q = orthogonal(rows, columns, GAIN, dtype, SEED, CALL)
            yield f"{rows} {columns} {dtype} {digest(q)}"


def read_golden() -> list[Golden]:
    lines = TABLE.read_text().splitlines()
    fields = [line.split() for line in lines if line and not line.startswith("#")]
    return [Golden(int(m), int(n), dtype, sha256) for m, n, dtype, sha256 in fields]


HEADER = f"""\
# SHA-256 of orthogonal matrices of the native stream, by tests/python/reference_orthogonal.py.
# Seed {SEED:#x}, call {CALL}, gain {GAIN}; C order, little-endian.
# rows columns dtype sha256"""

if __name__ == "__main__":
    print(HEADER)
    for line in golden_lines(SHAPES):
        print(line)
