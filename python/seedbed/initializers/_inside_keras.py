"""The warning that an initializer on NumPy was called by Keras, for which there is a better one.

Keras sets the fans of attention and EinsumDense, clones and stores only what is an instance of its
own classes. Everything else draws wrong deviations there without a word; so a word is said, once.
"""

import sys
import warnings
from typing import Final

_CALLERS: Final = ("keras", "keras_hub")

# Whether nobody has been told yet.
_is_pending = True


def warn_if_called_by_keras(depth: int) -> None:
    """Warns, once in a process, where the code that called an initializer is Keras'.

    Args:
        depth: How many calls lie between the caller in question and this function.
    """
    global _is_pending
    if not _is_pending or "keras" not in sys.modules:
        return
    caller = sys._getframe(depth + 1).f_globals.get("__name__", "")
    if caller.partition(".")[0] in _CALLERS:
        _is_pending = False
        warnings.warn(
            "Keras called an initializer of `seedbed.initializers`, which is no instance of Keras' "
            "classes: in EinsumDense and attention layers its deviations are wrong, and clones and "
            "saved models lose it. In Keras' layers use `from seedbed.keras import initializers`.",
            stacklevel=depth + 2,
        )
