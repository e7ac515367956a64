"""How tensors are cut into shards, and shards dealt out to parts."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seedbed._checkpoint.shards import by_count, by_size, file_names, parse_part, parse_size, share


class Sized:
    """A tensor of which only the size matters."""

    def __init__(self, nbytes: int, name: str = "t") -> None:
        self.name = name
        self.nbytes = nbytes
        self.shape = (nbytes,)
        self.dtype = np.dtype(np.uint8)


def sizes_of(shards: Sequence[Sequence[Sized]]) -> list[list[int]]:
    return [[tensor.nbytes for tensor in shard] for shard in shards]


@pytest.mark.parametrize(
    ("text", "size"),
    [
        *(("5GB", 5 * 10**9), ("5gb", 5 * 10**9), (" 1.5 GB", 15 * 10**8), ("5G", 5 * 10**9)),
        *(("5GiB", 5 * 2**30), ("500MiB", 500 * 2**20), ("1KB", 1000), ("1kib", 1024)),
        *(("500", 500), ("5e3MB", 5 * 10**9), ("1TB", 10**12), (".5KB", 500), ("7B", 7)),
        ("9007199254740993", 2**53 + 1),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text", ["", "GB", "5 G B", "-1GB", "0", "0.1", "nan", "inf", "infGB", "1e99GB", "5Q", "1e999"]
)
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(ValueError, match="must be a size such as"):
        parse_size(text)


def test_a_tensor_above_the_limit_leaves_the_open_shard_open() -> None:
    # What huggingface_hub does; tests/loaders compares at random.
    tensors = [Sized(n) for n in (50, 500, 50, 1)]
    assert sizes_of(by_size(tensors, 100)) == [[500], [50, 50], [1]]
    assert by_size([], 100) == []


@given(
    sizes=st.lists(st.sampled_from([0, 1, 5, 50, 99, 100]), min_size=1, max_size=8),
    data=st.data(),
)
def test_shards_by_count_keep_the_order_and_the_largest_is_least(
    sizes: list[int], data: st.DataObject
) -> None:
    count = data.draw(st.integers(1, len(sizes)))
    tensors = [Sized(size) for size in sizes]
    shards = by_count(tensors, count)
    assert len(shards) == count
    assert all(shards)
    assert [tensor for shard in shards for tensor in shard] == tensors
    largest = max(map(sum, sizes_of(shards)))
    ways = itertools.combinations(range(1, len(sizes)), count - 1)
    cuts = ([0, *way, len(sizes)] for way in ways)
    assert largest == min(max(sum(sizes[a:b]) for a, b in itertools.pairwise(cut)) for cut in cuts)


def test_shards_by_count_are_about_equal() -> None:
    sums = [sum(shard) for shard in sizes_of(by_count([Sized(100)] * 48 + [Sized(3)] * 100, 7))]
    assert min(sums) > 0.85 * max(sums)


def test_many_shards_are_cut_and_dealt_out_quickly() -> None:
    # Minutes, were each dealt out by a search among all parts.
    shards = by_count([Sized(4)] * 50_000, 50_000)
    assert len(shards) == 50_000
    assert share([4] * 50_000, 7, 50_000) == [6]


def test_names() -> None:
    assert file_names(1) == ["model.safetensors"]
    assert file_names(12)[10] == "model-00011-of-00012.safetensors"


@given(sizes=st.lists(st.integers(0, 1000), min_size=1, max_size=20), parts=st.integers(1, 24))
def test_every_file_is_dealt_to_one_part(sizes: list[int], parts: int) -> None:
    shares = [share(sizes, part, parts) for part in range(1, parts + 1)]
    assert sorted(number for own in shares for number in own) == list(range(len(sizes)))
    loads = [sum(max(sizes[number], 1) for number in own) for own in shares]
    # None has a whole file more than the least loaded one.
    assert max(loads) <= min(loads) + max(1, *sizes)


@pytest.mark.parametrize("text", ["", "1", "0/2", "3/2", "a/2", "1/2/3", "-1/2", "1/ 2"])
def test_what_is_no_part(text: str) -> None:
    with pytest.raises(ValueError, match="must be I/N"):
        parse_part(text)
    assert parse_part("2/8") == (2, 8)
