"""Shapes that Keras infers on NumPy, where nothing is traced."""

from typing import Any

import keras
import numpy as np

import seedbed
from seedbed.keras import initializers


def test_inferring_shapes_draws_nothing() -> None:
    generator = seedbed.random.SeedGenerator(1)

    class Model(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            init = initializers.HeNormal(seed=generator)
            self.dense = keras.layers.Dense(8, kernel_initializer=init)

        def call(self, x: Any) -> Any:
            return self.dense(x)

    model = Model()
    assert model(np.ones((2, 4), np.float32)).shape == (2, 8)
    assert generator.state[1] == 1
