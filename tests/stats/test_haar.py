"""Orthogonal matrices against Haar's measure.

Exact under it, for an m by m matrix Q (Diaconis and Shahshahani, J. Appl. Probab. 31A (1994) 49;
Collins and Sniady, Commun. Math. Phys. 264 (2006) 773):

- entries have mean 0, variance 1/m and fourth moment 3 / (m (m + 2));
- q11^2 q22^2 has the mean (m + 1) / (m (m - 1) (m + 2)), q11 q12 q21 q22 -1 / (m (m - 1) (m + 2));
- a column is uniform on the sphere: q^2 is Beta(1/2, (m - 1)/2) distributed;
- tr Q^j has the mean 1 for even j and 0 for odd j, and the variance j, for j up to m/2; traces of
  large matrices are normal but for what no sample shows;
- either sign of the determinant is as likely.

The first n columns of Q, of which tall and wide tensors are made, keep what concerns entries.
Power: 20000 matrices of 8 by 8 (the short form) find an entry's mean off by 0.045, and 200000 (the
long one) by 0.014 of its standard deviation, more often than not.
"""

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from scipy import special, stats

import bad_generators as bad
import seedbed
from laws import SEED
from sizes import SIZES
from verdict import Result, chi_square, corrected, standard

# Matrices at a time: some megabytes.
VALUES_AT_ONCE = 1 << 18

# Makes so many matrices; the second number is how many were made before.
Maker = Callable[[int, int], np.ndarray]


def made(shape: tuple[int, int], dtype: str) -> Maker:
    """seedbed's matrices: one call after the other of one generator of seeds."""
    seed = seedbed.random.SeedGenerator(seedbed.random.fold_in(SEED, "haar", *shape, dtype))
    initializer = seedbed.initializers.Orthogonal(seed=seed, stream="philox")

    def make(count: int, _: int) -> np.ndarray:
        return np.stack([initializer(shape, dtype) for _ in range(count)]).astype(np.float64)

    return make


class Moments:
    """Means of functions of matrices that should be 0, over many matrices.

    A name is that of an array whose first axis is matrices. Its variance is known, or else it is
    estimated from the sample.
    """

    def __init__(self, variances: dict[str, float]) -> None:
        self.variances = variances
        self.sums: dict[str, np.ndarray] = {}
        self.squares: dict[str, np.ndarray] = {}
        self.count = 0

    def add(self, values: dict[str, np.ndarray]) -> None:
        for name, x in values.items():
            self.sums[name] = self.sums.get(name, 0.0) + x.sum(axis=0)
            self.squares[name] = self.squares.get(name, 0.0) + (x**2).sum(axis=0)
        self.count += len(x)

    def parts(self) -> Iterator[tuple[str, float]]:
        for name, total in self.sums.items():
            variance = self.variances.get(name, self.squares[name] / self.count)
            yield standard(total / np.sqrt(variance * self.count), name)


# Below this many matrices, means of skewed numbers are not normal enough at the level.
MANY = 10_000
CELLS = 64
TRACES = (1, 2, 3)


def haar(shape: tuple[int, int], maker: Maker, count: int) -> Result:
    """All of the above for matrices of one shape."""
    rows, columns = shape
    m = max(shape)
    traces = {f"tr Q^{j}": float(j) for j in TRACES}
    moments = Moments({"entries": 1 / m, "signs of entries": 1.0, "det Q": 1.0} | traces)
    corners = [(0, 0), (0, columns - 1), (rows - 1, 0), (rows - 1, columns - 1)]
    counts = np.zeros((len(corners), CELLS), np.int64)
    at_once = max(1, VALUES_AT_ONCE // (rows * columns))
    for first in range(0, count, at_once):
        q = maker(min(at_once, count - first), first)
        values = {
            "entries": q,
            "signs of entries": np.sign(q),
            "sum of fourth powers": (q**4).sum(axis=(1, 2)) - 3 * q[0].size / (m * (m + 2)),
        }
        if count >= MANY:
            corner = q[:, :2, :2]
            both = corner[:, 0, 0] ** 2 * corner[:, 1, 1] ** 2
            values |= {
                "squares of entries": q**2 - 1 / m,
                "q11^2 q22^2": both - (m + 1) / (m * (m - 1) * (m + 2)),
                "q11 q12 q21 q22": corner.reshape(-1, 4).prod(axis=1) + 1 / (m * (m - 1) * (m + 2)),
            }
        if rows == columns:
            power = q
            for j in TRACES:
                values[f"tr Q^{j}"] = np.trace(power, axis1=1, axis2=2) - (1 - j % 2)
                power = power @ q
            values["det Q"] = np.sign(np.linalg.det(q))
        moments.add(values)
        for row, (i, j) in zip(counts, corners, strict=True):
            u = special.betainc(0.5, (m - 1) / 2, np.minimum(q[:, i, j] ** 2, 1.0))
            u = (1 + np.sign(q[:, i, j]) * u) / 2
            row += np.bincount(np.minimum((u * CELLS).astype(int), CELLS - 1), minlength=CELLS)
    told = f"{count} matrices, "
    parts = [(told + name, p) for name, p in moments.parts()]
    if rows == columns:
        for name, variance in traces.items():
            # Variances of traces, which are all but normal.
            statistic = float(moments.squares[name]) / variance
            p = 2 * min(stats.chi2.sf(statistic, count), stats.chi2.cdf(statistic, count))
            parts.append((f"{told}variance of {name} {statistic / count:.4f}", min(p, 1.0)))
    if count >= MANY:
        expected = np.full(CELLS, count / CELLS)
        for row, (i, j) in zip(counts, corners, strict=True):
            parts.append(chi_square(row, expected, f"{told}q[{i},{j}] "))
    return corrected(parts)


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        ((8, 8), "float32"),
        ((8, 8), "float64"),
        ((16, 4), "float32"),
        ((3, 12), "float32"),
    ],
)
def test_small(judge, shape: tuple[int, int], dtype: str) -> None:
    judge(f"Orthogonal {shape} {dtype}", haar(shape, made(shape, dtype), SIZES.matrices))


def test_large(judge) -> None:
    """Two blocks of reflectors."""
    shape = (128, 128)
    result = haar(shape, made(shape, "float32"), SIZES.large_matrices)
    judge(f"Orthogonal {shape} float32", result)


@pytest.mark.parametrize("shape", [(8, 8), (16, 4)])
def test_plain_qr_control(judge_control, shape: tuple[int, int]) -> None:
    def maker(count: int, first: int) -> np.ndarray:
        return bad.plain_qr(*shape, count, SEED + first)

    judge_control(f"plain QR {shape}", haar(shape, maker, SIZES.matrices))


def test_rotations_control(judge_control) -> None:
    """Rotations only: uniform but for the sign of the determinant."""
    orthogonal = made((8, 8), "float64")

    def maker(count: int, first: int) -> np.ndarray:
        q = orthogonal(count, first)
        q[:, 0] *= np.sign(np.linalg.det(q))[:, None]
        return q

    judge_control("rotations only (8, 8)", haar((8, 8), maker, SIZES.matrices))
