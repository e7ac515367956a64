"""What seedbed uses of Keras and the backends that they do not promise: it is there and works."""

import subprocess
import sys

import keras

from cases import BACKEND
from seedbed.keras import _private


def test_the_base_of_what_draws() -> None:
    base = _private.RandomInitializer
    assert base.__name__ == "RandomInitializer"
    assert base.__base__ is keras.initializers.Initializer
    assert all(issubclass(kind, base) for kind in (keras.initializers.HeNormal,))


def test_names() -> None:
    assert _private.NAMES["normal"] is keras.initializers.RandomNormal
    for name in ("HeNormal", "he_normal", "OrthogonalInitializer", "uniform", "zero"):
        assert type(keras.initializers.get(name)) is _private.NAMES[name]


def test_where_layers_look_up_initializers() -> None:
    first, public = _private.registries_of_get()
    assert first.get is public.get is keras.initializers.get
    assert keras.layers.Dense.__init__.__globals__["initializers"] is first


def test_symbolic_scopes() -> None:
    seen = []

    class Model(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.dense = keras.layers.Dense(2)

        def call(self, x: object) -> object:
            seen.append(_private.in_symbolic_scope())
            return self.dense(x)

    Model().compute_output_spec(keras.KerasTensor((2, 2)))
    assert seen == [True]
    assert not _private.in_symbolic_scope()


def test_traces_and_modes() -> None:
    if BACKEND == "jax":
        import jax
        from jax._src import core

        assert core.trace_state_clean()
        assert not _private.jax_is_tracing()
        seen: list[bool] = []
        jax.jit(lambda: seen.append(_private.jax_is_tracing()) or 0)()
        jax.vmap(lambda x: seen.append(_private.jax_is_tracing()) or x)(jax.numpy.ones(2))
        assert seen == [True, False]
    elif BACKEND == "torch":
        import torch
        from torch._subclasses import FakeTensorMode

        assert _private.torch_device() == str(keras.ops.ones(1).device)
        with keras.device("meta"):
            assert _private.torch_device() == "meta"
        assert _private.torch_dtype("bfloat16") is torch.bfloat16
        assert not _private.torch_is_fake()
        with FakeTensorMode():
            assert _private.torch_is_fake()


IMPORTS = """
import sys
import seedbed
assert not {"keras", "jax", "tensorflow", "torch"} & set(sys.modules)
import keras
before, get = dict(vars(keras.initializers)), keras.initializers.HeNormal.__call__
loaded = set(sys.modules)
import seedbed.keras
assert dict(vars(keras.initializers)) == before and keras.initializers.HeNormal.__call__ is get
assert all(name.startswith("seedbed>") for name in keras.saving.get_custom_objects())
assert not {"seedbed.keras._report", "seedbed.keras._reinitialize"} & set(sys.modules)
assert callable(seedbed.keras.report) and {"report", "reinitialize"} <= set(dir(seedbed.keras))
print(*sorted({name.partition(".")[0] for name in set(sys.modules) - loaded}))
"""


def test_importing_patches_nothing_and_imports_no_other_backend() -> None:
    result = subprocess.run(
        [sys.executable, "-c", IMPORTS], capture_output=True, text=True, timeout=500
    )
    assert result.returncode == 0, result.stderr
    assert not {"jax", "tensorflow", "torch"} & set(result.stdout.split()) - {BACKEND}
