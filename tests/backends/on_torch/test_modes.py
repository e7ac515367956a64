"""torch's modes and devices: compiled code, tensors without memory, gradients."""

import keras
import numpy as np
import torch
from torch._subclasses import FakeTensorMode

import seedbed
import seedbed.keras
from cases import RANDOM, data
from seedbed.keras import initializers


def test_meta_device() -> None:
    for name, arguments in RANDOM.items():
        generator = seedbed.random.SeedGenerator(1)
        init = getattr(initializers, name)(seed=generator, **arguments)
        with keras.device("meta"):
            drawn = init((1 << 20, 1 << 20), "bfloat16")
        assert drawn.device.type == "meta"
        assert drawn.dtype == torch.bfloat16
        assert generator.state[1] == 0
    with torch.device("meta"):  # Keras passes its own device.
        assert data(initializers.HeNormal(seed=1)((4, 4)))


def test_fake_tensors() -> None:
    with FakeTensorMode():
        drawn = initializers.HeNormal(seed=1)((1 << 20, 1 << 20))
    assert drawn.shape == (1 << 20, 1 << 20)
    assert isinstance(drawn, torch.Tensor)


def test_compiled_functions_draw_the_eager_numbers() -> None:
    init = initializers.HeNormal(seed=1)
    compiled = torch.compile(lambda x: init((4, 4)) + x, backend="eager")
    assert data(compiled(torch.zeros(4, 4))) == data(init((4, 4)))


def test_results_are_leaves_that_may_be_written() -> None:
    drawn = initializers.HeNormal(seed=1)((4, 4))
    assert drawn.is_leaf
    drawn.add_(1)
    with torch.inference_mode():
        assert data(initializers.HeNormal(seed=1)((4, 4)))
    layer = keras.layers.Dense(4, kernel_initializer=initializers.HeNormal(seed=1))
    layer.build((None, 4))
    assert layer.kernel.value.requires_grad
    layer(np.ones((2, 4), np.float32)).sum().backward()
    assert layer.kernel.value.grad is not None


def test_unbuilt_models_are_built_by_fit() -> None:
    with seedbed.keras.installed():
        model = keras.Sequential([keras.layers.Dense(8), keras.layers.Dense(1)])
        model.compile("sgd", "mse")
        model.fit(np.ones((8, 4)), np.ones((8, 1)), verbose=0)
    assert tuple(model(np.ones((1, 4), np.float32)).shape) == (1, 1)
