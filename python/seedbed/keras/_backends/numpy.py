"""Keras on NumPy: arrays are tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from seedbed.keras._backends.backend import Backend

if TYPE_CHECKING:
    import numpy.typing as npt

    from seedbed._draw import Draw


class BackendOfKeras(Backend):
    """Keras' NumPy backend. Its variables copy what they are given, which cannot be helped."""

    name = "numpy"

    def tensor(self, array: npt.NDArray[Any]) -> Any:
        return array

    def placeholder(self, draw: Draw) -> Any:
        return np.zeros(draw.shape, draw.dtype)
