"""Arrays of other frameworks as NumPy's, without importing any of them."""

from typing import Any

import numpy as np

from seedbed._dtypes import standardize


def is_tensor(value: Any) -> bool:
    """Whether `value` is a tensor of a framework or a variable of Keras.

    These have values and make none when called, as initializers do.
    """
    return hasattr(value, "__array__") and hasattr(value, "shape") and not callable(value)


def to_numpy(tensor: Any) -> Any:
    """The values of a tensor or variable as an array, in the same dtype; others as they are."""
    if isinstance(tensor, np.ndarray | np.generic):
        # Without the mask of a masked array, or any other manners of a subclass.
        return np.asarray(tensor) if isinstance(tensor, np.ndarray) else tensor
    if not is_tensor(tensor):
        return tensor
    if type(tensor).__module__.partition(".")[0] == "keras":
        return to_numpy(tensor.value)
    if hasattr(tensor, "detach"):  # torch's, perhaps on a device
        dtype = standardize(tensor.dtype)
        tensor = tensor.detach().cpu()
        if dtype.name in ("bfloat16", "float8_e4m3fn", "float8_e5m2"):
            # NumPy does not know these by torch's names; float32 holds all of their numbers.
            return tensor.float().numpy().astype(dtype)
    return np.asarray(tensor)
