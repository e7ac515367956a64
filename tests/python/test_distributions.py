"""Distribution tests of the native stream at sizes where they have power.

Seeds are fixed, so each test passes or fails for good. Each comparison rejects at significance
LEVEL; there are some hundreds, so a right stream would fail with probability below 1e-3. Then
DRAWS values show a distance of 9e-4 between distribution functions (Kolmogorov-Smirnov) and of
1.6e-3 standard deviations in a mean, FEWER values a correlation of 2.5e-3. What no sample could
show, the ends of the supports, is checked on every word or at the ends of the lattice.
"""

import functools
import math
from typing import Any

import pytest
from scipy import special, stats

import core
import numpy as np
import reference_philox as reference

LEVEL = 1e-6
DRAWS = 10_000_000
# For what looks at values together, and costs more of each.
FEWER = 4_000_000
# Two-sided threshold of a standard normal statistic at LEVEL: 4.89.
FARTHEST_Z = float(special.ndtri(1 - LEVEL / 2))

# Rejection draws several normals a value, from tested words: FEWER are enough.
UNIT: dict[str, tuple[float, ...]] = {
    "uniform": (0.0, 1.0),
    "normal": (0.0, 1.0),
    "two_sigma": (0.0, 1.0, -2.0, 2.0),
    "interval": (0.0, 1.0, -0.5, 3.0),
}


@functools.lru_cache(maxsize=3)
def draw(sampler: str, dtype: str, seed: int = 20_240_229, call: int = 0) -> Any:
    """Values of a sampler with unit parameters, read-only."""
    name = sampler if sampler in ("uniform", "normal") else "truncated_normal"
    fill = getattr(core, f"fill_{name}")
    count = FEWER if sampler == "interval" else DRAWS
    values = fill((count,), *UNIT[sampler], dtype, seed, call, "philox")
    values.setflags(write=False)
    return values


def cdf(sampler: str, x: np.ndarray) -> np.ndarray:
    """The distribution function."""
    if sampler == "uniform":
        return np.clip(x, 0.0, 1.0)
    if sampler == "normal":
        return special.ndtr(x)
    low, high = special.ndtr(UNIT[sampler][2:])
    return np.clip((special.ndtr(x) - low) / (high - low), 0.0, 1.0)


def assert_likely(p: float, what: str) -> None:
    assert p > LEVEL, f"{what}: p = {p:.3g}"


def assert_standard(z: float, what: str) -> None:
    assert abs(z) < FARTHEST_Z, f"{what}: {z:.2f} standard deviations"


# --- One value at a time -------------------------------------------------------------------------


@pytest.mark.parametrize("sampler", list(UNIT))
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_values_follow_the_distribution_function(sampler: str, dtype: str) -> None:
    """Kolmogorov-Smirnov, and chi-square over 1000 equally probable intervals."""
    at = cdf(sampler, np.sort(draw(sampler, dtype)).astype(np.float64))
    count = len(at)
    steps = np.arange(count + 1) / count
    distance = max((steps[1:] - at).max(), (at - steps[:-1]).max())
    # Limiting distribution; its error at this size is far below any p of interest.
    assert_likely(float(special.kolmogorov(math.sqrt(count) * distance)), "Kolmogorov-Smirnov")
    edges = np.searchsorted(at, np.arange(1, 1000) / 1000)
    counts = np.diff(edges, prepend=0, append=count)
    assert_likely(stats.chisquare(counts).pvalue, "chi-square")


@pytest.mark.parametrize("sampler", list(UNIT))
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float8_e4m3fn", "float8_e5m2"])
def test_narrow_values_have_the_probabilities_of_rounding(sampler: str, dtype: str) -> None:
    """Chi-square over the numbers of the dtype.

    A number's probability is that of the reals that round to it, the ends of the support taking
    what lies outside. Rare numbers next to each other are counted together until 1000 are
    expected: float32's lattice of 2^24 steps, seen near 0, is then below the noise.
    """
    values = draw(sampler, dtype)
    width = values.dtype.itemsize
    patterns = np.bincount(values.view(f"u{width}"), minlength=1 << (8 * width))
    numbers = np.arange(1 << (8 * width)).astype(f"u{width}").view(values.dtype)
    with np.errstate(all="ignore"):
        reals = numbers.astype(np.float64)
    finite = np.isfinite(reals)
    assert patterns[~finite].sum() == 0
    # Both zeros are the number 0.
    reals, inverse = np.unique(reals[finite] + 0.0, return_inverse=True)
    counts = np.bincount(inverse, weights=patterns[finite])
    low, high = support(sampler, dtype)
    inside = (reals >= low) & (reals <= high)
    assert counts[~inside].sum() == 0
    reals, counts = reals[inside], counts[inside]
    below = np.concatenate([[0.0], cdf(sampler, (reals[1:] + reals[:-1]) / 2), [1.0]])
    bins = np.floor(np.cumsum(np.diff(below)) * len(values) / 1000.0).astype(int)
    # The last numbers join the bin before, which is full.
    bins = np.minimum(bins, bins[-1] - 1)
    expected = np.bincount(bins, weights=np.diff(below) * len(values))
    observed = np.bincount(bins, weights=counts)
    kept = expected > 0
    assert kept.sum() >= 10
    scale = observed[kept].sum() / expected[kept].sum()
    assert_likely(stats.chisquare(observed[kept], expected[kept] * scale).pvalue, "chi-square")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("sampler", list(UNIT))
def test_moments(sampler: str, dtype: str) -> None:
    """The first four moments about 0."""
    values = draw(sampler, dtype).astype(np.float64)
    expected = raw_moments(sampler)
    power = np.ones_like(values)
    for order in range(1, 5):
        power *= values
        mean = power.mean()
        variance = expected[2 * order] - expected[order] ** 2
        z = (mean - expected[order]) / math.sqrt(variance / len(values))
        assert_standard(z, f"moment {order}")


def raw_moments(sampler: str) -> list[float]:
    """E x^k for k = 0 .. 8, by numerical integration over the density."""
    ends = {"uniform": (0.0, 1.0), "normal": (-12.0, 12.0)}.get(sampler, UNIT[sampler][-2:])
    nodes, weights = np.polynomial.legendre.leggauss(200)
    x = (ends[1] - ends[0]) / 2 * nodes + (ends[1] + ends[0]) / 2
    density = np.ones_like(x) if sampler == "uniform" else np.exp(-(x**2) / 2)
    weights = weights * density / (weights * density).sum()
    return [float((weights * x**order).sum()) for order in range(9)]


# --- Tails ---------------------------------------------------------------------------------------


def assert_poisson(count: int, expected: float, what: str) -> None:
    p = 2 * min(stats.poisson.cdf(count, expected), stats.poisson.sf(count - 1, expected))
    assert_likely(p, f"{what}: {count} of {expected:.1f} expected")


@pytest.mark.parametrize(("dtype", "calls"), [("float32", 8), ("float64", 3)])
def test_normal_tails(dtype: str, calls: int) -> None:
    """Counts beyond 3 to 5 standard deviations on either side, of 8e7 (3e7) values."""
    limits = (3.0, 3.5, 4.0, 4.5, 5.0)
    counts = np.zeros((2, len(limits)), int)
    for call in range(calls):
        values = core.fill_normal((DRAWS,), 0.0, 1.0, dtype, 99, call, "philox")
        far = values[np.abs(values) > limits[0]]
        assert np.abs(far).max() < (6.67 if dtype == "float32" else 8.5)
        counts += [[(side * far > limit).sum() for limit in limits] for side in (1, -1)]
    for side in (0, 1):
        for limit, count in zip(limits, counts[side], strict=True):
            assert_poisson(int(count), calls * DRAWS * special.ndtr(-limit), f"beyond {limit}")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_truncated_ends(dtype: str) -> None:
    """Counts within 1e-2 to 1e-4 standard deviations of the ends, and no value beyond."""
    values = draw("two_sigma", dtype)
    for side in (1, -1):
        outer = side * values[side * values > 1.9].astype(np.float64)
        assert outer.max() < 2.0
        for gap in (1e-2, 1e-3, 1e-4):
            expected = DRAWS * float(1 - cdf("two_sigma", np.array(2.0 - gap)))
            assert_poisson(int((outer > 2 - gap).sum()), expected, f"within {gap}")


# --- Values together -----------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("sampler", ["uniform", "normal", "two_sigma"])
def test_neighbours_are_uncorrelated(sampler: str, dtype: str) -> None:
    """Correlations at lags 1 to 8 (two blocks), of values and of their squares."""
    values = draw(sampler, dtype)[:FEWER].astype(np.float64)
    for what, x in (("values", values), ("squares", values**2)):
        x = x - x.mean()
        variance = (x @ x) / len(x)
        for lag in range(1, 9):
            z = (x[:-lag] @ x[lag:]) / variance / math.sqrt(len(x) - lag)
            assert_standard(z, f"{what} at lag {lag}")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("sampler", ["uniform", "normal", "two_sigma"])
def test_pairs_fill_the_plane(sampler: str, dtype: str) -> None:
    """Chi-square over 64 x 64 equally probable cells: both members of a Box-Muller pair, and the
    last of one block with the first of the next."""
    values = draw(sampler, dtype)[:FEWER].astype(np.float64)
    cells = (cdf(sampler, values) * 64).astype(np.int64)
    cells = np.minimum(cells, 63)
    per_block = 4 if dtype == "float32" else 2
    for what, first, second in (
        ("pairs", cells[0::2], cells[1::2]),
        ("blocks", cells[per_block - 1 : -1 : per_block], cells[per_block::per_block]),
    ):
        counts = np.bincount(first * 64 + second, minlength=64 * 64)
        assert_likely(stats.chisquare(counts).pvalue, what)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_box_muller_pairs_have_independent_radius_and_angle(dtype: str) -> None:
    """The angle is uniform, the squared radius exponential, and they are uncorrelated."""
    values = draw("normal", dtype)[:FEWER].astype(np.float64)
    cos, sin = values[0::2], values[1::2]
    angle = np.arctan2(sin, cos) / (2 * np.pi) + 0.5
    level = np.exp(-(cos**2 + sin**2) / 2)
    cells = np.minimum((angle * 64).astype(int), 63) * 64 + np.minimum((level * 64).astype(int), 63)
    counts = np.bincount(cells, minlength=64 * 64)
    assert_likely(stats.chisquare(counts).pvalue, "angle and radius")


@pytest.mark.parametrize(
    ("seed", "call"),
    [(20_240_230, 0), (20_240_229, 1), (20_240_229 + 2**32, 0), (20_240_229 + 2**63, 0)],
)
def test_other_seeds_and_calls_are_unrelated(seed: int, call: int) -> None:
    """Keys and counters one bit apart, element by element."""
    one = draw("normal", "float32")[:FEWER].astype(np.float64)
    other = draw("normal", "float32", seed, call)[:FEWER].astype(np.float64)
    assert_standard(float(one @ other) / math.sqrt(FEWER), "correlation")
    assert not (one == other)[:1000].all()


def test_bits_of_uniforms() -> None:
    """Each of the 24 bits is fair, and independent of each other one and of the next value's."""
    words = (draw("uniform", "float32")[:1_000_000] * np.float32(2**24)).astype(np.uint32)
    bits = (words[:, None] >> np.arange(24, dtype=np.uint32)) & np.uint32(1)
    signs = bits.astype(np.float32) * 2 - 1
    count = len(words)
    for bit, total in enumerate(signs.sum(axis=0, dtype=np.float64)):
        assert_standard(total / math.sqrt(count), f"bit {bit}")
    # Sums of +-1 up to 2^22 are exact in float32.
    within = signs.T @ signs
    across = signs[:-1].T @ signs[1:]
    assert (np.diag(within) == count).all()
    np.fill_diagonal(within, 0.0)
    for what, products in (("within", within), ("across", across)):
        assert_standard(float(np.abs(products).max()) / math.sqrt(count), f"pairs of bits {what}")


# --- Supports ------------------------------------------------------------------------------------


def support(sampler: str, dtype: str) -> tuple[float, float]:
    """The first and last number that the dtype has inside the support."""
    numbers = reference.Format.of(reference.DTYPES[dtype])
    if sampler == "uniform":
        return reference.uniform_support(numbers, *UNIT[sampler][:2])
    if sampler == "normal":
        return -numbers.largest, numbers.largest
    mean, stddev, lower, upper = UNIT[sampler]
    return reference.truncated_support(numbers, mean, stddev, lower, upper)


def test_no_word_leads_out_of_two_sigma() -> None:
    """Every upper 24 bits of a word, with the lowest and highest lower bits: before holding,
    values are strictly inside, and they rise with the word."""
    upper = np.arange(2**24, dtype=np.uint32) << np.uint32(8)
    for lower in (0x00, 0xFF):
        values = reference.two_sigma_f32(upper | np.uint32(lower), 0.0, 1.0)
        assert np.abs(values).max() < np.float32(2)
        assert (values != 0).all()
    # As signed integers words ascend through 0 from the middle of the table.
    ascending = np.roll(values, 2**23)
    # Rounding may take back a step or two of the last place.
    assert (np.diff(ascending) > -4 * np.spacing(np.float32(2))).all()


@pytest.mark.parametrize("dtype", list(reference.DTYPES))
@pytest.mark.parametrize(
    ("low", "high"),
    [(0.0, 1.0), (-1.0, 1.0), (0.1, 0.3), (-3e-5, 3e-5), (1.0, 1.0 + 2.0**-20), (250.0, 257.0)],
)
def test_uniforms_stay_below_the_upper_bound(dtype: str, low: float, high: float) -> None:
    """A million values each; where the dtype has a number in [low, high) all are in it."""
    values = core.fill_uniform((1_000_000,), low, high, dtype, 3, 0, "philox").astype(np.float64)
    first, last = reference.uniform_support(reference.Format.of(reference.DTYPES[dtype]), low, high)
    assert first <= values.min()
    assert values.max() <= last
    if first < last:
        assert low <= values.min()
        assert values.max() < high


@pytest.mark.parametrize("dtype", list(reference.DTYPES))
@pytest.mark.parametrize("mean", [0.0, 0.1, -7.0])
@pytest.mark.parametrize("stddev", [0.02, 0.3, 1.0, 100 / 3])
def test_truncated_normals_stay_within_two_sigma(dtype: str, mean: float, stddev: float) -> None:
    """A million values each; the bounds are the exact ones, in float64."""
    for lower, upper in ((-2.0, 2.0), (-1.0, 0.75)):
        count = 1_000_000 if upper == 2.0 else 50_000
        values = core.fill_truncated_normal(
            (count,), mean, stddev, lower, upper, dtype, 3, 0, "philox"
        ).astype(np.float64)
        assert values.min() >= mean + lower * stddev
        assert values.max() <= mean + upper * stddev
        numbers = reference.Format.of(reference.DTYPES[dtype])
        first, last = reference.truncated_support(numbers, mean, stddev, lower, upper)
        assert (values.min() < values.max()) == (first < last)


@pytest.mark.parametrize("dtype", list(reference.DTYPES))
def test_normals_are_finite_however_wide(dtype: str) -> None:
    """Values beyond a narrow dtype's range are held at its largest number."""
    values = core.fill_normal((100_000,), 0.0, 1e5, dtype, 3, 0, "philox").astype(np.float64)
    assert np.isfinite(values).all()
    assert np.abs(values).max() <= reference.Format.of(reference.DTYPES[dtype]).largest
