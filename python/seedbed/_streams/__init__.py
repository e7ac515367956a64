"""The streams: a table of their rules, and which one a call uses that names none.

The process has a default, set by `set_stream`; `use_stream` overrides it for a block of code, in
the thread or asynchronous task that runs the block and those that inherit its context.

A new stream is a module here that holds its rules, and an entry of the table.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from seedbed._streams.jax import JaxRules
from seedbed._streams.numpy import NumpyRules
from seedbed._streams.rules import Rules
from seedbed._streams.tensorflow import TensorflowRules
from seedbed._streams.torch import TorchRules

# The default first, as in the core.
_TABLE: Final[tuple[Rules, ...]] = (
    Rules("philox"),
    NumpyRules("numpy"),
    JaxRules("jax"),
    TensorflowRules("tensorflow"),
    TorchRules("torch"),
)

_BY_NAME: Final = {rules.name: rules for rules in _TABLE}

_default: Rules = _TABLE[0]
_override: ContextVar[Rules | None] = ContextVar("seedbed_stream", default=None)


def streams() -> list[str]:
    """The names of the streams, the first default first."""
    return list(_BY_NAME)


def rules_of(stream: str | None) -> Rules:
    """The rules of the stream called `stream`; None is the one in use.

    Raises:
        ValueError: No stream has this name; the message lists those that do.
    """
    return (_override.get() or _default) if stream is None else _named(stream)


def _named(stream: str) -> Rules:
    try:
        return _BY_NAME[stream]
    except (KeyError, TypeError):  # TypeError: it cannot be hashed
        names = ", ".join(repr(name) for name in _BY_NAME)
        raise ValueError(f"`stream` must be one of {names}. Received: stream={stream!r}") from None


def get_stream() -> str:
    """The name of the stream that calls without a `stream` argument use here."""
    return rules_of(None).name


def set_stream(stream: str) -> None:
    """Makes `stream` the default of the process.

    Raises:
        ValueError: No stream has this name.
    """
    global _default
    _default = _named(stream)


@contextmanager
def use_stream(stream: str) -> Iterator[None]:
    """Makes `stream` the default inside a `with` block, or inside a function it decorates.

    Raises:
        ValueError: No stream has this name.
    """
    token = _override.set(_named(stream))
    try:
        yield
    finally:
        _override.reset(token)
