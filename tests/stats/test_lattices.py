"""The lattices of attainable values, counted out: exact probabilities, not samples.

A float32 sampler is a function of 24 to 32 bits, so the probability of a cell is a number of
words divided by that of all. The words come to the NumPy model of the samplers, which the test
suite holds to the compiled ones bit for bit. Cells end between two float32 numbers, and a value
should have the probability of the reals that round to it: what remains is the sampler's error.

The bound, unless a test says another: deviations would raise the mean of chi-square over the same
cells by less than two of its standard deviations in 10^9 draws (`verdict.enumerated`).
"""

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import pytest

import bad_generators as bad
import reference_philox as reference
from laws import LAWS
from verdict import Result, enumerated

NARROW = ["float16", "bfloat16", "float8_e4m3fn", "float8_e5m2"]
CELLS = 1 << 16
# Points at a time: what is computed from them fits a core's cache.
AT_ONCE = 1 << 16


def count_below(
    values_of: Callable[[np.ndarray], np.ndarray], edges: np.ndarray, end: int, reach: int
) -> np.ndarray:
    """How many of the numbers 0 .. end - 1 lead to a value below each edge.

    Args:
        values_of: The value of a number; it rises, but for steps taken back by rounding.
        edges: In float64.
        end: The numbers there are, a power of two.
        reach: How far from a place where an edge is crossed it may be crossed again. That the
            outer eighths of it agree is checked.
    """
    first = np.zeros(len(edges), np.int64)
    step = end // 2
    while step:
        first += step * (values_of((first + step - 1).astype(np.uint32)) < edges)
        step //= 2
    counts = np.empty(len(edges), np.int64)
    window = np.arange(-reach, reach)
    at_once = max(1, AT_ONCE // len(window))
    for i in range(0, len(edges), at_once):
        numbers = first[i : i + at_once, None] + window
        inside = np.clip(numbers, 0, end - 1)
        below = values_of(inside.astype(np.uint32)) < edges[i : i + at_once, None]
        # Beyond the ends there are no numbers, and those clipped to them are not counted.
        below = np.where(numbers < 0, True, below & (numbers < end))
        margin = reach // 4
        assert below[:, :margin].all(), "an edge is crossed before its window"
        assert not below[:, -margin:].any(), "an edge is crossed after its window"
        counts[i : i + at_once] = first[i : i + at_once] - reach + below.sum(axis=1)
    return counts


def before(edges: np.ndarray) -> np.ndarray:
    """The reals at which rounding to float32 begins to reach these float32 numbers."""
    previous = np.nextafter(edges.astype(np.float32), np.float32(-np.inf)).astype(np.float64)
    return (previous + edges) / 2


# --- Uniform -------------------------------------------------------------------------------------


def positions() -> Iterator[np.ndarray]:
    """All that a uniform float32 can be, as steps from the lower bound."""
    for first in range(0, 1 << 24, AT_ONCE):
        yield np.arange(first, first + AT_ONCE).astype(np.float32)


@pytest.mark.parametrize("bounds", [(0.0, 1.0), (-1.0, 1.0), (-0.05, 0.0625), (3.0, 10.0)])
def test_uniform_cells(judge, bounds: tuple[float, float]) -> None:
    """Cells of 2^-16 hold 256 points of 2^24, give or take one for each of their two ends."""
    low, high = bounds
    slope, first = reference.uniform_line(np.dtype(np.float32), low, high)
    values = ((k * slope + first).astype(np.float64) for k in positions())
    result = evenness((x - low) / (high - low) for x in values)
    judge(f"uniform {bounds} float32, all 2^24", result)


def test_uniform_cells_control(judge_control) -> None:
    result = evenness((k.astype(np.uint32) >> 9 << 9) / 2.0**24 for k in positions())
    judge_control("uniform of 15 bits", result)


def evenness(parts: Iterable[np.ndarray]) -> Result:
    counts = np.zeros(CELLS, np.int64)
    for u in parts:
        assert u.min() >= 0
        assert u.max() < 1
        counts += np.bincount((u * CELLS).astype(np.int64), minlength=CELLS)
    worst = int(np.abs(counts - (1 << 24) // CELLS).max())
    found = f"{CELLS} cells of 256 points, off by {worst} at most"
    return Result(found, within=worst <= 2, level="exact: 2 points")


def numbers_of(dtype: str, low: float, high: float) -> np.ndarray:
    """The finite numbers of a narrow dtype in [low, high], ascending, 0 once."""
    kind = reference.DTYPES[dtype]
    width = kind.itemsize
    with np.errstate(all="ignore"):
        reals = np.arange(1 << (8 * width)).astype(f"u{width}").view(kind).astype(np.float64)
    reals = np.unique(reals[np.isfinite(reals)] + 0.0)
    return reals[(low <= reals) & (reals <= high)]


def narrow_uniform(dtype: str, parts: Iterable[np.ndarray]) -> Result:
    """Each number's share of all 2^24 against that of the reals that round to it.

    One point may go to the neighbour at a tie. The last number may have up to half a neighbour's
    share more, of the reals that would round to the upper bound; the mean is then low by half the
    square of the last spacing.
    """
    numbers = numbers_of(dtype, *LAWS["uniform"].support(dtype))
    counts = np.zeros(len(numbers), np.int64)
    for values in parts:
        counts += np.bincount(
            np.searchsorted(numbers, values.astype(np.float64)), minlength=len(numbers)
        )
    ends = np.concatenate([[0.0], (numbers[1:] + numbers[:-1]) / 2])
    worst = float(np.abs(counts[:-1] - np.diff(ends) * 2**24).max())
    spacing = 1 - numbers[-1]
    last = counts[-1] / (spacing * 2**24)
    bias = float((numbers * counts).sum()) / 2**24 - 0.5
    found = f"{len(numbers)} numbers, off by {worst:.2g} points at most; "
    found += f"the last has {last:.3f} shares, mean off by {bias:.2g}"
    within = worst <= 1 and 0.99 < last < 1.51 and abs(bias) <= spacing**2 / 2 + 2.0**-24
    return Result(found, within=within, level="exact: 1 point")


@pytest.mark.parametrize("dtype", NARROW)
def test_narrow_uniform_numbers(judge, dtype: str) -> None:
    kind = reference.DTYPES[dtype]
    support = reference.uniform_support(reference.Format.of(kind), 0.0, 1.0)
    slope, first = reference.uniform_line(kind, 0.0, 1.0)
    parts = (reference.hold(k * slope + first, support).astype(kind) for k in positions())
    judge(f"uniform {dtype}, all 2^24", narrow_uniform(dtype, parts))


def test_narrow_uniform_control(judge_control) -> None:
    kind = reference.DTYPES["bfloat16"]
    parts = (bad.rounded_down(k * np.float32(2.0**-24), kind) for k in positions())
    judge_control("uniform bfloat16 rounded down", narrow_uniform("bfloat16", parts))


# --- Truncated normal ----------------------------------------------------------------------------


def two_sigma(words: np.ndarray) -> np.ndarray:
    return reference.two_sigma_f32(words, 0.0, 1.0)


def two_sigma_below(kernel: Callable[[np.ndarray], np.ndarray], edges: np.ndarray) -> np.ndarray:
    """Probabilities of values below positive edges: 1/2, and those of 2^30 odd words above."""
    # The lowest bit of a word is not used, and the sampler is odd.
    some = np.arange(1, 1 << 31, 4099, dtype=np.uint32) | np.uint32(1)
    assert (kernel(some) == -kernel(-some)).all()
    assert (kernel(some) == kernel(some - np.uint32(1))).all()
    # 16 units in the last place of a value in [1, 2) are 1040 words.
    counts = count_below(lambda i: kernel(2 * i + np.uint32(1)), edges, 1 << 30, reach=1100)
    return 0.5 + counts / 2.0**31


def two_sigma_cells(kernel: Callable[[np.ndarray], np.ndarray]) -> Result:
    law = LAWS["two_sigma"]
    quantiles = law.quantile(0.5 + np.arange(1, CELLS // 2) / CELLS)
    edges = quantiles.astype(np.float32).astype(np.float64)
    shares = np.diff(two_sigma_below(kernel, edges), prepend=0.5, append=1.0)
    expected = np.diff(law.cdf(before(edges)), prepend=0.5, append=1.0)
    # The other half is its mirror image.
    return enumerated(np.tile(shares, 2), np.tile(expected, 2))


def test_two_sigma_cells(judge) -> None:
    judge("truncated normal float32, exact cells", two_sigma_cells(two_sigma))


def test_two_sigma_cells_control(judge_control) -> None:
    result = two_sigma_cells(bad.cancelling_two_sigma)
    judge_control("truncated normal by 1 - t*t, exact cells", result)


@pytest.mark.parametrize("dtype", NARROW)
def test_narrow_two_sigma_numbers(judge, dtype: str) -> None:
    judge(f"truncated normal {dtype}, exact shares", narrow_two_sigma(dtype, two_sigma))


def test_narrow_two_sigma_control(judge_control) -> None:
    def clipped(words: np.ndarray) -> np.ndarray:
        """Words that lead past 1.99 stay there."""
        return np.clip(two_sigma(words), np.float32(-1.99), np.float32(1.99))

    judge_control("truncated normal bfloat16, clipped", narrow_two_sigma("bfloat16", clipped))


def narrow_two_sigma(dtype: str, kernel: Callable[[np.ndarray], np.ndarray]) -> Result:
    law = LAWS["two_sigma"]
    numbers = numbers_of(dtype, 2.0**-24, law.support(dtype)[1])
    middles = ((numbers[1:] + numbers[:-1]) / 2).astype(np.float32)
    # A tie goes to the number with an even last bit, so it is below the edge if that is the first.
    kind = reference.DTYPES[dtype]
    is_even = numbers[:-1].astype(kind).view(f"u{kind.itemsize}") % 2 == 0
    edges = np.where(is_even, np.nextafter(middles, np.float32(np.inf)), middles)
    edges = edges.astype(np.float64)
    ends = np.concatenate([[0.5], law.cdf(before(edges)), [1.0]])
    # Numbers with less than this are counted with the next: a word has 2^-31.
    kept = [0]
    for i in range(1, len(ends) - 1):
        if ends[i] - ends[kept[-1]] > 2.0**-20 and 1 - ends[i] > 2.0**-20:
            kept.append(i)
    kept.append(len(ends) - 1)
    below = two_sigma_below(kernel, edges[np.array(kept[1:-1]) - 1])
    shares = np.diff(below, prepend=0.5, append=1.0)
    return enumerated(np.tile(shares, 2), np.tile(np.diff(ends[kept]), 2))


# --- Normal --------------------------------------------------------------------------------------


def radius(a: np.ndarray) -> np.ndarray:
    """Box-Muller's radius of words: the cosine at the least angle is 1."""
    return reference.box_muller_f32(a, np.zeros_like(a), 0.0, 1.0)[0]


def radius_cells(radius_of: Callable[[np.ndarray], np.ndarray]) -> Result:
    """2^12 cells, each with 2^12 or more of the 2^24 points that the radius has near 0."""
    cells = 1 << 12
    level = np.arange(1, cells) / cells
    edges = np.sqrt(-2 * np.log1p(-level)).astype(np.float32).astype(np.float64)
    wanted = -np.expm1(-(before(edges) ** 2) / 2)
    # The radius falls with the word: numbers count from the highest word down.
    highest = np.uint32((1 << 31) - 1)
    counts = count_below(
        lambda i: radius_of((highest - i) << np.uint32(1)),
        edges,
        1 << 31,
        reach=1024,
    )
    shares = np.diff(counts / 2.0**31, prepend=0.0, append=1.0)
    return enumerated(shares, np.diff(wanted, prepend=0.0, append=1.0))


def test_radius_cells(judge) -> None:
    judge("normal float32, radius, exact cells", radius_cells(radius))


def test_radius_cells_control(judge_control) -> None:
    def coarse(a: np.ndarray) -> np.ndarray:
        return radius(a).astype(np.float16)

    judge_control("normal with a float16 radius, exact cells", radius_cells(coarse))


def angle_cells(
    change: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]],
) -> Result:
    """2^14 cells of the circle, by the angle that sine and cosine together tell.

    In smaller ones the rounding of sine and cosine to float32 would show.
    """
    # A radius of exactly 1 leaves them as they are.
    a = np.uint32(2 * int(np.exp(-0.5) * 2**31)) + np.arange(-4096, 4096, 2).astype(np.uint32)
    unit = a[radius(a) == 1][:1]

    def angle(i: np.ndarray) -> np.ndarray:
        cosine, sine = reference.box_muller_f32(np.broadcast_to(unit, i.shape), i, 0.0, 1.0)
        sine, cosine = change(sine.astype(np.float64), cosine.astype(np.float64))
        return np.arctan2(sine, cosine)

    # A quarter; the others differ in signs.
    some = np.arange(0, 1 << 30, 4099, dtype=np.uint32)
    first = angle(some)
    for quarter, there in ((3, np.pi - first), (1, -first), (2, first - np.pi)):
        offset = some if quarter == 3 else np.uint32((1 << 30) - 1) - some
        start = {1: 1 << 30, 2: 3 << 30, 3: 2 << 30}[quarter]
        assert np.abs(angle(offset + np.uint32(start)) - there).max() < 1e-6
    cells = 1 << 12
    level = np.arange(1, cells) / cells
    counts = count_below(angle, level * np.pi / 2, 1 << 30, reach=256)
    shares = np.diff(counts / 2.0**30, prepend=0.0, append=1.0) / 4
    return enumerated(np.tile(shares, 4), np.full(4 * cells, 0.25 / cells))


def test_angle_cells(judge) -> None:
    judge("normal float32, angle, exact cells", angle_cells(lambda *point: point))


def test_angle_cells_control(judge_control) -> None:
    judge_control("normal with a short sine, exact cells", angle_cells(bad.short_sine))
