"""Initializers by name, dict, class, instance, callable or array, as Keras finds them.

Only classes of this package, those registered in Keras, and those given as `custom_objects` are
ever found: no identifier makes a module be imported.
"""

import inspect
from typing import Any, Final

import numpy as np

from seedbed import _core
from seedbed._draw import Draw, dtype_of
from seedbed._dtypes import standardize_for
from seedbed._tensors import is_tensor, to_numpy
from seedbed.initializers import _serial
from seedbed.initializers.constant_initializers import (
    STFT,
    Constant,
    Identity,
    Ones,
    Zeros,
    broadcast,
)
from seedbed.initializers.initializer import Initializer
from seedbed.initializers.random_initializers import (
    GlorotNormal,
    GlorotUniform,
    HeNormal,
    HeUniform,
    LecunNormal,
    LecunUniform,
    Orthogonal,
    RandomNormal,
    RandomUniform,
    TruncatedNormal,
    VarianceScaling,
)

# Every spelling that Keras takes: class names, snake case, and older names.
_BY_NAME: Final[dict[str, type[Initializer]]] = {
    "Initializer": Initializer,
    "initializer": Initializer,
    "Constant": Constant,
    "constant": Constant,
    "Identity": Identity,
    "identity": Identity,
    "IdentityInitializer": Identity,
    "Ones": Ones,
    "ones": Ones,
    "one": Ones,
    "STFT": STFT,
    "stft": STFT,
    "STFTInitializer": STFT,
    "Zeros": Zeros,
    "zeros": Zeros,
    "zero": Zeros,
    "GlorotNormal": GlorotNormal,
    "glorot_normal": GlorotNormal,
    "GlorotUniform": GlorotUniform,
    "glorot_uniform": GlorotUniform,
    "HeNormal": HeNormal,
    "he_normal": HeNormal,
    "HeUniform": HeUniform,
    "he_uniform": HeUniform,
    "LecunNormal": LecunNormal,
    "lecun_normal": LecunNormal,
    "LecunUniform": LecunUniform,
    "lecun_uniform": LecunUniform,
    "Orthogonal": Orthogonal,
    "orthogonal": Orthogonal,
    "OrthogonalInitializer": Orthogonal,
    "RandomNormal": RandomNormal,
    "random_normal": RandomNormal,
    "normal": RandomNormal,
    "RandomUniform": RandomUniform,
    "random_uniform": RandomUniform,
    "uniform": RandomUniform,
    "TruncatedNormal": TruncatedNormal,
    "truncated_normal": TruncatedNormal,
    "VarianceScaling": VarianceScaling,
    "variance_scaling": VarianceScaling,
}

# Packages a config's `module` may name: their initializer classes are replaced by ours of the
# same name.
_PACKAGES: Final = ("keras", "tf_keras", "builtins", "seedbed")


def serialize(initializer: Any) -> Any:
    """The stored form of an initializer; `deserialize`, here or in Keras, reads it.

    Raises:
        TypeError: The initializer has no `get_config`.
        ValueError: It is a lambda.
    """
    return _serial.serialize(initializer)


def deserialize(config: Any, custom_objects: dict[str, Any] | None = None) -> Any:
    """The initializer that a stored form, or a name, describes.

    Args:
        config: What `serialize` returned, here or in Keras. None gives None.
        custom_objects: Classes and functions by the names that configs call them.

    Raises:
        ValueError: A name that is not known, or a dict that describes no initializer.
        TypeError: A config that the class cannot take, or a class that was not registered.
    """
    custom_objects = custom_objects or {}
    if config is None:
        return None
    if isinstance(config, str):
        found = _serial.registered_object(config, custom_objects)
        return found if found is not None else _build(_builtin(config, config), {}, config)
    if not isinstance(config, dict):
        if callable(config):  # deserialized already
            return config
        raise _not_understood(config)

    if "class_name" not in config:
        raise ValueError(f"Unknown `config` as a `dict`, config={_serial.shown(config)}")
    class_name, inner = config["class_name"], config.get("config")
    names = [config.get("registered_name"), class_name]
    if class_name == "function" and isinstance(inner, str):
        names.append(inner)
    for name in names:
        found = _serial.registered_object(name, custom_objects)
        if found is not None:
            is_class = isinstance(found, type)
            return _build(found, inner, config) if is_class else found

    module = config.get("module", "keras")
    if module is None:
        raise TypeError(
            f"Cannot deserialize object of type `{_serial.shown(class_name)}`. If "
            f"`{_serial.shown(class_name)}` is a custom class, please register it using the "
            "`@keras.saving.register_keras_serializable()` decorator."
        )
    if not isinstance(module, str) or module.partition(".")[0] not in _PACKAGES:
        raise _not_understood(config)
    return _build(_builtin(class_name, config), inner, config)


def get(identifier: Any) -> Any:
    """The initializer that `identifier` stands for.

    Args:
        identifier: The name of an initializer ("HeNormal", "he_normal"), a dict with
            `class_name` and `config`, a class, an instance or any other callable that takes
            `shape` and `dtype`, an array that holds the values themselves, or None.

    Raises:
        ValueError: `identifier` is none of these.
        TypeError: A config that the class cannot take.
    """
    if identifier is None:
        return None
    if isinstance(identifier, dict | str):
        found = deserialize(identifier)
    elif _is_array(identifier):
        return _values_of(identifier)
    else:
        found = identifier
    if not callable(found):
        raise _not_understood(identifier)
    return found() if inspect.isclass(found) else found


def builtin(name: Any) -> type[Initializer] | None:
    """The class of this package that is called `name`, in any spelling, None if there is none."""
    return _BY_NAME.get(name) if isinstance(name, str) else None


def _builtin(name: Any, identifier: Any) -> type[Initializer]:
    found = builtin(name)
    if found is None:
        raise _not_understood(identifier)
    return found


def _build(cls: Any, inner: Any, config: Any) -> Any:
    """An instance of `cls` from its own config; `config` is the whole, for messages."""
    inner = {} if inner is None else inner
    if not isinstance(inner, dict):
        raise TypeError(
            f"Expected 'config' to be a dict for {cls.__name__},\n"
            f"instead got {type(inner)}\n"
            f"Full config: {_serial.shown(config)}"
        )
    if not hasattr(cls, "from_config"):
        raise TypeError(
            f"Unable to reconstruct an instance of '{cls.__name__}' because "
            "the class is missing a `from_config()` method. "
            f"Full object config: {_serial.shown(config)}"
        )
    try:
        return cls.from_config(inner)
    except RecursionError as error:
        raise ValueError(
            f"`config` must not nest so deeply. Received: config={_serial.shown(config)}"
        ) from error
    except (TypeError, AttributeError) as error:  # an argument of the wrong type
        raise TypeError(
            f"{cls} could not be deserialized properly.\n\n"
            f"config={_serial.shown(config)}.\n\nException encountered: {error}"
        ) from error


def _not_understood(identifier: Any) -> ValueError:
    return ValueError(f"Could not interpret initializer identifier: {_serial.text(identifier)}")


def _is_array(identifier: Any) -> bool:
    return isinstance(identifier, np.ndarray | np.generic) or is_tensor(identifier)


def _values_of(identifier: Any) -> Any:
    """An initializer that gives the values of an array, for tensors of its own shape."""

    def initialize_fn(shape: Any, dtype: Any = None, *, index: Any = None, out: Any = None) -> Any:
        dtype = dtype_of(out) if dtype is None and out is not None else dtype
        return prepare(shape, dtype).draw(index, out)

    def prepare(shape: Any, dtype: Any = None) -> Draw:
        dtype, shape = standardize_for(shape, dtype), _core.standardize_shape(shape)
        if shape != tuple(identifier.shape):
            raise ValueError(
                f"Expected `shape` to be {identifier.shape} for direct "
                f"tensor as initializer. Received shape={shape}"
            )
        # A new array in any case: the result must not change with the identifier.
        return broadcast(np.asarray(to_numpy(identifier)).astype(dtype), shape)

    initialize_fn.prepare = prepare  # type: ignore[attr-defined]
    return initialize_fn
