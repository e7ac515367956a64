"""Orthogonal: properties over drawn shapes, dtypes, gains, seeds and parts."""

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import numpy as np
from seedbed import initializers, random

SEEDS = st.integers(0, 2**64 - 1)
DTYPES = st.sampled_from(["float32", "float64"])
SIDES = st.integers(1, 60)
SHORT = st.integers(1, 16)


def deviation(q: np.ndarray) -> float:
    """The largest entry of |Q^T Q - I|, Q tall, its sums in extended precision."""
    q = (q if q.shape[0] >= q.shape[1] else q.T).astype(np.longdouble)
    return float(np.abs(q.T @ q - np.eye(q.shape[1])).max())


@settings(deadline=None)
@given(rows=SIDES, columns=SHORT, wide=st.booleans(), dtype=DTYPES, seed=SEEDS)
def test_orthonormal(rows: int, columns: int, wide: bool, dtype: str, seed: int) -> None:
    """Of one block, n <= 96, Q = C - V Y with C the identity's columns. With u = eps/2:

    - If |v|^2 = 2 (1 + d), then H^T H = I + 2 d v v^T. Column l starts as e_l at reflector l,
      where (v^T e_l)^2 = v_0^2 <= 2: 4 |d|. At the others (v^T c)^2 is 2/m on average and the d are
      independent: nothing beside that. V's entries are known to more than their precision and
      rounded once: |d| <= 2 u.
    - float64 only: if the sum of squares is wrong by a factor 1 + e, so is |v|^2 by at most e/2. It
      is a chain of up to 64 growing terms, whose roundings add up to lambda u sqrt(min(m, 64)) / 3
      in the sense below; with 4 |d| that is 0.5 sqrt(min(m, 64)) eps.
    - Entries of Y and of V Y are chains of at most n terms, whose independent roundings of mean 0
      add up to lambda u sqrt(n), with a probability of more that falls as exp(-lambda^2 / 2) (N.
      Higham and T. Mary, SIAM J. Sci. Comput. 41 (2019) A2815). Q^T Q has them once for each of
      two columns, weighted by entries of unit columns. With lambda = 1.5: 1.5 sqrt(n) eps.

    For float32 and n <= 16 that is at most 10 eps.
    """
    shape = (columns, rows) if wide else (rows, columns)
    q = initializers.Orthogonal(seed=seed)(shape, dtype=dtype)
    bound = 4 + 1.5 * math.sqrt(min(shape))
    assert bound <= 10 or min(shape) > 16
    if dtype == "float64":
        bound += 0.5 * math.sqrt(min(max(shape), 64))
    assert deviation(q) <= bound * np.finfo(dtype).eps


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n", [2, 3, 8, 13, 16])
def test_small_ones_are_within_ten_eps(n: int, dtype: str) -> None:
    """What docs/streams.md tells of more matrices than a test has time for."""
    initializer = initializers.Orthogonal(seed=random.SeedGenerator(1))
    worst = max(deviation(initializer((n, n), dtype=dtype)) for _ in range(400))
    assert worst <= 10 * np.finfo(dtype).eps


@settings(deadline=None)
@given(rows=SIDES, columns=SIDES, dtype=DTYPES, seed=SEEDS)
def test_transposed(rows: int, columns: int, dtype: str, seed: int) -> None:
    """The wide matrix is the tall one of the same seed, transposed."""
    initializer = initializers.Orthogonal(seed=seed)
    wide, tall = sorted([(rows, columns), (columns, rows)])
    if wide != tall:
        expected = initializer(tall, dtype=dtype).T
        np.testing.assert_array_equal(initializer(wide, dtype=dtype), expected)


@settings(deadline=None)
@given(
    rows=SIDES,
    columns=SIDES,
    gain=st.floats(-1e30, 1e30),
    power=st.integers(-20, 20),
    dtype=DTYPES,
    seed=SEEDS,
)
def test_gain(rows: int, columns: int, gain: float, power: int, dtype: str, seed: int) -> None:
    """Entries of the matrix of gain 1, times the gain in the compute type, rounded once; so powers
    of two scale exactly, and signs turn exactly."""
    unit = initializers.Orthogonal(seed=seed)((rows, columns), dtype=dtype)
    factor = np.dtype(dtype).type(gain)
    scaled = initializers.Orthogonal(gain=gain, seed=seed)((rows, columns), dtype=dtype)
    np.testing.assert_array_equal(scaled, unit * factor)
    scaled = initializers.Orthogonal(gain=-(2.0**power), seed=seed)((rows, columns), dtype=dtype)
    np.testing.assert_array_equal(scaled, np.ldexp(-unit, power))


@st.composite
def parts(draw: st.DrawFn) -> tuple[tuple[int, ...], tuple[slice, ...]]:
    """A shape of rank 2 to 4 and a slice of each dimension."""
    shape = tuple(draw(st.lists(st.integers(1, 12), min_size=2, max_size=4)))
    return shape, tuple(draw(st.slices(length)) for length in shape)


@settings(deadline=None)
@given(
    part=parts(),
    dtype=st.sampled_from(["float16", "bfloat16", "float32", "float64", "float8_e5m2"]),
    stream=st.sampled_from(["philox", "numpy"]),
    seed=st.integers(0, 2**32 - 1),
)
def test_index_is_a_slice_of_the_whole(part: Any, dtype: str, stream: str, seed: int) -> None:
    shape, index = part
    if stream == "numpy" and dtype not in ("float32", "float64"):
        dtype = "float32"  # Keras on NumPy refuses some of the others
    initializer = initializers.Orthogonal(seed=seed, stream=stream)
    whole = initializer(shape, dtype=dtype)
    np.testing.assert_array_equal(initializer(shape, dtype=dtype, index=index), whole[index])
