"""Traced JAX programs: the numbers of eager calls, drawn when the program runs."""

from typing import Any

import jax
import keras
import numpy as np

import seedbed
import seedbed.keras
from cases import RANDOM, data
from seedbed.keras import initializers


def test_jit_draws_the_eager_numbers_and_holds_no_constant() -> None:
    for name, arguments in RANDOM.items():
        init = getattr(initializers, name)(seed=2**60, **arguments)
        traced = jax.jit(lambda init=init: init((512, 512)))
        assert data(traced()) == data(init((512, 512)))
        # 1 MiB of values in far fewer characters.
        assert len(traced.lower().as_text()) < 10_000
    with seedbed.keras.installed():
        theirs = keras.initializers.HeNormal(seed=1)
        traced = jax.jit(lambda: theirs((512, 512)))
        assert data(traced()) == data(theirs((512, 512)))


def test_generators_in_a_stateless_scope_give_the_eager_sequence() -> None:
    generator = keras.random.SeedGenerator(3)
    init = initializers.HeNormal(seed=generator)

    def program(state: Any) -> Any:
        with keras.StatelessScope(state_mapping=[(generator.state, state)]) as scope:
            drawn = init((4, 4)), init((4, 4))
        return drawn, scope.get_current_value(generator.state)

    drawn, state = jax.jit(program)(generator.state.value)
    assert [data(d) for d in drawn] == [data(init((4, 4))) for _ in range(2)]
    assert data(state) == data(generator.state)


def test_transformations_whose_values_are_concrete() -> None:
    init = initializers.HeNormal(seed=1)
    expected = np.asarray(init((3, 3)))
    ones = np.ones(2, np.float32)
    assert np.array_equal(jax.vmap(lambda x: init((3, 3)) * x)(ones)[1], expected)
    gradient = jax.grad(lambda x: (init((3, 3)) * x).sum())(1.0)
    np.testing.assert_allclose(gradient, expected.sum(), rtol=1e-5)
    checkpointed = jax.checkpoint(lambda x: init((3, 3)) * x)(ones[0])
    assert np.array_equal(checkpointed, expected)


def test_unbuilt_models_are_built_by_fit_and_specs() -> None:
    class Model(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.generator = seedbed.random.SeedGenerator(2**60)
            self.first = keras.layers.Dense(
                8, kernel_initializer=initializers.HeNormal(self.generator)
            )
            self.second = keras.layers.Dense(1)

        def call(self, x: Any) -> Any:
            return self.second(self.first(x))

    with seedbed.keras.installed():
        model = Model()
        model.compile("sgd", "mse", jit_compile=True)
        model.fit(np.ones((8, 4)), np.ones((8, 1)), verbose=0)
        # Inferring shapes advances no generator: the first call made the kernel.
        assert model.generator.state[1] == 1
        spec = Model().compute_output_spec(keras.KerasTensor((None, 4)))
    assert spec.shape == (None, 1)


def test_a_traced_call_under_out_shardings() -> None:
    mesh = jax.sharding.Mesh(np.array(jax.devices()), ("x",))
    sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("x"))
    init = initializers.HeNormal(seed=1)
    drawn = jax.jit(lambda: init((64, 8)), out_shardings=sharding)()
    assert data(drawn) == data(init((64, 8)))
