"""Names and shapes of a model that a function of the user's returns.

What: `source_of` imports the function and calls it, for a torch module, a Keras model, or a tree
of JAX arrays or shapes.
Method: where the module imported torch or Keras, the function is called where they allocate
nothing: on torch's device "meta", in a scope in which Keras' variables get no values. A tree of JAX
is taken as it is returned: `jax.eval_shape` makes one of shapes.
Promises: names are those of `state_dict`, without what wrappers put before them, those of Keras'
variables, or the keys of the tree joined by "/".
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from collections.abc import Iterable
from typing import Any, Final

import numpy as np

from seedbed._dtypes import standardize
from seedbed._plan.axes import KERAS
from seedbed._plan.sources import Source, zero_rows_of
from seedbed._spec.error import Place, SpecError, one_line

# What torch.compile, DistributedDataParallel and checkpoint wrappers put into names.
_WRAPPERS: Final = ("_orig_mod.", "_checkpoint_wrapped_module.")
_WRAPPED: Final = "module."


def source_of(module: str, function: str, place: Place) -> Source:
    """Return the tensors of the model that `module:function` returns.

    Args:
        module: The name of a module, which is imported.
        function: The name of a function in it, which is called without arguments.
        place: Where they were named, for errors.

    Raises:
        SpecError: They cannot be known.
    """
    # As `python -m` does: modules beside the user come first.
    sys.path.insert(0, os.getcwd())
    try:
        build = getattr(importlib.import_module(module), function)
        with contextlib.ExitStack() as stack:
            if "torch" in sys.modules:
                stack.enter_context(sys.modules["torch"].device("meta"))
            if "keras" in sys.modules:
                keras = sys.modules["keras"]
                stack.enter_context(keras.StatelessScope(initialize_variables=False))
                if keras.backend.backend() == "torch":
                    stack.enter_context(keras.device("meta"))
            model = build()
        return _source(model, place)
    except SpecError:
        raise
    except Exception as error:  # of the user's code: any
        place.fail("FROM", f"cannot be used: {type(error).__name__}: {one_line(error)}")
    finally:
        sys.path.remove(os.getcwd())


def _source(model: Any, place: Place) -> Source:
    # Keras' first: on its torch backend they are modules of torch as well.
    if hasattr(model, "weights") and hasattr(model, "get_config"):
        found = [(v.path, v.shape, v.dtype) for v in model.weights]
        return _named(found, place)
    if hasattr(model, "state_dict"):
        return _of_torch(model)
    if "jax" in sys.modules:
        import jax

        leaves, _ = jax.tree_util.tree_flatten_with_path(model)
        if leaves and all(hasattr(leaf, "shape") and hasattr(leaf, "dtype") for _, leaf in leaves):
            keys = (jax.tree_util.keystr(p, simple=True, separator="/") for p, _ in leaves)
            return _named(
                ((k, leaf.shape, leaf.dtype) for k, (_, leaf) in zip(keys, leaves, strict=True)),
                place,
            )
    place.fail(
        "FROM",
        "must return a torch module, a Keras model or a JAX tree of shapes",
        type(model).__name__,
    )


def _of_torch(model: Any) -> Source:
    found: dict[str, tuple[tuple[int, ...], np.dtype[Any] | None]] = {}
    tied: dict[str, str] = {}
    first: dict[int, str] = {}
    given = model.state_dict(keep_vars=True)
    wrapped = all(name.startswith(_WRAPPED) for name in given)
    state = {}
    for name, tensor in given.items():
        for wrapper in _WRAPPERS:
            name = name.replace(wrapper, "")
        state[name.removeprefix(_WRAPPED) if wrapped else name] = tensor
    for name, tensor in state.items():
        dtype = standardize(str(tensor.dtype).removeprefix("torch."))
        found[name] = (tuple(tensor.shape), dtype)
        if first.setdefault(id(tensor), name) != name:
            tied[name] = first[id(tensor)]
    return Source(found, tied, zero_rows_of(model, state))


def _named(tensors: Iterable[tuple[str, Any, Any]], place: Place) -> Source:
    found: dict[str, tuple[tuple[int, ...], np.dtype[Any] | None]] = {}
    for name, shape, dtype in tensors:
        if name in found:
            place.fail("FROM", "has two tensors of one name", name)
        found[name] = (tuple(map(int, shape)), standardize(str(dtype)))
    return Source(found, layout=KERAS)
