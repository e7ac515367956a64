"""The native stream as a NumPy program, written from docs/streams.md.

Every sampler is a function of element numbers (uint64, any shape) and returns the elements with
those numbers, bit for bit what the compiled library puts there. The order of operations is the
page's; NumPy rounds each to nearest even and fuses none. Consumes nothing: any element can be
computed alone. Run as a program it prints the table of tests/vectors/native_stream.txt.
"""

import hashlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import EllipsisType
from typing import Any

import ml_dtypes
import numpy as np

MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
WEYL = (0x9E3779B9, 0xBB67AE85)
LOW_32 = np.uint64(0xFFFFFFFF)

DTYPES = {
    name: np.dtype(getattr(ml_dtypes, name, None) or name)
    for name in ("float32", "float64", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2")
}

# Sign changes, wrapping integers and results that underflow are all part of the definition.
quietly = np.errstate(all="ignore")


# --- Words ---------------------------------------------------------------------------------------


@quietly
def philox(counter: list[np.ndarray], key: tuple[int, int]) -> list[np.ndarray]:
    """The four words (uint64 arrays below 2^32) of the blocks numbered by four counter words."""
    x0, x1, x2, x3 = counter
    k0, k1 = key
    for _ in range(10):
        p0, p1 = x0 * np.uint64(MULTIPLIERS[0]), x2 * np.uint64(MULTIPLIERS[1])
        x0, x1, x2, x3 = (
            (p1 >> np.uint64(32)) ^ x1 ^ np.uint64(k0),
            p1 & LOW_32,
            (p0 >> np.uint64(32)) ^ x3 ^ np.uint64(k1),
            p0 & LOW_32,
        )
        k0, k1 = (k0 + WEYL[0]) & 0xFFFFFFFF, (k1 + WEYL[1]) & 0xFFFFFFFF
    return [x0, x1, x2, x3]


@dataclass(frozen=True)
class Draw:
    """What the words depend on besides the element: the seed, the call, the attempt."""

    seed: int
    call: int = 0
    attempt: int = 0

    def words(self, block: np.ndarray, word: np.ndarray) -> np.ndarray:
        """Words 0 .. 3 of blocks, as uint64."""
        counter = [
            block & LOW_32,
            block >> np.uint64(32),
            np.full_like(block, self.call),
            np.full_like(block, self.attempt),
        ]
        words = philox(counter, (self.seed & 0xFFFFFFFF, self.seed >> 32))
        return np.choose(word, words)

    def single(self, elements: np.ndarray) -> np.ndarray:
        """The word that a float32 element owns, as uint32."""
        word = (elements & np.uint64(3)).astype(np.intp)
        return self.words(elements >> np.uint64(2), word).astype(np.uint32)

    def double(self, elements: np.ndarray) -> np.ndarray:
        """The two words that a float64 element owns, as uint64."""
        block = elements >> np.uint64(1)
        first = 2 * (elements & np.uint64(1)).astype(np.intp)
        return self.words(block, first) | (self.words(block, first + 1) << np.uint64(32))


# --- Formats and supports ------------------------------------------------------------------------


@dataclass(frozen=True)
class Format:
    """The finite numbers of a floating-point dtype."""

    stored_bits: int
    min_exponent: int
    largest: float

    @classmethod
    def of(cls, dtype: np.dtype) -> "Format":
        info = ml_dtypes.finfo(dtype)
        return cls(int(info.nmant), int(info.minexp), float(info.max))

    def floor(self, x: float) -> float:
        """The largest number of the format at or below `x`, or the lowest one."""
        if math.isinf(x):
            return math.copysign(self.largest, x)
        exponent = max(math.frexp(x)[1] - 1, self.min_exponent)
        # Scaled so that the spacing of the format's numbers around x is 1; exact, for the powers
        # of two take float64's own range into account.
        scaled = math.ldexp(x, self.stored_bits - exponent)
        below = math.ldexp(math.copysign(abs(math.floor(scaled)), x), exponent - self.stored_bits)
        return min(max(below, -self.largest), self.largest)

    def ceil(self, x: float) -> float:
        """The smallest number of the format at or above `x`, or the highest one."""
        return -self.floor(-x)

    def nearest(self, x: float) -> float:
        """The number nearest to `x`, the one away from zero if two are."""
        below, above = self.floor(x), self.ceil(x)
        if x - below == above - x:
            return max(below, above, key=abs)
        return below if x - below < above - x else above

    def support(self, low: float, high: float, otherwise: float) -> tuple[float, float]:
        """The first and last number within [low, high]; where none is, the one nearest."""
        if not (math.isnan(low) or math.isnan(high)):
            first, last = self.ceil(low), self.floor(high)
            if first <= last:
                return first, last
        return (self.nearest(otherwise),) * 2


def compute_type(dtype: np.dtype) -> type[np.floating[Any]]:
    """The type that a dtype's values are computed in."""
    return np.float64 if dtype == np.float64 else np.float32


def uniform_support(format: Format, low: float, high: float) -> tuple[float, float]:
    """L and H of a uniform distribution."""
    return format.support(low, math.nextafter(high, -math.inf), low)


def truncated_support(
    format: Format, mean: float, stddev: float, lower: float, upper: float
) -> tuple[float, float]:
    """L and H of a truncated normal distribution."""
    with np.errstate(all="ignore"):
        reach = np.float64(stddev) * np.array([lower, upper])
        low, high = np.float64(mean) + reach
    return format.support(float(low), float(high), mean)


def hold(values: np.ndarray, support: tuple[float, float]) -> np.ndarray:
    """max(min(x, H), L); a zero takes the sign of a bound that it equals."""
    low, high = (values.dtype.type(bound) for bound in support)
    values = np.where(values < high, values, high)
    return np.where(values > low, values, low)


def bits(values: np.ndarray) -> np.ndarray:
    """The bits of floats."""
    return values.view(np.uint32 if values.dtype == np.float32 else np.uint64)


def from_bits(words: np.ndarray) -> np.ndarray:
    """The floats with these bits."""
    return words.view(np.float32 if words.dtype == np.uint32 else np.float64)


def one_to_two(words: np.ndarray) -> np.ndarray:
    """The upper 52 bits as the fraction of a float64 in [1, 2)."""
    return from_bits((words >> np.uint64(12)) | np.uint64(0x3FF0000000000000))


def coefficients(dtype: str, text: str) -> np.ndarray:
    """The numbers of a polynomial, as the page lists them."""
    return np.array([float(number) for number in text.split()], dtype)


def horner(factors: np.ndarray, x: np.ndarray) -> np.ndarray:
    """The polynomial with the coefficient of the lowest power first."""
    total = np.full_like(x, factors[-1])
    for factor in factors[-2::-1]:
        total = total * x + factor
    return total


# --- Uniform -------------------------------------------------------------------------------------


@quietly
def uniform_line(dtype: np.dtype, low: float, high: float) -> tuple[Any, Any]:
    """Slope and first value of the line that the lattice of a compute type lies on."""
    compute = compute_type(dtype)
    support = uniform_support(Format.of(np.dtype(compute)), low, high)
    first, last = (compute(bound) for bound in support)
    if compute is np.float32:
        farthest = np.float32(2**24 - 1)
        slope = np.float32((np.float64(high) - np.float64(low)) / 2.0**24)
        narrower = np.float32((np.float64(last) - np.float64(first)) / np.float64(2**24 - 1))
    else:
        farthest = np.float64(1 - 2.0**-52)
        slope = np.float64(high) - np.float64(low)
        narrower = last - first
    if farthest * slope + first > last:
        slope = narrower
        while farthest * slope + first > last:
            slope = np.nextafter(slope, compute(-np.inf))
    return slope, first


@quietly
def uniform(
    elements: np.ndarray, low: float, high: float, dtype: np.dtype, seed: int, call: int = 0
) -> np.ndarray:
    """Elements uniform on [low, high)."""
    compute = compute_type(dtype)
    slope, first = uniform_line(dtype, low, high)
    draw = Draw(seed, call)
    if compute is np.float32:
        position = (draw.single(elements) >> np.uint32(8)).astype(np.float32)
    else:
        position = one_to_two(draw.double(elements)) - 1.0
    values = position * slope + first
    support = uniform_support(Format.of(np.dtype(compute)), low, high)
    if support[0] == support[1]:
        values = hold(values, support)
    if dtype != compute:
        values = hold(values, uniform_support(Format.of(dtype), low, high))
    return values.astype(dtype)


# --- Normal --------------------------------------------------------------------------------------

LOG_F32 = coefficients(
    "float32",
    """
    -0.6666849255561829 0.49966534972190857 -0.3984900712966919 0.34274253249168396
    -0.3204876184463501 0.2038346529006958
    """,
)
SIN_F32 = coefficients(
    "float32",
    """
    1.5707963705062866 -0.6459637880325317 0.07968967407941818 -0.004673773422837257
    0.00015148484089877456
    """,
)
COS_F32 = coefficients(
    "float32",
    """
    1.0 -0.23370049893856049 0.019968580454587936 -0.0008935030200518668 2.35838488151785e-05
    """,
)
LN4_F32 = np.float32(-1.3862943649291992)
CUT_F32 = np.uint32(0x3F3504F3)

LOG_F64 = coefficients(
    "float64",
    """
    0.6666666666666666 0.4000000000000088 0.28571428570803614 0.22222222391713917
    0.18181795640132906 0.15386239702814658 0.13268773138656886 0.13086626147840102
    """,
)
SIN_F64 = coefficients(
    "float64",
    """
    1.5707963267948966 -0.6459640975062462 0.07969262624616565 -0.004681754135304255
    0.0001604411847130916 -3.5988430204672576e-06 5.6921364280986254e-08 -6.684416831856085e-10
    5.87297574479995e-12
    """,
)
COS_F64 = coefficients(
    "float64",
    """
    1.0 -0.23370055013616983 0.019968957764878077 -0.0008945229984736444 2.473727635883673e-05
    -4.647659915952978e-07 6.321440904258357e-09 -6.510529156797684e-11 5.10846968542241e-13
    """,
)
LN4_F64 = np.float64(-1.3862943611198906)
CUT_F64 = np.uint64(0x3FE6A09E667F3BCD)


@quietly
def box_muller_f32(a: np.ndarray, b: np.ndarray, mean: float, stddev: float) -> list[np.ndarray]:
    """Elements 2p and 2p+1 from the words A and B."""
    n = (a >> np.uint32(1)).astype(np.float32) + np.float32(0.5)
    o = bits(n) - CUT_F32
    q = ((o.view(np.int32) >> 23) - 31).astype(np.float32)
    f = from_bits((o & np.uint32(0x7FFFFF)) + CUT_F32) - np.float32(1)
    log = horner(LOG_F32, f)
    log = log * f + np.float32(1)
    log = log * f + np.float32(-2)
    log = log * f + q * LN4_F32
    r = np.sqrt(log) * np.float32(stddev)
    odd = ((b << np.uint32(1)) | np.uint32(1)).view(np.int32).astype(np.float32)
    angle = from_bits(bits(odd) - np.uint32(31 << 23))
    s = angle * angle
    across = r * (np.float32(1) - s)
    across = from_bits(bits(across) ^ (b & np.uint32(1 << 31)))
    shift = np.float32(mean)
    return [across * horner(COS_F32, s) + shift, (r * angle) * horner(SIN_F32, s) + shift]


@quietly
def box_muller_f64(a: np.ndarray, b: np.ndarray, mean: float, stddev: float) -> list[np.ndarray]:
    """Elements 2p and 2p+1 from the words A and B."""
    u = 2.0 - one_to_two(a)
    o = bits(u) - CUT_F64
    q = ((o + np.uint64(1024 << 52)) >> np.uint64(52)).astype(np.float64) - 1024.0
    m = from_bits((o & np.uint64(2**52 - 1)) + CUT_F64)
    z = (m - 1.0) / (m + 1.0)
    y = z * z
    log = horner(LOG_F64, y) * y
    log = z * (log + 2.0)
    log = q * LN4_F64 + log * -2.0
    r = np.sqrt(log) * np.float64(stddev)
    angle = one_to_two(b << np.uint64(1)) * 2.0 - 3.0
    s = angle * angle
    across = r * (1.0 - s)
    across = from_bits(bits(across) ^ (b & np.uint64(1 << 63)))
    shift = np.float64(mean)
    return [across * horner(COS_F64, s) + shift, (r * angle) * horner(SIN_F64, s) + shift]


def computed_normal(
    elements: np.ndarray, mean: float, stddev: float, dtype: np.dtype, draw: Draw
) -> np.ndarray:
    """Normal elements in the compute type."""
    even = elements & ~np.uint64(1)
    odd = elements | np.uint64(1)
    if compute_type(dtype) is np.float32:
        pair = box_muller_f32(draw.single(even), draw.single(odd), mean, stddev)
    else:
        pair = box_muller_f64(draw.double(even), draw.double(odd), mean, stddev)
    return np.where(elements == even, *pair)


def normal(
    elements: np.ndarray, mean: float, stddev: float, dtype: np.dtype, seed: int, call: int = 0
) -> np.ndarray:
    """Normal elements."""
    values = computed_normal(elements, mean, stddev, dtype, Draw(seed, call))
    if dtype != compute_type(dtype):
        largest = Format.of(dtype).largest
        values = hold(values, (-largest, largest))
    with np.errstate(all="ignore"):
        return values.astype(dtype)


# --- Truncated normal ----------------------------------------------------------------------------

LEAD_F32 = np.float32(1.4049304723739624)
# Highest power first, its coefficient 1 left out.
N_F32 = coefficients(
    "float32",
    """
    0.5685537457466125 -0.003541716607287526 -0.007391831371933222 -0.00023160419368650764
    """,
)
# a, b and c.
D_F32 = coefficients(
    "float32",
    """
    0.16101689636707306 0.13270822167396545 0.0003892053500749171
    """,
)
P_F64 = coefficients(
    "float64",
    """
    2.0 65.02854179076876 838.8062525500319 5507.910858472801 19723.533238928096
    38543.75514316116 39261.6117318232 18891.127049459872 3547.2518933922497 166.2011740120806
    """,
)
Q_F64 = coefficients(
    "float64",
    """
    1.0 34.224130705614044 469.43702600458374 3322.30258472943 13057.66906120541
    28722.691839177594 34163.31144662444 20332.3664796715 5241.001491052426 434.72922116421637
    4.509947283517362
    """,
)


@quietly
def two_sigma_f32(words: np.ndarray, mean: float, stddev: float) -> np.ndarray:
    """The inverse distribution function of words, before holding."""
    odd = words | np.uint32(1)
    t = from_bits(bits(odd.view(np.int32).astype(np.float32)) - np.uint32(31 << 23))
    rest = (odd ^ np.uint32(1 << 31)).view(np.int32).astype(np.float32)
    rest = from_bits(bits(rest) - np.uint32(32 << 23))
    u = rest * (rest - t)
    a, b, c = D_F32
    y = u * (u + a)
    d = y * ((u + b) + y) + c
    n = u + N_F32[0]
    for n_next in N_F32[1:]:
        n = n * u + n_next
    return (t * np.float32(stddev)) * (LEAD_F32 - n / d) + np.float32(mean)


@quietly
def two_sigma_f64(words: np.ndarray, mean: float, stddev: float) -> np.ndarray:
    """The inverse distribution function of words, before holding."""
    t = (one_to_two(words) * 2.0 - 3.0) + 2.0**-52
    v = 1.0 - t * t
    return (t * np.float64(stddev)) * (horner(P_F64, v) / horner(Q_F64, v)) + np.float64(mean)


@quietly
def by_rejection(
    elements: np.ndarray,
    mean: float,
    stddev: float,
    interval: tuple[float, float],
    dtype: np.dtype,
    draw: Draw,
) -> np.ndarray:
    """The first standard normal in the interval over attempts 1, 2, ..., scaled."""
    compute = compute_type(dtype)
    lower, upper = (compute(bound) for bound in interval)
    kept = np.empty(elements.shape, compute)
    is_open = np.ones(elements.shape, bool)
    attempt = 0
    while is_open.any():
        attempt += 1
        again = Draw(draw.seed, draw.call, attempt)
        z = computed_normal(elements[is_open], 0.0, 1.0, dtype, again)
        inside = (lower <= z) & (z <= upper)
        where = np.flatnonzero(is_open)[inside]
        kept.flat[where] = z[inside]
        is_open.flat[where] = False
    return kept * compute(stddev) + compute(mean)


def truncated_normal(
    elements: np.ndarray,
    mean: float,
    stddev: float,
    dtype: np.dtype,
    seed: int,
    call: int = 0,
    lower: float = -2.0,
    upper: float = 2.0,
) -> np.ndarray:
    """Normal elements within `lower` and `upper` standard deviations of the mean."""
    draw = Draw(seed, call)
    if (lower, upper) != (-2.0, 2.0):
        values = by_rejection(elements, mean, stddev, (lower, upper), dtype, draw)
    elif compute_type(dtype) is np.float32:
        values = two_sigma_f32(draw.single(elements), mean, stddev)
    else:
        values = two_sigma_f64(draw.double(elements), mean, stddev)
    support = truncated_support(Format.of(dtype), mean, stddev, lower, upper)
    with np.errstate(all="ignore"):
        return hold(values, support).astype(dtype)


# --- Element numbers and vectors -----------------------------------------------------------------


def element_numbers(
    shape: tuple[int, ...], index: tuple[slice | int | EllipsisType, ...] = (...,)
) -> np.ndarray:
    """Numbers of the elements that basic indexing takes of a tensor, of any size."""
    index = index if ... in index else (*index, ...)
    at = index.index(...)
    whole = (slice(None),) * (len(shape) - len(index) + 1)
    numbers = np.zeros((), np.uint64)
    stride = math.prod(shape)
    for extent, entry in zip(shape, (*index[:at], *whole, *index[at + 1 :]), strict=True):
        stride = stride // extent if extent else 0
        if isinstance(entry, slice):
            along = np.array([i * stride for i in range(*entry.indices(extent))], np.uint64)
            numbers = numbers[..., None] + along
        else:
            numbers = numbers + np.uint64(range(extent)[entry] * stride)
    return numbers


VECTORS = Path(__file__).parent.parent / "vectors"
SAMPLERS: dict[str, Callable[..., np.ndarray]] = {
    "uniform": lambda e, low, high, *key: uniform(e, low, high, *key),
    "normal": lambda e, mean, stddev, *key: normal(e, mean, stddev, *key),
    "truncated_normal": lambda e, mean, stddev, lower, upper, *key: truncated_normal(
        e, mean, stddev, *key, lower, upper
    ),
}
# An odd number of elements: batches end in a part of a block.
GOLDEN_COUNT = 100_003
GOLDEN_SEED = 0x0123_4567_89AB_CDEF
GOLDEN_CALL = 7
# Ordinary values, and values across the element whose block number no longer fits 32 bits.
GOLDEN_FIRSTS = {4: (0, 2**34 - 50_001), 8: (0, 2**33 - 50_001)}
GOLDEN_PARAMETERS = (
    ("uniform", (-0.05, 0.0625)),
    ("normal", (0.125, 0.02)),
    ("truncated_normal", (0.0, 0.02, -2.0, 2.0)),
    ("truncated_normal", (0.125, 0.02, -0.5, 3.0)),
)


@dataclass(frozen=True)
class Golden:
    """One row of tests/vectors/native_stream.txt."""

    sampler: str
    parameters: tuple[float, ...]
    dtype: str
    seed: int
    call: int
    first: int
    count: int
    sha256: str

    @property
    def name(self) -> str:
        return f"{self.sampler}{self.parameters}-{self.dtype}-{self.first}"


def read_golden() -> list[Golden]:
    """The rows of tests/vectors/native_stream.txt."""
    rows = []
    for line in (VECTORS / "native_stream.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            sampler, parameters, dtype, *numbers, digest = line.split()
            values = tuple(float(value) for value in parameters.split(","))
            rows.append(Golden(sampler, values, dtype, *map(int, numbers), digest))
    return rows


def golden_lines() -> Iterator[str]:
    """The lines of tests/vectors/native_stream.txt, computed here."""
    yield "# SHA-256 of the little-endian bytes of runs of elements of the native stream."
    yield "# Made by: python tests/python/reference_philox.py > tests/vectors/native_stream.txt"
    yield "# sampler parameters dtype seed call first count sha256"
    for name, dtype in DTYPES.items():
        for sampler, parameters in GOLDEN_PARAMETERS:
            for first in GOLDEN_FIRSTS[8 if name == "float64" else 4]:
                elements = np.uint64(first) + np.arange(GOLDEN_COUNT, dtype=np.uint64)
                key = (dtype, GOLDEN_SEED, GOLDEN_CALL)
                values = SAMPLERS[sampler](elements, *parameters, *key)
                digest = hashlib.sha256(values.tobytes()).hexdigest()
                told = ",".join(map(repr, parameters))
                run = f"{GOLDEN_SEED} {GOLDEN_CALL} {first} {GOLDEN_COUNT}"
                yield f"{sampler} {told} {name} {run} {digest}"


if __name__ == "__main__":
    for line in golden_lines():
        print(line)
