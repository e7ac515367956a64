"""One call of an initializer: whether seedbed draws it, and if not, Keras' own code.

What: `call` stands in for `__call__` of the classes in `LAWS`.
Method: the rules of the stream are asked for a `Draw` with the seed, or, where the seed is a
generator, with a trial seed. If they refuse, the call is Keras'. So what seedbed cannot draw is
known before any generator is advanced, and no rule about arguments is written here.
Consumes: one state of the generator, if the seed is one.
Promises: whatever worked in Keras works, with the same result or the same type of exception.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import keras
import numpy as np

from seedbed._streams import rules_of
from seedbed.keras._backends import BACKEND

if TYPE_CHECKING:
    from collections.abc import Callable

    from seedbed._draw import Draw
    from seedbed._streams.rules import Rules

# The stream that repeats what the active backend draws.
AS_KERAS: Final = "keras"

# A seed to try arguments with, so that no generator is advanced for those that are refused.
_TRIAL: Final = 0

# What parameters may be to be read here. Tensors may be traced, and are left to their framework.
_READABLE: Final = (int, float, str, list, tuple, np.generic, np.ndarray, type(None))


class Law(NamedTuple):
    """What a class of Keras draws."""

    method: str
    """The method of `Rules` that draws it."""

    parameters: tuple[str, ...]
    """The attributes of an initializer that the method takes, in its order."""

    by_keras: Callable[..., Any]
    """Keras' own `__call__`, kept from before anything was installed."""

    is_elementwise: bool
    """Whether an element is drawn without the others. If not, a block costs as much as the whole,
    and a stream that repeats a backend does so but for rounding."""


LAWS: Final[dict[Any, Law]] = {
    kind: Law(method, parameters, kind.__call__, is_elementwise)
    for kind, method, parameters, is_elementwise in (
        (keras.initializers.RandomNormal, "normal", ("mean", "stddev"), True),
        (keras.initializers.RandomUniform, "uniform", ("minval", "maxval"), True),
        (keras.initializers.TruncatedNormal, "truncated_normal", ("mean", "stddev"), True),
        (
            keras.initializers.VarianceScaling,
            "variance_scaling",
            ("scale", "mode", "distribution", "input_axes", "output_axes"),
            True,
        ),
        (keras.initializers.Orthogonal, "orthogonal", ("gain",), False),
    )
}


class Call:
    """One call: an initializer and what it is asked for.

    Args:
        initializer: An instance of a class in `LAWS`.
        law: The entry of that class.
        rules: The rules of the stream to draw from.
        shape: Shape of the tensor.
        dtype: dtype of the tensor, as it was given.
    """

    __slots__ = ("dtype", "initializer", "law", "rules", "shape")

    def __init__(self, initializer: Any, law: Law, rules: Rules, shape: Any, dtype: Any) -> None:
        self.initializer = initializer
        self.law = law
        self.rules = rules
        self.shape = shape
        self.dtype = dtype

    @property
    def seed(self) -> Any:
        """An integer or a generator of seeds."""
        return self.initializer.seed

    @property
    def repeats(self) -> bool:
        """Whether an integer is the seed, so that every call draws the same values."""
        return isinstance(self.initializer.seed, int)

    def prepare(self, seed: Any) -> Draw:
        """The tensor from `seed`, which is advanced if it is a generator."""
        initializer = self.initializer
        parameters = [getattr(initializer, name) for name in self.law.parameters]
        if not all(isinstance(value, _READABLE) for value in parameters):
            raise TypeError(f"Parameters must be numbers. Received: {parameters}")
        draw: Draw = getattr(self.rules, self.law.method)(
            self.shape, BACKEND.drawn_dtype(self.dtype), seed, *parameters
        )
        return draw

    def trial(self) -> Draw:
        """The tensor from the seed if it is an integer, else from a trial seed."""
        return self.prepare(self.seed if self.repeats else _TRIAL)

    def settle(self, trial: Draw) -> Draw:
        """The tensor from the seed, once it is certain to be drawn; advances a generator."""
        return trial if self.repeats else self.prepare(self.seed)

    def prepare_at(self, state: Any) -> Draw:
        """The tensor from the state of a generator, which was taken already."""
        return self.prepare(_Taken(state))

    def by_keras(self) -> Any:
        """The tensor that Keras' own code makes."""
        return self.law.by_keras(self.initializer, self.shape, self.dtype)


class _Taken:
    """A generator that gives out one state, which was taken from another."""

    def __init__(self, state: Any) -> None:
        self.state = np.asarray(state)

    def next(self, ordered: bool = True) -> Any:
        """The state."""
        return self.state


def check_stream(stream: str | None) -> None:
    """Refuses what is no stream.

    Raises:
        ValueError: No stream has this name; the message lists those that do.
    """
    if stream != AS_KERAS:
        rules_of(stream)


def call(
    initializer: Any,
    law: Law,
    shape: Any,
    dtype: Any,
    layout: Any,
    stream: str | None,
    insists: bool,
) -> Any:
    """The tensor of a call, from seedbed where it can draw it and from Keras elsewhere.

    Args:
        initializer: An instance of a class in `LAWS`.
        law: The entry of that class.
        shape: Shape of the tensor.
        dtype: dtype of the tensor; None is Keras' `floatx`.
        layout: How the tensor is laid out over devices, None where it is not.
        stream: The name of a stream, `AS_KERAS`, or None for the default.
        insists: Whether the stream was asked for by this very initializer, so that other numbers
            would not do.

    Raises:
        ValueError: A `layout` where the backend has none, or one that does not fit the shape;
            what the stream's rules refuse, if `insists`.
        TypeError: What the stream's rules refuse, if `insists`.
    """
    if BACKEND.is_compiling():
        return BACKEND.uncompiled(call)(initializer, law, shape, dtype, layout, stream, insists)
    if layout is not None:
        layout = BACKEND.sharding(layout)
    if stream == AS_KERAS:
        # Bit for bit is what was asked for.
        known = law.is_elementwise and BACKEND.is_repeated(dtype)
        stream, insists = (BACKEND.name if known else None), False
    else:
        known = True
    # Rules whose stream is not known serve to describe the call alone.
    request = Call(initializer, law, rules_of(stream), shape, dtype)
    trial = None
    if known and _is_shape(shape):
        try:
            trial = request.trial()
        except (TypeError, ValueError, OverflowError, IndexError, RuntimeError):
            if insists:
                raise
    if layout is not None:
        return BACKEND.run_sharded(request, trial, layout)
    return request.by_keras() if trial is None else BACKEND.run(request, trial)


def _is_shape(shape: Any) -> bool:
    """Whether a shape is one of numbers; symbols are left to their framework."""
    if not isinstance(shape, tuple | list):
        return False
    return all(isinstance(size, int | np.integer) for size in shape)
