"""Seeds: what they may be, how they are drawn, and how new ones are derived.

A seed reaches the core as a pair: 64 bits of seed and the number of the draw. A plain integer is
always draw 0, so that it repeats its values; a generator counts its draws.
"""

from __future__ import annotations

import operator
import os
import re
from threading import RLock
from typing import TYPE_CHECKING, Any, Final, Protocol, Self, runtime_checkable

import numpy as np

from seedbed._streams import get_stream

if TYPE_CHECKING:
    import numpy.typing as npt

_SEED_END: Final = 1 << 64
_DRAW_END: Final = 1 << 32

# Guards the state of every generator; Keras' have no lock of their own. A fork waits for it, so
# that no child inherits it taken by a thread that the child does not have.
_lock: Final = RLock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release
    )

_name_counts: Final[dict[str, int]] = {}


@runtime_checkable
class SupportsNext(Protocol):
    """A generator of seeds that is not ours: `keras.random.SeedGenerator`."""

    state: Any

    def next(self, ordered: bool = True) -> Any:
        """The current state, `[seed, draw]`; advances to the next."""


class SeedGenerator:
    """A source of seeds that gives each call its own numbers, as `keras.random.SeedGenerator`.

    Args:
        seed: An integer in 0 .. 2**64-1. None draws `random.randint(1, 10**9)`, which Python's
            `random.seed` and `keras.utils.set_random_seed` govern; the config keeps None.
        name: A name for the config; made up if None.

    Safe under threads: every draw is given out once.

    Raises:
        ValueError: `seed` is not an integer, or is out of range.
        OverflowError: The numpy stream is the default, and `seed` is not below 2**32.
    """

    def __init__(self, seed: int | None = None, name: str | None = None, **kwargs: object) -> None:
        kwargs.pop("backend", None)  # Keras' private argument; there is one backend here.
        if kwargs:
            raise ValueError(f"Unrecognized keyword arguments: {kwargs}")
        self.name = _unique_name(type(self).__name__) if name is None else name
        self._initial_seed = seed
        # Where that stream is the default, a generator is what Keras' is on that backend.
        of_keras = get_stream() == "numpy"
        if seed is None:
            self._seed = make_default_seed()
        elif isinstance(seed, int) or (isinstance(seed, np.integer) and not of_keras):
            if of_keras and not 0 <= seed < _DRAW_END:
                raise OverflowError(
                    "`seed` must be in 0 .. 2**32-1 where the numpy stream is the default. "
                    f"Received: seed={seed}"
                )
            self._seed = _in_range(seed)
        else:
            raise ValueError(f"Argument `seed` must be an integer. Received: seed={seed}")
        self._draw = 0

    @property
    def state(self) -> npt.NDArray[np.unsignedinteger[Any]]:
        """What `next` will return: the array `[seed, number of the draw]`, a copy."""
        with _lock:
            return _state_array(self._seed, self._draw)

    def next(self, ordered: bool = True) -> npt.NDArray[np.unsignedinteger[Any]]:
        """The state `[seed, number of the draw]`, uint32 if both fit and else uint64; advances.

        Args:
            ordered: True counts draws. False scrambles the state the way Keras does.

        Raises:
            OverflowError: All 2**32 draws were given out.
        """
        return _state_array(*self._advance(ordered))

    def _advance(self, ordered: bool = True) -> tuple[int, int]:
        with _lock:
            seed, draw = self._seed, self._draw
            if draw >= _DRAW_END:
                raise OverflowError(
                    f"`{self.name}` must be used for at most 2**32 draws. Received: draw={draw}"
                )
            if ordered:
                self._draw = draw + 1
            else:
                # Keras' state, and so its arithmetic, has 32 bits.
                self._seed = (seed + 1) * 5387 % _DRAW_END % 933199
                self._draw = (draw + 1) * 5387 % _DRAW_END % 933199
            return seed, draw

    def get_config(self) -> dict[str, Any]:
        """The arguments that make an equal generator, not the state."""
        return {"seed": self._initial_seed, "name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """The generator that `get_config` described."""
        return cls(**config)


def make_default_seed() -> int:
    """A seed for whoever gave none: one draw from Python's own generator, as Keras does."""
    import random  # here and below: most programs that import seedbed need neither at once

    return random.randint(1, 10**9)


def resolve_seed(seed: object) -> tuple[int, int]:
    """The seed and the number of the draw that a call with this `seed` uses.

    Args:
        seed: An integer in 0 .. 2**64-1, a `SeedGenerator` of seedbed or Keras, which is advanced
            once, or None for a new seed each time.

    Raises:
        ValueError: `seed` is none of these, or out of range.
        OverflowError: The generator is exhausted.
    """
    if type(seed) is int and 0 <= seed < _SEED_END:
        return seed, 0
    if isinstance(seed, SeedGenerator):
        return seed._advance()
    if isinstance(seed, int | np.integer):
        return _in_range(seed), 0
    if seed is None:
        return make_default_seed(), 0
    if isinstance(seed, SupportsNext) and not isinstance(seed, type):
        with _lock:
            value = seed.next()
        return _foreign_state(value)
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

    digest = blake2b(_in_range(seed).to_bytes(8, "little"), digest_size=8)
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


def _in_range(seed: int | np.integer[Any]) -> int:
    number = int(seed)
    if not 0 <= number < _SEED_END:
        raise ValueError(f"`seed` must be in 0 .. 2**64-1. Received: seed={number}")
    return number


def _state_array(seed: int, draw: int) -> npt.NDArray[np.unsignedinteger[Any]]:
    fits = seed < 1 << 32 and draw < 1 << 32
    return np.array([seed, draw], dtype=np.uint32 if fits else np.uint64)


def _foreign_state(value: Any) -> tuple[int, int]:
    """Seed and draw of a backend's `[seed, draw]` tensor, whatever its integer type."""
    if hasattr(value, "detach"):  # torch, perhaps on a device
        value = value.detach().cpu()
    state = np.asarray(value)
    # Some backends keep the 32 bits of the seed in a signed integer.
    mask = (1 << 8 * state.dtype.itemsize) - 1
    seed, draw = (int(entry) & mask for entry in state)
    return seed, draw % _DRAW_END


def _unique_name(prefix: str) -> str:
    """`seed_generator`, `seed_generator_1`, ..: Keras' automatic names."""
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", prefix).lower()
    with _lock:
        count = _name_counts.get(snake, 0)
        _name_counts[snake] = count + 1
    return f"{snake}_{count}" if count else snake
