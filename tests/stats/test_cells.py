"""Draws counted in cells whose probabilities are known: chi-square.

Power: with K cells and n draws a relative deviation of the cells' probabilities of rms d raises
chi-square's mean by n*d^2, and is found more often than not where that exceeds
4.75 * sqrt(2 K), the distance from the mean to the level's threshold. So 2^16 cells find
d = 0.94 % in the short form's 2e7 draws, 0.30 % in the long form's 2e8 and 0.13 % in 1e9.
"""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import bad_generators as bad
import reference_philox as reference
from laws import LAWS, SEED, Law, Source, chunks, drawn
from sizes import FORM, SIZES
from verdict import Result, chi_square, corrected

CELLS = 1 << 16
NARROW = ["float16", "bfloat16", "float8_e4m3fn", "float8_e5m2"]
# The sampler with the fewest bits to spare.
COARSE = ("two_sigma", "float32")


# --- 2^16 equiprobable cells ---------------------------------------------------------------------


def cell_of(law: Law, values: np.ndarray) -> np.ndarray:
    """The cells of values, 0 .. CELLS - 1."""
    cells = (law.cdf(values.astype(np.float64)) * CELLS).astype(np.int64)
    return np.minimum(cells, CELLS - 1)


def cell_probabilities(law: Law, dtype: str) -> np.ndarray:
    """What the cells hold of a sampler whose float32 values are rounded to nearest.

    A float32 has the probability of the reals that round to it, so a cell begins half a step
    before its first number. A uniform float32 is not rounded, and float64's steps do not show.
    """
    if law.name == "uniform" or dtype == "float64":
        return np.full(CELLS, 1 / CELLS)
    level = np.arange(1, CELLS)
    first = law.quantile(level / CELLS).astype(np.float32)
    # The first number of each cell by the function that sorts values into cells.
    for _ in range(2):
        first = np.where(cell_of(law, first) < level, np.nextafter(first, np.float32(9)), first)
    for _ in range(2):
        previous = np.nextafter(first, np.float32(-9))
        first = np.where(cell_of(law, previous) >= level, previous, first)
    previous = np.nextafter(first, np.float32(-9)).astype(np.float64)
    return np.diff(law.cdf((previous + first) / 2), prepend=0.0, append=1.0)


def cells(law: Law, dtype: str, source: Source, count: int) -> Result:
    counts = np.zeros(CELLS, np.int64)
    for values in chunks(source, count):
        counts += np.bincount(cell_of(law, values), minlength=CELLS)
    expected = cell_probabilities(law, dtype) * count
    return corrected([chi_square(counts, expected, f"{count:.0e} draws, ")])


@pytest.mark.parametrize("name", LAWS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_equiprobable_cells(judge, name: str, dtype: str) -> None:
    law = LAWS[name]
    # A value by rejection costs several.
    count = SIZES.cells // 4 if name == "interval" else SIZES.cells
    if (name, dtype) == COARSE:
        count = SIZES.cells_two_sigma_f32
    judge(f"{name} {dtype}, cells", cells(law, dtype, drawn(law, dtype), count))


def test_short_period_control(judge_control) -> None:
    """Its cells are all equally full, which chance does not do."""
    judge_control("LCG of 16 bits, cells", cells(LAWS["uniform"], "float64", bad.lcg16(), 2**24))


def test_sum_of_twelve_control(judge_control) -> None:
    result = cells(LAWS["normal"], "float32", bad.sum_of_twelve, SIZES.cells)
    judge_control("normal as a sum of 12 uniform, cells", result)


def test_clipped_control(judge_control) -> None:
    result = cells(LAWS["two_sigma"], "float64", bad.clipped, SIZES.cells // 4)
    judge_control("truncated normal by clipping, cells", result)


@pytest.mark.skipif(FORM != "long", reason="takes 2e9 draws")
def test_cancelling_control(judge_control) -> None:
    def source(first: int, count: int) -> np.ndarray:
        return bad.cancelling_two_sigma(bad.words(first, count))

    # Twice the draws of the row it is the control of, where it is found in half the cases only.
    result = cells(LAWS["two_sigma"], "float32", source, 2 * SIZES.cells_two_sigma_f32)
    judge_control("truncated normal by 1 - t*t, cells", result)


# --- Distinct values -----------------------------------------------------------------------------

DISTINCT_DRAWS = 200_000_000


def distinct(source: Source) -> Result:
    """Distinct float32 in [1, 2): what is missing of those that correct rounding would show."""
    law = LAWS["two_sigma"]
    seen = np.zeros(1 << 23, bool)
    for values in chunks(source, DISTINCT_DRAWS):
        seen[values[values >= 1].view(np.uint32) - np.uint32(0x3F800000)] = True
    ends = 1 + (np.arange((1 << 23) + 1) - 0.5) * 2.0**-23
    ideal = float(-np.expm1(-DISTINCT_DRAWS * np.diff(law.cdf(ends))).sum())
    found = int(seen.sum())
    told = f"{found / 1e6:.2f} of {ideal / 1e6:.2f} million in [1, 2)"
    return Result(told, within=found > 6.2e6, level="6.2 million")


@pytest.mark.skipif(FORM != "long", reason="takes 2e8 draws")
def test_distinct_values(judge) -> None:
    judge("two_sigma float32, distinct values", distinct(drawn(LAWS["two_sigma"], "float32")))


@pytest.mark.skipif(FORM != "long", reason="takes 2e8 draws")
def test_distinct_values_control(judge_control) -> None:
    def source(first: int, count: int) -> np.ndarray:
        return bad.cancelling_two_sigma(bad.words(first, count))

    judge_control("truncated normal by 1 - t*t, distinct values", distinct(source))


# --- The numbers of a narrow dtype ---------------------------------------------------------------


def pattern_counts(source: Source, count: int) -> np.ndarray:
    """How often each pattern of bits comes."""
    width = source(0, 1).dtype.itemsize
    counts = np.zeros(1 << (8 * width), np.int64)
    for values in chunks(source, count):
        counts += np.bincount(values.view(f"u{width}"), minlength=len(counts))
    return counts


def narrow_cells(law: Law, dtype: str, patterns: np.ndarray) -> Result:
    """Chi-square over numbers, each with the probability of the reals that round to it.

    A uniform float32 is one of 2^24 and a tie goes to the even number, which 2e8 draws of float16
    show: there it is the probability of those of the 2^24 that round to it, which
    `test_lattices.py` compares with that of the reals.
    The last numbers of the support take what lies beyond. Neighbours that are rare are counted
    together until 1000 are expected.
    """
    kind = reference.DTYPES[dtype]
    width = kind.itemsize
    with np.errstate(all="ignore"):
        reals = np.arange(1 << (8 * width)).astype(f"u{width}").view(kind).astype(np.float64)
    count = int(patterns.sum())
    low, high = law.support(dtype)
    inside = (reals >= low) & (reals <= high)
    outside = int(patterns[~inside].sum())
    # Both zeros are the number 0.
    reals, which = np.unique(reals[inside] + 0.0, return_inverse=True)
    counts = np.bincount(which, weights=patterns[inside])
    below = law.cdf((reals[1:] + reals[:-1]) / 2)
    if law.name == "uniform":
        is_even = reals[:-1].astype(kind).view(f"u{width}") % 2 == 0
        points = below * 2**24
        below = np.where(is_even, np.floor(points) + 1, np.ceil(points)) / 2**24
    shares = np.diff(below, prepend=0.0, append=1.0)
    bins = np.floor(np.cumsum(shares) * count / 1000.0).astype(np.int64)
    # The last numbers join the bin before, which is full.
    bins = np.minimum(bins, bins[-1] - 1)
    expected, observed = (np.bincount(bins, weights=x) for x in (shares * count, counts))
    kept = expected > 0
    # Values outside must not be. For the rest of the statistic they are left out.
    expected, observed = expected[kept] * (1 - outside / count), observed[kept]
    mean = float((reals * counts).sum() / counts.sum() - (reals * shares).sum())
    spread = float(np.sqrt((reals**2 * shares).sum() - (reals * shares).sum() ** 2))
    z = mean / spread * np.sqrt(count)
    told = f"{count:.0e} draws, mean off by {mean:.1g} ({z:.1f} sd), "
    parts = [chi_square(observed, expected, told)]
    if outside:
        parts.append((f"{outside} of {count:.0e} outside of the support", 0.0))
    return corrected(parts)


@pytest.mark.parametrize("dtype", NARROW)
@pytest.mark.parametrize("name", list(LAWS))
def test_narrow_cells(judge, name: str, dtype: str) -> None:
    law = LAWS[name]
    count = SIZES.numbers // 4 if name == "interval" else SIZES.numbers
    patterns = pattern_counts(drawn(law, dtype), count)
    judge(f"{name} {dtype}, numbers", narrow_cells(law, dtype, patterns))


def test_rounded_down_control(judge_control) -> None:
    kind = reference.DTYPES["bfloat16"]

    def source(first: int, count: int) -> np.ndarray:
        u = np.random.default_rng(first).random(count, np.float32)
        return bad.rounded_down(u, kind)

    patterns = pattern_counts(source, SIZES.numbers // 4)
    judge_control(
        "uniform bfloat16 rounded down", narrow_cells(LAWS["uniform"], "bfloat16", patterns)
    )


KERAS_DRAWS = 2_000_000


@pytest.fixture(scope="session")
def keras_on_jax(tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    """Counts of the patterns of Keras' bfloat16 on JAX, which needs a process of its own."""
    if find_spec("jax") is None or find_spec("keras") is None:
        pytest.skip("Keras or JAX is not installed")
    counts = tmp_path_factory.mktemp("keras") / "counts.npz"
    program = Path(__file__).parent / "keras_on_jax.py"
    environment = os.environ | {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    subprocess.run(
        [sys.executable, program, counts, str(SEED), str(KERAS_DRAWS)], check=True, env=environment
    )
    return dict(np.load(counts))


@pytest.mark.parametrize("name", ["uniform", "normal", "two_sigma"])
def test_keras_on_jax_control(judge_control, keras_on_jax, name: str) -> None:
    """It draws bfloat16 from 128 equally spaced values of a uniform bfloat16."""
    result = narrow_cells(LAWS[name], "bfloat16", keras_on_jax[name])
    judge_control(f"Keras on JAX, {name} bfloat16, numbers", result)


# --- Neighbours together -------------------------------------------------------------------------

SIDE = 32


def triples(law: Law, source: Source, count: int) -> Result:
    """Three neighbours at a time, in 32^3 cells of a cube."""
    counts = np.zeros(SIDE**3, np.int64)
    taken = 0
    for values in chunks(source, count):
        at = (law.cdf(values.astype(np.float64)) * SIDE).astype(np.int64)
        at = np.minimum(at[: len(at) // 3 * 3], SIDE - 1).reshape(-1, 3)
        counts += np.bincount(at @ np.array([SIDE**2, SIDE, 1]), minlength=SIDE**3)
        taken += len(at)
    expected = np.full(SIDE**3, taken / SIDE**3)
    return corrected([chi_square(counts, expected, f"{taken:.0e} triples, ")])


@pytest.mark.parametrize(
    ("name", "dtype"), [("uniform", "float32"), ("uniform", "float64"), ("normal", "float32")]
)
def test_triples(judge, name: str, dtype: str) -> None:
    law = LAWS[name]
    judge(f"{name} {dtype}, cube", triples(law, drawn(law, dtype), SIZES.cells))


def test_triples_control(judge_control) -> None:
    judge_control("RANDU, cube", triples(LAWS["uniform"], bad.randu(), SIZES.cells // 4))
