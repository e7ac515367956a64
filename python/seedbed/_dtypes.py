"""dtypes, however they are written, as NumPy's.

Names follow `keras.backend.standardize_dtype`. The objects of torch, TensorFlow and JAX are known
by what they say of themselves, so that none of these has to be imported.
"""

import sys
from typing import Any, Final

import ml_dtypes
import numpy as np

_ML_DTYPES: Final = ("bfloat16", "float8_e4m3fn", "float8_e5m2")

# What Keras allows, text aside: there are no arrays of text to initialize.
_NAMES: Final = (
    *("float16", "float32", "float64"),
    *("uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64"),
    *("bool", "complex64", "complex128"),
)

_BY_NAME: Final[dict[str, np.dtype[Any]]] = {
    **{name: np.dtype(name) for name in _NAMES},
    **{name: np.dtype(getattr(ml_dtypes, name)) for name in _ML_DTYPES},
}

# Everything that is recognized at a glance. Python's types are what Keras makes of them.
_KNOWN: Final[dict[object, np.dtype[Any]]] = {
    **dict[object, np.dtype[Any]](_BY_NAME.items()),
    **{dtype: dtype for dtype in _BY_NAME.values()},
    **{dtype.type: dtype for dtype in _BY_NAME.values()},
    bool: _BY_NAME["bool"],
    int: _BY_NAME["int32"],
    "int": _BY_NAME["int32"],
    float: _BY_NAME["float32"],
    complex: _BY_NAME["complex64"],
}


def standardize(dtype: object = None) -> np.dtype[Any]:
    """The NumPy dtype, in native byte order, that `dtype` stands for.

    Args:
        dtype: A name, a Python type, a dtype or scalar type of NumPy or ml_dtypes, or a dtype of
            torch, TensorFlow or JAX. None is `keras.config.floatx()` where Keras is imported,
            and float32 elsewhere.

    Raises:
        ValueError: `dtype` is nothing that Keras takes for a dtype.
    """
    if dtype is None:
        return _KNOWN[_floatx()]
    try:
        return _KNOWN[dtype]
    except (KeyError, TypeError):  # TypeError: it cannot be hashed
        pass
    name = getattr(dtype, "name", None) or getattr(dtype, "__name__", None)
    if name is None:
        name = str(dtype).rpartition(".")[2]  # torch.float32
    if not isinstance(dtype, str) and isinstance(name, str) and name in _BY_NAME:
        return _BY_NAME[name]
    raise ValueError(
        f"Invalid dtype: {dtype}. `dtype` must be one of {', '.join(_BY_NAME)}. "
        f"Received: dtype={dtype!r}"
    )


def _floatx() -> str:
    config = getattr(sys.modules.get("keras"), "config", None)
    # While Keras is being imported it has a module, but not yet this function.
    floatx = getattr(config, "floatx", None)
    return "float32" if floatx is None else str(floatx())
