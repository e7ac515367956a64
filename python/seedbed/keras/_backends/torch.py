"""Keras on torch: tensors over NumPy's memory, moved to the device that Keras uses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch

from seedbed.keras._backends.backend import Backend
from seedbed.keras._private import in_symbolic_scope, torch_device, torch_dtype, torch_is_fake

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from seedbed._draw import Draw
    from seedbed.keras._call import Call

# torch knows neither bfloat16 nor float8 as NumPy has them: it is lent integers of their size.
_BITS: Final = {1: np.uint8, 2: np.int16, 4: np.int32, 8: np.int64}


class BackendOfKeras(Backend):
    """Keras' torch backend."""

    name = "torch"

    def tensor(self, array: npt.NDArray[Any]) -> Any:
        if array.dtype.isbuiltin != 1:
            lent = torch.from_numpy(array.view(_BITS[array.itemsize]))
            lent = lent.view(torch_dtype(array.dtype.name))
        else:
            lent = torch.from_numpy(array)
        device = torch_device()
        return lent if device == "cpu" else lent.to(device)

    def placeholder(self, draw: Draw) -> Any:
        dtype = torch_dtype(draw.dtype.name)
        return torch.empty(draw.shape, dtype=dtype, device=torch_device())

    def is_compiling(self) -> bool:
        return bool(torch.compiler.is_compiling())

    def uncompiled(self, function: Callable[..., Any]) -> Callable[..., Any]:
        # A graph break, as Keras' own generators make one, and the same numbers.
        disabled: Callable[..., Any] = torch.compiler.disable(function)
        return disabled

    def run(self, call: Call, trial: Draw) -> Any:
        if in_symbolic_scope() or torch_device() == "meta" or torch_is_fake():
            return self.placeholder(trial)
        return self.eager(call, trial)
