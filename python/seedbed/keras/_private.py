"""What is used of Keras and the backends that they do not promise to keep.

Everything private is named here and nowhere else; `tests/backends/test_private.py` holds each name
to the versions that are installed.
"""

from __future__ import annotations

import copy
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import keras
from keras.src.backend.common import global_state
from keras.src.backend.common.symbolic_scope import in_symbolic_scope
from keras.src.initializers import ALL_OBJECTS_DICT
from keras.src.utils.naming import to_snake_case as snake_case

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "NAMES",
    "first_initializer",
    "has_value",
    "in_symbolic_scope",
    "jax_is_tracing",
    "layers_of",
    "own_variables",
    "places_in_file",
    "RandomInitializer",
    "registries_of_get",
    "snake_case",
    "torch_device",
    "torch_dtype",
    "torch_is_fake",
    "unchanged_globals",
]

# The base of every Keras initializer that draws: it takes the seed and puts it into the config.
RandomInitializer: Any = keras.initializers.RandomNormal.__base__

# What `keras.initializers.get` knows by name, older spellings included.
NAMES: Any = ALL_OBJECTS_DICT


def registries_of_get() -> list[Any]:
    """The modules whose `get` layers find initializers with: Keras' own, and the public one."""
    from keras.src import initializers

    return [initializers, keras.initializers]


def jax_is_tracing() -> bool:
    """Whether JAX is tracing, so that values drawn now would become constants of its program.

    `grad` and `vmap` alone leave values concrete, and are not meant.
    """
    import jax
    from jax._src import core

    is_clean = getattr(core, "trace_state_clean", None)
    if is_clean is not None and is_clean():
        return False
    import numpy as np

    return isinstance(jax.device_put(np.float32(0)), jax.core.Tracer)


def torch_device() -> str:
    """The device that Keras creates torch's tensors on."""
    from keras.src.backend.torch.core import get_device

    return str(get_device())


def torch_dtype(name: str) -> Any:
    """torch's dtype of a name of Keras'."""
    from keras.src.backend.torch.core import to_torch_dtype

    return to_torch_dtype(name)


def torch_is_fake() -> bool:
    """Whether torch makes tensors without memory just now."""
    from torch._guards import detect_fake_mode

    return detect_fake_mode() is not None


def layers_of(model: Any) -> list[Any]:
    """`model` and the layers in it."""
    layers: list[Any] = model._flatten_layers(include_self=True, recursive=True)
    return layers


def own_variables(layer: Any) -> tuple[list[Any], list[Any]]:
    """The variables of `layer` that are in no layer of it: those made to be trained, and others."""
    return list(layer._trainable_variables), list(layer._non_trainable_variables)


def first_initializer(variable: Any) -> Any:
    """The initializer of a variable that has no value yet; None of one that has."""
    return variable._initializer


def has_value(variable: Any) -> bool:
    """Whether `variable` has a value: not put off, and not on torch's meta device."""
    value = variable._value
    return value is not None and not getattr(value, "is_meta", False)


@contextmanager
def unchanged_globals() -> Iterator[None]:
    """Puts back, at the end, what Keras notes down when layers are made.

    These are the numbers of automatic names, and the variables that wait for a value: the end of
    the next scope would give one to all of them.
    """
    waiting, numbers = "uninitialized_variables", "object_name_uids"
    before = {name: global_state.get_global_attribute(name) for name in (waiting, numbers)}
    global_state.set_global_attribute(waiting, [])
    global_state.set_global_attribute(numbers, copy.copy(before[numbers]))
    try:
        yield
    finally:
        for name, value in before.items():
            global_state.set_global_attribute(name, value)


def places_in_file(model: Any) -> dict[int, tuple[str | int, ...]]:
    """Where a file of weights keeps each variable, by the variable's `id`.

    The names in such a file follow the structure of the model and the classes of its layers, not
    the layers' names: `("layers", "dense_1", 0)` is the first variable of the second Dense.
    """
    from keras.src.saving import saving_lib

    found: dict[int, tuple[str | int, ...]] = {}

    class Entry(dict[str, Any]):
        """What one layer writes its variables to, by number."""

        def __init__(self, path: str) -> None:
            super().__init__()
            self._path = tuple(part for part in path.split("/") if part)

        def __setitem__(self, key: str, value: Any) -> None:
            number = int(key) if key.isdecimal() else key
            found.setdefault(id(value), (*self._path, number))
            super().__setitem__(key, value)

    class Recorder(saving_lib.NpzIOStore):
        """A store of weights that keeps where each variable goes, and no values."""

        def __init__(self) -> None:
            self._entries: list[Entry] = []  # alive to the end, so that no `id` comes twice

        def __bool__(self) -> bool:
            return True

        def make(self, path: str, metadata: Any = None) -> Entry:
            self._entries.append(Entry(path))
            return self._entries[-1]

    saving_lib._save_state(
        model,
        weights_store=Recorder(),
        assets_store=None,
        inner_path="",
        visited_saveables=set(),
    )
    return found
