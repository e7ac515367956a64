"""Which stream a call uses that names none.

The process has a default, set by `set_stream`; `use_stream` overrides it for a block of code, in
the thread or asynchronous task that runs the block and those that inherit its context.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from seedbed import _core

_default: str = _core.streams()[0]
_override: ContextVar[str | None] = ContextVar("seedbed_stream", default=None)


def check_stream(stream: str) -> str:
    """`stream` itself, if it names a stream.

    Raises:
        ValueError: It does not; the message lists those that do.
    """
    known = _core.streams()
    if not isinstance(stream, str) or stream not in known:
        names = ", ".join(repr(name) for name in known)
        raise ValueError(f"`stream` must be one of {names}. Received: stream={stream!r}")
    return stream


def get_stream() -> str:
    """The name of the stream that calls without a `stream` argument use here."""
    return _override.get() or _default


def set_stream(stream: str) -> None:
    """Makes `stream` the default of the process.

    Raises:
        ValueError: No stream has this name.
    """
    global _default
    _default = check_stream(stream)


@contextmanager
def use_stream(stream: str) -> Iterator[None]:
    """Makes `stream` the default inside a `with` block, or inside a function it decorates.

    Raises:
        ValueError: No stream has this name.
    """
    token = _override.set(check_stream(stream))
    try:
        yield
    finally:
        _override.reset(token)
