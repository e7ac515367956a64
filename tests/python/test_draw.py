"""Tensors that are prepared once and drawn in pieces, from any thread."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import cases
import seedbed
from seedbed import _core, _draw, _streams, initializers, random
from seedbed._streams.rules import Rules

SHAPES: list[Any] = [
    pytest.param(name, kwargs, shape, id=f"{name}-{number}")
    for number, (name, kwargs, shape) in enumerate(cases.CASES)
]


def blocks_of(shape: tuple[int, ...]) -> list[tuple[Any, ...]]:
    """Blocks that cover a tensor, one of them backwards, and one that an integer takes."""
    half = max(1, shape[0] // 2)
    return [(slice(0, half),), (slice(half, None),), (slice(None, None, -1), ...), (0,)]


@pytest.mark.parametrize(("name", "kwargs", "shape"), SHAPES)
@pytest.mark.parametrize("stream", [None, "numpy"])
def test_a_draw_is_the_call_whole_and_in_blocks(
    name: str, kwargs: dict[str, Any], shape: tuple[int, ...], stream: str | None
) -> None:
    if stream is not None:
        if name not in cases.RANDOM:
            return
        kwargs = {**kwargs, "stream": stream}
    initializer = getattr(initializers, name)(**kwargs)
    whole = initializer(shape)
    draw = initializer.prepare(shape)
    assert isinstance(draw, seedbed.Draw)
    assert (draw.shape, draw.dtype) == (shape, np.float32)
    for _ in range(2):
        np.testing.assert_array_equal(draw.draw(), whole)
    for index in blocks_of(shape):
        block = draw.draw(index)
        np.testing.assert_array_equal(block, whole[index])
        out = np.full(block.shape, np.nan, np.float32)
        assert draw.draw(index, out) is out
        np.testing.assert_array_equal(out, block)
        assert block.ctypes.data % 64 == 0


def test_what_a_draw_says_of_itself() -> None:
    draw = initializers.HeNormal(seed=3).prepare((3, 3, 16, 32), "bfloat16")
    assert (draw.seed, draw.call, draw.stream, draw.fans) == (3, 0, "philox", (144, 288))
    assert repr(draw).startswith("<Draw (3, 3, 16, 32), bfloat16, normal in [-2.0, 2.0] deviations")
    assert repr(draw).endswith("stream 'philox', seed 3>")
    draw = initializers.RandomNormal(seed=3, stream="numpy").prepare((4,), "int32")
    assert (draw.seed, draw.call, draw.stream, draw.fans) == (3, 0, "numpy", None)
    draw = initializers.Zeros().prepare((4,), bool)
    assert (draw.seed, draw.call, draw.stream, draw.fans) == (None, None, None, None)
    assert repr(draw) == "<Repeated (4,), bool>"


@pytest.mark.parametrize("stream", _core.streams())
@pytest.mark.parametrize("name", cases.RANDOM)
def test_a_generator_is_advanced_once_by_a_draw_and_not_by_refused_ones(
    stream: str, name: str
) -> None:
    generator = random.SeedGenerator(7)
    initializer = getattr(initializers, name)(seed=generator, stream=stream)
    with pytest.raises((TypeError, ValueError, RuntimeError)):
        initializer.prepare((-1, 2))
    with pytest.raises((TypeError, ValueError)):
        initializer.prepare((3, 2), "no dtype")
    assert generator.state.tolist() == [7, 0]
    first, second = initializer.prepare((8, 6)), initializer.prepare((8, 6))
    assert generator.state.tolist() == [7, 2]
    assert (first.call, second.call) == (0, 1)
    top, bottom = first.draw((slice(0, 4),)), first.draw((slice(4, 8),))
    np.testing.assert_array_equal(np.concatenate([top, bottom]), first.draw())
    assert not np.array_equal(first.draw(), second.draw())
    assert generator.state.tolist() == [7, 2]


@pytest.mark.parametrize("stream", _core.streams())
def test_threads_share_a_draw(stream: str) -> None:
    draw = initializers.GlorotUniform(seed=5, stream=stream).prepare((640, 512))
    whole = draw.draw()
    pieces = np.empty_like(whole)

    def fill(row: int) -> None:
        draw.draw((slice(row, row + 16),), pieces[row : row + 16])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(fill, range(0, 640, 16)))
    np.testing.assert_array_equal(pieces, whole)


def test_preparing_draws_and_allocates_nothing() -> None:
    shape = (1 << 20, 1 << 20)
    for initializer in (
        initializers.HeNormal(seed=1),
        initializers.Zeros(),
        initializers.Constant(2.0),
        initializers.Identity(),
    ):
        draw = initializer.prepare(shape, "float64")
        corner = draw.draw((slice(0, 2), slice(-2, None)))
        assert corner.shape == (2, 2)
        with pytest.raises(MemoryError):
            draw.draw()


def test_initializers_of_users_have_draws() -> None:
    class Counting(initializers.Initializer):
        def __call__(self, shape: Any, dtype: Any = None) -> Any:
            return np.arange(np.prod(shape)).reshape(shape).astype(dtype)

    draw = Counting().prepare((4, 3), "float16")
    assert draw.dtype == np.float16
    np.testing.assert_array_equal(draw.draw((slice(1, 3), -1)), np.float16([5, 8]))
    with pytest.raises(ValueError, match="Cannot convert"):
        Counting().prepare((-4, 3))


def test_arrays_as_identifiers_have_draws() -> None:
    values = np.arange(12.0).reshape(3, 4)
    draw = initializers.get(values).prepare((3, 4), "int8")
    values[:] = 0
    np.testing.assert_array_equal(draw.draw((slice(None), 2)), np.int8([2, 6, 10]))


class ToyRules(Rules):
    """The rules of a stream whose values are the numbers of the elements, whatever is asked."""

    def __init__(self) -> None:
        self.name = "toy"

    def normal(self, shape: Any, dtype: Any, seed: Any, mean: Any, stddev: Any) -> seedbed.Draw:
        def write(memory: Any, block: tuple[slice, ...]) -> None:
            memory[...] = np.arange(np.prod(shape)).reshape(shape)[block].reshape(memory.shape)

        return _draw.Computed(shape, np.dtype(dtype or "float32"), write, "toy", self.key(seed))


def test_a_new_stream_is_its_rules_and_an_entry_of_the_table(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(_streams._BY_NAME, "toy", ToyRules())
    values = np.float32([[0, 1, 2], [3, 4, 5]])
    made = initializers.RandomNormal(seed=1, stream="toy")
    np.testing.assert_array_equal(made((2, 3)), values)
    np.testing.assert_array_equal(made((2, 3), index=(1,)), values[1])
    assert initializers.deserialize(initializers.serialize(made)).stream == "toy"
    with seedbed.use_stream("toy"):
        assert seedbed.get_stream() == "toy"
        np.testing.assert_array_equal(random.normal((2, 3), dtype="float32"), values)
    with pytest.raises(ValueError, match=r"'toy'\. Received: stream='tory'"):
        initializers.RandomNormal(stream="tory")


def test_the_table_of_streams_is_the_cores() -> None:
    assert _streams.streams() == _core.streams()
