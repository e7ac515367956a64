"""Where a model's variables come from: the initializer that each of them was created with.

A variable of Keras forgets its initializer as soon as it has a value. But a layer can be built a
second time from its own config without making a value, inside a scope that puts values off; each
variable of this twin still holds its initializer, fans included, and stands for the variable of
the real layer at the same place. No memory is taken and nothing changes: names that Keras numbers,
its list of variables that wait for a value and Python's random numbers are put back.
"""

from __future__ import annotations

import random
import re
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from types import FunctionType
from typing import TYPE_CHECKING, Any, Final

import keras

from seedbed.keras import _private
from seedbed.keras._call import LAWS
from seedbed.keras._private import first_initializer, own_variables, snake_case, unchanged_globals

if TYPE_CHECKING:
    from collections.abc import Iterator

# Keras' initializers that draw; all others with a `__call__` of Keras are deterministic.
RANDOM: Final = tuple(LAWS)
DETERMINISTIC: Final = (
    keras.initializers.Zeros,
    keras.initializers.Ones,
    keras.initializers.Constant,
    keras.initializers.Identity,
    keras.initializers.STFT,
)

# Characters of another library's message that are passed on.
_MAX_REASON: Final = 120


@dataclass(frozen=True)
class Origin:
    """A variable of a model and what made its first value.

    Attributes:
        variable: The variable.
        layer: The layer that owns it.
        initializer: An initializer equal to the one it was created with, None where that could
            not be found out.
        reason: Why it could not.
        seed: The seed that the initializer was given: an integer, a generator, or None.
        inner: The random initializers of the twin that the initializer calls in turn, as the
            closure of a recurrent layer's bias does.
        is_state: Whether it is no weight but state, which a layer keeps beside its weights: not
            trainable, and not drawn at first.
    """

    variable: Any
    layer: Any
    initializer: Any
    reason: str
    seed: Any
    inner: tuple[Any, ...]
    is_state: bool


def origins(model: Any) -> list[Origin]:
    """The variables of the layers of `model`, each once, in the order of `model.weights`.

    Seeds of generators, metrics and the optimizer's variables are no part of it.

    Raises:
        TypeError: `model` is no layer or model of Keras.
    """
    found: dict[int, Origin] = {}
    for layer in layers_of(model):
        trained, others = own_variables(layer)
        own = trained + others
        if not own:
            continue
        twin, reason = _twin(layer)
        theirs = [] if twin is None else [v for part in own_variables(twin) for v in part]
        if twin is not None and [_signature(v) for v in own] != [_signature(v) for v in theirs]:
            twin, reason = None, "built again from its config, the layer has other variables"
        for position, variable in enumerate(own):
            initializer = first_initializer(variable)
            if initializer is None and twin is not None:
                initializer = _original(first_initializer(theirs[position]), twin, layer)
            found.setdefault(
                id(variable),
                Origin(
                    variable,
                    layer,
                    initializer,
                    "" if initializer is not None else reason,
                    _given_seed(initializer, twin, layer),
                    _inner(initializer, twin),
                    position >= len(trained) and not isinstance(initializer, RANDOM),
                ),
            )
    order = {id(variable): number for number, variable in enumerate(model.weights)}
    return sorted(found.values(), key=lambda origin: order.get(id(origin.variable), len(order)))


def layers_of(model: Any) -> list[Any]:
    """`model` and the layers in it.

    Raises:
        TypeError: `model` is no layer or model of Keras.
    """
    if not isinstance(model, keras.layers.Layer):
        raise TypeError(
            "`model` must be a model or layer of Keras. "
            f"Received: {model!r} (of type {type(model)})"
        )
    return _private.layers_of(model)


def is_kerass_own(initializer: Any) -> bool:
    """Whether a call of `initializer` runs the code of Keras or seedbed, and not a user's."""
    for cls in type(initializer).__mro__:
        if "__call__" in vars(cls):
            return cls.__module__.partition(".")[0] in ("keras", "seedbed")
    return False


def has_automatic_name(layer: Any) -> bool:
    """Whether Keras seems to have made up the name of `layer`: its class, with a number or not."""
    return (
        re.fullmatch(re.escape(snake_case(type(layer).__name__)) + r"(_\d+)?", layer.name)
        is not None
    )


def _signature(variable: Any) -> tuple[Any, ...]:
    return variable.name, tuple(variable.shape), variable.dtype


def _twin(layer: Any) -> tuple[Any, str]:
    """`layer` built again without values, or None and why it cannot be."""
    scope = keras.saving.CustomObjectScope(_own_classes(layer))
    with _unchanged(), scope, keras.StatelessScope(initialize_variables=False):
        try:
            twin = type(layer).from_config(_config(layer))
            if not twin.built:
                twin.build_from_config(layer.get_build_config() or {})
        except Exception as error:  # of whoever wrote the layer: any
            text = " ".join(str(error).split())
            text = text if len(text) <= _MAX_REASON else text[:_MAX_REASON] + "..."
            return None, f"the layer cannot be built again: {type(error).__name__}: {text}"
    return twin, ""


def _config(layer: Any) -> dict[str, Any]:
    """The config of `layer`, with lambdas as they are: Keras does not read those that it stored."""
    own = {name: value for name, value in vars(layer).items() if _is_lambda(value)}
    return {name: own.get(name, value) for name, value in layer.get_config().items()}


def _is_lambda(value: Any) -> bool:
    return isinstance(value, FunctionType) and value.__name__ == "<lambda>"


def _own_classes(layer: Any) -> dict[str, Any]:
    """Classes and functions of a user's that the config of `layer` may name.

    They need not be registered with Keras, as the layer itself was made without.
    """
    found = {}
    for value in [layer, *vars(layer).values()]:
        kind = value if isinstance(value, FunctionType) else type(value)
        if kind.__module__.partition(".")[0] not in ("builtins", "keras", "seedbed"):
            found[kind.__name__] = kind
    return found


@contextmanager
def _unchanged() -> Iterator[None]:
    """Puts back, at the end, what building a layer changes in the process."""
    state = random.getstate()
    try:
        # Warnings were given when the real layer was built.
        with unchanged_globals(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        random.setstate(state)


def _inner(initializer: Any, twin: Any) -> tuple[Any, ...]:
    """The random initializers of `twin` that a function around it names."""
    cells = getattr(initializer, "__closure__", None) or ()
    if twin is None or not any(cell.cell_contents is twin for cell in cells):
        return ()
    names = initializer.__code__.co_names
    return tuple(
        value for name, value in vars(twin).items() if name in names and isinstance(value, RANDOM)
    )


def _original(initializer: Any, twin: Any, layer: Any) -> Any:
    """The object of `layer` in the place of `initializer`, which a variable of the twin has.

    The config of an initializer need not hold all of it. A copy that the layer made for the
    variable, for its fans, is in no attribute, and is taken from the twin.
    """
    for name, value in vars(twin).items():
        if value is initializer:
            return getattr(layer, name, initializer)
    return initializer


def _given_seed(initializer: Any, twin: Any, layer: Any) -> Any:
    """The seed that the user gave.

    A layer's copy for its fans has the seed that was drawn for an unseeded initializer as if it
    were given; the attribute it is copied from knows better.
    """
    for name, value in [] if twin is None else vars(twin).items():
        is_source = isinstance(value, RANDOM) and type(value) is type(initializer)
        if is_source and value.seed is initializer.seed:
            initializer = getattr(layer, name, value)
            break
    return getattr(initializer, "_init_seed", None)
