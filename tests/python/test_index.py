"""`index`: the block of the whole, bit for bit, for all of NumPy's basic indexing."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import numpy as np
from seedbed import random

DTYPES = ("float16", "bfloat16", "float32", "float64", "float8_e4m3fn", "float8_e5m2")


@settings(deadline=None, max_examples=150)
@given(data=st.data())
def test_index_is_numpys_basic_indexing(data: st.DataObject) -> None:
    shape = data.draw(hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=9))
    index = data.draw(hnp.basic_indices(shape, allow_newaxis=False))
    dtype = data.draw(st.sampled_from(DTYPES))
    sampler = data.draw(st.sampled_from([random.uniform, random.normal, random.truncated_normal]))
    whole = sampler(shape, dtype=dtype, seed=5)
    block = sampler(shape, dtype=dtype, seed=5, index=index)
    assert block.shape == whole[index].shape
    assert block.tobytes() == whole[index].tobytes()


@pytest.mark.parametrize(
    "index",
    [
        (slice(None, None, -1), slice(90, 3, -7)),
        (slice(1000, 2000), slice(None)),
        (slice(5, 1600, 3), slice(None, None, 2)),
        (np.int64(-1),),
        (Ellipsis, np.uint8(4)),
        (slice(np.int32(3), None), -2),
    ],
    ids=str,
)
def test_large_blocks(index: Any) -> None:
    whole = random.truncated_normal((2000, 350), seed=8)
    block = random.truncated_normal((2000, 350), seed=8, index=index)
    np.testing.assert_array_equal(block, whole[index])


def test_tiles_make_the_whole() -> None:
    shape = (37, 5, 41)
    whole = random.normal(shape, seed=2)
    tiled = np.empty(shape, np.float32)
    for i in (slice(0, 1), slice(1, 30), slice(30, 37)):
        for k in (slice(0, 16), slice(16, 41)):
            random.normal(shape, seed=2, index=(i, Ellipsis, k), out=tiled[i, :, k])
    np.testing.assert_array_equal(tiled, whole)


def test_a_corner_of_a_tensor_that_fits_no_machine() -> None:
    shape = (1 << 40, 1 << 20)
    corner = random.uniform(shape, seed=1, index=(slice(-2, None), slice(-3, None)))
    assert corner.shape == (2, 3)
    np.testing.assert_array_equal(random.uniform(shape, seed=1, index=(-1, -1)), corner[-1, -1])


def test_integers_alone_give_an_array_of_no_dimensions() -> None:
    value = random.uniform((3, 4), seed=1, index=(1, 2))
    assert isinstance(value, np.ndarray)
    assert value.shape == ()


@pytest.mark.parametrize(
    ("index", "error", "match"),
    [
        (3, IndexError, "3 is out of bounds for axis 0 with size 3"),
        (-4, IndexError, "-4 is out of bounds for axis 0 with size 3"),
        ((0, 1 << 70), IndexError, "out of bounds for axis 1 with size 4"),
        ((0, 0, 0), IndexError, "too many entries"),
        ((..., ...), IndexError, "single ellipsis"),
        ((None, 0), IndexError, "only integers, slices"),
        ((True, 0), IndexError, "only integers, slices"),
        (([0, 1],), IndexError, "only integers, slices"),
        ((np.array([0, 1]),), IndexError, "only integers, slices"),
        (1.0, IndexError, "only integers, slices"),
        ("0", IndexError, "only integers, slices"),
        (slice(None, None, 0), ValueError, "slice step cannot be zero"),
        (slice(0.5, None), TypeError, "slice indices must be integers"),
    ],
    ids=str,
)
def test_bad_indices(index: Any, error: type[Exception], match: str) -> None:
    out = np.full((3, 4), 7, np.float32)
    with pytest.raises(error, match=match):
        random.uniform((3, 4), seed=1, index=index, out=out)
    assert (out == 7).all()
