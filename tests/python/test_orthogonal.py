"""Orthogonal: the definition against a NumPy model, invariances, Haar's law, and NumPy's QR."""

import math
from typing import Any

import keras
import ml_dtypes
import pytest
from scipy import stats

import core
import numpy as np
import seedbed
from seedbed import initializers

# Frozen by the definition (docs/streams.md, "Orthogonal").
B, SC, KC, RC = 96, 64, 256, 1024

# Every block and chunk boundary, from both sides; square, tall, wide, thin.
SHAPES = [
    *[(1, 1), (2, 1), (1, 5), (5, 1), (2, 2), (3, 2), (7, 7), (8, 3), (16, 17), (33, 64)],
    *[(95, 95), (96, 96), (97, 97), (96, 200), (191, 191), (192, 130), (193, 193), (255, 130)],
    *[(256, 256), (257, 257), (300, 299), (1023, 5), (1024, 97), (1025, 1), (1030, 97)],
    *[(2100, 200), (200, 2100), (3000, 3), (5000, 96)],
]


def gaussian(rows: int, columns: int, dtype: str, seed: int) -> np.ndarray:
    shape = (max(rows, columns), min(rows, columns))
    return seedbed.random.normal(shape, dtype=dtype, seed=seed)


def by_chunks(v: np.ndarray, c: np.ndarray, first: int) -> np.ndarray:
    """V^T C over rows `first` on, cut at multiples of KC, those added within multiples of RC."""
    total = None
    for chunk in range(first // RC * RC, len(v), RC):
        part = None
        for cut in range(chunk, min(chunk + RC, len(v)), KC):
            rows = slice(max(cut, first), min(cut + KC, len(v)))
            if rows.start < rows.stop:
                product = v[rows].T @ c[rows]
                part = product if part is None else part + product
        if part is not None:
            total = part if total is None else total + part
    assert total is not None
    return total


def reflectors(g: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    m, n = g.shape
    v, signs = np.zeros_like(g), np.ones(n, g.dtype)
    for k in range(n):
        x = g[k:, k].astype(np.float64)
        sign = -1.0 if x[0] < 0 else 1.0
        norm = math.sqrt(math.fsum((x * x).tolist()))
        if norm == 0 or k + 1 == m:
            signs[k] = sign
            continue
        signs[k] = -sign
        factor = 1 / math.sqrt(norm * (norm + abs(x[0])))
        v[k:, k] = x * factor
        v[k, k] = sign * (norm + abs(x[0])) * factor
    return v, signs


def model(g: np.ndarray) -> np.ndarray:
    """The definition, in g's precision; the order within a sum of KC rows is BLAS's own."""
    m, n = g.shape
    v, signs = reflectors(g)
    q = np.eye(m, n, dtype=g.dtype)
    for first in range((n - 1) // B * B, -1, -B):
        block = v[:, first : first + B]
        u = np.triu(by_chunks(block, block, first), 1) + np.eye(block.shape[1], dtype=g.dtype)
        w = by_chunks(block, q[:, first:], first)
        y = np.zeros_like(w)
        for i in reversed(range(len(w))):
            y[i] = w[i] - u[i, i + 1 :] @ y[i + 1 :]
        q[first:, first:] -= block[first:] @ y
    return q * signs


def tall(q: np.ndarray) -> np.ndarray:
    return q if q.shape[0] >= q.shape[1] else q.T


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_follows_the_definition_and_is_orthonormal(shape: tuple[int, int], dtype: str) -> None:
    """Model and result differ in the order within sums of at most KC terms of unit vectors: some
    roundings of entries below one. |Q^T Q - I| <= 10 eps is what
    docs/streams.md tells of."""
    eps = np.finfo(dtype).eps
    q = tall(initializers.Orthogonal(seed=11)(shape, dtype=dtype))
    assert np.abs(q - model(gaussian(*shape, dtype, 11))).max() <= 10 * eps
    gram = (
        q.T.astype(np.longdouble) @ q.astype(np.longdouble)
        if q.size < 10**4
        else q.T.astype(np.float64) @ q.astype(np.float64)
    )
    assert np.abs(gram - np.eye(len(gram))).max() <= 10 * eps


@pytest.mark.parametrize("shape", [(3, 3, 8, 40), (40, 3, 3), (2, 5, 4), (1, 1, 1)], ids=str)
def test_leading_dimensions_are_rows(shape: tuple[int, ...]) -> None:
    flat = initializers.Orthogonal(gain=2.0, seed=1)((math.prod(shape[:-1]), shape[-1]))
    deep = initializers.Orthogonal(gain=2.0, seed=1)(shape)
    np.testing.assert_array_equal(deep, flat.reshape(shape))


def test_wide_is_tall_transposed_and_gain_multiplies() -> None:
    unit = initializers.Orthogonal(seed=4)((150, 70))
    np.testing.assert_array_equal(initializers.Orthogonal(seed=4)((70, 150)), unit.T)
    for gain in (2.0, -0.5, 0.0):  # powers of two scale exactly
        scaled = initializers.Orthogonal(gain=gain, seed=4)((150, 70))
        np.testing.assert_array_equal(scaled, np.float32(gain) * unit)
    scaled = initializers.Orthogonal(gain=1.1, seed=4)((150, 70))
    np.testing.assert_array_equal(scaled, np.float32(1.1) * unit)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float8_e4m3fn", "float8_e5m2"])
def test_small_floats_are_float32_rounded_once(dtype: str) -> None:
    single = initializers.Orthogonal(gain=3.0, seed=2)((200, 110))
    small = initializers.Orthogonal(gain=3.0, seed=2)((200, 110), dtype=dtype)
    assert small.dtype.name == dtype
    expected = single.astype(getattr(ml_dtypes, dtype, dtype))
    np.testing.assert_array_equal(small.view(np.uint8), expected.view(np.uint8))


@pytest.mark.parametrize("shape", [(0, 4), (4, 0), (3, 0, 2), (0, 0)], ids=str)
def test_empty(shape: tuple[int, ...]) -> None:
    assert initializers.Orthogonal(seed=1)(shape).shape == shape


def test_index_is_the_slice_of_the_whole_and_out_may_be_strided() -> None:
    whole = initializers.Orthogonal(seed=3)((4, 30, 50))
    index = (slice(3, 0, -2), Ellipsis, slice(1, 40, 3))
    part = initializers.Orthogonal(seed=3)((4, 30, 50), index=index)
    np.testing.assert_array_equal(part, whole[index])
    for target in (
        np.empty((50, 30, 4), np.float32).T,
        np.empty((8, 60, 50), np.float32)[::2, ::-2],
    ):
        assert initializers.Orthogonal(seed=3)((4, 30, 50), out=target) is target
        np.testing.assert_array_equal(target, whole)
    square = np.empty((100, 200), np.float32)[:, ::2]
    initializers.Orthogonal(seed=3)((100, 100), out=square)
    np.testing.assert_array_equal(square, initializers.Orthogonal(seed=3)((100, 100)))


# Haar's law. Fixed seeds, one run; each test is at level 1e-5, and there are about 60.
LEVEL = 1e-5


def draws(rows: int, columns: int, count: int) -> np.ndarray:
    out = np.empty((count, rows, columns), np.float32)
    for seed, q in enumerate(out):
        core.fill_orthogonal((rows, columns), 1.0, "float32", seed, 1, "philox", None, q)
    return out.astype(np.float64)


def off_mean(x: np.ndarray, mean: float) -> float:
    """Two-sided p-value of a mean, by the normal approximation."""
    z = abs(x.mean() - mean) / (x.std(ddof=1) / math.sqrt(len(x)))
    return float(2 * stats.norm.sf(z))


@pytest.mark.parametrize("n", [2, 3, 4, 6])
def test_square_matrices_are_haar(n: int) -> None:
    count = 20_000
    q = draws(n, n, count)
    positive = int((np.linalg.det(q) > 0).sum())
    assert stats.binomtest(positive, count).pvalue > LEVEL
    entry = stats.beta(0.5, (n - 1) / 2).cdf  # of a squared coordinate of a uniform unit vector
    for i, k in [(0, 0), (n - 1, 0), (0, n - 1), (n - 1, n - 1), (n // 2, n - 1)]:
        assert stats.kstest(q[:, i, k] ** 2, entry).pvalue > LEVEL, (i, k)
        assert off_mean(np.sign(q[:, i, k]), 0) > LEVEL
    # E tr^2k = (2k-1)!! for n >= k (Diaconis and Shahshahani 1994).
    trace = np.trace(q, axis1=1, axis2=2)
    assert off_mean(trace, 0) > LEVEL
    assert off_mean(trace**2, 1) > LEVEL
    assert off_mean(trace**4, 3) > LEVEL
    assert off_mean(np.trace(q @ q, axis1=1, axis2=2), 1) > LEVEL
    mixed = q[:, 0, 0] * q[:, 1, 1] * q[:, 0, 1] * q[:, 1, 0]
    assert off_mean(mixed, -1 / ((n - 1) * n * (n + 2))) > LEVEL


@pytest.mark.parametrize("n", [3, 6])
def test_eigenvalue_angles_are_those_of_scipy(n: int) -> None:
    count = 4000
    rng = np.random.default_rng(5)
    reference = stats.ortho_group.rvs(n, size=count, random_state=rng)

    def angles(q: np.ndarray) -> np.ndarray:
        chosen = rng.integers(0, n, count)  # one of each: those of one matrix repel each other
        return np.abs(np.angle(np.linalg.eigvals(q)))[np.arange(count), chosen].round(5)

    assert stats.ks_2samp(angles(draws(n, n, count)), angles(reference)).pvalue > LEVEL
    # The tests have power: QR without the signs is not Haar, and is seen.
    unsigned = np.linalg.qr(rng.normal(size=(count, n, n)))[0]
    trace = np.trace(unsigned, axis1=1, axis2=2)
    assert off_mean(trace, 0) < LEVEL


@pytest.mark.parametrize(("m", "n"), [(50, 3), (130, 100)])
def test_tall_matrices_have_uniform_columns(m: int, n: int) -> None:
    q = draws(m, n, 1500 if n < 10 else 400)
    entry = stats.beta(0.5, (m - 1) / 2).cdf
    for i, k in [(0, 0), (m - 1, 0), (m - 1, n - 1), (n - 1, n - 1)]:
        assert stats.kstest(q[:, i, k] ** 2, entry).pvalue > LEVEL
    assert off_mean(q[:, 0, 0] * q[:, 1, 1], 0) > LEVEL


EXACT = [(1, 1), (5, 1), (1, 7), (3, 3, 4, 20), (96, 96), (97, 130), (300, 200), (1100, 30)]


@pytest.mark.parametrize("shape", EXACT, ids=str)
def test_numpy_stream_is_keras_on_numpy(shape: tuple[int, ...]) -> None:
    """Both compute in float64 and round to float32; a value near a midpoint may round otherwise."""
    arguments: dict[str, Any] = {"gain": 1.3, "seed": 12}
    expected = keras.initializers.Orthogonal(**arguments)(shape, dtype="float32")
    q = initializers.Orthogonal(**arguments, stream="numpy")(shape, dtype="float32")
    np.testing.assert_array_max_ulp(q, np.asarray(expected), maxulp=1)
    np.testing.assert_array_equal(
        initializers.Orthogonal(**arguments, stream="numpy")(shape, dtype="float64"), q
    )
