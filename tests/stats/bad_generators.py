"""Generators that are known to be bad: what the tests must find, or they are no tests.

Each is a `Source` or a function of words, as the good ones are. Where one needs good words it
takes NumPy's PCG64, so that no control depends on what is tested.
"""

import numpy as np

import reference_philox as reference
from laws import Source


def words(first: int, count: int, salt: int = 0) -> np.ndarray:
    """Good 32-bit words."""
    return np.random.default_rng([first, salt]).integers(0, 1 << 32, count, np.uint32)


def good_normals(first: int, count: int, salt: int = 0) -> np.ndarray:
    """Good normal values, by NumPy's ziggurat."""
    return np.random.default_rng([first, salt]).standard_normal(count)


# --- Uniform -------------------------------------------------------------------------------------


def lcg16() -> Source:
    """A linear congruential generator of 16 bits: it has each of its states once a period."""
    states = np.empty(1 << 16)
    state = 1
    for i in range(1 << 16):
        states[i] = state / 65536
        state = (25173 * state + 13849) & 0xFFFF
    return lambda first, count: states[np.arange(first, first + count) & 0xFFFF]


def randu() -> Source:
    """IBM's RANDU: x <- 65539 x mod 2^31. Three neighbours lie on one of 15 planes."""

    def source(first: int, count: int) -> np.ndarray:
        state = np.array([pow(65539, first, 1 << 31)], np.uint64)
        while len(state) < count:
            jump = np.uint64(pow(65539, len(state), 1 << 31))
            state = np.concatenate([state, state * jump & np.uint64((1 << 31) - 1)])
        return state[:count] / 2.0**31

    return source


def of_sixteen_bits(first: int, count: int) -> np.ndarray:
    """Uniform values that have 16 bits only, right as far as they go."""
    return (words(first, count) >> np.uint32(16)) / 65536.0


# --- Normal --------------------------------------------------------------------------------------


def sum_of_twelve(first: int, count: int) -> np.ndarray:
    """Twelve uniform values less six: variance 1, and tails that are too thin."""
    generator = np.random.default_rng(first)
    total = np.full(count, -6.0, np.float32)
    for _ in range(12):
        total += generator.random(count, np.float32)
    return total


def short_sine(sine: np.ndarray, cosine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The sine as three terms of its series give it, the cosine as it is."""
    angle = np.arcsin(np.clip(sine, -1, 1))
    return angle - angle**3 / 6 + angle**5 / 120, cosine


# --- Truncated normal ----------------------------------------------------------------------------


def clipped(first: int, count: int) -> np.ndarray:
    """Normal values moved to the bound that they lie beyond."""
    return np.clip(good_normals(first, count), -2.0, 2.0)


P_CANCELLING = reference.coefficients(
    "float32", "12.371330261230469 16.989614486694336 5.532299995422363 0.4561518728733063"
)
Q_CANCELLING = reference.coefficients(
    "float32", "5.1610212326049805 4.896877765655518 1.2925481796264648 0.09340560436248779"
)


@reference.quietly
def cancelling_two_sigma(words: np.ndarray) -> np.ndarray:
    """A float32 inverse distribution function whose 1 - t*t loses bits towards the ends.

    It keeps 24 bits of a word where abs(t) > 1/2, and has up to 7.8 units of error in the last
    place. Its samples pass tests of the usual size.
    """
    scale = np.float32(0.4095372760114123 * (1 - 2.0**-24) / 2.0**31)
    c = (words | np.uint32(1)).view(np.int32).astype(np.float32)
    t = reference.from_bits(reference.bits(c) - np.uint32(31 << 23))
    v = np.float32(1) - t * t
    p, q = v + P_CANCELLING[0], v + Q_CANCELLING[0]
    for p_next, q_next in zip(P_CANCELLING[1:], Q_CANCELLING[1:], strict=True):
        p, q = p * v + p_next, q * v + q_next
    return (c * scale) * (p / q)


# --- Narrow dtypes -------------------------------------------------------------------------------


def rounded_down(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """float32 in [0, 1) rounded towards 0, as a cast by dropping bits does it."""
    kept = reference.Format.of(dtype).stored_bits
    dropped = np.uint32((1 << (23 - kept)) - 1)
    return (values.view(np.uint32) & ~dropped).view(np.float32).astype(dtype)


# --- Streams that are not independent ------------------------------------------------------------


def echo(source: Source, lag: int, share: float) -> Source:
    """Values of variance 1 with a share of the one `lag` before."""
    rest = np.sqrt(1 - share**2)

    def mixed(first: int, count: int) -> np.ndarray:
        new = rest * source(first + lag, count).astype(np.float64)
        return new + share * source(first, count)

    return mixed


# --- Orthogonal ----------------------------------------------------------------------------------


def plain_qr(rows: int, columns: int, count: int, seed: int) -> np.ndarray:
    """Q as LAPACK leaves it, with R's diagonal of either sign."""
    normals = np.random.default_rng(seed).standard_normal((count, rows, columns))
    if rows < columns:
        return np.linalg.qr(normals.transpose(0, 2, 1)).Q.transpose(0, 2, 1)
    return np.linalg.qr(normals).Q
