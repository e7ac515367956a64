"""What the streams that repeat backends of Keras have in common: seeds of 32 bits, fans.

The steps are those of `keras.src.random.seed_generator` and `keras.initializers`, Keras 3.15.
"""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

from seedbed import _core
from seedbed._seeds import SupportsNext, in_range, resolve_seed
from seedbed._streams.rules import Rules

if TYPE_CHECKING:
    from collections.abc import Callable

    from seedbed._draw import Draw

# Keras' states have words of 32 bits.
_SEED_END: Final = 1 << 32

# A key to try arguments with, so that no generator is advanced for those that are refused.
_TRIAL: Final = (0, 0)

Key: TypeAlias = tuple[int, int]


class KerasRules(Rules):
    """The rules of a stream whose name is that of a backend of Keras with unsigned seeds."""

    def initial_seed(self, seed: Any) -> Any:
        return seed  # Scalars of NumPy are refused, but by the call, as in Keras.

    def check_parameter(self, argument: str, value: Any) -> None:
        pass  # The call refuses what is no number, with the types of the backend.

    def generator_seed(self, seed: Any) -> int:
        if not isinstance(seed, int):
            raise ValueError(f"Argument `seed` must be an integer. Received: seed={seed}")
        if not 0 <= seed < _SEED_END:
            raise OverflowError(
                "`seed` must be in 0 .. 2**32-1 where this stream is the default. "
                f"Received: seed={seed}"
            )
        return in_range(seed)

    def folded(self, seed: int) -> int:
        return seed % _SEED_END

    def key(self, seed: Any) -> Key:
        """As `keras.src.random.seed_generator.draw_seed`: the seed and the number of the call."""
        if isinstance(seed, int):
            if 0 <= seed < _SEED_END:
                return int(seed), 0
            raise OverflowError(
                f"`seed` must be in 0 .. 2**32-1 on this stream. Received: seed={seed}"
            )
        if isinstance(seed, np.integer):
            raise ValueError(
                "Argument `seed` must be either an integer or an instance of `SeedGenerator`. "
                f"Received: seed={seed} (of type {type(seed)})"
            )
        if seed is None:
            seed = _KerasGlobalGenerator.find(self.name)
        return resolve_seed(seed)

    def check_seed(self, seed: Any) -> None:
        """Refuses what is no seed, and advances no generator."""
        # The cheap test first: whether something is a generator takes longer than all the rest.
        if type(seed) is int or not (seed is None or _is_generator(seed)):
            self.key(seed)

    def core_draw(self, seed: Any, core: Callable[[Key], Draw]) -> Draw:
        """What `core` makes of the key; a generator is advanced only if it makes something."""
        if type(seed) is not int:
            core(_TRIAL)
        return core(self.key(seed))

    def scaled_by_fans(
        self,
        shape: Any,
        dtype: Any,
        seed: Any,
        scale: Any,
        mode: str,
        distribution: str,
        input_axes: Any,
        output_axes: Any,
    ) -> Draw:
        """As `keras.initializers.VarianceScaling` computes it in Python, with whatever precision a
        scalar of NumPy brings into it."""
        deviation = _deviation_of_fans(shape, scale, mode, distribution, input_axes, output_axes)
        if distribution == "uniform":
            return self.uniform(shape, dtype, seed, -deviation, deviation)
        if distribution == "untruncated_normal":
            return self.normal(shape, dtype, seed, 0.0, deviation)
        return self.truncated_normal(shape, dtype, seed, 0.0, deviation)


def _is_generator(seed: Any) -> bool:
    return isinstance(seed, SupportsNext) and not isinstance(seed, type)


class _KerasGlobalGenerator:
    """The generator that Keras draws from where no seed is given, advanced as Keras does it."""

    def __init__(self, generator: Any) -> None:
        self.state = generator.state
        self._generator = generator

    @classmethod
    def find(cls, backend: str) -> _KerasGlobalGenerator | None:
        """Keras' generator, None where Keras is not imported or has another backend."""
        module = sys.modules.get("keras.src.random.seed_generator")
        if module is None or sys.modules["keras"].backend.backend() != backend:
            return None
        return cls(module.global_seed_generator())

    def next(self, ordered: bool = False) -> Any:
        """The state before it is scrambled."""
        return self._generator.next(ordered=False)


def _deviation_of_fans(
    shape: Any, scale: Any, mode: str, distribution: str, input_axes: Any, output_axes: Any
) -> float:
    """The standard deviation, or limit, that `keras.initializers.VarianceScaling` computes.

    Numbers other than Python's bring their own precision into it.
    """
    fan_in, fan_out = _fans(shape, input_axes, output_axes)
    fans = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2.0}
    variance = scale / max(1.0, fans[mode])
    if distribution == "uniform":
        return math.sqrt(3.0 * variance)
    deviation = math.sqrt(variance)
    return deviation / _core.TRUNCATED_STDDEV if distribution == "truncated_normal" else deviation


def _fans(shape: Any, input_axes: Any, output_axes: Any) -> tuple[int, int]:
    """As `keras.src.initializers.random_initializers.compute_fans`."""
    shape = tuple(shape)
    if input_axes is not None and output_axes is not None:
        fan_in = math.prod(shape[axis] for axis in input_axes)
        fan_out = math.prod(shape[axis] for axis in output_axes)
    elif len(shape) < 2:
        fan_in = fan_out = shape[0] if shape else 1
    else:
        field = math.prod(shape[:-2])
        fan_in, fan_out = shape[-2] * field, shape[-1] * field
    return int(fan_in), int(fan_out)
