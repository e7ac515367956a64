"""`SeedGenerator`, which gives each call its own numbers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np

from seedbed._seeds import CALLS_END, lock, make_default_seed
from seedbed._streams import rules_of

if TYPE_CHECKING:
    import numpy.typing as npt

_name_counts: Final[dict[str, int]] = {}


class SeedGenerator:
    """A source of seeds that gives each call its own numbers, as `keras.random.SeedGenerator`.

    Args:
        seed: An integer in 0 .. 2**64-1. None draws `random.randint(1, 10**9)`, which Python's
            `random.seed` and `keras.utils.set_random_seed` govern; the config keeps None.
        name: A name for the config; made up if None.

    Safe under threads: every state is given out once.

    Raises:
        ValueError: `seed` is not an integer, or is out of range.
        OverflowError: `seed` is beyond what the stream in use takes.
    """

    def __init__(self, seed: int | None = None, name: str | None = None, **kwargs: object) -> None:
        kwargs.pop("backend", None)  # Keras' private argument; there is one backend here.
        if kwargs:
            raise ValueError(f"Unrecognized keyword arguments: {kwargs}")
        self.name = _unique_name(type(self).__name__) if name is None else name
        # Where a stream repeats a framework, a generator is what it is there.
        checked = make_default_seed() if seed is None else rules_of(None).generator_seed(seed)
        # Of a scalar of NumPy the config keeps the number, which can be stored.
        self._initial_seed = int(seed) if isinstance(seed, np.integer) else seed
        self._seed, self._call = checked, 0

    @property
    def state(self) -> npt.NDArray[np.unsignedinteger[Any]]:
        """What `next` will return: the array `[seed, number of the call]`, a copy."""
        with lock:
            return _state_array(self._seed, self._call)

    def next(self, ordered: bool = True) -> npt.NDArray[np.unsignedinteger[Any]]:
        """The state `[seed, number of the call]`, uint32 if both fit and else uint64; advances.

        Args:
            ordered: True counts calls. False scrambles the state the way Keras does.

        Raises:
            OverflowError: All 2**32 calls were given out.
        """
        with lock:
            seed, call = self._seed, self._call
            if call >= CALLS_END:
                raise OverflowError(
                    f"`{self.name}` must be used for at most 2**32 draws. Received: draw={call}"
                )
            if ordered:
                self._call = call + 1
            else:
                # Keras' state, and so its arithmetic, has 32 bits.
                self._seed = (seed + 1) * 5387 % CALLS_END % 933199
                self._call = (call + 1) * 5387 % CALLS_END % 933199
        return _state_array(seed, call)

    def get_config(self) -> dict[str, Any]:
        """The arguments that make an equal generator, not the state."""
        return {"seed": self._initial_seed, "name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """The generator that `get_config` described."""
        return cls(**config)


def _state_array(seed: int, call: int) -> npt.NDArray[np.unsignedinteger[Any]]:
    fits = seed < 1 << 32 and call < 1 << 32
    return np.array([seed, call], dtype=np.uint32 if fits else np.uint64)


def _unique_name(prefix: str) -> str:
    """`seed_generator`, `seed_generator_1`, ..: Keras' automatic names."""
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", prefix).lower()
    with lock:
        count = _name_counts.get(snake, 0)
        _name_counts[snake] = count + 1
    return f"{snake}_{count}" if count else snake
