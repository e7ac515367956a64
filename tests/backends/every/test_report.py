"""`seedbed.keras.report`: right models raise no flag, and each fault that is put in raises its own.

The limits of the report hold a model without a fault to less than one flag in 10^6 models, so the
tests without a fault need no seeds that happen to be good.
"""

import json
import math
import random
import sys

import keras
import numpy as np
import pytest

import seedbed.keras
from seedbed._core import TRUNCATED_STDDEV
from seedbed.keras import _report
from seedbed.keras._law import Law, law_of
from seedbed.keras._private import first_initializer

BACKEND = keras.backend.backend()

# Laws with everything that is expected of them; numbers from the textbook, not from the package.
LAWS = [
    # (initializer, mean, deviation for the shape (200, 50), share beyond two deviations)
    (keras.initializers.RandomNormal(0.5, 0.2), 0.5, 0.2, 0.0455003),
    (keras.initializers.RandomUniform(-1.0, 3.0), 1.0, 4 / math.sqrt(12), 0.0),
    (keras.initializers.TruncatedNormal(1.0, 0.1), 1.0, 0.1 * 0.8796257, 0.0346093),
    (keras.initializers.HeNormal(), 0.0, math.sqrt(2 / 200), 0.0346093),
    (keras.initializers.HeUniform(), 0.0, math.sqrt(2 / 200), 0.0),
    (keras.initializers.LecunNormal(), 0.0, math.sqrt(1 / 200), 0.0346093),
    (keras.initializers.GlorotUniform(), 0.0, math.sqrt(1 / 125), 0.0),
    (
        keras.initializers.VarianceScaling(3.0, "fan_out", "untruncated_normal"),
        0.0,
        math.sqrt(3 / 50),
        0.0455003,
    ),
    (keras.initializers.Orthogonal(2.0), 0.0, 2 / math.sqrt(200), None),
    (keras.initializers.Zeros(), 0.0, 0.0, None),
    (keras.initializers.Constant(0.25), 0.25, 0.0, None),
    (keras.initializers.Identity(2.0), None, None, None),
]

# Of the truncated normal of he_normal with 64 inputs: two deviations, before truncation.
BOUND = np.float32(2 * math.sqrt(2 / 64) / TRUNCATED_STDDEV)


def dense(initializer="glorot_uniform", units=64, inputs=64, **arguments):
    layer = keras.layers.Dense(units, kernel_initializer=initializer, **arguments)
    layer.build((None, inputs))
    return layer


def kinds(report, path):
    (weight,) = [weight for weight in report.weights if weight.path.endswith(path)]
    return [flag.kind for flag in weight.flags]


def set_kernel(layer, values):
    layer.kernel.assign(np.asarray(values, "float32"))


@pytest.mark.parametrize(
    ("initializer", "mean", "stddev", "beyond"), LAWS, ids=lambda x: type(x).__name__
)
def test_a_weight_has_the_moments_of_its_initializer(initializer, mean, stddev, beyond):
    report = seedbed.keras.report(dense(initializer, 50, 200))
    row = report.weights[0]
    assert not report.flagged
    assert row.initializer == type(initializer).__name__
    assert row.shape == (200, 50)
    if mean is None:
        mean, stddev = 2 * 50 / 10_000, 2 * math.sqrt(50 / 10_000 - (50 / 10_000) ** 2)
    assert row.expected_mean == pytest.approx(mean, abs=1e-12)
    assert row.expected_stddev == pytest.approx(stddev, rel=1e-6)
    if beyond is None:
        assert row.expected_beyond is None
    else:
        assert row.expected_beyond == pytest.approx(beyond, abs=1e-6)


def test_what_is_measured_is_what_numpy_measures():
    layer = dense("he_normal", 70, 30)
    values = np.asarray(keras.ops.convert_to_numpy(layer.kernel), "float64")
    row = seedbed.keras.report(layer).weights[0]
    assert row.mean == pytest.approx(values.mean(), rel=1e-9, abs=1e-12)
    assert row.stddev == pytest.approx(values.std(), rel=1e-9)
    edge = 2 * math.sqrt(2 / 30)
    assert row.beyond == np.count_nonzero(np.abs(values) > edge) / values.size
    assert row.fans == (30, 70)
    assert row.seconds > 0


def model_of_many_kinds():
    inputs = keras.Input((16, 32))
    x = keras.layers.MultiHeadAttention(4, 8, kernel_initializer="he_normal")(inputs, inputs)
    x = keras.layers.GroupQueryAttention(8, 4, 2)(x, x)
    x = keras.layers.EinsumDense("abc,cd->abd", (None, 48), bias_axes="d")(x)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.Conv1D(24, 3, kernel_initializer="lecun_uniform")(x)
    x = keras.layers.Bidirectional(keras.layers.LSTM(12, return_sequences=True))(x)
    x = keras.layers.GRU(16)(x)
    x = keras.layers.Dense(10, kernel_initializer="random_normal")(x)
    return keras.Model(inputs, x, name="many")


def test_a_model_without_a_fault_has_no_flag():
    report = seedbed.keras.report(model_of_many_kinds())
    assert [(weight.path, weight.flags) for weight in report.flagged] == []
    assert report.unbuilt == []
    assert not any(weight.note for weight in report.weights)
    # Of the closure that makes an LSTM's bias nothing is known; of every other weight it is.
    unknown = {row.path.split("/")[-1] for row in report.weights if row.expected_stddev is None}
    assert unknown == {"bias"}
    # Attention's fans are those that Keras sets, not those of the bare shape.
    (query,) = [
        row for row in report.weights if "multi_head" in row.path and "query/kernel" in row.path
    ]
    assert query.shape == (32, 4, 8)
    assert query.fans == (32, 32)


def test_false_alarms_are_as_rare_as_promised():
    # 400 layers of 15 values: far from the normal approximation, where limits made for large
    # samples go wrong. At 1e-6 for each of 20 models this fails once in 50 000 runs.
    for _ in range(20):
        for initializer in ("glorot_uniform", "he_normal", "random_normal", "orthogonal"):
            layers = [dense(initializer, 5, 3, use_bias=False) for _ in range(5)]
            model = keras.Sequential([keras.Input((3,))])
            model._layers += layers
            assert not seedbed.keras.report(model, timing=False).flagged


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("initializer", ["glorot_uniform", "he_normal", "random_normal"])
def test_coarse_dtypes_raise_no_flag(dtype, initializer):
    report = seedbed.keras.report(dense(initializer, 300, 300, dtype=dtype))
    assert not report.flagged
    assert report.weights[0].dtype == dtype


def test_one_seeded_instance_in_attention_is_flagged():
    layer = keras.layers.MultiHeadAttention(
        4, 16, kernel_initializer=keras.initializers.GlorotUniform(seed=7), name="attention"
    )
    layer.build((None, 8, 64), (None, 8, 64))
    report = seedbed.keras.report(layer)
    assert kinds(report, "query/kernel") == []
    assert kinds(report, "key/kernel") == ["equal"]
    assert kinds(report, "value/kernel") == ["equal"]
    text = report.weights[2].flags[0].text
    assert "query/kernel" in text
    assert "seed 7" in text
    assert "attention/key/kernel: equal to" in str(report)


def test_one_unseeded_instance_in_two_layers_is_flagged():
    shared = keras.initializers.HeNormal()
    model = keras.Sequential([keras.Input((32,)), dense(shared, 32, 32), dense(shared, 32, 32)])
    report = seedbed.keras.report(model)
    assert [flag.kind for row in report.weights for flag in row.flags] == ["equal"]
    assert "unseeded" in report.flagged[0].flags[0].text
    assert report.weights[0].seed is None


def test_one_seed_for_kernels_of_other_shapes_is_flagged():
    # seedbed's stream numbers elements, whatever the shape, so a shared seed shows at the start.
    with seedbed.keras.installed("philox"):
        one = dense(keras.initializers.GlorotUniform(seed=3), 64, 64)
        other = dense(keras.initializers.GlorotUniform(seed=3), 16, 64)
    model = keras.Sequential([keras.Input((64,)), one, other])
    report = seedbed.keras.report(model)
    assert [flag.kind for row in report.weights for flag in row.flags] == ["same numbers"]


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (lambda w: w * 1.3, "deviation"),
        (lambda w: w * 0.2, "deviation"),
        (lambda w: w + 0.05, "mean"),
        (lambda w: np.clip(w, -0.2, 0.2), "deviation"),
        (lambda w: np.where(np.abs(w) > 0.3, np.sign(w) * BOUND, w), "bound"),
        (lambda w: np.full_like(w, 0.1), "uninitialized"),
        (lambda w: np.zeros_like(w), "uninitialized"),
        (lambda w: np.where(w > 0.3, np.nan, w), "uninitialized"),
        (lambda w: np.where(w > 0.3, np.inf, w), "uninitialized"),
        # The right mean and deviation, but another law.
        (lambda w: np.sign(w) * math.sqrt(2 / 64), "tail"),
    ],
)
def test_a_fault_is_flagged(fault, kind):
    layer = dense("he_normal", 64, 64)
    values = np.asarray(keras.ops.convert_to_numpy(layer.kernel))
    assert not seedbed.keras.report(layer).flagged
    set_kernel(layer, fault(values))
    assert kind in kinds(seedbed.keras.report(layer), "kernel")


def test_the_fans_of_a_bare_shape_are_flagged_in_attention():
    # What happens to an initializer of which Keras does not know that it scales by fans.
    class Bare(keras.initializers.Initializer):
        def __call__(self, shape, dtype=None):
            return keras.initializers.GlorotUniform()(shape, dtype=dtype)

    layer = keras.layers.EinsumDense("abc,cde->abde", (None, 8, 64), kernel_initializer=Bare())
    layer.build((None, 4, 256))
    right = keras.layers.EinsumDense("abc,cde->abde", (None, 8, 64))
    right.build((None, 4, 256))
    right.kernel.assign(layer.kernel)
    assert kinds(seedbed.keras.report(right), "kernel") == ["deviation"]


def test_a_bias_that_is_not_its_constant_is_flagged():
    layer = dense()
    layer.bias.assign(np.full(64, 1e-3, "float32"))
    assert kinds(seedbed.keras.report(layer), "bias") == ["value"]


def test_an_orthogonal_matrix_is_held_to_rounding():
    layer = dense("orthogonal", 64, 64)
    assert not seedbed.keras.report(layer).flagged
    values = np.asarray(keras.ops.convert_to_numpy(layer.kernel))
    set_kernel(layer, values * 1.001)
    assert kinds(seedbed.keras.report(layer), "kernel") == ["deviation"]


def test_moving_averages_are_no_fault():
    layer = keras.layers.BatchNormalization()
    layer.build((None, 8))
    layer.moving_mean.assign(np.arange(8, dtype="float32"))
    report = seedbed.keras.report(layer)
    assert not report.flagged
    assert report.weights[2].expected_mean == 0
    assert report.weights[2].mean == 3.5


def test_weights_without_a_value_are_flagged():
    with keras.StatelessScope(initialize_variables=False):
        layer = dense("he_normal")
    report = seedbed.keras.report(layer)
    assert kinds(report, "kernel") == ["uninitialized"]
    assert report.weights[0].initializer == "HeNormal"
    assert report.weights[0].mean is None
    assert "it has no value yet" in str(report)


def test_layers_without_weights_yet_are_named():
    model = keras.Sequential([keras.layers.Dense(3, name="later")])
    report = seedbed.keras.report(model)
    assert report.weights == []
    assert "later" in report.unbuilt
    assert "later: not built" in str(report)


class Unconfigured(keras.layers.Layer):
    def __init__(self, thing):
        super().__init__(name="unconfigured")
        self.thing = thing
        self.inner = keras.layers.Dense(4)

    def build(self, shape):
        self.scale = self.add_weight(shape=(4,), initializer="he_normal", name="scale")
        self.inner.build(shape)

    def call(self, x):
        return self.inner(x) * self.scale


def test_a_layer_that_cannot_be_built_again_is_unknown_and_its_sublayers_are_not():
    layer = Unconfigured(thing=object())
    layer.build((None, 3))
    report = seedbed.keras.report(layer)
    own, kernel, _ = report.weights
    assert own.initializer is None
    assert own.expected_stddev is None
    assert "cannot be built again" in own.note
    assert kernel.initializer == "GlorotUniform"
    assert "initializer not known" in str(report)


def test_a_report_changes_nothing():
    model = model_of_many_kinds()
    before = [np.asarray(keras.ops.convert_to_numpy(v)) for v in model.weights]
    generator = keras.random.SeedGenerator(5)
    layer = dense(keras.initializers.HeNormal(seed=generator))
    state = np.asarray(keras.ops.convert_to_numpy(generator.state.value))
    pythons = random.getstate()
    seedbed.keras.report(model)
    report = seedbed.keras.report(layer)
    assert report.weights[0].seed == "generator"
    assert random.getstate() == pythons
    assert np.array_equal(keras.ops.convert_to_numpy(generator.state.value), state)
    for variable, values in zip(model.weights, before, strict=True):
        assert np.array_equal(keras.ops.convert_to_numpy(variable), values)
    first = keras.layers.Dense(3).name
    seedbed.keras.report(model)  # whose Dense is one more
    number = int(first.rpartition("_")[2]) if "_" in first else 0
    assert keras.layers.Dense(3).name == f"dense_{number + 1}"


def test_the_seed_that_was_given_is_shown_and_a_drawn_one_is_not():
    layer = keras.layers.EinsumDense("ab,bc->ac", 4, kernel_initializer="he_normal")
    layer.build((None, 3))
    assert seedbed.keras.report(layer).weights[0].seed is None
    given = dense(seedbed.keras.initializers.HeNormal(seed=2**60, stream="philox"))
    row = seedbed.keras.report(given).weights[0]
    assert row.seed == 2**60
    assert row.stream == "philox"
    assert row.initializer == "HeNormal"


def test_the_dictionary_is_plain_and_whole():
    report = seedbed.keras.report(model_of_many_kinds())
    entries = json.loads(json.dumps(report.to_dict()))
    assert entries["model"] == "many"
    assert len(entries["weights"]) == len(report.weights)
    first = entries["weights"][0]
    assert first["path"] == report.weights[0].path
    assert first["shape"] == list(report.weights[0].shape)
    assert first["expected_stddev"] == report.weights[0].expected_stddev
    assert first["flags"] == []


def test_the_table_shows_every_weight():
    report = seedbed.keras.report(model_of_many_kinds())
    text = str(report)
    for row in report.weights:
        assert row.path in text
    assert "nothing to flag" in text
    assert repr(report).startswith("<Report of 'many'")


def test_timing_can_be_left_out():
    report = seedbed.keras.report(dense(), timing=False)
    assert all(row.seconds is None for row in report.weights)


def test_the_plot_has_a_panel_for_each_weight_that_is_drawn():
    pytest.importorskip("matplotlib")
    report = seedbed.keras.report(model_of_many_kinds())
    drawn = [row.path for row in report.weights if row.expected_stddev]
    figure = report.plot(columns=3)
    titles = [panel.get_title() for panel in figure.axes if panel.get_title()]
    assert titles == drawn
    # The area under the expected density is 1 where the histogram covers the whole law.
    panel = figure.axes[0]
    (line,) = panel.lines
    x, y = line.get_data()
    assert np.trapezoid(y, x) == pytest.approx(1, abs=0.02)


def test_a_plot_of_nothing_that_is_drawn_is_refused():
    pytest.importorskip("matplotlib")
    with pytest.raises(ValueError, match="a weight that is drawn"):
        seedbed.keras.report(dense("zeros")).plot()


def test_a_plot_without_matplotlib_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"seedbed\[plot\]"):
        seedbed.keras.report(dense()).plot()


@pytest.mark.parametrize("wrong", [None, 3, "model", np.zeros(3)])
def test_what_is_no_model_is_refused(wrong):
    with pytest.raises(TypeError, match="`model` must be a model or layer"):
        seedbed.keras.report(wrong)


def test_the_kurtosis_of_the_truncated_law():
    # By numerical integration of the density, which the formula by parts must agree with.
    law = law_of(keras.initializers.TruncatedNormal(0.0, 1.0), (4,), "float32")
    x = np.linspace(-2, 2, 200_001)
    density = law.density(x)
    variance = np.trapezoid(x**2 * density, x)
    assert np.trapezoid(density, x) == pytest.approx(1, abs=1e-9)
    assert math.sqrt(variance) == pytest.approx(TRUNCATED_STDDEV, abs=1e-9)
    assert law.kurtosis == pytest.approx(np.trapezoid(x**4 * density, x) / variance**2, abs=1e-8)
    inside = np.abs(x) <= 2 * TRUNCATED_STDDEV
    share = 1 - np.trapezoid(density[inside], x[inside])
    assert law.beyond == pytest.approx(share, abs=1e-4)  # the grid's steps at the two edges


@pytest.mark.parametrize("count", [5, 20, 1000])
@pytest.mark.parametrize("kind", ["RandomNormal", "RandomUniform", "TruncatedNormal"])
def test_limits_hold_at_every_sample_size(kind, count):
    # At x = 3 the inequalities promise less than 2 exp(-3) = 10 % outside; 4000 samples show a
    # violation by a third with a probability of 1 - 1e-11. They must not be empty either.
    generator = np.random.default_rng(1)
    law = law_of(getattr(keras.initializers, kind)(), (count,), "float32")
    samples = generator.normal(size=(4000, count, 4 if kind == "TruncatedNormal" else 1))
    if kind == "RandomNormal":
        values = samples[..., 0] * law.stddev
    elif kind == "RandomUniform":
        values = generator.uniform(*law.bounds, size=(4000, count))
    else:  # the first of four that is within the bounds
        first = np.argmax(np.abs(samples) < 2, axis=-1)[..., None]
        values = np.take_along_axis(samples, first, -1)[..., 0] * law.stddev / TRUNCATED_STDDEV
    outside = np.abs(values.mean(1) - law.mean) > law.mean_limit(count, "float32", 3.0)
    assert outside.mean() <= 2 * math.exp(-3) * 4 / 3
    low, high = law.stddev_limits(count, "float32", 3.0)
    spread = np.sqrt(np.mean((values - law.mean) ** 2, 1))
    assert np.mean((spread < low) | (spread > high)) <= 2 * math.exp(-3) * 4 / 3
    assert high < 4 * law.stddev


def test_the_private_names_are_there():
    with keras.StatelessScope(initialize_variables=False):
        variable = keras.Variable("ones", shape=(2,))
    assert isinstance(first_initializer(variable), keras.initializers.Ones)
    assert first_initializer(keras.Variable("ones", shape=(2,))) is None
    assert isinstance(_report.FALSE_ALARM, float)
    assert Law(0.0, 1.0).is_drawn
