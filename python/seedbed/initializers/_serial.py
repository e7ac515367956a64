"""The dicts that Keras stores objects in: made from objects, and made back into values.

The form is Keras': `{"module": "keras.initializers", "class_name": "HeNormal", "config": {...},
"registered_name": None}`, so that either library reads what the other wrote. Reading never
imports a module, runs code from a config, or allocates more than a config holds.
"""

import itertools
import sys
import types
from typing import Any, Final

import numpy as np

from seedbed import _core
from seedbed._dtypes import standardize
from seedbed._generator import SeedGenerator

# Our classes are stored under the name of what they stand for.
_STANDS_FOR: Final = {
    "seedbed.initializers.initializer": "keras",
    "seedbed.initializers.constant_initializers": "keras.initializers",
    "seedbed.initializers.random_initializers": "keras.initializers",
    "seedbed._generator": "keras.random",
}

_ARRAYS: Final = ("__numpy__", "__tensor__")


def serialize(obj: Any) -> Any:
    """The stored form of an initializer, a function by its name, or a plain value.

    Raises:
        TypeError: `obj` is nothing that can be stored.
        ValueError: It is a lambda, which could only be stored as code.
    """
    if obj is None or isinstance(obj, str | int | float):
        return obj
    if isinstance(obj, list | tuple):
        values = [serialize(value) for value in obj]
        return tuple(values) if isinstance(obj, tuple) else values
    if isinstance(obj, dict):
        return {key: serialize(value) for key, value in obj.items()}
    if isinstance(obj, np.ndarray | np.generic):
        # On Keras' NumPy backend, arrays are tensors; every backend reads these.
        return {
            "class_name": "__tensor__",
            "config": {"value": obj.tolist(), "dtype": obj.dtype.name},
        }
    if isinstance(obj, types.FunctionType):
        if obj.__name__ == "<lambda>":
            raise ValueError(
                "Cannot serialize a lambda: it could only be stored as code. Use a named "
                f"function. Received: {obj}"
            )
        name = registered_name(obj)
        return _stored("builtins", "function", name, "function")

    cls = type(obj)
    if cls.__module__.partition(".")[0] == "keras":
        return sys.modules["keras"].saving.serialize_keras_object(obj)
    if isinstance(obj, type) or not hasattr(obj, "get_config"):
        raise TypeError(
            f"Cannot serialize object {obj} of type {cls}. "
            "To be serializable, a class must implement the `get_config()` method."
        )
    config = obj.get_config()
    if not isinstance(config, dict):
        raise TypeError(
            f"The `get_config()` method of {obj} should return a dict. It returned: {config}"
        )
    config = serialize(config)
    if cls.__module__ in _STANDS_FOR:
        return _stored(_STANDS_FOR[cls.__module__], cls.__name__, config, None)
    # `__main__` is another module in the next process.
    module = None if cls.__module__ == "__main__" else cls.__module__
    return _stored(module, cls.__name__, config, registered_name(cls))


def _stored(module: str | None, class_name: str, config: Any, name: str | None) -> dict[str, Any]:
    return {"module": module, "class_name": class_name, "config": config, "registered_name": name}


def serialize_seed(seed: Any) -> Any:
    """The stored form of a `seed` argument."""
    if seed is None or isinstance(seed, int):
        return seed
    if type(seed).__name__ == "SeedGenerator" and hasattr(seed, "get_config"):
        # Also for Keras' own, so that nothing of Keras is needed to store one.
        return _stored("keras.random", "SeedGenerator", seed.get_config(), None)
    return serialize(seed)


def deserialize_seed(config: dict[str, Any]) -> SeedGenerator:
    """The generator that `serialize_seed` stored, or Keras.

    Raises:
        ValueError: The dict describes anything else.
    """
    inner = config.get("config")
    name = (config.get("module", "keras.random"), config.get("class_name"))
    known = name in (("keras.random", "SeedGenerator"), ("seedbed._generator", "SeedGenerator"))
    if not known or not isinstance(inner, dict) or not inner.keys() <= {"seed", "name"}:
        raise ValueError(
            "`seed` argument should be an instance of `keras.random.SeedGenerator()` or an "
            f"integer. Received: seed={shown(config)}"
        )
    return SeedGenerator.from_config(inner)


def deserialize_value(config: Any) -> Any:
    """A number, or a list or array of numbers, from its stored form.

    Raises:
        ValueError: The form is of anything else, or nests deeper than arrays do.
    """
    if isinstance(config, dict):
        inner = config.get("config")
        if config.get("class_name") not in _ARRAYS or not isinstance(inner, dict):
            raise ValueError(
                "`value` must be a number, a list of numbers, or a stored array. "
                f"Received: value={shown(config)}"
            )
        if not inner.keys() >= {"value", "dtype"}:
            raise ValueError(
                f"A stored array must have `value` and `dtype`. Received: {shown(inner)}"
            )
        _check_nesting(inner["value"], may_share=False)
        return np.array(inner["value"], standardize(inner["dtype"]))
    _check_nesting(config, may_share=True)
    return config


def _check_nesting(values: Any, *, may_share: bool) -> None:
    """Refuses lists too deep for an array and, unless they `may_share` parts, such as do: they
    could expand to far more than is stored.

    One level at a time, so that depth costs no stack; each list once, so that sharing costs no
    time.
    """
    level = {id(values): values}
    for _ in range(_core.MAX_DIMENSIONS + 1):
        lists = [entry for entry in level.values() if isinstance(entry, list | tuple)]
        if not lists:
            return
        inner = [entry for outer in lists for entry in outer if isinstance(entry, list | tuple)]
        level = {id(entry): entry for entry in inner}
        if len(level) < len(inner) and not may_share:
            raise ValueError(
                f"`value` must not hold one list several times. Received: value={shown(values)}"
            )
    raise ValueError(
        f"`value` must nest at most {_core.MAX_DIMENSIONS} lists. Received: value={shown(values)}"
    )


def registered_name(obj: Any) -> str:
    """The name that a class or function is registered under in Keras, if Keras is imported."""
    saving = getattr(sys.modules.get("keras"), "saving", None)
    if saving is not None:
        return str(saving.get_registered_name(obj))
    return str(obj.__name__)


def registered_object(name: Any, custom_objects: dict[str, Any]) -> Any:
    """The class or function called `name`: registered in Keras, if that is imported, or given."""
    if not isinstance(name, str):
        return None
    saving = getattr(sys.modules.get("keras"), "saving", None)
    if saving is not None:
        return saving.get_registered_object(name, custom_objects=custom_objects)
    return custom_objects.get(name)


def text(value: Any) -> str:
    """What `str` gives, cut short as `shown`."""
    return _cut(value) if isinstance(value, str) else shown(value)


def shown(value: Any, depth: int = 6, width: int = 20) -> str:
    """`repr` for messages, cut short where a config is deep, long or refers to itself."""
    if isinstance(value, dict | list | tuple):
        if depth == 0:
            return "..."
        some = itertools.islice(value, width)
        if isinstance(value, dict):
            entries = [f"{shown(key, 0)}: {shown(value[key], depth - 1)}" for key in some]
        else:
            entries = [shown(entry, depth - 1) for entry in some]
        if len(value) > width:
            entries.append("...")
        # A tree of `width` to the power of `depth` would still be too long.
        inside = ", ".join(entries)
        if isinstance(value, tuple):
            return _cut(f"({inside})")
        return _cut(f"{{{inside}}}" if isinstance(value, dict) else f"[{inside}]")
    return _cut(repr(value))


def _cut(text: str, most: int = 2000) -> str:
    return text if len(text) <= most else text[:most] + "..."
