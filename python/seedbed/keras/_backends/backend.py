"""What a backend of Keras has to say of a call, and what holds for most."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from seedbed.keras._private import in_symbolic_scope

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from seedbed._draw import Draw
    from seedbed.keras._call import Call


class Backend(ABC):
    """How a backend gets its tensors.

    Attributes:
        name: Keras' name of the backend, and that of the stream that repeats its numbers.
    """

    name: ClassVar[str]

    @abstractmethod
    def tensor(self, array: npt.NDArray[Any]) -> Any:
        """The tensor of an array that nobody else holds, without a copy where possible."""

    @abstractmethod
    def placeholder(self, draw: Draw) -> Any:
        """A tensor of the shape and dtype, where no value is ever read: whatever costs least."""

    def beside(self, tensor: Any, other: Any) -> Any:
        """`tensor` on the devices of `other`, where a variable would not keep to its own."""
        return tensor

    def drawn_dtype(self, dtype: Any) -> Any:
        """The dtype to draw where `dtype` is asked for."""
        return dtype

    def is_repeated(self, dtype: Any) -> bool:
        """Whether the stream of the backend's name draws what the backend draws here and now.

        Args:
            dtype: The dtype of the tensor, as it was given.
        """
        return True

    def is_compiling(self) -> bool:
        """Whether the framework is compiling Python just now, rather than running it."""
        return False

    def uncompiled(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """`function`, run rather than compiled."""
        return function

    def run(self, call: Call, trial: Draw) -> Any:
        """The tensor of a call that seedbed can draw.

        Args:
            call: The call, of which nothing is advanced yet.
            trial: Its tensor, from a trial seed where the seed is a generator.
        """
        # Shapes are inferred here, from values that are thrown away: no generator moves.
        return self.placeholder(trial) if in_symbolic_scope() else self.eager(call, trial)

    def eager(self, call: Call, trial: Draw) -> Any:
        """The tensor, drawn now."""
        return self.tensor(call.settle(trial).draw())

    def sharding(self, layout: Any) -> Any:
        """A layout as the backend understands it.

        Raises:
            ValueError: The backend lays out nothing, or not this.
        """
        raise ValueError(
            f"`layout` must be None on Keras' {self.name} backend, which lays out no variables. "
            f"Received: layout={layout}"
        )

    def run_sharded(self, call: Call, trial: Draw | None, sharding: Any) -> Any:
        """The tensor of a call with a layout; `trial` is None where Keras has to draw it."""
        raise NotImplementedError
