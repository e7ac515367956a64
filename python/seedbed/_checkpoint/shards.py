"""Which file of a directory holds which tensor, what the files are called, and who writes them.

What: `by_size` and `by_count` cut a list of tensors into shards, `file_names` names them, `share`
deals them out to several processes.
Method: `by_size` is huggingface_hub's rule, so that shards come out as `save_pretrained` makes
them; `by_count` keeps the order and makes the largest shard as small as that allows.
Consumes: nothing but the list.
Promises: the result depends on sizes and order alone, so processes that do not talk agree on it.
"""

from __future__ import annotations

import bisect
import heapq
import itertools
import re
from collections.abc import Sequence
from typing import Final, TypeVar

from seedbed._checkpoint.format import Described

# What `seedbed init` and huggingface_hub take where no size is given.
DEFAULT_SHARD_BYTES: Final = 5_000_000_000

SINGLE_NAME: Final = "model.safetensors"
INDEX_NAME: Final = "model.safetensors.index.json"

_SIZE = re.compile(r"\s*(\d+(?:\.\d*)?|\.\d+)((?:e\d{1,2})?)\s*([a-z]*)\s*", re.IGNORECASE)
_UNITS: Final = {
    "": 1,
    "B": 1,
    **{f"{letter}{b}": 1000**power for power, letter in enumerate("KMGT", 1) for b in ("", "B")},
    **{f"{letter}IB": 1024**power for power, letter in enumerate("KMGT", 1)},
}

T = TypeVar("T", bound=Described)


def parse_size(text: str) -> int:
    """Return the bytes that a size for people means: "5GB" is 5e9, "5GiB" 5 * 2**30, "500" 500.

    Raises:
        ValueError: It is no size of at least one byte.
    """
    match = _SIZE.fullmatch(text)
    unit = _UNITS.get(match[3].upper()) if match else None
    size = float(match[1] + match[2]) * unit if match and unit else 0.0
    if not 1 <= size < 2**63:
        raise ValueError(f"must be a size such as 5GB, 500MiB or 1000000. Received: {text[:80]}")
    # A whole number of bytes is exact however long it is.
    return int(text) if text.strip().isdecimal() else int(size)


def by_size(tensors: Sequence[T], limit: int) -> list[list[T]]:
    """Cut `tensors` into shards of at most `limit` bytes.

    A tensor goes to the open shard unless that would exceed the limit; then the shard is closed. A
    tensor above the limit is a shard of its own, and the open one stays open.
    """
    shards: list[list[T]] = []
    opened: list[T] = []
    used = 0
    for tensor in tensors:
        if tensor.nbytes > limit:
            shards.append([tensor])
            continue
        if used + tensor.nbytes > limit:
            shards.append(opened)
            opened, used = [], 0
        opened.append(tensor)
        used += tensor.nbytes
    if opened:
        shards.append(opened)
    return shards


def by_count(tensors: Sequence[T], count: int) -> list[list[T]]:
    """Cut `tensors` into `count` shards, 1 .. the number of tensors, the largest of least size."""
    sums = list(itertools.accumulate(tensor.nbytes for tensor in tensors))
    total, largest = sums[-1], max(tensor.nbytes for tensor in tensors)

    def fits(limit: int) -> bool:
        position = begun = 0
        for left in range(count - 1, -1, -1):
            end = bisect.bisect_right(sums, begun + limit)
            position = max(position + 1, min(end, len(tensors) - left))
            begun = sums[position - 1]
        return position == len(tensors)

    low, high = max(largest, -(-total // count)), total
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if fits(middle) else (middle + 1, high)
    # Where each shard has to begin at the earliest, for the rest to fit.
    begins = [len(tensors)]
    for left in range(count - 1):
        bound = (sums[begins[-1] - 1] if begins[-1] else 0) - low
        begin = bisect.bisect_left(sums, bound) + 1 if bound > 0 else 0
        begins.append(min(max(begin, count - 1 - left), begins[-1] - 1))
    shards, position, begun = [], 0, 0
    for left in range(count - 1, -1, -1):
        # As near to an equal share of what is left as the limit allows, before it and after.
        even = begun + (total - begun) / (left + 1)
        end = bisect.bisect_left(sums, even)
        if end < len(tensors) and sums[end] - even < even - (sums[end - 1] if end else 0):
            end += 1
        most = bisect.bisect_right(sums, begun + low)
        end = max(begins[left], min(end, most, len(tensors) - left), position + 1)
        shards.append(list(tensors[position:end]))
        position, begun = end, sums[end - 1]
    return shards


def file_names(count: int) -> list[str]:
    """Return Hugging Face's names of `count` files."""
    if count == 1:
        return [SINGLE_NAME]
    return [f"model-{number:05d}-of-{count:05d}.safetensors" for number in range(1, count + 1)]


def share(sizes: Sequence[int], part: int, parts: int) -> list[int]:
    """Return which of the files of these sizes are those of part `part` of 1 .. `parts`.

    Files are dealt out by size, largest first, each to the part that has the fewest bytes.
    """
    # The first of the parts that have the fewest bytes is on top.
    loads = [(0, number) for number in range(min(parts, len(sizes)))]
    own = []
    for number in sorted(range(len(sizes)), key=lambda number: -sizes[number]):
        load, least = loads[0]
        heapq.heapreplace(loads, (load + max(sizes[number], 1), least))
        if least == part - 1:
            own.append(number)
    return sorted(own)


def parse_part(text: str) -> tuple[int, int]:
    """Return I and N of "I/N".

    Raises:
        ValueError: It is not 1 <= I <= N.
    """
    match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)
    part, parts = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 1 <= part <= parts:
        raise ValueError(f"must be I/N with 1 <= I <= N, as in 2/8. Received: {text[:80]}")
    return part, parts
