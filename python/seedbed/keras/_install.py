"""Keras' own initializers, run by seedbed: `install`, `uninstall`, `installed`.

What: `__call__` of the five classes that draw is replaced, in place, so that instances made before,
subclasses that call it, names and defaults are all served, and what is stored stays Keras' own.
Besides, `keras.initializers.get` takes initializers on NumPy for Keras' classes.
Method: the classes are replaced for the process, while who is served is asked at each call: those
inside `installed`, in their own thread or task, and all others if `install` was called.
Promises: what was there comes back. A failure on the way leaves Keras as it was.
"""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from contextvars import ContextVar
from threading import RLock
from typing import TYPE_CHECKING, Any, Final

from seedbed.keras._call import AS_KERAS, LAWS, Law, call, check_stream
from seedbed.keras._convert import adopted
from seedbed.keras._private import registries_of_get

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class _Service:
    """Who is served, and from which stream."""

    def __init__(self, stream: str | None) -> None:
        self.stream = stream


_lock: Final = RLock()
_process: _Service | None = None
_scope: ContextVar[_Service | None] = ContextVar("seedbed_keras_installed", default=None)
_scopes = 0  # how many `installed` blocks run, in any thread
_replaced: Final[list[tuple[Any, str, Any, Any]]] = []  # (owner, name, original, ours)


def install(stream: str | None = None) -> None:
    """Lets seedbed run Keras' initializers in this process, until `uninstall`.

    Args:
        stream: The name of a stream; None for seedbed's default at the time of each call; "keras"
            for exactly the numbers that the active backend of Keras draws itself. What the stream
            of that backend does not promise is drawn by Keras' own code.

    Raises:
        ValueError: No stream has this name, or another one is installed.
    """
    global _process
    check_stream(stream)
    with _lock:
        if _process is not None and _process.stream != stream:
            raise ValueError(
                f"`stream` must be {_process.stream!r}, which is installed, until `uninstall` is "
                f"called. Received: stream={stream!r}"
            )
        _replace()
        _process = _Service(stream)


def uninstall() -> None:
    """Gives Keras' initializers back to Keras. Blocks of `installed` that run keep theirs.

    Raises:
        RuntimeError: `install` was not called.
    """
    global _process
    with _lock:
        if _process is None:
            raise RuntimeError("`uninstall` must follow `install`, which was not called.")
        _process = None
        _restore()


@contextmanager
def installed(stream: str | None = None) -> Iterator[None]:
    """Lets seedbed run Keras' initializers inside a `with` block, or a function it decorates.

    It holds for the thread or asynchronous task of the block alone.

    Args:
        stream: As for `install`; blocks may be nested, and the innermost counts.

    Raises:
        ValueError: No stream has this name.
    """
    global _scopes
    check_stream(stream)
    with _lock:
        _replace()
        _scopes += 1
    token = _scope.set(_Service(stream))
    try:
        yield
    finally:
        _scope.reset(token)
        with _lock:
            _scopes -= 1
            _restore()


def _replace() -> None:
    """Puts ours in place, unless they are; all of them or none."""
    if _replaced:
        return
    planned: list[tuple[Any, str, Any, Any]] = [
        (kind, "__call__", law.by_keras, _call_of(law)) for kind, law in LAWS.items()
    ]
    planned += [(module, "get", module.get, _get_of(module.get)) for module in registries_of_get()]
    try:
        for owner, name, original, ours in planned:
            setattr(owner, name, ours)
            _replaced.append((owner, name, original, ours))
    except BaseException:
        _restore(at_once=True)
        raise


def _restore(at_once: bool = False) -> None:
    """Puts the originals back once nobody is served."""
    if not at_once and (_process is not None or _scopes):
        return
    while _replaced:
        owner, name, original, ours = _replaced.pop()
        if vars(owner).get(name) is ours:
            setattr(owner, name, original)
        else:
            warnings.warn(
                f"`{owner.__name__}.{name}` was replaced by other code after `install`, and is "
                "left as it is.",
                stacklevel=3,
            )


def _call_of(law: Law) -> Callable[..., Any]:
    by_keras = law.by_keras

    # Without `functools.wraps`: JAX's variables look for `layout` in the signature, and would find
    # that of the original.
    def __call__(self: Any, shape: Any, dtype: Any = None, layout: Any = None) -> Any:
        service = _scope.get() or _process
        if service is None and layout is None:
            return by_keras(self, shape, dtype)
        stream = AS_KERAS if service is None else service.stream
        return call(self, law, shape, dtype, layout, stream, False)

    __call__.__doc__ = by_keras.__doc__
    return __call__


def _get_of(by_keras: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def get(identifier: Any) -> Any:
        served = _scope.get() or _process
        return by_keras(identifier if served is None else adopted(identifier))

    get.__doc__ = by_keras.__doc__
    return get
