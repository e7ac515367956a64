"""dtypes, however they are written, as NumPy's.

Names follow `keras.backend.standardize_dtype`. The objects of torch, TensorFlow and JAX are known
by what they say of themselves, so that none of these has to be imported.
"""

import sys
from typing import Any, Final

import numpy as np

from seedbed import _core

# What Keras allows, text aside: there are no arrays of text to initialize.
_NUMPY: Final = (
    *("float16", "float32", "float64"),
    *("uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64"),
    *("bool", "complex64", "complex128"),
)
_ML_DTYPES: Final = ("bfloat16", "float8_e4m3fn", "float8_e5m2")

# Everything that is recognized at a glance. Python's types are what Keras makes of them.
_KNOWN: Final[dict[object, np.dtype[Any]]] = {
    bool: np.dtype("bool"),
    int: np.dtype("int32"),
    "int": np.dtype("int32"),
    float: np.dtype("float32"),
    complex: np.dtype("complex64"),
}


def _learn(name: str, dtype: np.dtype[Any]) -> None:
    _KNOWN[name] = _KNOWN[dtype] = _KNOWN[dtype.type] = dtype


for _name in _NUMPY:
    _learn(_name, np.dtype(_name))


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
        dtype = floatx()
    try:
        return _KNOWN[dtype]
    except (KeyError, TypeError):  # TypeError: it cannot be hashed
        return _standardize_unknown(dtype)


def _standardize_unknown(dtype: object) -> np.dtype[Any]:
    if _ML_DTYPES[0] not in _KNOWN:
        # A third of the time that importing seedbed would take, and many never need it.
        import ml_dtypes

        for learned in _ML_DTYPES:
            _learn(learned, np.dtype(getattr(ml_dtypes, learned)))
    name: object = dtype
    if not isinstance(dtype, str):
        name = getattr(dtype, "name", None) or getattr(dtype, "__name__", None)
        if name is None:
            name = str(dtype).rpartition(".")[2]  # torch.float32
    if isinstance(name, str) and name in _KNOWN:
        return _KNOWN[name]
    raise ValueError(
        f"Invalid dtype: {dtype}. `dtype` must be one of {', '.join(_NUMPY + _ML_DTYPES)}. "
        f"Received: dtype={dtype!r}"
    )


def standardize_for(shape: Any, dtype: object) -> np.dtype[Any]:
    """As `standardize`; where the shape is wrong as well, it is the shape that is spoken of.

    Raises:
        ValueError: `dtype` is nothing that Keras takes for a dtype.
    """
    try:
        return _KNOWN[dtype]
    except (KeyError, TypeError):  # TypeError: it cannot be hashed
        pass
    try:
        return standardize(dtype)
    except ValueError:
        _core.standardize_shape(shape)
        raise


def floatx() -> str:
    """The name of Keras' default dtype where Keras is imported, "float32" elsewhere."""
    config = getattr(sys.modules.get("keras"), "config", None)
    # While Keras is being imported it has a module, but not yet this function.
    configured = getattr(config, "floatx", None)
    return "float32" if configured is None else str(configured())
