"""Seeds: what they may be, how they become keys, and how new ones are derived.

A key is a pair: 64 bits of seed and the number of the call. A plain integer is always call 0, so
that it repeats its values; a generator counts its calls.
"""

from __future__ import annotations

import operator
import os
from threading import RLock
from typing import Any, Final, Protocol, runtime_checkable

import numpy as np

from seedbed._tensors import to_numpy

SEED_END: Final = 1 << 64
CALLS_END: Final = 1 << 32

# Guards the state of every generator; Keras' have no lock of their own. A fork waits for it, so
# that no child inherits it taken by a thread that the child does not have.
lock: Final = RLock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release
    )


@runtime_checkable
class SupportsNext(Protocol):
    """A generator of seeds: `seedbed.random.SeedGenerator` or `keras.random.SeedGenerator`."""

    state: Any

    def next(self, ordered: bool = True) -> Any:
        """The current state, `[seed, call]`; advances to the next."""


def make_default_seed() -> int:
    """A seed for whoever gave none: one draw from Python's own generator, as Keras does."""
    import random  # here and below: most programs that import seedbed need neither at once

    return random.randint(1, 10**9)


def resolve_seed(seed: object) -> tuple[int, int]:
    """The key of a call with this `seed`.

    Args:
        seed: An integer in 0 .. 2**64-1, a `SeedGenerator` of seedbed or Keras, which is advanced
            once, or None for a new seed each time.

    Raises:
        ValueError: `seed` is none of these, or out of range.
        OverflowError: The generator is exhausted.
    """
    if type(seed) is int and 0 <= seed < SEED_END:
        return seed, 0
    if isinstance(seed, int | np.integer):
        return in_range(seed), 0
    if seed is None:
        return make_default_seed(), 0
    if isinstance(seed, SupportsNext) and not isinstance(seed, type):
        with lock:
            value = seed.next()
        return _key_of_state(value)
    raise ValueError(
        "Argument `seed` must be either an integer or an instance of `SeedGenerator`. "
        f"Received: seed={seed} (of type {type(seed)})"
    )


def fold_in(seed: int, *path: str | int) -> int:
    """A seed derived from `seed` for the thing at `path`: `fold_in(42, "encoder", 3, "kernel")`.

    Different paths give independent seeds, so parameters keyed by their own names keep their
    values when others come, go or change order.

    The new seed is the 8-byte BLAKE2b digest, read as a little-endian integer, of the seed as 8
    bytes little-endian followed, for each part of the path, by a tag (`s` for a string, `i` for
    an integer), the length of the payload as 8 bytes little-endian, and the payload: UTF-8, or
    the integer in little-endian two's complement of the least number of bytes, at least one.

    Raises:
        ValueError: `seed` is not an integer in 0 .. 2**64-1.
        TypeError: A part of the path is neither string nor integer.
    """
    if not isinstance(seed, int | np.integer):
        raise ValueError(f"Argument `seed` must be an integer. Received: seed={seed}")
    from hashlib import blake2b

    digest = blake2b(in_range(seed).to_bytes(8, "little"), digest_size=8)
    for part in path:
        if isinstance(part, str):
            tag, payload = b"s", part.encode()
        elif isinstance(part, int | np.integer) and not isinstance(part, bool):
            number = operator.index(part)
            bits = (number if number >= 0 else ~number).bit_length()
            tag, payload = b"i", number.to_bytes(bits // 8 + 1, "little", signed=True)
        else:
            raise TypeError(
                f"`path` must hold strings and integers. Received: {part!r} (of type {type(part)})"
            )
        digest.update(tag + len(payload).to_bytes(8, "little") + payload)
    return int.from_bytes(digest.digest(), "little")


def in_range(seed: int | np.integer[Any]) -> int:
    """`seed` as an integer of Python.

    Raises:
        ValueError: It is not in 0 .. 2**64-1.
    """
    number = int(seed)
    if not 0 <= number < SEED_END:
        raise ValueError(f"`seed` must be in 0 .. 2**64-1. Received: seed={number}")
    return number


def _key_of_state(value: Any) -> tuple[int, int]:
    """The key of a generator's state, a tensor `[seed, call]` of any backend and integer type."""
    state = np.asarray(to_numpy(value))
    # Some backends keep the 32 bits of the seed in a signed integer.
    mask = (1 << 8 * state.dtype.itemsize) - 1
    seed, call = (int(entry) & mask for entry in state)
    return seed, call % CALLS_END
