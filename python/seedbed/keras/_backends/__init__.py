"""The backends of Keras: a module each, and the one that is active.

No module but that of the active backend is imported, since each imports its framework.
"""

from importlib import import_module
from typing import Final

import keras

from seedbed.keras._backends.backend import Backend

BACKEND: Final[Backend] = import_module(f"{__name__}.{keras.backend.backend()}").BackendOfKeras()
