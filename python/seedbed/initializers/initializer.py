"""The base class of initializers, as `keras.initializers.Initializer`."""

from typing import Any, Self

import numpy as np
import numpy.typing as npt

from seedbed._draw import Computed, Draw
from seedbed._dtypes import standardize


class Initializer:
    """Base class of all initializers; derive from it to write your own.

    A subclass implements `__call__`, and `get_config` if its constructor takes arguments:

        class ExampleRandomNormal(Initializer):
            def __init__(self, mean, stddev):
                self.mean = mean
                self.stddev = stddev

            def __call__(self, shape, dtype=None):
                return seedbed.random.normal(
                    shape, mean=self.mean, stddev=self.stddev, dtype=dtype
                )

            def get_config(self):
                return {"mean": self.mean, "stddev": self.stddev}

    `from_config` needs no implementation where the keys of the config are the arguments of the
    constructor.
    """

    def __call__(self, shape: Any, dtype: Any = None) -> Any:
        """The initial values of a tensor.

        Args:
            shape: Shape of the tensor.
            dtype: dtype of the tensor; None is Keras' `floatx`, float32 unless set otherwise.
        """
        raise NotImplementedError("Initializer subclasses must implement the `__call__()` method.")

    def prepare(self, shape: Any, dtype: Any = None) -> Draw:
        """The tensor, ready to be made whole or in blocks.

        Here every block comes from a call that makes the whole tensor; the initializers of this
        package make the block alone.

        Args:
            shape: Shape of the tensor.
            dtype: As for a call.

        Raises:
            ValueError: A bad shape or dtype.
        """

        def write(memory: npt.NDArray[Any], block: tuple[slice, ...]) -> None:
            whole = np.asarray(self(draw.shape, dtype=draw.dtype))
            memory[...] = whole[block].reshape(memory.shape)

        draw = Computed(shape, standardize(dtype), write)
        return draw

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor, as a dict that JSON can hold."""
        return {}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """The initializer that `get_config` described."""
        return cls(**config)

    def clone(self) -> Self:
        """An initializer of the same config. Without a seed, it draws one of its own."""
        return self.__class__.from_config(self.get_config())
