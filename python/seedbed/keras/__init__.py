"""Keras' initializers, run by seedbed, on whichever backend Keras uses.

    from seedbed.keras import initializers  # instead of: from keras import initializers

    keras.layers.Dense(64, kernel_initializer=initializers.HeNormal(seed=1))

or, for models that nobody wants to edit,

    import seedbed.keras

    seedbed.keras.install()

Importing this imports Keras with its backend, patches nothing, and registers names under `seedbed`
alone, which is how saved models find the classes.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from seedbed.keras import initializers
from seedbed.keras._convert import plain
from seedbed.keras._install import install, installed, uninstall

if TYPE_CHECKING:
    from seedbed.keras._reinitialize import reinitialize
    from seedbed.keras._report import report

__all__ = [
    "initializers",
    "install",
    "uninstall",
    "installed",
    "plain",
    "report",
    "reinitialize",
]


# What most programs never call is imported when it is first asked for.
_LATE: Final = {"report": "_report", "reinitialize": "_reinitialize"}


def __getattr__(name: str) -> Any:
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(f"{__name__}.{_LATE[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
