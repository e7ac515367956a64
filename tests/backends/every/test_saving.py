"""Models and initializers that are stored, and what comes back: here, and without seedbed."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import pytest

import seedbed
from cases import RANDOM, data, subclass_of
from seedbed.keras import initializers

SEEDS: dict[str, Any] = {
    "None": lambda: None,
    "int": lambda: 7,
    "64 bits": lambda: 2**60 + 3,
    "generator of Keras": lambda: keras.random.SeedGenerator(7),
    "generator of seedbed": lambda: seedbed.random.SeedGenerator(2**60 + 3),
}
CASES = [
    (name, stream, seed)
    for name in RANDOM
    for stream in (None, "numpy")
    for seed in SEEDS
    if stream != "numpy" or seed in ("None", "int", "generator of Keras")
]


def make(init: Any) -> Any:
    return keras.Sequential(
        [
            keras.Input((6, 8)),
            keras.layers.Bidirectional(
                keras.layers.SimpleRNN(4, return_sequences=True, kernel_initializer=init)
            ),
            keras.layers.EinsumDense("abc,cd->abd", (None, 8), kernel_initializer=init),
            keras.layers.Dense(5, kernel_initializer=init),
        ]
    )


def initializers_of(model: Any) -> list[Any]:
    recurrent, einsum, dense = model.layers
    return [
        recurrent.forward_layer.cell.kernel_initializer,
        recurrent.backward_layer.cell.kernel_initializer,
        einsum.kernel_initializer,
        dense.kernel_initializer,
    ]


def without_names(config: dict[str, Any]) -> dict[str, Any]:
    """A config without the name of its generator, which Keras makes anew here and there."""
    seed = config["seed"]
    if isinstance(seed, dict):
        seed = {**seed, "config": {**seed["config"], "name": None}}
        seed.pop("shared_object_id", None)
    return {**config, "seed": seed}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_clone_json_and_saved_models(case: Any, tmp_path: Path) -> None:
    name, stream, seed = case
    kind = getattr(initializers, name)
    model = make(kind(seed=SEEDS[seed](), stream=stream, **RANDOM[name]))
    weights = [data(w) for w in model.weights]
    model.save(tmp_path / "model.keras")
    model.save_weights(tmp_path / "model.weights.h5")
    theirs = getattr(keras.initializers, name)
    with keras.saving.custom_object_scope({name: theirs}):
        loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    assert [data(w) for w in loaded.weights] == weights
    cloned = keras.models.clone_model(model)
    parsed = keras.models.model_from_json(model.to_json())
    for again in (loaded, cloned, parsed):
        for mine, init in zip(initializers_of(again), initializers_of(model), strict=True):
            assert type(mine) is kind
            assert mine.stream == stream
            assert without_names(mine.get_config()) == without_names(init.get_config())
        again.load_weights(tmp_path / "model.weights.h5")
        assert [data(w) for w in again.weights] == weights
    if seed in ("int", "64 bits"):
        assert [data(w) for w in cloned.weights[::2]] == weights[::2]


def test_configs_of_models_hold_keras_names_and_keys() -> None:
    dense = make(initializers.HeNormal(seed=3)).layers[-1]
    theirs = keras.initializers.HeNormal(seed=3).get_config()
    assert dense.get_config()["kernel_initializer"] == {
        "module": "seedbed.keras.initializers",
        "class_name": "HeNormal",
        "config": theirs,
        "registered_name": "seedbed>HeNormal",
    }
    generator = initializers.HeNormal(seed=seedbed.random.SeedGenerator(2**60)).get_config()["seed"]
    assert generator["registered_name"] == "seedbed>SeedGenerator"
    assert generator["config"]["seed"] == 2**60
    with seedbed.keras.installed():
        stored = keras.layers.Dense(3, kernel_initializer="he_normal").get_config()
    assert stored["kernel_initializer"]["module"] == "keras.initializers"
    assert stored["kernel_initializer"]["registered_name"] is None


def test_users_subclasses_are_theirs_to_register() -> None:
    kind = subclass_of(initializers.HeNormal)
    layer = keras.layers.Dense(3, kernel_initializer=kind(seed=1))
    with keras.saving.custom_object_scope({"Users": kind}):
        again = keras.layers.Dense.from_config(layer.get_config())
    assert type(again.kernel_initializer) is kind


WITHOUT = """
import sys
sys.modules["seedbed"] = None  # as if it were not installed
import keras, json
model = keras.saving.load_model(sys.argv[1], safe_mode=True)
kinds = [type(layer.kernel_initializer) for layer in model.layers[1:]]
assert kinds == [keras.initializers.HeNormal, keras.initializers.HeNormal], kinds
assert model.layers[1].kernel_initializer.seed == 7
clone = keras.models.clone_model(model)
try:
    keras.saving.deserialize_keras_object(json.loads(sys.argv[3]))
except TypeError as error:
    print(error)
try:
    keras.initializers.get(json.loads(sys.argv[4]))
except TypeError as error:
    print(error)
model.save(sys.argv[2])
"""


def test_processes_without_seedbed_load_and_save(tmp_path: Path) -> None:
    model = make(initializers.HeNormal(seed=7))
    ours, back = tmp_path / "ours.keras", tmp_path / "back.keras"
    model.save(ours)
    stored = [
        keras.saving.serialize_keras_object(initializers.HeNormal(seed=7, stream=stream))
        for stream in (None, "philox")
    ]
    command = [sys.executable, "-c", WITHOUT, str(ours), str(back), *map(json.dumps, stored)]
    result = subprocess.run(
        command, capture_output=True, text=True, timeout=500, env=dict(os.environ)
    )
    assert result.returncode == 0, result.stderr
    # Keras' own messages.
    assert "Could not locate class 'HeNormal'" in result.stdout
    assert "unexpected keyword argument 'stream'" in result.stdout
    loaded = keras.saving.load_model(back)
    assert [data(w) for w in loaded.weights] == [data(w) for w in model.weights]
    assert type(loaded.layers[-1].kernel_initializer) is keras.initializers.HeNormal


def test_legacy_h5(tmp_path: Path) -> None:
    model = make(initializers.HeNormal(seed=2**60))
    model.save(tmp_path / "model.h5")
    loaded = keras.saving.load_model(tmp_path / "model.h5")
    assert [data(w) for w in loaded.weights] == [data(w) for w in model.weights]
    assert initializers_of(loaded)[0].seed == 2**60
    assert type(initializers_of(loaded)[0]) is initializers.HeNormal


@pytest.mark.parametrize("reads", [initializers, keras.initializers])
def test_another_cut_is_refused_and_not_forgotten(reads: Any) -> None:
    stored = seedbed.initializers.serialize(seedbed.initializers.TruncatedNormal(cut=3.0, seed=1))
    for read in (reads.deserialize, reads.get):
        with pytest.raises(TypeError, match="unexpected keyword argument 'cut'"):
            read(stored)
    # Where Keras cuts as well, nothing is stored of it.
    stored = seedbed.initializers.serialize(seedbed.initializers.TruncatedNormal(cut=2.0, seed=1))
    assert isinstance(reads.deserialize(stored), keras.initializers.TruncatedNormal)
