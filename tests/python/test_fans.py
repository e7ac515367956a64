"""Fans are those of the installed Keras, for every shape and choice of axes."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras.src.initializers.random_initializers import compute_fans as keras_fans

import numpy as np
from seedbed import _core
from seedbed.initializers import HeNormal, compute_fans

SHAPES = st.lists(st.integers(0, 1000), max_size=7)


@given(SHAPES, st.sampled_from([tuple, list, np.array]))
def test_fans_by_rank(shape: list[int], container: Any) -> None:
    container = np.array if container is np.array and shape else tuple
    ours, reference = compute_fans(container(shape)), keras_fans(tuple(shape))
    # The core's fans are doubles, of the exact products rounded once.
    assert ours == tuple(fan if fan < 2**53 else int(float(fan)) for fan in reference)
    assert [type(fan) for fan in ours] == [int, int]


@st.composite
def shapes_with_axes(draw: st.DrawFn) -> tuple[list[int], Any, Any]:
    shape = draw(st.lists(st.integers(0, 400), min_size=1, max_size=6))
    axes = st.lists(st.integers(-len(shape), len(shape) - 1), max_size=6)
    return shape, draw(st.none() | axes), draw(st.none() | axes.map(tuple))


@given(shapes_with_axes())
def test_fans_by_axes(case: tuple[list[int], Any, Any]) -> None:
    assert compute_fans(*case) == keras_fans(*case)
    assert _core.compute_fans(*case) == keras_fans(*case)


@pytest.mark.parametrize("axes", [([0], [2]), ([-3], [0]), ([0, 5], []), ([10**9], [0])])
def test_axes_outside_the_shape(axes: tuple[list[int], list[int]]) -> None:
    for fans in (keras_fans, compute_fans):
        with pytest.raises(IndexError):
            fans((3, 4), *axes)
    with pytest.raises(IndexError, match="_axes` must name axes of a shape of rank 2"):
        compute_fans((3, 4), *axes)
    with pytest.raises(IndexError):
        HeNormal(seed=1, input_axes=axes[0], output_axes=axes[1])((3, 4))


@pytest.mark.parametrize("shape", [(-1, 2), (2.5, 3), "ab", ("3", 2), ((2,), 3), (None, 2), 5])
def test_bad_shapes(shape: Any) -> None:
    with pytest.raises(ValueError, match="shape"):
        compute_fans(shape)


@pytest.mark.parametrize("axes", [5, "ab", [0.5], [None]])
def test_bad_axes(axes: Any) -> None:
    with pytest.raises(TypeError, match=r"`input_axes` must be a list of integers"):
        compute_fans((3, 4), axes, [0])


def test_a_block_has_the_fans_of_the_whole() -> None:
    whole = HeNormal(seed=3)((40, 30))
    block = HeNormal(seed=3)((40, 30), index=(slice(10, 14), slice(None)))
    assert block.tobytes() == whole[10:14].tobytes()
