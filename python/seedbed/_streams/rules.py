"""What a stream's rules are, and those of the streams that repeat no framework.

The rules decide how a seed becomes a key, which parameters, dtypes and shapes are taken, and what
is raised for the rest. A stream that repeats a framework's numbers repeats its rules as well, in a
module of its own that derives from `Rules`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from seedbed import _core
from seedbed._dtypes import standardize, standardize_for
from seedbed._seeds import SEED_END, in_range, resolve_seed

if TYPE_CHECKING:
    from seedbed._draw import Draw

# A key to try arguments with, so that no generator is advanced for those that are refused.
_TRIAL: Final = (0, 0)

# What no stream takes for a number or for numbers.
_NO_NUMBERS: Final = (str, bytes, dict, set, complex, type, type(None))


class Rules:
    """The rules of a stream that takes what the core takes.

    Each method that makes a `Draw` takes shape, dtype and seed as users give them, and then the
    parameters of the distribution.

    Attributes:
        name: The name of the stream.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._core = _core.Stream(name)

    def initial_seed(self, seed: Any) -> Any:
        """What an initializer keeps of its argument `seed`.

        Raises:
            ValueError: An integer that no stream takes.
        """
        if isinstance(seed, np.integer):
            seed = int(seed)
        # Negative seeds wait for the call, which knows its stream: some backends take them.
        return in_range(seed) if type(seed) is int and seed >= SEED_END else seed

    def check_parameter(self, argument: str, value: Any) -> None:
        """Refuses what can be no parameter of a distribution, when an initializer is made.

        Raises:
            TypeError: It is no number and no numbers.
        """
        if isinstance(value, _NO_NUMBERS):
            raise TypeError(
                f"`{argument}` must be a real number. "
                f"Received: {argument}={value!r} (of type {type(value)})"
            )

    def generator_seed(self, seed: Any) -> int:
        """The integer that a `SeedGenerator` starts from.

        Raises:
            ValueError: `seed` is not an integer in 0 .. 2**64-1.
        """
        if not isinstance(seed, int | np.integer):
            raise ValueError(f"Argument `seed` must be an integer. Received: seed={seed}")
        return in_range(seed)

    def folded(self, seed: int) -> int:
        """The seed that a seed of 64 bits, made by `fold_in`, stands for."""
        return seed

    def key(self, seed: Any) -> tuple[int, int]:
        """The seed and the number of the call that a draw with this `seed` uses.

        Raises:
            ValueError: `seed` is no seed, or out of range.
            OverflowError: The generator is exhausted.
        """
        return resolve_seed(seed)

    def uniform(
        self, shape: Any, dtype: Any, seed: Any, low: Any, high: Any, *, floating: bool = False
    ) -> Draw:
        """Values on [low, high); `floating` is whether other dtypes are to be refused as
        `keras.random.uniform` refuses them, rather than as its initializers."""
        dtype = standardize_for(shape, dtype)
        if type(seed) is not int:
            self._core.uniform(shape, dtype, _TRIAL, low, high)
        return self._core.uniform(shape, dtype, self.key(seed), low, high)

    def normal(self, shape: Any, dtype: Any, seed: Any, mean: Any, stddev: Any) -> Draw:
        """Normal values."""
        dtype = standardize_for(shape, dtype)
        if type(seed) is not int:
            self._core.normal(shape, dtype, _TRIAL, mean, stddev)
        return self._core.normal(shape, dtype, self.key(seed), mean, stddev)

    def truncated_normal(
        self,
        shape: Any,
        dtype: Any,
        seed: Any,
        mean: Any,
        stddev: Any,
        lower: Any = -2.0,
        upper: Any = 2.0,
    ) -> Draw:
        """Normal values within `lower` and `upper` standard deviations of the mean."""
        dtype = standardize_for(shape, dtype)
        draw = self._core.truncated_normal
        if type(seed) is not int:
            draw(shape, dtype, _TRIAL, mean, stddev, lower, upper)
        return draw(shape, dtype, self.key(seed), mean, stddev, lower, upper)

    def variance_scaling(
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
        """Values whose variance is `scale` over a fan."""
        dtype = standardize_for(shape, dtype)
        key = self.key(seed) if type(seed) is int else _TRIAL
        draw = self._core.variance_scaling(
            shape, dtype, key, scale, mode, distribution, input_axes, output_axes
        )
        if key is not _TRIAL:
            return draw
        return self._core.variance_scaling(
            shape, dtype, self.key(seed), scale, mode, distribution, input_axes, output_axes
        )

    def orthogonal(self, shape: Any, dtype: Any, seed: Any, gain: Any) -> Draw:
        """Orthogonal matrices times `gain`."""
        sizes = _core.standardize_shape(shape)
        check_rank(shape if hasattr(shape, "__len__") else sizes)
        dtype = standardize(dtype)
        if type(seed) is not int:
            self._core.orthogonal(sizes, dtype, _TRIAL, gain)
        return self._core.orthogonal(sizes, dtype, self.key(seed), gain)


def check_rank(shape: Any) -> None:
    """Refuses shapes that are not those of a matrix, in Keras' words.

    Raises:
        ValueError: The rank is below 2.
    """
    if len(shape) < 2:
        raise ValueError(
            "The tensor to initialize must be "
            "at least two-dimensional. Received: "
            f"shape={shape} of rank {len(shape)}."
        )
