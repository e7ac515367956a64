"""`report` and `reinitialize` of models whose weights lie on eight devices."""

import jax
import keras
import numpy as np
import pytest

import seedbed.keras
from seedbed import initializers
from seedbed.keras import _sharding
from seedbed.keras._measure import blocks_of


@pytest.fixture
def model():
    mesh = keras.distribution.DeviceMesh((2, 4), ("batch", "model"))
    layout = keras.distribution.LayoutMap(mesh)
    layout[".*wide/kernel"] = (None, "model")
    layout[".*table/embeddings"] = ("model", None)
    distribution = keras.distribution.ModelParallel(layout_map=layout, batch_dim_name="batch")
    with distribution.scope():
        layers = [
            keras.layers.Embedding(64, 32, name="table"),
            keras.layers.Dense(48, kernel_initializer="he_normal", name="wide"),
        ]
        model = keras.Sequential(layers, name="sharded")
        model.build((None, 8))
        yield model


def test_a_report_measures_each_part_once(model):
    report = seedbed.keras.report(model)
    assert not report.flagged
    table, kernel, _ = report.weights
    for row, variable in ((table, model.layers[0].embeddings), (kernel, model.layers[1].kernel)):
        blocks = list(blocks_of(variable))
        assert len(blocks) == 4
        whole = np.asarray(variable.value, "float64")
        assert sum(block.size for block in blocks) == whole.size
        assert row.mean == pytest.approx(whole.mean(), abs=1e-9)
        assert row.stddev == pytest.approx(whole.std(), rel=1e-9)
        assert row.seconds is None


def test_new_values_are_those_of_one_device_and_stay_where_they_were(model, monkeypatch):
    before = [weight.value.sharding for weight in model.weights]
    drawn = []
    draw_sharded = _sharding.draw_sharded

    def recorded(call, trial, sharding):
        drawn.append(call.shape)
        return draw_sharded(call, trial, sharding)

    monkeypatch.setattr(_sharding, "draw_sharded", recorded)
    seeds = seedbed.keras.reinitialize(model, seed=7)
    assert drawn == [(64, 32), (32, 48)]  # in parts, and never whole
    table, kernel, bias = (np.asarray(weight.value) for weight in model.weights)
    uniform = initializers.RandomUniform(seed=seeds["sharded/table/embeddings"])
    assert np.array_equal(table, uniform((64, 32)))
    normal = initializers.HeNormal(seed=seeds["sharded/wide/kernel"])
    assert np.array_equal(kernel, normal((32, 48)))
    assert not bias.any()
    after = [weight.value.sharding for weight in model.weights]
    for old, new, weight in zip(before, after, model.weights, strict=True):
        assert new.is_equivalent_to(old, len(weight.shape))


def test_new_values_stay_on_the_device_of_the_old():
    with keras.device("cpu:3"):
        layer = keras.layers.Dense(8, name="layer")
        layer.build((None, 4))
    for stream in (None, "keras"):
        seedbed.keras.reinitialize(layer, seed=1, stream=stream)
        for variable in (layer.kernel, layer.bias):
            assert variable.value.devices() == {jax.devices()[3]}


def test_new_values_are_bound_to_no_device_where_the_old_were_not():
    layer = keras.layers.Dense(8, name="layer")
    layer.build((None, 4))
    seedbed.keras.reinitialize(layer, seed=1)
    elsewhere = jax.device_put(np.ones((2, 4), "float32"), jax.devices()[3])
    assert (elsewhere @ layer.kernel.value).devices() == {jax.devices()[3]}
