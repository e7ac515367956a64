"""What a rule's `init` says, before the tensor is known whose numbers are in it.

    init = "he_normal"                                              a name
    init = { class_name = "RandomNormal", config = { stddev = 0.02 } }    as it is stored
    init = { normal = "0.02 / sqrt(2 * layers)" }                   a name and its first number
    init = { truncated_normal = { stddev = 0.02, cut = 3 } }        a name and its arguments

Numbers may be expressions in strings. In Python it may also be an initializer, or a function of a
tensor's name, shape and variables that returns one.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, Final

from seedbed import initializers
from seedbed._plan.expressions import Expression
from seedbed._plan.quantities import evaluated, number_of
from seedbed._spec.error import Place, show
from seedbed._spec.identifier import STORED_KEYS, initializer_of, keyed_config
from seedbed.initializers.registry import builtin

# The arguments of initializers that are one number.
_NUMBERS: Final = ("mean", "stddev", "cut", "minval", "maxval", "value", "scale", "gain")
# The one that a bare number stands for.
_FIRST: Final[dict[type, str]] = {
    initializers.RandomNormal: "stddev",
    initializers.TruncatedNormal: "stddev",
    initializers.Constant: "value",
    initializers.Identity: "gain",
    initializers.Orthogonal: "gain",
    initializers.VarianceScaling: "scale",
}

Factory = Callable[[str, tuple[int, ...], dict[str, float]], Any]


class Init:
    """An initializer whose numbers may be expressions.

    Args:
        value: What the plan says.
        place: Where it says so.

    Attributes:
        value: What the plan says.
        names: The names of the variables in it.
        is_function: Whether it is a function of the tensor.

    Raises:
        SpecError: It can be no initializer, whatever the tensor.
    """

    __slots__ = ("_expressions", "_stored", "is_function", "names", "value")

    def __init__(self, value: object, place: Place) -> None:
        self.value = value
        self._expressions: dict[str, Expression] = {}
        self._stored: Any = value
        if inspect.isclass(value) and issubclass(value, initializers.Initializer):
            self._stored = value = value()
        elif hasattr(value, "get_config") and not isinstance(value, initializers.Initializer):
            # Keras' own.
            self._stored = initializers.serialize(value)
        if isinstance(self._stored, dict):
            self._stored = self._with_expressions(_stored_form(self._stored, place), place)
        self.is_function = callable(value) and not hasattr(value, "get_config")
        self.names: frozenset[str] = frozenset()
        for expression in self._expressions.values():
            self.names |= expression.names

    def make(
        self,
        names: Mapping[str, float],
        place: Place,
        tensor: tuple[str, tuple[int, ...], dict[str, float]],
    ) -> tuple[Any, dict[str, Any] | None]:
        """Return the initializer, and the configuration to which each tensor adds its own seed.

        The configuration is None where no seed is to be added.

        Args:
            names: The values of the variables.
            place: Where the plan says so, for errors.
            tensor: Name, shape and variables of the tensor, for functions.

        Raises:
            SpecError: There is no such initializer.
        """
        stored = self._stored
        if self.is_function:
            try:
                stored = stored(*tensor)
            except Exception as error:
                place.refuse(error)
            if isinstance(stored, dict):
                return Init(stored, place).make(names, place, tensor)
        if isinstance(stored, initializers.Initializer):
            return stored, keyed_config(stored, place)
        if self._expressions:
            config = dict(stored["config"])
            for key, expression in self._expressions.items():
                config[key] = evaluated(expression, names, f"init.config.{key}", place)
            stored = {**stored, "config": config}
        return initializer_of(stored, place)

    def _with_expressions(self, stored: dict[str, Any], place: Place) -> dict[str, Any]:
        """Take the expressions out of a stored form."""
        config = stored.get("config")
        known = builtin(stored.get("class_name"))
        if not isinstance(config, dict) or known is None:
            return stored
        for key in _NUMBERS:
            if isinstance(config.get(key), str):
                found = number_of(config[key], f"init.config.{key}", place)
                assert isinstance(found, Expression)
                self._expressions[key] = found
        return stored


def _stored_form(value: dict[str, Any], place: Place) -> dict[str, Any]:
    """Return the stored form that `{ NAME = CONFIG }` is short for."""
    if len(value) != 1 or next(iter(value)) in STORED_KEYS:
        return value
    [(name, given)] = value.items()
    if isinstance(given, dict):
        return {"class_name": name, "config": given}
    kind = builtin(name)
    if kind is None:
        # The name is what is wrong.
        initializer_of(name, place)
    number = number_of(given, f"init.{name}", place)
    given = given if isinstance(given, str) else number
    if kind is initializers.RandomUniform:
        low = f"-({given})" if isinstance(given, str) else -number  # type: ignore[operator]
        return {"class_name": name, "config": {"minval": low, "maxval": given}}
    first = None if kind is None else _FIRST.get(kind)
    if first is None:
        place.fail(
            f"init.{name}", "has no first number; give a table of its arguments", show(given)
        )
    return {"class_name": name, "config": {first: given}}
