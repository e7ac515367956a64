"""`seedbed.keras.reinitialize`: the values that weights get, and what is kept."""

import io
import itertools
import math
import subprocess
import sys
import warnings

import keras
import numpy as np
import pytest

import seedbed
import seedbed.keras
from reinitialized import named, snapshot, values
from seedbed import initializers
from seedbed.keras import _reinitialize
from seedbed.keras._private import places_in_file
from seedbed.random import fold_in

BACKEND = keras.backend.backend()


@pytest.mark.parametrize("stream", [None, "numpy"])
def test_each_weight_is_its_initializer_with_the_seed_of_its_path(stream):
    model = named()
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # every name in a path is ours
        seeds = seedbed.keras.reinitialize(model, seed=2**63, stream=stream)
    found = snapshot(model)
    expected = {
        # Attention's kernels (16, 2, 8) have the fans that Keras sets for them.
        "attention/query/kernel": initializers.HeNormal(input_axes=(0,), output_axes=(1, 2)),
        "attention/value/kernel": initializers.HeNormal(input_axes=(0,), output_axes=(1, 2)),
        "attention/attention_output/kernel": initializers.HeNormal(
            input_axes=(0, 1), output_axes=(2,)
        ),
        "einsum/kernel": initializers.Orthogonal(),
        "out/kernel": initializers.RandomNormal(),
    }
    for path, initializer in expected.items():
        # NumPy's stream takes 32 bits, and gets 31.
        initializer.seed = fold_in(2**63, *path.split("/")) % (2**31 if stream else 2**64)
        assert seeds[path] == initializer.seed
        initializer.stream = stream
        assert np.array_equal(found[path], initializer(found[path].shape)), path
    assert seeds["out/bias"] is None
    assert not found["out/bias"].any()
    assert not seedbed.keras.report(model).flagged


def test_the_same_seed_repeats_and_another_does_not():
    model = named()
    seedbed.keras.reinitialize(model, seed=1)
    first = snapshot(model)
    seedbed.keras.reinitialize(model, seed=2)
    second = snapshot(model)
    seedbed.keras.reinitialize(model, seed=1)
    third = snapshot(model)
    for path, array in first.items():
        assert np.array_equal(array, third[path])
        assert ("kernel" in path) == (not np.array_equal(array, second[path])), path


def test_a_layer_that_is_added_changes_no_other():
    one, other = named(), named(extra=True)
    seedbed.keras.reinitialize(one, seed=5)
    seedbed.keras.reinitialize(other, seed=5)
    before, after = snapshot(one), snapshot(other)
    assert set(after) - set(before) == {"added/kernel", "added/bias"}
    for path, array in before.items():
        assert np.array_equal(array, after[path]), path


def test_one_shared_seed_no_longer_makes_equal_kernels():
    model = named(kernel=keras.initializers.GlorotUniform(seed=1))
    assert [flag.kind for row in seedbed.keras.report(model).flagged for flag in row.flags]
    seedbed.keras.reinitialize(model, seed=1)
    assert not seedbed.keras.report(model).flagged


def test_seedbeds_classes_give_the_same_values_as_keras_own():
    one, other = named(), named(kernel=seedbed.keras.initializers.HeNormal(seed=2**40))
    seedbed.keras.reinitialize(one, seed=5)
    seedbed.keras.reinitialize(other, seed=5)
    for path, array in snapshot(one).items():
        assert np.array_equal(array, snapshot(other)[path]), path


def test_an_initializers_own_stream_is_kept_unless_another_is_asked_for():
    kernel = seedbed.keras.initializers.HeNormal(stream="numpy")
    layer = keras.layers.Dense(6, kernel_initializer=kernel, name="layer")
    layer.build((None, 4))
    for asked, expected in ((None, "numpy"), ("philox", "philox")):
        seeds = seedbed.keras.reinitialize(layer, seed=5, stream=asked)
        drawn = initializers.HeNormal(seeds["layer/kernel"], stream=expected)((4, 6))
        assert np.array_equal(values(layer.kernel), drawn)


def test_the_stream_of_keras_is_what_keras_draws():
    model = named()
    seeds = seedbed.keras.reinitialize(model, seed=2**63, stream="keras")
    for path, kind in (("out/kernel", "RandomNormal"), ("einsum/kernel", "Orthogonal")):
        assert seeds[path] < 2**31
        keras_own = getattr(keras.initializers, kind)(seed=seeds[path])
        shape = snapshot(model)[path].shape
        assert np.array_equal(snapshot(model)[path], values(keras_own(shape)))


def sequential():
    # Without names: Keras counts them up within the process.
    return keras.Sequential(
        [
            keras.Input((6, 5)),
            keras.layers.LSTM(7, return_sequences=True),
            keras.layers.LSTM(7),
            keras.layers.Dense(5),
            keras.layers.Dense(3, kernel_initializer="he_uniform"),
        ]
    )


def test_automatic_names_are_warned_of_and_listed():
    model = sequential()
    with pytest.warns(UserWarning, match="names that Keras counts up") as caught:
        seedbed.keras.reinitialize(model, seed=1)
    assert model.layers[0].name in str(caught[0].message)
    assert caught[0].filename == __file__
    layers = [keras.layers.Dense(3) for _ in range(7)]
    with pytest.warns(UserWarning, match=f"{layers[4].name} and 2 more$"):
        seedbed.keras.reinitialize(
            keras.Sequential([keras.Input((3,), name="in"), *layers], name="named"), seed=1
        )


def test_positions_depend_on_the_structure_alone():
    one, other = sequential(), sequential()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        seeds = [seedbed.keras.reinitialize(m, seed=1, key="position") for m in (one, other)]
    assert list(seeds[0].values()) == list(seeds[1].values())
    for a, b in zip(one.weights, other.weights, strict=True):
        assert a.path != b.path
        assert np.array_equal(values(a), values(b))
    dense = one.layers[3]
    assert places_in_file(one)[id(dense.kernel)] == ("layers", "dense_1", 0)
    drawn = initializers.HeUniform(fold_in(1, "layers", "dense_1", 0))((5, 3))
    assert np.array_equal(values(dense.kernel), drawn)
    drawn = [v for v in seeds[0].values() if v is not None]
    assert len(set(drawn)) == len(drawn)


def test_positions_are_those_of_a_file_of_weights(tmp_path):
    h5py = pytest.importorskip("h5py")
    model = sequential()
    model.save_weights(tmp_path / "model.weights.h5")
    with h5py.File(tmp_path / "model.weights.h5") as file:
        for variable in model.weights:
            *path, number = places_in_file(model)[id(variable)]
            stored = file["/".join([*path, "vars", str(number)])]
            assert np.array_equal(stored[()], values(variable))


def test_the_values_are_the_same_in_another_process():
    model = named()
    seedbed.keras.reinitialize(model, seed=9)
    total = float(np.abs(values(model.get_layer("out").kernel).astype("float64")).sum())
    program = (
        "import keras, numpy as np, seedbed.keras\n"
        "keras.layers.Dense(3); keras.layers.Dense(3)\n"
        "m = keras.Sequential([keras.Input((12,)), keras.layers.Dense(4,"
        " kernel_initializer='random_normal', name='out')], name='m')\n"
        "m.layers[0].kernel._path = 'out/kernel'\n"
        "seedbed.keras.reinitialize(m, seed=9)\n"
        "w = keras.ops.convert_to_numpy(m.layers[0].kernel)\n"
        "print(float(np.abs(np.asarray(w, 'float64')).sum()))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) == total


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64", "mixed_bfloat16"])
def test_dtypes_are_kept(dtype):
    if dtype == "float64" and BACKEND == "jax":
        dtype = "float32"  # JAX makes no other unless told to
    layer = keras.layers.Dense(8, kernel_initializer="he_normal", dtype=dtype, name="layer")
    layer.build((None, 32))
    kept = layer.kernel.dtype
    seeds = seedbed.keras.reinitialize(layer, seed=3)
    assert layer.kernel.dtype == kept
    assert keras.backend.standardize_dtype(layer.kernel.value.dtype) == kept
    drawn = initializers.HeNormal(seeds["layer/kernel"])((32, 8), dtype=kept)
    assert np.array_equal(values(layer.kernel), np.asarray(drawn, "float32"))


def test_the_variables_and_the_optimizer_stay():
    # Keras trains nothing on NumPy.
    optimizer = None if BACKEND == "numpy" else keras.optimizers.Adam()
    model = named()
    if optimizer is not None:
        model.compile(optimizer, "mse")
        model.train_on_batch(np.ones((2, 8, 16), "float32"), np.ones((2, 8, 4), "float32"))
        slots = [values(variable) for variable in optimizer.variables]
        assert any(slot.any() for slot in slots)
    objects = [id(variable) for variable in model.weights]
    seedbed.keras.reinitialize(model, seed=1)
    assert [id(variable) for variable in model.weights] == objects
    if optimizer is not None:
        for variable, slot in zip(optimizer.variables, slots, strict=True):
            assert np.array_equal(values(variable), slot)
        model.train_on_batch(np.ones((2, 8, 16), "float32"), np.ones((2, 8, 4), "float32"))


def test_state_is_kept_unless_asked_for():
    model = named()
    norm = model.get_layer("norm")
    norm.moving_mean.assign(np.full(12, 5.0, "float32"))
    norm.gamma.assign(np.full(12, 5.0, "float32"))
    seeds = seedbed.keras.reinitialize(model, seed=1)
    assert "norm/moving_mean" not in seeds
    assert (values(norm.moving_mean) == 5).all()
    assert (values(norm.gamma) == 1).all()
    seedbed.keras.reinitialize(model, seed=1, state=True)
    assert (values(norm.moving_mean) == 0).all()


def test_a_frozen_layer_is_drawn_anew_and_stays_frozen():
    model = named()
    model.get_layer("out").trainable = False
    before = snapshot(model)["out/kernel"]
    seedbed.keras.reinitialize(model, seed=1)
    assert not np.array_equal(snapshot(model)["out/kernel"], before)
    assert not model.get_layer("out").kernel.trainable


def test_recurrent_biases_keep_their_form_and_random_ones_get_seeds():
    layer = keras.layers.LSTM(4, bias_initializer="random_normal", name="rnn")
    layer.build((None, 5, 3))
    drawn = []
    for seed in (1, 2, 1):
        with pytest.warns(UserWarning, match="counts up"):
            seedbed.keras.reinitialize(layer, seed=seed)
        drawn.append(values(layer.cell.bias))
    assert np.array_equal(drawn[0][4:8], np.ones(4))  # the forget gate
    assert np.array_equal(drawn[0], drawn[2])
    assert not np.array_equal(drawn[0], drawn[1])
    cell = keras.layers.LSTMCell(4, name="cell")
    cell.build((None, 3))
    assert seedbed.keras.reinitialize(cell, seed=1)["cell/bias"] is None  # it is not drawn


def test_drawn_state_is_drawn_anew_with_the_weights():
    # A vector that is not trained and yet no average: it starts from random numbers.
    inner = keras.layers.Dense(16, name="inner")
    layer = keras.layers.SpectralNormalization(inner, name="spectral")
    layer.build((None, 8))
    before = values(layer.vector_u)
    seeds = seedbed.keras.reinitialize(layer, seed=1)
    assert seeds["spectral/vector_u"] == fold_in(1, "spectral", "vector_u")
    assert not np.array_equal(values(layer.vector_u), before)


class Doubled(keras.initializers.HeNormal):
    def __call__(self, shape, dtype=None):
        return 2 * super().__call__(shape, dtype)


def test_a_users_class_makes_its_own_values():
    layer = keras.layers.Dense(8, kernel_initializer=Doubled(), name="layer")
    layer.build((None, 32))
    seeds = seedbed.keras.reinitialize(layer, seed=1)
    # Keras' own classes take no more on some backends.
    assert seeds["layer/kernel"] == fold_in(1, "layer", "kernel") % 2**31
    own = Doubled(seed=seeds["layer/kernel"])((32, 8))
    assert np.array_equal(values(layer.kernel), values(own))


def test_a_layers_own_initializer_keeps_its_seed():
    kernel = keras.initializers.HeNormal(seed=3)
    layer = keras.layers.Dense(8, kernel_initializer=kernel, name="layer")
    layer.build((None, 32))
    seedbed.keras.reinitialize(layer, seed=1)
    assert layer.kernel_initializer is kernel
    assert (kernel.seed, kernel.get_config()["seed"]) == (3, 3)


def test_a_stream_that_was_asked_for_is_not_replaced():
    layer = keras.layers.Dense(
        8, kernel_initializer="orthogonal", dtype="bfloat16", bias_initializer="ones", name="layer"
    )
    with seedbed.keras.installed():
        layer.build((None, 4))
    layer.bias.assign(keras.ops.zeros(8))
    before = snapshot(layer)
    with pytest.raises(NotImplementedError, match="`dtype` must be one whose QR JAX computes"):
        seedbed.keras.reinitialize(layer, seed=1, stream="jax")
    assert all(np.array_equal(array, snapshot(layer)[path]) for path, array in before.items())


def test_integers_of_numpy_are_seeds():
    model = named()
    seeds = seedbed.keras.reinitialize(model, seed=2**63)
    assert seedbed.keras.reinitialize(model, seed=np.uint64(2**63)) == seeds


class Unstored(keras.layers.Dense):
    def save_own_variables(self, store):
        pass


def test_a_weight_that_no_file_holds_has_no_position():
    layer = Unstored(3, name="layer")
    layer.build((None, 3))
    with pytest.raises(ValueError, match=r"`key=\"path\"`.*layer/kernel"):
        seedbed.keras.reinitialize(layer, seed=1, key="position")


def test_layers_of_float8_and_lora_are_drawn_anew():
    float8 = keras.layers.Dense(8, dtype="float8_from_float32", name="float8")
    lora = keras.layers.Dense(8, name="lora")
    model = keras.Sequential([keras.Input((4,)), float8, lora], name="model")
    lora.enable_lora(2)
    before = snapshot(model)
    seeds = seedbed.keras.reinitialize(model, seed=1)
    after = snapshot(model)
    drawn = {path for path, seed in seeds.items() if seed is not None}
    assert {path.rpartition("model/")[2] for path in drawn} == {
        "float8/kernel",
        "lora/kernel",
        "lora/lora_kernel_a",
    }
    assert not any(np.array_equal(before[path], after[path]) for path in drawn)
    assert not seedbed.keras.report(model).flagged


def test_lambdas_of_a_layer_stay():
    layer = keras.layers.Dense(
        8,
        activation=lambda x: 2 * x,
        bias_initializer=lambda shape, dtype=None: keras.ops.full(shape, 3, dtype),
        name="layer",
    )
    layer.build((None, 4))
    layer.bias.assign(keras.ops.zeros(8))
    before = values(layer.kernel)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        seeds = seedbed.keras.reinitialize(layer, seed=1)
    assert seeds == {"layer/kernel": fold_in(1, "layer", "kernel"), "layer/bias": None}
    assert (values(layer.bias) == 3).all()
    assert not np.array_equal(values(layer.kernel), before)


def test_the_bar_appears_after_a_second_and_only_then(monkeypatch):
    clock = itertools.count()
    monkeypatch.setattr(_reinitialize.time, "monotonic", lambda: next(clock) * 0.4)
    bar = _reinitialize._Bar(100)  # at 0 seconds
    bar(10)  # at 0.4
    bar(10)  # at 0.8
    assert bar._progress is None
    bar(10)  # at 1.2
    assert bar._progress is not None
    assert bar._progress.tasks[0].completed == 30
    bar.stop()
    late = _reinitialize._Bar(100)
    late(0)
    late(0)
    late(100)  # after 1.2 seconds, with nothing left to wait for
    assert late._progress is None


class Terminal(io.StringIO):
    def __init__(self, terminal):
        super().__init__()
        self._terminal = terminal

    def isatty(self):
        return self._terminal


def test_there_is_a_bar_on_a_terminal_and_it_comes_to_its_end(monkeypatch):
    bars = []

    class Recorded(_reinitialize._Bar):
        def __init__(self, total):
            super().__init__(total)
            bars.append(self)

    monkeypatch.setattr(_reinitialize, "_Bar", Recorded)
    monkeypatch.setattr(_reinitialize, "_BAR_AFTER", 0.0)
    model = named()
    for stderr in (None, Terminal(False)):
        monkeypatch.setattr(sys, "stderr", stderr)
        seedbed.keras.reinitialize(model, seed=1)
    assert not bars
    terminal = Terminal(True)
    monkeypatch.setattr(sys, "stderr", terminal)
    seedbed.keras.reinitialize(model, seed=1)
    (bar,) = bars
    state = sum(math.prod(v.shape) for v in model.get_layer("norm").non_trainable_variables)
    assert bar._done == bar._total == model.count_params() - state
    assert bar._progress.finished
    assert not bar._progress.live.is_started
    assert "reinitialize" in terminal.getvalue()


def test_python_random_numbers_are_not_used_up():
    import random

    model = named()
    state = random.getstate()
    seedbed.keras.reinitialize(model, seed=1)
    assert random.getstate() == state
