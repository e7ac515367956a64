"""Keras' initializers, run by seedbed, on whichever backend Keras uses.

    from seedbed.keras import initializers  # instead of: from keras import initializers

    keras.layers.Dense(64, kernel_initializer=initializers.HeNormal(seed=1))

or, for models that nobody wants to edit,

    import seedbed.keras

    seedbed.keras.install()

Importing this imports Keras with its backend, patches nothing, and registers names under `seedbed`
alone, which is how saved models find the classes.
"""

from seedbed.keras import initializers
from seedbed.keras._convert import plain
from seedbed.keras._install import install, installed, uninstall
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
