"""Keras on TensorFlow: tensors over NumPy's memory by DLPack, which TensorFlow's own converters
copy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import tensorflow as tf

from seedbed._generator import SeedGenerator
from seedbed.keras._backends.backend import Backend
from seedbed.keras._private import in_symbolic_scope

if TYPE_CHECKING:
    import numpy.typing as npt

    from seedbed._draw import Draw
    from seedbed.keras._call import Call

# TensorFlow ends the process, without an exception, when it uses memory that starts elsewhere.
_ALIGNMENT: Final = 64


class BackendOfKeras(Backend):
    """Keras' TensorFlow backend."""

    name = "tensorflow"

    def tensor(self, array: npt.NDArray[Any]) -> Any:
        # Neither DLPack nor `bitcast` knows float8.
        if array.size == 0 or array.itemsize == 1 or array.ctypes.data % _ALIGNMENT:
            return tf.constant(array)
        if array.dtype.name == "bfloat16":
            return tf.bitcast(_lent(array.view(np.int16)), tf.bfloat16)
        return _lent(array) if array.dtype.kind == "f" else tf.constant(array)

    def placeholder(self, draw: Draw) -> Any:
        return tf.zeros(draw.shape, draw.dtype.name)

    def run(self, call: Call, trial: Draw) -> Any:
        if in_symbolic_scope():
            return self.placeholder(trial)
        if tf.executing_eagerly():
            return self.eager(call, trial)
        with tf.init_scope():
            if call.repeats and tf.executing_eagerly():
                # A tensor from outside is an input of the graph, and no constant in it.
                return self.eager(call, trial)
        if isinstance(call.seed, SeedGenerator):
            return self._in_graph(call, trial)
        # A generator of Keras' has to advance whenever the graph runs: its own operations do that.
        return call.by_keras()

    def _in_graph(self, call: Call, trial: Draw) -> Any:
        """The tensor, drawn anew whenever the graph runs."""
        dtype = tf.as_dtype(trial.dtype.name)
        drawn = tf.numpy_function(lambda: call.settle(trial).draw(), [], dtype)
        drawn.set_shape(trial.shape)
        return drawn


def _lent(array: npt.NDArray[Any]) -> Any:
    return tf.experimental.dlpack.from_dlpack(array.__dlpack__())
