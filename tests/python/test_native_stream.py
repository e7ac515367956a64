"""The native stream against its definition, and against itself however it is asked for.

The NumPy program reference_philox.py, written from docs/streams.md, must give the bytes of the
compiled library for any seed, call, shape, dtype, parameters and index; and the bytes must not
depend on threads, tilings or the layout of `out`. All comparisons are of bytes: no tolerances.
"""

import itertools
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import core
import numpy as np
import reference_philox as reference
from seedbed import _core

FILLS = {
    "uniform": core.fill_uniform,
    "normal": core.fill_normal,
    "truncated_normal": core.fill_truncated_normal,
}
ORDINARY = {
    "uniform": (-0.05, 0.0625),
    "normal": (0.01, 0.02),
    "two_sigma": (0.01, 0.02, -2.0, 2.0),
    "interval": (0.01, 0.02, -0.5, 3.0),
}
DTYPES = list(reference.DTYPES)

# Every example draws at most a few thousand elements; the time is the reference's.
thorough = settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


def fill(sampler: str, shape: Any, parameters: Any, dtype: str, *key: int, **more: Any) -> Any:
    name = sampler if sampler in FILLS else "truncated_normal"
    return FILLS[name](shape, *parameters, dtype, *key, "philox", **more)


def refer(sampler: str, elements: np.ndarray, parameters: Any, dtype: str, *key: int) -> np.ndarray:
    name = sampler if sampler in FILLS else "truncated_normal"
    return reference.SAMPLERS[name](elements, *parameters, reference.DTYPES[dtype], *key)


def assert_same_bytes(got: np.ndarray, wanted: np.ndarray) -> None:
    assert got.dtype == wanted.dtype
    assert got.shape == wanted.shape
    if got.tobytes() != wanted.tobytes():
        unsigned = np.dtype(f"u{got.dtype.itemsize}")
        differ = np.ascontiguousarray(got).view(unsigned) != wanted.view(unsigned)
        at = tuple(int(i) for i in np.argwhere(differ)[0])
        pytest.fail(f"{differ.sum()} of {got.size} differ, first {at}: {got[at]} {wanted[at]}")


# --- Known answers -------------------------------------------------------------------------------


def known_answers() -> Iterator[list[int]]:
    path = Path(__file__).parent.parent / "vectors" / "philox_kat.txt"
    for line in path.read_text().splitlines():
        if line and not line.startswith("#"):
            yield [int(word, 16) for word in line.split()]


def test_known_answers() -> None:
    rows = list(known_answers())
    assert len(rows) >= 3
    for c0, c1, c2, c3, k0, k1, *block in rows:
        counter = [np.array(word, np.uint64) for word in (c0, c1, c2, c3)]
        assert [int(word) for word in reference.philox(counter, (k0, k1))] == block


def test_the_compiled_words_are_philox() -> None:
    """float32 uniforms on [0, 2^24) are the upper 24 bits of the words themselves."""
    seed, call = 0x299F31D0A4093822, 0x13198A2E
    values = core.fill_uniform((4096,), 0.0, 2.0**24, "float32", seed, call, "philox")
    block = np.arange(1024, dtype=np.uint64)
    zero = np.zeros_like(block)
    counter = [block, zero, zero + np.uint64(call), zero]
    words = np.stack(reference.philox(counter, (seed & 0xFFFFFFFF, seed >> 32)), axis=1)
    np.testing.assert_array_equal(values.astype(np.uint64), words.ravel() >> np.uint64(8))


# --- Against the definition ----------------------------------------------------------------------

seeds = st.integers(0, 2**64 - 1)
calls = st.integers(0, 2**32 - 1)
dtypes = st.sampled_from(DTYPES)


@st.composite
def uniforms(draw: st.DrawFn, dtype: str) -> tuple[str, tuple[float, float]]:
    """Bounds of any magnitude and distance, neighbours and equal ones among them."""
    width = 64 if dtype == "float64" else 32
    largest = float(np.finfo(f"float{width}").max) / 4
    ends = st.one_of(
        st.sampled_from([0.0, -0.0, 1.0, -1.0, 0.1, 2.0, 448.0, 65504.0]),
        st.floats(-largest, largest, width=width),
        st.floats(-largest, largest),
    )
    low = draw(ends)
    distance = draw(st.sampled_from(["any", "steps", "relative", "none"]))
    if distance == "any":
        low, high = sorted((low, draw(ends)))
    elif distance == "steps":
        # A few numbers of the compute type, or of float64, further: lattices finer than numbers.
        real = draw(st.sampled_from([np.float64, reference.compute_type(reference.DTYPES[dtype])]))
        low = high = float(real(low))
        for _ in range(draw(st.integers(1, 5))):
            high = float(np.nextafter(real(high), real(np.inf)))
    elif distance == "relative":
        high = low + abs(low) * draw(st.floats(1e-9, 4)) + draw(st.floats(0, 1e-30))
    else:
        high = low
    return "uniform", (low, max(low, high))


@st.composite
def spreads(draw: st.DrawFn, dtype: str) -> tuple[float, float]:
    """Mean and standard deviation of any magnitude, zeros and subnormal results among them."""
    tiny, huge = (5e-324, 1e307) if dtype == "float64" else (1e-45, 1e37)
    size = st.one_of(
        st.sampled_from([0.0, 0.02, 1.0, 1e-3]),
        st.floats(0.0, huge),
        st.floats(0.0, 1e4),
        st.floats(0.0, tiny * 2.0**20),
    )
    mean = draw(size) * draw(st.sampled_from([1.0, -1.0]))
    return mean, draw(size)


@st.composite
def intervals(draw: st.DrawFn) -> tuple[float, float]:
    """Bounds that hold at least 1 % of the distribution, infinite ones and +-2 among them."""
    ends = st.one_of(st.sampled_from([-math.inf, -2.0, 0.0, 2.0, math.inf]), st.floats(-3.0, 3.0))
    lower, upper = sorted((draw(ends), draw(ends)))
    if lower >= upper or math.erf(upper / 2**0.5) - math.erf(lower / 2**0.5) < 0.04:
        return draw(st.sampled_from([(-2.0, 2.0), (-0.1, 0.1), (1.0, math.inf)]))
    return lower, upper


@st.composite
def distributions(draw: st.DrawFn, dtype: str) -> tuple[str, tuple[float, ...]]:
    sampler = draw(st.sampled_from(["uniform", "normal", "two_sigma", "interval"]))
    if sampler == "uniform":
        return draw(uniforms(dtype))
    spread = draw(spreads(dtype))
    if sampler == "normal":
        return sampler, spread
    if sampler == "two_sigma":
        return sampler, (*spread, -2.0, 2.0)
    return sampler, (*spread, *draw(intervals()))


@st.composite
def requests(draw: st.DrawFn) -> tuple[str, tuple[float, ...], str]:
    dtype = draw(dtypes)
    return *draw(distributions(dtype)), dtype


@st.composite
def blocks(draw: st.DrawFn) -> tuple[tuple[int, ...], tuple[Any, ...]]:
    """A shape, at times beyond 2^34 elements, and an index that takes little of it."""
    rank = draw(st.integers(0, 4))
    extent = st.one_of(st.integers(0, 9), st.integers(1, 300), st.integers(2**15, 2**17))
    shape = [draw(extent) for _ in range(rank)]
    if rank and draw(st.booleans()):
        shape[0] = draw(st.integers(2**34, 2**36))
    while math.prod(shape) >= 2**62:
        shape[shape.index(max(shape))] = 7
    index: list[Any] = []
    budget = 4000
    for extent in shape:
        if extent and draw(st.integers(0, 4)) == 0:
            index.append(draw(st.integers(-extent, extent - 1)))
            continue
        length = draw(st.integers(0, min(extent, budget)))
        budget //= max(length, 1)
        step = draw(st.one_of(st.just(1), st.integers(1, 50))) if length > 1 else 1
        step = min(step, max(1, (extent - 1) // max(length - 1, 1)))
        span = (length - 1) * step + 1 if length else 0
        start = draw(st.one_of(st.integers(0, extent - span), st.just(extent - span)))
        index.append(slice(start, start + span, step))
        if length and draw(st.booleans()):
            end = start - 1 if start else None
            index[-1] = slice(start + span - 1, end, -step)
        elif span == extent and draw(st.booleans()):
            index[-1] = slice(None, None, step)
    if all(entry == slice(None) for entry in index) or draw(st.booleans()):
        # An Ellipsis, for whole trailing axes or for none.
        while index and index[-1] == slice(None):
            index.pop()
        index.append(...)
    return tuple(shape), tuple(index)


@thorough
@given(requests(), st.integers(0, 700), seeds, calls)
def test_values_are_the_references(request_: Any, count: int, seed: int, call: int) -> None:
    sampler, parameters, dtype = request_
    got = fill(sampler, (count,), parameters, dtype, seed, call)
    wanted = refer(sampler, np.arange(count, dtype=np.uint64), parameters, dtype, seed, call)
    assert_same_bytes(got, wanted)


@thorough
@given(requests(), blocks(), seeds, calls)
@example(("normal", (0.0, 1.0), "float64"), ((2**36,), (slice(2**33 - 99, 2**33 + 99),)), 1, 2)
@example(("uniform", (0.0, 1.0), "float32"), ((2**36,), (slice(2**34 - 99, 2**34 + 99),)), 1, 2)
@example(("two_sigma", (0.0, 1.0, -2.0, 2.0), "bfloat16"), ((2**36,), (2**34,)), 1, 2)
@example(("normal", (0.0, 1.0), "float16"), ((2**35, 2), (slice(None, None, -(2**31)), 1)), 3, 0)
def test_blocks_are_the_references(request_: Any, block: Any, seed: int, call: int) -> None:
    sampler, parameters, dtype = request_
    shape, index = block
    got = fill(sampler, shape, parameters, dtype, seed, call, index=index)
    wanted = refer(sampler, reference.element_numbers(shape, index), parameters, dtype, seed, call)
    assert_same_bytes(np.asarray(got), wanted)


@thorough
@given(blocks())
def test_element_numbers_are_numpys(block: Any) -> None:
    """The reference's own indexing, against NumPy's wherever NumPy can hold the tensor."""
    shape, index = block
    shape = tuple(min(extent, 20) for extent in shape)
    whole = np.arange(math.prod(shape), dtype=np.uint64).reshape(shape)
    index = tuple(i % 20 if isinstance(i, int) else i for i in index)
    try:
        wanted = whole[index]
    except IndexError:
        return
    np.testing.assert_array_equal(reference.element_numbers(shape, index), wanted)


@thorough
@given(st.sampled_from(["float32", "float64"]), st.data())
def test_the_largest_uniform_stays_below_the_upper_bound(dtype: str, data: st.DataObject) -> None:
    """The last point of the lattice, which sampling would find once in 2^24 or 2^52 draws."""
    low, high = data.draw(uniforms(dtype))[1]
    real = reference.DTYPES[dtype].type
    slope, first = reference.uniform_line(reference.DTYPES[dtype], low, high)
    top = real(2**24 - 1) if dtype == "float32" else real(1 - 2.0**-52)
    with np.errstate(all="ignore"):
        last = top * slope + first
    some = reference.Format.of(reference.DTYPES[dtype]).ceil(low) < high
    assert slope >= 0
    if some:
        assert low <= float(first) <= float(last) < high


# --- Invariance ----------------------------------------------------------------------------------

# More than one part of 2^20 bytes in every dtype, and odd in both directions.
SHAPE = (1103, 1007)
CASES = [
    pytest.param(sampler, dtype, id=f"{sampler}-{dtype}")
    for sampler, dtype in itertools.product(ORDINARY, DTYPES)
    # Rejection costs some ten times as much; its parts are cut by the same code.
    if sampler != "interval" or dtype in ("float32", "bfloat16")
]


@pytest.fixture
def threads() -> Iterator[None]:
    before = _core.get_num_threads()
    yield
    _core.set_num_threads(before)


def whole(sampler: str, dtype: str, shape: tuple[int, ...] = SHAPE, **more: Any) -> np.ndarray:
    return fill(sampler, shape, ORDINARY[sampler], dtype, 42, 3, **more)


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize(("sampler", "dtype"), CASES)
def test_threads_change_nothing(sampler: str, dtype: str) -> None:
    _core.set_num_threads(1)
    wanted = whole(sampler, dtype)
    for count in (2, 3, 7):
        _core.set_num_threads(count)
        assert_same_bytes(whole(sampler, dtype), wanted)


def tilings() -> dict[str, list[tuple[Any, ...]]]:
    rows, columns = SHAPE
    at_rows = [0, 1, 6, 517, 1101, rows]
    at_columns = [0, 3, 130, columns]
    return {
        "uneven": [
            (slice(*r), slice(*c))
            for r in itertools.pairwise(at_rows)
            for c in itertools.pairwise(at_columns)
        ],
        "strided": [
            (slice(r, None, 3), slice(c, None, step))
            for r in range(3)
            for step in (2,)
            for c in range(step)
        ],
        "far apart": [(..., slice(c, None, 40)) for c in range(40)],
        "backwards": [(slice(None, None, -1), slice(c, None, -2)) for c in (-1, -2)],
        "columns": [(slice(None), slice(c, c + 1)) for c in range(columns)],
    }


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("tiling", list(tilings()))
@pytest.mark.parametrize(
    ("sampler", "dtype"),
    [
        ("normal", "float32"),
        ("two_sigma", "bfloat16"),
        ("uniform", "float64"),
        ("interval", "float32"),
        ("uniform", "float8_e5m2"),
    ],
)
def test_tiles_are_parts_of_the_whole(tiling: str, sampler: str, dtype: str) -> None:
    _core.set_num_threads(2)
    wanted = whole(sampler, dtype)
    # NaN, or for one-byte floats a pattern that no value has, marks what no tile wrote.
    got = np.empty_like(wanted)
    got.view(np.uint8)[...] = 0xFF
    for index in tilings()[tiling]:
        got[index] = whole(sampler, dtype, index=index)
    assert_same_bytes(got, wanted)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("sampler", list(ORDINARY))
def test_single_elements_are_the_wholes(sampler: str, dtype: str) -> None:
    shape = (3, 5, 29)
    wanted = whole(sampler, dtype, shape)
    got = np.empty_like(wanted)
    for index in np.ndindex(shape):
        got[index] = whole(sampler, dtype, shape, index=index)
    assert_same_bytes(got, wanted)


def layouts(dtype: np.dtype, folder: Path) -> Iterator[tuple[str, np.ndarray]]:
    rows, columns = SHAPE
    yield "contiguous", np.empty(SHAPE, dtype)
    yield "Fortran", np.empty(SHAPE, dtype, order="F")
    yield "every other", np.empty((2 * rows, 2 * columns), dtype)[::2, ::2]
    yield "upside down", np.empty(SHAPE, dtype)[::-1]
    yield "mirrored", np.empty(SHAPE, dtype)[:, ::-1]
    yield "both, transposed", np.empty((columns, rows), dtype)[::-1, ::-1].T
    yield "part of rows", np.empty((rows, columns + 5), dtype)[:, 2 : columns + 2]
    yield "off a cache line", np.empty(rows * columns + 1, dtype)[1:].reshape(SHAPE)
    yield "mapped", np.memmap(folder / "map", dtype, "w+", shape=SHAPE)


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize(
    ("sampler", "dtype"),
    [
        ("normal", "float32"),
        ("two_sigma", "float16"),
        ("uniform", "float64"),
        ("interval", "bfloat16"),
        ("two_sigma", "float8_e4m3fn"),
    ],
)
def test_layouts_hold_the_same_values(sampler: str, dtype: str, tmp_path: Path) -> None:
    wanted = whole(sampler, dtype)
    for count in (1, 3):
        _core.set_num_threads(count)
        for _name, out in layouts(wanted.dtype, tmp_path):
            assert whole(sampler, dtype, out=out) is out
            assert_same_bytes(np.ascontiguousarray(out), wanted)


def test_what_surrounds_out_is_left_alone() -> None:
    around = np.full((2 * 37, 3 * 41), 7, np.float32)
    out = around[1::2, 2::3]
    core.fill_normal((37, 41), 0.0, 1.0, "float32", 1, 0, "philox", out=out)
    rest = np.ones_like(around, bool)
    rest[1::2, 2::3] = False
    assert (around[rest] == 7).all()
    assert (out != 7).all()
