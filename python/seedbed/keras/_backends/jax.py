"""Keras on JAX: arrays over NumPy's memory, callbacks in programs, blocks under a sharding."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from seedbed._dtypes import standardize
from seedbed._streams import rules_of
from seedbed.keras._backends.backend import Backend
from seedbed.keras._private import in_symbolic_scope, jax_is_tracing
from seedbed.keras._sharding import concrete, draw_by_keras, draw_sharded

if TYPE_CHECKING:
    import numpy.typing as npt

    from seedbed._draw import Draw
    from seedbed.keras._call import Call


# Arrays of at most so many bytes are copied: there a copy costs less than taking memory as it is.
_COPIED_BYTES = 1 << 15


class BackendOfKeras(Backend):
    """Keras' JAX backend."""

    name = "jax"

    def tensor(self, array: npt.NDArray[Any]) -> Any:
        # `device_put` takes memory that starts at a multiple of 64 bytes, as seedbed's does, as it
        # is; `jnp.array` copies.
        return jnp.array(array) if array.nbytes <= _COPIED_BYTES else jax.device_put(array)

    def placeholder(self, draw: Draw) -> Any:
        return jnp.zeros(draw.shape, draw.dtype)

    def beside(self, tensor: Any, other: Any) -> Any:
        if tensor.sharding.is_equivalent_to(other.sharding, tensor.ndim):
            return tensor  # Put anywhere, it would be bound to the place.
        return jax.device_put(tensor, other.sharding)

    def drawn_dtype(self, dtype: Any) -> Any:
        if jax.config.jax_enable_x64 or standardize(dtype) != np.float64:
            return dtype
        # What JAX makes of float64: drawn as such, not rounded afterwards.
        return np.dtype(np.float32)

    def is_repeated(self, dtype: Any) -> bool:
        if jax.default_backend() != "cpu" or not jax.config.jax_threefry_partitionable:
            return False
        if jax.config.jax_default_prng_impl != "threefry2x32":
            return False
        try:
            wanted = standardize(dtype)
        except ValueError:
            return True  # The rules refuse it.
        if wanted.itemsize >= 4:
            return True
        # Where 64-bit numbers are enabled, parameters do not become float32 first.
        return not jax.config.jax_enable_x64 and (wanted != np.float16 or _rounds_float16_twice())

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


@cache
def _rounds_float16_twice() -> bool:
    """Whether JAX rounds products and sums of float16 each on its own, as the stream does.

    Where the processor has arithmetic for float16, XLA fuses them, and uniform values differ.
    """
    law: dict[str, Any] = {"shape": (256,), "dtype": "float16"}
    with jax.ensure_compile_time_eval():
        key = jnp.array([1, 0], dtype="uint32")
        theirs = np.asarray(jax.random.uniform(key, minval=-0.3, maxval=0.9, **law))
    draw = rules_of(BackendOfKeras.name).uniform(seed=1, low=-0.3, high=0.9, **law)
    return np.array_equal(theirs, draw.draw())
