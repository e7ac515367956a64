"""Train a small network on scikit-learn's digits: with Keras alone, and with seedbed.

    pip install 'seedbed[keras]' scikit-learn
    KERAS_BACKEND=numpy python examples/keras_digits.py     # or jax, tensorflow, torch

The same network is trained three times from the same seeds: by Keras' own initializers, with
`install(stream="keras")`, which draws the numbers that Keras would have drawn, and with
`install()`, whose numbers are seedbed's own. The first two loss curves must be equal to the last
digit; the third is another training run.

Keras' NumPy backend has no gradients; there the few lines of `train` that need them are written
out by hand, in NumPy, on the weights of the same Keras model.
"""

from __future__ import annotations

import os

os.environ.setdefault("KERAS_BACKEND", "numpy")

import keras
import numpy as np
from sklearn.datasets import load_digits

import seedbed.keras

EPOCHS = 8
BATCH = 64
RATE = 0.1


def build() -> keras.Model:
    """64 pixels, two hidden layers, 10 digits."""
    keras.utils.set_random_seed(1)  # governs the initializers that have no seed of their own
    return keras.Sequential(
        [
            keras.Input((64,)),
            keras.layers.Dense(256, activation="relu", kernel_initializer="he_normal", name="up"),
            keras.layers.Dense(64, activation="relu", kernel_initializer="he_normal", name="down"),
            keras.layers.Dense(10, name="out"),
        ],
        name="digits",
    )


def batches(count: int) -> list[np.ndarray]:
    """The order of the samples of one epoch after another, the same in every run."""
    order = np.random.default_rng(2)
    parts = [np.array_split(order.permutation(count), count // BATCH) for _ in range(EPOCHS)]
    return [part for epoch in parts for part in epoch]


def train(model: keras.Model, x: np.ndarray, y: np.ndarray) -> list[float]:
    """The mean loss of each epoch."""
    if keras.backend.backend() == "numpy":
        losses = train_by_hand(model, x, y)
    else:
        model.compile(
            keras.optimizers.SGD(RATE), keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        )
        losses = [float(model.train_on_batch(x[part], y[part])) for part in batches(len(x))]
    return [float(np.mean(epoch)) for epoch in np.array_split(losses, EPOCHS)]


def train_by_hand(model: keras.Model, x: np.ndarray, y: np.ndarray) -> list[float]:
    """Gradient descent, written out for layers of `relu(x @ kernel + bias)`."""
    weights = [np.array(w) for w in model.get_weights()]
    losses = []
    for part in batches(len(x)):
        inputs = [x[part]]
        for number in range(0, len(weights), 2):
            outputs = inputs[-1] @ weights[number] + weights[number + 1]
            is_last = number == len(weights) - 2
            inputs.append(outputs if is_last else np.maximum(outputs, 0))
        shifted = inputs[-1] - inputs[-1].max(1, keepdims=True)
        logarithms = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
        losses.append(-float(logarithms[np.arange(len(part)), y[part]].mean()))
        error = np.exp(logarithms)
        error[np.arange(len(part)), y[part]] -= 1
        error /= len(part)
        for number in range(len(weights) - 2, -1, -2):
            below = inputs[number // 2]
            step = below.T @ error, error.sum(0)
            error = (error @ weights[number].T) * (below > 0)
            weights[number] -= RATE * step[0]
            weights[number + 1] -= RATE * step[1]
    model.set_weights(weights)
    return losses


def main() -> None:
    """Train three times, and compare."""
    x, y = load_digits(return_X_y=True)
    x = (x / 16).astype("float32")

    alone = train(build(), x, y)
    with seedbed.keras.installed(stream="keras"):
        exact = train(build(), x, y)
    with seedbed.keras.installed():
        model = build()
        print(seedbed.keras.report(model))
        native = train(model, x, y)

    print(f"\nMean loss by epoch, Keras' {keras.backend.backend()} backend")
    print('epoch  Keras alone  installed("keras")  installed()')
    for epoch, (a, b, c) in enumerate(zip(alone, exact, native, strict=True), 1):
        print(f"{epoch:5}  {a:11.6f}  {b:18.6f}  {c:11.6f}")
    if alone != exact:
        raise SystemExit('the losses under stream="keras" are not those of Keras alone')
    print('The losses under stream="keras" are those of Keras alone, to the last digit.')
    if native[-1] > 0.2:
        raise SystemExit("the network did not learn")


if __name__ == "__main__":
    main()
