"""Initializers as Keras' own objects: those of `seedbed.keras.initializers`, and NumPy's.

The attributes of an initializer are the same in all three, so that they are copied, the seed that
an unseeded one drew for itself included.
"""

from __future__ import annotations

from typing import Any, Final

import keras

import seedbed.initializers
from seedbed._generator import SeedGenerator
from seedbed.keras import initializers

# Seeds that every backend of Keras takes.
_SEED_END: Final = 1 << 32


def _counterparts(module: Any) -> dict[Any, str]:
    """The initializer classes of a module, with the names that Keras has for them."""
    return {
        kind: kind.__name__
        for name in module.__all__
        if isinstance(kind := getattr(module, name), type) and hasattr(kind, "from_config")
    }


_DROP_IN: Final = _counterparts(initializers)
_ON_NUMPY: Final = _counterparts(seedbed.initializers)


def plain(initializer: Any) -> Any:
    """Keras' own object for an initializer of seedbed, for files that name Keras alone.

    Args:
        initializer: An initializer of `seedbed.keras.initializers` or `seedbed.initializers`;
            anything else is returned as it is.

    Returns:
        An object of the class of `keras.initializers`, with the same parameters and seed. A
        generator of seeds starts anew.

    Raises:
        ValueError: It has a stream, or a seed of more than 32 bits, for which Keras has no place.
    """
    kind = type(initializer)
    name = _DROP_IN.get(kind) or _ON_NUMPY.get(kind)
    if name is None or kind.__module__.partition(".")[0] == "keras":
        return initializer
    state = dict(vars(initializer))
    stream = state.pop("stream", None)
    if stream is not None:
        raise ValueError(
            f"`stream` must be None in Keras' own objects. Received: stream={stream!r}"
        )
    seed = state.get("seed")
    if isinstance(seed, SeedGenerator):
        config = seed.get_config()
        _check_seed(config["seed"])
        state["seed"] = state["_init_seed"] = keras.random.SeedGenerator(**config)
    else:
        _check_seed(seed)
    return _made(getattr(keras.initializers, name), state)


def adopted(initializer: Any) -> Any:
    """An initializer on NumPy as one that is Keras' by class; anything else as it is.

    It is Keras' own object where Keras has a place for all of it, and else one of
    `seedbed.keras.initializers`.
    """
    name = _ON_NUMPY.get(type(initializer))
    if name is None:
        return initializer
    try:
        if not isinstance(getattr(initializer, "seed", None), SeedGenerator):
            return plain(initializer)
    except ValueError:
        pass
    return _made(getattr(initializers, name), vars(initializer))


def _check_seed(seed: Any) -> None:
    if isinstance(seed, int) and seed >= _SEED_END:
        raise ValueError(f"`seed` must be below 2**32 in Keras' own objects. Received: seed={seed}")


def _made(kind: Any, state: dict[str, Any]) -> Any:
    """An object of a class, as it is after its constructor."""
    made = kind.__new__(kind)
    vars(made).update(state)
    return made
