"""Seeds: what is accepted, how generators advance, and how seeds are derived."""

import copy
import hashlib
import pickle
import random as python_random
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import keras
import pytest
from hypothesis import given
from hypothesis import strategies as st

import numpy as np
from seedbed import _seeds, random


def draw(seed: Any) -> list[float]:
    values: list[float] = random.uniform((4,), seed=seed).tolist()
    return values


def test_integer_seeds_repeat_and_differ() -> None:
    assert draw(5) == draw(5) == draw(np.int8(5)) == draw(np.uint64(5))
    assert draw(True) == draw(1)
    assert len({tuple(draw(seed)) for seed in (0, 1, 1 << 31, 1 << 32, (1 << 64) - 1)}) == 5


@pytest.mark.parametrize("seed", [-1, 1 << 64, -(1 << 70), np.int64(-3)])
def test_seeds_out_of_range_are_value_errors(seed: int) -> None:
    for use in (draw, random.SeedGenerator, random.fold_in):
        with pytest.raises(ValueError, match=rf"`seed` must be in 0 .. 2\*\*64-1.*seed={seed}"):
            use(seed)


@pytest.mark.parametrize("seed", [1.0, "1", [1], (1, 2), np.float32(1), random.SeedGenerator, {}])
def test_seeds_of_other_types_are_keras_value_errors(seed: Any) -> None:
    with pytest.raises(ValueError) as theirs:
        keras.random.uniform((2,), seed=seed)
    with pytest.raises(ValueError) as ours:
        draw(seed)
    assert str(ours.value) == str(theirs.value)
    with pytest.raises(ValueError) as theirs:
        keras.random.SeedGenerator(seed)
    with pytest.raises(ValueError) as ours:
        random.SeedGenerator(seed)
    assert str(ours.value) == str(theirs.value)


def test_no_seed_is_governed_by_pythons_generator() -> None:
    python_random.seed(3)
    first = draw(None), draw(None)
    python_random.seed(3)
    assert (draw(None), draw(None)) == first
    keras.utils.set_random_seed(9)
    generator = random.SeedGenerator()
    keras.utils.set_random_seed(9)
    assert draw(random.SeedGenerator()) == draw(generator)
    assert generator.get_config()["seed"] is None


def test_generator_is_keras_generator() -> None:
    ours, theirs = random.SeedGenerator(7, name="g"), keras.random.SeedGenerator(7, name="g")
    assert ours.get_config() == theirs.get_config()
    for ordered in (True, True, False, False, True):
        state = ours.state
        got, want = ours.next(ordered), np.asarray(theirs.next(ordered))
        assert got.dtype == want.dtype
        np.testing.assert_array_equal(got, want)
        np.testing.assert_array_equal(got, state)
    again = random.SeedGenerator.from_config(ours.get_config())
    np.testing.assert_array_equal(again.next(), [7, 0])
    with pytest.raises(ValueError, match="Unrecognized keyword arguments"):
        random.SeedGenerator(1, dtype="x")


def test_generator_names_are_unique_and_snake_case() -> None:
    first, second = random.SeedGenerator(1).name, random.SeedGenerator(1).name
    assert first != second
    assert first.startswith("seed_generator")
    assert random.SeedGenerator(1, name="mine").name == "mine"


def test_generators_are_advanced_once_a_call() -> None:
    ours = random.SeedGenerator(7)
    theirs = keras.random.SeedGenerator(7)
    values = [draw(ours) for _ in range(3)]
    assert values == [draw(theirs) for _ in range(3)]
    assert len({tuple(value) for value in values}) == 3
    assert values[0] == draw(7)
    np.testing.assert_array_equal(np.asarray(theirs.state), [7, 3])
    np.testing.assert_array_equal(ours.next(), [7, 3])


def test_large_seeds_make_wide_states() -> None:
    generator = random.SeedGenerator((1 << 64) - 1)
    assert generator.state.dtype == np.uint64
    np.testing.assert_array_equal(generator.next(), np.array([(1 << 64) - 1, 0], np.uint64))
    assert random.SeedGenerator(1 << 31).state.dtype == np.uint32


@pytest.mark.parametrize(
    ("state", "want"),
    [
        (np.array([-1, 3], np.int32), ((1 << 32) - 1, 3)),
        (np.array([-(1 << 31), 0], np.int32), (1 << 31, 0)),
        (np.array([5, 2], np.int64), (5, 2)),
        (np.array([1 << 31, 2], np.uint32), (1 << 31, 2)),
    ],
)
def test_states_of_any_backend_are_read(state: Any, want: tuple[int, int]) -> None:
    class Generator:
        def __init__(self) -> None:
            self.state = state

        def next(self, ordered: bool = True) -> Any:
            return self.state

    assert _seeds.resolve_seed(Generator()) == want


def test_exhausted_generators_say_so() -> None:
    generator = random.SeedGenerator(1, name="g")
    generator._call = (1 << 32) - 1
    draw(generator)
    with pytest.raises(OverflowError, match=r"`g` must be used for at most 2\*\*32 draws"):
        draw(generator)


@pytest.mark.parametrize("make", [random.SeedGenerator, keras.random.SeedGenerator])
def test_threads_share_a_generator(make: Any) -> None:
    generator = make(11)
    with ThreadPoolExecutor(8) as pool:
        pairs = list(pool.map(lambda _: _seeds.resolve_seed(generator), range(400)))
    assert sorted(pairs) == [(11, n) for n in range(400)]


def test_generators_can_be_copied_and_pickled() -> None:
    generator = random.SeedGenerator(3)
    generator.next()
    copies = (copy.deepcopy(generator), pickle.loads(pickle.dumps(generator)))
    want = draw(generator)
    for other in copies:
        assert draw(other) == want


def reference_fold_in(seed: int, *path: str | int) -> int:
    data = seed.to_bytes(8, "little")
    for part in path:
        if isinstance(part, str):
            payload = part.encode("utf-8")
            data += b"s"
        else:
            length = 1
            while not -(1 << 8 * length - 1) <= part < 1 << 8 * length - 1:
                length += 1
            payload = (part % (1 << 8 * length)).to_bytes(length, "little")
            data += b"i"
        data += len(payload).to_bytes(8, "little") + payload
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")


@given(
    seed=st.integers(0, (1 << 64) - 1),
    path=st.lists(st.one_of(st.text(), st.integers(), st.sampled_from([-129, -128, 127, 128, 0]))),
)
def test_fold_in_is_its_definition(seed: int, path: list[str | int]) -> None:
    assert random.fold_in(seed, *path) == reference_fold_in(seed, *path)


def test_fold_in_is_stable() -> None:
    # Value stability: computed once from the definition; a change breaks users' checkpoints.
    assert random.fold_in(42, "encoder", 3, "kernel") == 7044727504921729043
    assert random.fold_in(np.int64(42), "encoder", np.int32(3), "kernel") == 7044727504921729043


def test_fold_in_separates_paths() -> None:
    paths: list[tuple[str | int, ...]] = [(), ("",), ("ab",), ("a", "b"), ("1",), (1,), (0,), (-1,)]
    assert len({random.fold_in(1, *path) for path in paths}) == len(paths)


@pytest.mark.parametrize("part", [1.5, None, b"x", True, ("a",)])
def test_fold_in_refuses_other_parts(part: Any) -> None:
    with pytest.raises(TypeError, match="`path` must hold strings and integers"):
        random.fold_in(1, part)


@pytest.mark.parametrize("seed", [1.5, "1", None])
def test_fold_in_refuses_other_seeds(seed: Any) -> None:
    with pytest.raises(ValueError, match="Argument `seed` must be an integer"):
        random.fold_in(seed, "a")
