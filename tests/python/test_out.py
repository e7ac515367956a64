"""`out`: whose memory may be filled, in which layouts, and what is refused."""

import array
import ctypes
import mmap
from pathlib import Path
from typing import Any

import ml_dtypes
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import numpy as np
from seedbed import random

DTYPES = {
    "float16": np.float16,
    "bfloat16": ml_dtypes.bfloat16,
    "float32": np.float32,
    "float64": np.float64,
    "float8_e4m3fn": ml_dtypes.float8_e4m3fn,
    "float8_e5m2": ml_dtypes.float8_e5m2,
}


@settings(deadline=None, max_examples=150)
@given(data=st.data())
def test_any_layout_gets_the_same_values(data: st.DataObject) -> None:
    dtype = data.draw(st.sampled_from(sorted(DTYPES)))
    rank = data.draw(st.integers(0, 4))
    shape = tuple(data.draw(st.integers(0, 9)) for _ in range(rank))
    steps = [data.draw(st.sampled_from([1, 1, 2, 3, -1, -2])) for _ in range(rank)]
    order = data.draw(st.permutations(range(rank)))
    # A bigger array, its axes permuted and then thinned, so that rows have gaps between them.
    lengths = [length * abs(step) for length, step in zip(shape, steps, strict=True)]
    base = np.zeros([lengths[axis] for axis in order], DTYPES[dtype])
    view = base.transpose(np.argsort(order)) if rank else base
    out = view[tuple(slice(None, None, step) for step in steps)] if rank else view
    assert out.shape == shape
    assert random.normal(shape, dtype=dtype, seed=3, out=out) is out
    assert out.tobytes() == random.normal(shape, dtype=dtype, seed=3).tobytes()
    # Nothing in the gaps was touched.
    out[...] = 0
    assert not base.astype(np.float32).any()


@pytest.mark.parametrize("dtype", DTYPES)
def test_large_outputs_in_every_layout(dtype: str) -> None:
    shape = (600, 700)
    want = random.truncated_normal(shape, dtype=dtype, seed=9)
    for out in (
        np.empty(shape, DTYPES[dtype]),
        np.empty(shape, DTYPES[dtype], order="F"),
        np.empty((600, 800), DTYPES[dtype])[:, 50:750],
        np.empty((1200, 1400), DTYPES[dtype])[::-2, ::2],
    ):
        random.truncated_normal(shape, dtype=dtype, seed=9, out=out)
        assert out.tobytes() == want.tobytes()


def test_fields_of_records_and_subclasses_are_arrays() -> None:
    records = np.zeros(50, [("a", "f4"), ("b", "f8")])
    packed = np.zeros(50, np.dtype([("a", "f4"), ("b", "f4")]))
    random.uniform((50,), seed=4, out=packed["b"])
    np.testing.assert_array_equal(packed["b"], random.uniform((50,), seed=4))
    assert not packed["a"].any()
    with pytest.raises(ValueError, match="`out` must have its elements aligned"):
        random.uniform((50,), dtype="float64", seed=4, out=records["b"])
    recarray = np.recarray((50,), dtype=[("x", "f4")])
    assert random.uniform((50,), seed=4, out=recarray.x).shape == (50,)


def test_memory_maps(tmp_path: Path) -> None:
    path = tmp_path / "weights.bin"
    out = np.memmap(path, np.float32, "w+", offset=64, shape=(700, 800))
    assert random.normal((700, 800), seed=6, out=out) is out
    out.flush()
    stored = np.fromfile(path, np.float32, offset=64).reshape(700, 800)
    np.testing.assert_array_equal(stored, random.normal((700, 800), seed=6))
    readonly = np.memmap(path, np.float32, "r", offset=64, shape=(700, 800))
    with pytest.raises(ValueError, match="`out` must be writable"):
        random.normal((700, 800), seed=7, out=readonly)


def test_buffers_that_are_not_arrays() -> None:
    want = random.uniform((6,), seed=1)
    numbers = array.array("f", [0] * 6)
    assert random.uniform((6,), seed=1, out=numbers) is numbers
    assert numbers.tolist() == want.tolist()

    foreign = (ctypes.c_float * 6)()
    assert random.uniform((6,), seed=1, out=foreign) is foreign
    assert list(foreign) == want.tolist()

    view = memoryview(bytearray(24)).cast("f", (2, 3))
    assert random.uniform((2, 3), seed=1, out=view) is view
    assert np.asarray(view).ravel().tolist() == want.tolist()

    with mmap.mmap(-1, 24) as pages:
        floats = memoryview(pages).cast("f")
        random.uniform((6,), seed=1, out=floats)
        assert floats.tolist() == want.tolist()
        floats.release()


class DLPack:
    """Lends a NumPy array by DLPack alone."""

    def __init__(self, lent: Any, device: tuple[int, int] = (1, 0)) -> None:
        self.lent = lent
        self.device = device

    def __dlpack__(self, **arguments: Any) -> Any:
        return self.lent.__dlpack__(**arguments)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.device


def test_dlpack_exporters() -> None:
    lent = np.zeros((4, 6), np.float32)
    exporter = DLPack(lent[:, ::2])
    assert random.uniform((4, 3), seed=1, out=exporter) is exporter
    np.testing.assert_array_equal(lent[:, ::2], random.uniform((4, 3), seed=1))
    assert not lent[:, 1::2].any()
    with pytest.raises(TypeError, match="not on DLPack device 2"):
        random.uniform((4, 3), seed=1, out=DLPack(lent, (2, 0)))
    with pytest.raises(TypeError, match="`out` must have the dtype float64"):
        random.uniform((4, 6), dtype="float64", seed=1, out=DLPack(lent))
    with pytest.raises(TypeError, match=r"`out` must have the dtype float32.*dtype int32"):
        random.uniform((4, 6), seed=1, out=DLPack(np.zeros((4, 6), np.int32)))
    with pytest.raises(ValueError, match="`out` must have the shape"):
        random.uniform((6, 4), seed=1, out=DLPack(lent))
    frozen = np.zeros(3, np.float32)
    frozen.flags.writeable = False
    with pytest.raises(ValueError, match="`out` must be writable"):
        random.uniform((3,), seed=1, out=DLPack(frozen))
    assert not frozen.any()
    assert random.uniform((0, 3), seed=1, out=DLPack(np.zeros((0, 3), np.float32))) is not None


def test_dlpack_before_1_does_not_say_what_may_be_written() -> None:
    class Old(DLPack):
        def __dlpack__(self) -> Any:
            return self.lent.__dlpack__()

    lent = np.zeros(3, np.float32)
    with pytest.raises(TypeError, match=r"`out` must be .*\(it does not speak DLPack 1.0"):
        random.uniform((3,), seed=1, out=Old(lent))
    assert not lent.any()


class Tensor(ctypes.Structure):
    """`DLManagedTensorVersioned`, written here from dlpack.h."""

    _fields_ = (
        ("major", ctypes.c_uint32),
        ("minor", ctypes.c_uint32),
        ("context", ctypes.c_void_p),
        ("deleter", ctypes.c_void_p),
        ("flags", ctypes.c_uint64),
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    )


CODES = {"bfloat16": (4, 16), "float8_e4m3fn": (10, 8), "float8_e5m2": (12, 8)}


class Lender:
    """Lends an array whose dtype NumPy's own DLPack does not know."""

    def __init__(self, lent: Any, **overrides: Any) -> None:
        code, bits = CODES[lent.dtype.name]
        size = lent.dtype.itemsize
        self.lent = lent
        self.shape = (ctypes.c_int64 * lent.ndim)(*lent.shape)
        self.strides = (ctypes.c_int64 * lent.ndim)(*(step // size for step in lent.strides))
        fields = {
            "major": 1,
            "data": lent.ctypes.data - 64,
            "byte_offset": 64,
            "device_type": 1,
            "ndim": lent.ndim,
            "code": code,
            "bits": bits,
            "lanes": 1,
            "shape": self.shape,
            "strides": None if lent.flags.c_contiguous else self.strides,
        }
        self.tensor = Tensor(**{**fields, **overrides})

    def __dlpack_device__(self) -> tuple[int, int]:
        return 1, 0

    def __dlpack__(self, *, max_version: tuple[int, int] | None = None) -> Any:
        assert max_version is not None
        new = ctypes.pythonapi.PyCapsule_New
        new.restype = ctypes.py_object
        new.argtypes = (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)
        return new(ctypes.addressof(self.tensor), b"dltensor_versioned", None)


@pytest.mark.parametrize("dtype", CODES)
def test_dlpack_of_dtypes_that_numpy_does_not_know(dtype: str) -> None:
    base = np.zeros((5, 8), DTYPES[dtype])
    for lent in (base, base[1:, ::2], base.T, base[::-1, 3:4], base[2, 3]):
        lent = np.asarray(lent)
        base[...] = 0
        lender = Lender(lent)
        assert random.normal(lent.shape, dtype=dtype, seed=3, out=lender) is lender
        assert lent.tobytes() == random.normal(lent.shape, dtype=dtype, seed=3).tobytes()


@pytest.mark.parametrize(
    ("overrides", "error", "match"),
    [
        ({"major": 2}, TypeError, "its DLPack version is not 1"),
        ({"flags": 2}, TypeError, "it lends a copy"),
        ({"flags": 1}, ValueError, "must be writable"),
        ({"device_type": 2}, TypeError, "its memory is not the CPU's"),
        ({"lanes": 2}, TypeError, "must have the dtype bfloat16"),
        ({"ndim": -1}, TypeError, "its rank is negative"),
        ({"byte_offset": 63}, ValueError, "must have its elements aligned"),
    ],
    ids=str,
)
def test_unfit_dlpack_is_refused(overrides: Any, error: type[Exception], match: str) -> None:
    lent = np.zeros((2, 3), ml_dtypes.bfloat16)
    with pytest.raises(error, match=match):
        random.normal((2, 3), dtype="bfloat16", seed=3, out=Lender(lent, **overrides))
    assert not lent.astype(np.float32).any()


def refusals() -> list[Any]:
    frozen = np.zeros((2, 3), np.float32)
    frozen.flags.writeable = False
    misaligned = np.frombuffer(bytearray(25), np.uint8)[1:].view(np.float32).reshape(2, 3)
    released = memoryview(bytearray(24)).cast("f", (2, 3))
    released.release()
    line = np.zeros(16, np.float32)
    strided = np.lib.stride_tricks.as_strided
    return [
        pytest.param(frozen, ValueError, "`out` must be writable", id="read-only"),
        pytest.param(b"x" * 24, ValueError, "`out` must be writable", id="bytes"),
        pytest.param(
            np.zeros((3, 2), np.float32),
            ValueError,
            r"`out` must have the shape \(2, 3\). Received: an array of shape \(3, 2\)",
            id="shape",
        ),
        pytest.param(np.zeros((2, 3, 1), np.float32), ValueError, "must have the shape", id="rank"),
        pytest.param(
            np.zeros((2, 3)),
            TypeError,
            "`out` must have the dtype float32. Received: an array of dtype float64",
            id="dtype",
        ),
        pytest.param(
            np.zeros((2, 3), ">f4"), TypeError, "must have the dtype float32", id="byte order"
        ),
        pytest.param(np.zeros((2, 3), np.int32), TypeError, "must have the dtype", id="integers"),
        pytest.param(np.zeros((2, 3), object), TypeError, "must have the dtype", id="objects"),
        pytest.param(misaligned, ValueError, "`out` must have its elements aligned", id="aligned"),
        pytest.param(
            strided(line, (2, 3), (0, 4)), ValueError, "elements that share memory", id="broadcast"
        ),
        pytest.param(
            strided(line, (2, 3), (4, 4)), ValueError, "elements that share memory", id="windows"
        ),
        pytest.param(
            strided(line[8:], (2, 3), (-4, 4)), ValueError, "share memory", id="backwards"
        ),
        pytest.param(released, ValueError, "`out` must not have been released", id="released"),
        pytest.param([[0.0] * 3] * 2, TypeError, "`out` must be a NumPy array or lend", id="list"),
        pytest.param(3.0, TypeError, "`out` must be a NumPy array or lend", id="number"),
    ]


@pytest.mark.parametrize(("out", "error", "match"), refusals())
@pytest.mark.parametrize("sampler", [random.uniform, random.normal, random.truncated_normal])
def test_refused_outputs(sampler: Any, out: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        sampler((2, 3), dtype="float32", seed=1, out=out)


@pytest.mark.parametrize(
    "arguments",
    [
        {"stddev": -1.0},
        {"stddev": float("inf")},
        {"seed": -1},
        {"stream": "dice"},
        {"shape": (2, -3)},
        {"dtype": "int8"},
        {"index": (5, 0)},
    ],
    ids=str,
)
def test_a_bad_call_leaves_out_as_it_was(arguments: Any) -> None:
    out = np.full((2, 3), 7, np.float32)
    with pytest.raises((ValueError, IndexError)):
        random.truncated_normal(**{"shape": (2, 3), "seed": 1, "out": out, **arguments})
    assert (out == 7).all()


def test_an_output_of_no_elements_may_have_any_strides() -> None:
    out = np.lib.stride_tricks.as_strided(np.zeros(4, np.float32), (0, 5), (-4, 0))
    assert random.uniform((0, 5), seed=1, out=out) is out


def test_results_own_their_memory() -> None:
    views = [random.uniform((300, 400), seed=seed)[5:, 7] for seed in range(20)]
    for seed, view in enumerate(views):
        np.testing.assert_array_equal(view, random.uniform((300, 400), seed=seed)[5:, 7])
