"""Zeros, Ones, Constant, Identity and STFT: byte for byte the values of the installed Keras."""

import sys
from pathlib import Path
from typing import Any

import keras
import ml_dtypes
import pytest
from hypothesis import given
from hypothesis import strategies as st

import numpy as np
from seedbed import initializers

FLOATS = ["float16", "bfloat16", "float32", "float64"]
DTYPES = [
    *FLOATS,
    *("float8_e4m3fn", "float8_e5m2", "complex64", "complex128", "bool"),
    *("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
]
INSTANCES: list[tuple[Any, tuple[int, ...]]] = [
    (initializers.Zeros(), (5, 6)),
    (initializers.Ones(), (5, 6)),
    (initializers.Constant(3), (5, 6)),
    (initializers.Constant(np.arange(6)), (5, 6)),
    (initializers.Identity(2), (5, 6)),
    (initializers.Identity(), (6, 5)),
    (initializers.get(np.arange(30).reshape(5, 6)), (5, 6)),
    (initializers.STFT(), (5, 1, 6)),
]


def same(ours: Any, reference: Any, dtype: str) -> None:
    assert ours.dtype == np.dtype(getattr(ml_dtypes, dtype, dtype))
    assert (ours.shape, ours.dtype) == (reference.shape, reference.dtype)
    assert ours.tobytes() == np.ascontiguousarray(reference).tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (0,), (5,), (3, 4), (2, 3, 4)])
def test_zeros_ones_constant(dtype: str, shape: tuple[int, ...]) -> None:
    for name, args in [("Zeros", ()), ("Ones", ()), ("Constant", (7,)), ("Constant", (0.25,))]:
        ours = getattr(initializers, name)(*args)(shape, dtype=dtype)
        same(ours, getattr(keras.initializers, name)(*args)(shape, dtype=dtype), dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "value",
    [
        [1, 2, 3],
        [[0], [5]],
        np.array([[1.5, 2.25, 100.0], [3.0, 0.0, 7.0]]),
        np.arange(3),
        np.float32(0.1),
        np.True_,
    ],
    ids=repr,
)
def test_constant_arrays(dtype: str, value: Any) -> None:
    ours = initializers.Constant(value)((2, 3), dtype=dtype)
    same(ours, keras.initializers.Constant(value)((2, 3), dtype=dtype), dtype)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -0.0, 1e300, 3j])
def test_constant_extremes(value: Any) -> None:
    dtype = "complex128" if isinstance(value, complex) else "float64"
    ours = initializers.Constant(value)((2,), dtype=dtype)
    same(ours, keras.initializers.Constant(value)((2,), dtype=dtype), dtype)


@pytest.mark.parametrize(
    ("value", "dtype"),
    [("a", "float32"), (-1, "uint8"), (300, "int8"), (3j, "float32"), ([[1], [1, 2]], "int32")],
)
def test_constants_that_cannot_be_converted(value: Any, dtype: str) -> None:
    with pytest.raises((ValueError, OverflowError, TypeError)) as reference:
        keras.initializers.Constant(value)((2, 2), dtype=dtype)
    with pytest.raises(reference.type):
        initializers.Constant(value)((2, 2), dtype=dtype)


@pytest.mark.parametrize("value", [[1, 2], np.ones((1, 2, 3)), np.ones((3, 1)), [], [[]]], ids=repr)
def test_constants_that_do_not_broadcast(value: Any) -> None:
    with pytest.raises(ValueError, match=r"`value` must broadcast to the shape \(2, 3\)"):
        initializers.Constant(value)((2, 3))


def test_constant_of_none_is_no_number() -> None:
    with pytest.raises(TypeError, match="`value` must be a number or an array"):
        initializers.Constant(None)((2, 3))


@pytest.mark.parametrize("dtype", [*FLOATS, "complex64", "int8", "int64", "uint8"])
@pytest.mark.parametrize("shape", [(4, 4), (2, 5), (5, 2), (1, 1), (0, 3), (3, 0)])
def test_identity(dtype: str, shape: tuple[int, int]) -> None:
    # With an integer gain Keras, too, keeps the dtype.
    for gain in (1, 3) if dtype.startswith("u") else (1, 3, -2):
        ours = initializers.Identity(gain)(shape, dtype=dtype)
        same(ours, keras.initializers.Identity(gain)(shape, dtype=dtype), dtype)


@pytest.mark.parametrize("gain", [0.3, -1.5, np.float64(0.1), float("inf")])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")  # Keras: infinity times 0
def test_identity_gain(gain: Any, dtype: str) -> None:
    ours = initializers.Identity(gain)((3, 3), dtype=dtype)
    reference = np.asarray(keras.initializers.Identity(gain)((3, 3), dtype=dtype))
    same(ours, reference.astype(dtype), dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_results_have_the_dtype_asked_for(dtype: str) -> None:
    for initializer, shape in INSTANCES:
        if "STFT" in type(initializer).__name__ and dtype.startswith("u"):
            continue  # negative values do not fit
        values = initializer(shape, dtype=dtype)
        assert (values.dtype.name, values.shape) == (dtype, shape)
        assert values.flags.writeable
        assert values.flags.c_contiguous


@pytest.mark.parametrize("gain", ["a", None, [1, 2], np.ones(3)], ids=repr)
def test_identity_bad_gain(gain: Any) -> None:
    with pytest.raises(TypeError, match="`gain` must be a number"):
        initializers.Identity(gain)((3, 3))


WINDOWS: list[Any] = [None, "hann", "hamming", "blackman", "bartlett", np.linspace(0.1, 1, 16)]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "complex64"])
@pytest.mark.parametrize("side", ["real", "imag"])
@pytest.mark.parametrize("window", WINDOWS, ids=lambda value: str(value)[:8])
def test_stft(side: str, window: Any, dtype: str) -> None:
    for scaling in (None, "density", "spectrum"):
        for periodic in (False, True):
            args = (side, window, scaling, periodic)
            ours = initializers.STFT(*args)((16, 1, 9), dtype=dtype)
            same(ours, keras.initializers.STFT(*args)((16, 1, 9), dtype=dtype), dtype)


@pytest.mark.parametrize("side", ["real", "imag"])
def test_stft_in_float64(side: str) -> None:
    # Keras' NumPy backend returns float32 here. The definition, evaluated in float64:
    window = np.hanning(16)
    time, bins = np.ogrid[:16, :9]
    angle = -2 * np.pi * time * bins / 16
    expected = (np.cos(angle) if side == "real" else np.sin(angle)) * window[:, None]
    expected /= np.sqrt(np.sum(window**2))
    kernel = initializers.STFT(side)((16, 1, 9), dtype="float64")
    assert kernel.dtype == np.float64
    # Angles reach 8 pi, where doubles are 2**-48 apart; each of a few roundings moves half that.
    np.testing.assert_allclose(kernel[:, 0], expected, rtol=0, atol=2**-46)


@pytest.mark.parametrize("dtype", ["float8_e4m3fn", "float8_e5m2"])
def test_stft_in_8_bits_is_the_float32_kernel_rounded_once(dtype: str) -> None:
    kernel = initializers.STFT()((16, 1, 9))
    rounded = kernel.astype(getattr(ml_dtypes, dtype))
    assert initializers.STFT()((16, 1, 9), dtype=dtype).tobytes() == rounded.tobytes()


def test_stft_without_scipy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy.signal", None)
    with pytest.raises(ImportError, match=r"pip install 'seedbed\[stft\]'"):
        initializers.STFT()
    assert initializers.STFT(window=None)((4, 1, 3)).shape == (4, 1, 3)


@pytest.mark.parametrize("shape", [(8, 5), (8, 2, 5), (8,), (1, 1, 1, 1)])
def test_stft_bad_shapes(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="`shape` must be"):
        initializers.STFT()(shape)


def test_stft_window_of_another_length() -> None:
    for library in (initializers, keras.initializers):
        with pytest.raises(ValueError, match="The shape of `window` must be equal to"):
            library.STFT(window=np.ones(7))((8, 1, 5))


SLICES = st.slices(6) | st.integers(-5, 4) | st.just(slice(None))


@given(
    st.integers(0, len(INSTANCES) - 1),
    st.lists(SLICES, max_size=2),
    st.sampled_from([None, 0, -1]),
    st.sampled_from(DTYPES[:4]),
)
def test_index_is_the_block_of_the_whole(
    which: int, entries: list[Any], ellipsis: int | None, dtype: str
) -> None:
    initializer, shape = INSTANCES[which]
    if ellipsis is not None:
        entries.insert(len(entries) if ellipsis else 0, ...)
    index = tuple(entries)
    whole = initializer(shape, dtype=dtype)
    try:
        expected = whole[index]
    except IndexError:
        with pytest.raises(IndexError, match="out of bounds"):
            initializer(shape, dtype=dtype, index=index)
        return
    block = initializer(shape, dtype=dtype, index=index)
    assert (block.shape, block.tobytes()) == (expected.shape, expected.tobytes())

    padded = np.zeros((*expected.shape, 2), expected.dtype)
    lent = padded[..., 1]
    assert initializer(shape, dtype=dtype, index=index, out=lent) is lent
    assert lent.tobytes() == expected.tobytes()
    assert not padded[..., 0].any()


@pytest.mark.parametrize(
    ("index", "error"),
    [
        ((0, 0, 0), IndexError),
        ((..., ...), IndexError),
        (5, IndexError),
        ((0, -7), IndexError),
        (True, IndexError),
        ([0, 1], IndexError),
        (np.array([0]), IndexError),
        ("a", IndexError),
        ((None, 0), IndexError),
        (slice(None, None, 0), ValueError),
        (slice(0.5), TypeError),
    ],
    ids=str,
)
def test_bad_index(index: Any, error: type[Exception]) -> None:
    for initializer, shape in INSTANCES[:7]:
        if shape == (5, 6):
            with pytest.raises(error):
                initializer(shape, index=index)


def test_nothing_is_allocated_by_the_global_shape() -> None:
    shape, index = (2**40, 2**20), (slice(2**39, 2**39 + 2), slice(0, 3))
    for initializer in (
        initializers.Zeros(),
        initializers.Ones(),
        initializers.Constant(2),
        initializers.Identity(),
    ):
        assert initializer(shape, index=index).shape == (2, 3)
    block = initializers.Identity()(shape, index=(slice(2**19, 2**19 + 2), slice(2**19, None)))
    assert block[:, :2].tolist() == [[1, 0], [0, 1]]


def test_out_of_every_kind(tmp_path: Path) -> None:
    for initializer, shape in INSTANCES:
        expected = initializer(shape)
        turned = np.empty(shape[::-1], np.float32).T
        assert initializer(shape, out=turned) is turned
        assert turned.tobytes() == expected.tobytes()

        mapped = np.memmap(tmp_path / "values", np.float32, "w+", shape=shape)
        assert initializer(shape, out=mapped) is mapped
        assert mapped.tobytes() == expected.tobytes()

        raw = bytearray(expected.nbytes)
        lent = memoryview(raw).cast("f", shape)
        assert initializer(shape, out=lent) is lent
        assert bytes(raw) == expected.tobytes()


class LendsByDlpack:
    """What another library's CPU tensor looks like."""

    def __init__(self, array: np.ndarray[Any, Any]) -> None:
        self.array = array

    def __dlpack__(self, **kwargs: Any) -> Any:
        return self.array.__dlpack__(**kwargs)

    def __dlpack_device__(self) -> tuple[int, int]:
        return (1, 0)


def test_out_by_dlpack() -> None:
    array = np.zeros((5, 6), np.float32)
    lent = LendsByDlpack(array)
    assert initializers.Identity()((5, 6), out=lent) is lent
    assert (array == np.eye(5, 6)).all()


def frozen() -> np.ndarray[Any, Any]:
    array = np.zeros((5, 6), np.float32)
    array.flags.writeable = False
    return array


def released() -> memoryview:
    view = memoryview(bytearray(120)).cast("f", (5, 6))
    view.release()
    return view


@pytest.mark.parametrize(
    ("out", "error", "message"),
    [
        (frozen(), ValueError, "must be writable"),
        (np.zeros((6, 5), np.float32), ValueError, "must have the shape"),
        (np.zeros((5, 6)), TypeError, "must have the dtype float32"),
        (np.zeros((5, 6), ">f4"), TypeError, "must have the dtype float32"),
        (
            np.lib.stride_tricks.as_strided(np.zeros(10, np.float32), (5, 6), (4, 4)),
            ValueError,
            "share memory",
        ),
        (released(), ValueError, "must not have been released"),
        (bytes(120), ValueError, "must be writable"),
        ([[0.0] * 6] * 5, TypeError, "must be a NumPy array or lend memory"),
        (5, TypeError, "must be a NumPy array or lend memory"),
    ],
)
def test_bad_out(out: Any, error: type[Exception], message: str) -> None:
    for initializer, shape in INSTANCES:
        if shape != (5, 6):
            continue
        before = out.tobytes() if isinstance(out, np.ndarray) else None
        with pytest.raises(error, match=message):
            initializer(shape, "float32", out=out)
        assert before is None or out.tobytes() == before


@pytest.mark.parametrize(
    "shape",
    [(-1, 2), (2.0, 3), "ab", (True, 2), ((2,), 3), (None, 2), ("3", 2), (float("nan"), 2)],
    ids=str,
)
def test_bad_shapes(shape: Any) -> None:
    for initializer, _ in INSTANCES:
        with pytest.raises(ValueError, match="shape"):
            initializer(shape)


def test_shapes_too_big_for_an_array() -> None:
    for shape in ((2**40, 2**40), (2**70,), (2**70, 2), (0, 2**62, 2**62)):
        for initializer in (initializers.Zeros(), initializers.Ones(), initializers.Constant(1)):
            with pytest.raises(ValueError, match=r"2\*\*63-1"):
                initializer(shape)


@pytest.mark.parametrize("shape", [np.array([2, 3]), [2, 3], (np.int64(2), np.uint8(3))], ids=str)
def test_shapes_of_other_kinds(shape: Any) -> None:
    for initializer in (initializers.Zeros(), initializers.Ones(), initializers.Identity()):
        assert initializer(shape).shape == (2, 3)


@pytest.mark.parametrize("dtype", ["foo", "string", 3, "float128", "int4", "object"])
def test_bad_dtypes(dtype: Any) -> None:
    for initializer, shape in INSTANCES:
        with pytest.raises(ValueError, match="Invalid dtype"):
            initializer(shape, dtype=dtype)
