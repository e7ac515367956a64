"""Keras on JAX: arrays over NumPy's memory, callbacks in programs, blocks under a sharding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from seedbed._dtypes import standardize
from seedbed.keras._backends.backend import Backend
from seedbed.keras._private import in_symbolic_scope, jax_is_tracing
from seedbed.keras._sharding import concrete, draw_by_keras, draw_sharded

if TYPE_CHECKING:
    import numpy.typing as npt

    from seedbed._draw import Draw
    from seedbed.keras._call import Call


class BackendOfKeras(Backend):
    """Keras' JAX backend."""

    name = "jax"

    def tensor(self, array: npt.NDArray[Any]) -> Any:
        # Takes memory that starts at a multiple of 64 bytes, as seedbed's does, as it is;
        # `jnp.asarray` copies.
        return jax.device_put(array)

    def placeholder(self, draw: Draw) -> Any:
        return jnp.zeros(draw.shape, draw.dtype)

    def drawn_dtype(self, dtype: Any) -> Any:
        if jax.config.jax_enable_x64 or standardize(dtype) != np.float64:
            return dtype
        # What JAX makes of float64: drawn as such, not rounded afterwards.
        return np.dtype(np.float32)

    def run(self, call: Call, trial: Draw) -> Any:
        if in_symbolic_scope():
            return self.placeholder(trial)
        return self._traced(call, trial) if jax_is_tracing() else self.eager(call, trial)

    def _traced(self, call: Call, trial: Draw) -> Any:
        """The tensor in a program, drawn when it runs. Drawn now, it would be a constant there."""
        if call.rules.name == self.name:
            return call.by_keras()  # The same numbers, by operations of JAX's own.
        result = jax.ShapeDtypeStruct(trial.shape, trial.dtype)
        if call.repeats:
            return jax.pure_callback(trial.draw, result)
        return jax.pure_callback(
            lambda state: call.prepare_at(state).draw(), result, call.seed.next()
        )

    def sharding(self, layout: Any) -> Any:
        return concrete(layout)

    def run_sharded(self, call: Call, trial: Draw | None, sharding: Any) -> Any:
        if jax_is_tracing():
            return call.by_keras()
        if trial is None:
            return draw_by_keras(call, sharding)
        if in_symbolic_scope():
            return self.placeholder(trial)
        return draw_sharded(call, trial, sharding)
