"""What is used of Keras and the backends that they do not promise to keep.

Everything private is named here and nowhere else; `tests/backends/test_private.py` holds each name
to the versions that are installed.
"""

from __future__ import annotations

from typing import Any

import keras
from keras.src.backend.common.symbolic_scope import in_symbolic_scope
from keras.src.initializers import ALL_OBJECTS_DICT

__all__ = [
    "NAMES",
    "in_symbolic_scope",
    "jax_is_tracing",
    "RandomInitializer",
    "registries_of_get",
    "torch_device",
    "torch_dtype",
    "torch_is_fake",
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
