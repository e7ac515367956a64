"""`seedbed.keras.report`: right models raise no flag, and each fault that is put in raises its own.

The limits of the report hold a model without a fault to less than one flag in 10^6 models, so the
tests without a fault need no seeds that happen to be good.
"""

import math
import random
import warnings

import keras
import numpy as np
import pytest

import seedbed.keras
from reported import dense, kinds, model_of_many_kinds, set_kernel
from seedbed._core import TRUNCATED_STDDEV
from seedbed.keras._private import first_initializer, global_state

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
    (keras.initializers.Orthogonal(-2.0), 0.0, 2 / math.sqrt(200), None),
    (keras.initializers.Zeros(), 0.0, 0.0, None),
    (keras.initializers.Constant(0.1), 0.1, 0.0, None),
    (keras.initializers.Identity(2.0), None, None, None),
]

# Of the truncated normal of he_normal with 64 inputs: two deviations, before truncation.
BOUND = np.float32(2 * math.sqrt(2 / 64) / TRUNCATED_STDDEV)

# Values of a law with more beyond two deviations, and the variance of he_normal.
_SHARE = np.arange(64 * 64).reshape(64, 64) % 5 == 0
SPREAD = np.where(_SHARE, 2.1, math.sqrt((1 - 0.2 * 2.1**2) / 0.8)) * math.sqrt(2 / 64)


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
    layer = dense("he_normal", 7000, 30)  # more than is measured at once
    values = np.asarray(keras.ops.convert_to_numpy(layer.kernel), "float64")
    row = seedbed.keras.report(layer).weights[0]
    assert row.mean == pytest.approx(values.mean(), rel=1e-9, abs=1e-12)
    assert row.stddev == pytest.approx(values.std(), rel=1e-9)
    edge = 2 * math.sqrt(2 / 30)
    assert row.beyond == np.count_nonzero(np.abs(values) > edge) / values.size
    assert row.fans == (30, 7000)
    assert row.seconds > 0


def test_a_model_without_a_fault_has_no_flag():
    model = model_of_many_kinds()
    report = seedbed.keras.report(model)
    assert [(weight.path, weight.flags) for weight in report.flagged] == []
    assert report.unbuilt == []
    assert not any(weight.note for weight in report.weights)
    assert [row.path for row in report.weights] == [v.path for v in model.weights]
    # Of the closure that makes an LSTM's bias nothing is known; of every other weight it is.
    unknown = {row.path.split("/")[-1] for row in report.weights if row.expected_stddev is None}
    assert unknown == {"bias"}
    # Attention's fans are those that Keras sets, not those of the bare shape.
    (query,) = [
        row for row in report.weights if "multi_head" in row.path and "query/kernel" in row.path
    ]
    assert query.shape == (32, 4, 8)
    assert query.fans == (32, 32)


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


def test_copies_of_one_generator_are_named():
    generator = keras.random.SeedGenerator(7)
    layer = keras.layers.MultiHeadAttention(
        4, 16, kernel_initializer=keras.initializers.GlorotUniform(seed=generator)
    )
    layer.build((None, 8, 64), (None, 8, 64))
    report = seedbed.keras.report(layer)
    assert kinds(report, "key/kernel") == ["equal"]
    assert "copies of one generator" in str(report)


def test_one_seed_for_orthogonal_kernels_of_other_gains_is_flagged():
    layers = [dense(keras.initializers.Orthogonal(gain, seed=3)) for gain in (1, -2)]
    report = seedbed.keras.report(keras.Sequential([keras.Input((64,)), *layers]))
    assert [flag.kind for row in report.weights for flag in row.flags] == ["same numbers"]


@pytest.mark.parametrize(
    ("cosine", "rest", "expected"),
    [
        (1.0, 1.0, ["equal"]),
        (1.0, -1.0, ["same numbers"]),
        (0.9995, 1.0, ["same numbers"]),
        (-0.9995, 1.0, ["same numbers"]),
        (0.99, 1.0, []),
        (-0.99, 1.0, []),
    ],
)
def test_numbers_are_the_same_from_a_cosine_of_their_first_32(cosine, rest, expected):
    one, other = dense("random_normal"), dense("random_normal")
    first = np.array(keras.ops.convert_to_numpy(one.kernel), "float64").ravel()
    second = first * rest
    a, b = np.split(np.random.default_rng(1).normal(size=64), 2)
    b -= a * (a @ b) / (a @ a)  # at right angles to the first
    b *= np.linalg.norm(a) / np.linalg.norm(b)
    first[:32] = 0.05 * a
    second[:32] = 0.05 * (cosine * a + math.sqrt(1 - cosine**2) * b)
    set_kernel(one, first.reshape(64, 64))
    set_kernel(other, second.reshape(64, 64))
    report = seedbed.keras.report(keras.Sequential([keras.Input((64,)), one, other]))
    assert [flag.kind for row in report.weights for flag in row.flags] == expected


def test_two_values_may_be_equal_by_chance_and_three_may_not():
    def layers(units):
        bias = keras.initializers.RandomNormal(seed=1)
        made = [dense(units=units, bias_initializer=bias) for _ in range(2)]
        return keras.Sequential([keras.Input((64,)), made[0], dense(inputs=units), made[1]])

    assert not seedbed.keras.report(layers(2)).flagged
    report = seedbed.keras.report(layers(3))
    assert [flag.kind for row in report.weights for flag in row.flags] == ["equal"]


def test_orthogonal_matrices_of_two_rows_may_be_equal_by_chance():
    one, other = (dense("orthogonal", 2, 2) for _ in range(2))  # all of it is one angle
    other.kernel.assign(one.kernel)
    assert not seedbed.keras.report(keras.Sequential([keras.Input((2,)), one, other])).flagged


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (lambda w: w * 1.3, "deviation"),
        (lambda w: w * 0.2, "deviation"),
        (lambda w: w + 0.05, "mean"),
        (lambda w: w - 0.05, "mean"),
        (lambda w: np.clip(w, -0.2, 0.2), "deviation"),
        (lambda w: np.where(np.abs(w) > 0.3, np.sign(w) * BOUND, w), "bound"),
        (lambda w: np.full_like(w, 0.1), "uninitialized"),
        (lambda w: np.zeros_like(w), "uninitialized"),
        (lambda w: np.where(w > 0.3, np.nan, w), "uninitialized"),
        (lambda w: np.where(w > 0.3, np.inf, w), "uninitialized"),
        # The right mean and deviation, but another law.
        (lambda w: np.sign(w) * math.sqrt(2 / 64), "tail"),
        # A fifth of the values at 2.1 deviations, and the others where the variance is the same.
        (lambda w: np.sign(w) * SPREAD, "tail"),
    ],
)
def test_a_fault_is_flagged(fault, kind):
    layer = dense("he_normal", 64, 64)
    values = np.asarray(keras.ops.convert_to_numpy(layer.kernel))
    assert not seedbed.keras.report(layer).flagged
    set_kernel(layer, fault(values))
    assert kind in kinds(seedbed.keras.report(layer), "kernel")


def test_a_bound_is_that_of_the_dtype():
    # Clipped values lie on the bound as a number of their dtype, which may be below the law's.
    units = next(n for n in range(32, 64) if float(np.float32(math.sqrt(3 / n))) < math.sqrt(3 / n))
    layer = dense(units=units, inputs=units)
    values = np.asarray(keras.ops.convert_to_numpy(layer.kernel))
    limit = np.float32(math.sqrt(3 / units))
    set_kernel(layer, np.clip(3 * values, -limit, limit))
    assert "bound" in kinds(seedbed.keras.report(layer), "kernel")


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
    for value in (np.full(64, 1e-3, "float32"), np.eye(64, dtype="float32")[0]):
        layer.bias.assign(value)
        assert kinds(seedbed.keras.report(layer), "bias") == ["value"]


def test_one_value_of_many_is_found():
    layer = dense("zeros", 300, 300)  # more than is measured at once
    values = np.zeros((300, 300))
    values[0, 0] = 1
    set_kernel(layer, values)
    assert kinds(seedbed.keras.report(layer), "kernel") == ["value"]


def test_values_of_a_constant_matrix_that_changed_places_are_flagged():
    layer = dense("identity")
    set_kernel(layer, np.eye(64)[::-1])
    assert kinds(seedbed.keras.report(layer), "kernel") == ["value"]


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


def test_weights_without_elements_are_no_fault():
    row = seedbed.keras.report(dense(inputs=0)).weights[0]
    assert row.shape == (0, 64)
    assert row.beyond is None
    assert not row.flags


def test_a_variance_is_that_of_one_unit_where_there_is_none():
    # Keras divides by 1 at least.
    row = seedbed.keras.report(dense("he_normal", inputs=0)).weights[0]
    assert row.expected_stddev == pytest.approx(math.sqrt(2))


class Complex(keras.layers.Layer):
    def build(self, shape):
        self.phases = self.add_weight(shape=(4,), dtype="complex64", initializer="ones", name="p")


def test_complex_weights_are_shown_by_their_real_parts():
    layer = Complex(name="complex")
    layer.build(None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        row = seedbed.keras.report(layer).weights[0]
    assert (row.mean, row.stddev, row.flags) == (1, 0, [])


class Scaled(keras.initializers.HeNormal):
    def __call__(self, shape, dtype=None):
        return 3 * super().__call__(shape, dtype)


@pytest.mark.parametrize(
    "initializer", [Scaled(), keras.initializers.RandomNormal(float("nan"), 1.0)]
)
def test_nothing_is_expected_of_a_law_that_is_not_known(initializer):
    row = seedbed.keras.report(dense(initializer)).weights[0]
    assert row.initializer == type(initializer).__name__
    assert row.expected_stddev is None


def test_functions_and_lambdas_are_called_functions():
    def ones(shape, dtype=None):
        return keras.ops.ones(shape, dtype)

    for function in (ones, lambda shape, dtype=None: keras.ops.ones(shape, dtype)):
        layer = dense(function, activation=lambda x: 2 * x)
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # Keras warns of each lambda that it stores
            kernel, bias = seedbed.keras.report(layer).weights
        assert (kernel.initializer, kernel.note) == ("function", "")
        assert bias.initializer == "Zeros"


def test_integers_of_quantized_layers_are_no_fault():
    layer = dense()
    layer.quantize("int8")
    report = seedbed.keras.report(layer)
    assert {row.dtype for row in report.weights} == {"float32", "int8"}
    assert not report.flagged


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


class Growing(keras.layers.Layer):
    """Of another size when it is built again, and with a layer that Keras names."""

    made = 0

    def __init__(self, **arguments):
        super().__init__(**arguments)
        self.inner = keras.layers.Dense(4)

    def build(self, shape):
        Growing.made += 1
        shape = (Growing.made,)
        self.scale = self.add_weight(shape=shape, initializer="he_normal", name="scale")

    def get_config(self):
        return {"name": self.name}


def test_a_layer_that_is_another_when_it_is_built_again_is_unknown():
    layer = Growing()
    layer.build((None, 3))
    number = numbered()
    (row,) = seedbed.keras.report(layer).weights
    assert row.initializer is None
    assert row.note == "built again from its config, the layer has other variables"
    # Neither names nor variables of the second layer are left over in Keras.
    assert numbered() == number + 1
    assert not global_state.get_global_attribute("uninitialized_variables")


def test_a_long_reason_is_cut():
    class Refusing(Unconfigured):
        def get_config(self):
            raise ValueError("no\n" * 500)

    layer = Refusing(None)
    layer.build((None, 3))
    note = seedbed.keras.report(layer).weights[0].note
    assert note.startswith("the layer cannot be built again: ValueError: no no")
    assert len(note) < 200


def numbered():
    """The number in the name that Keras makes up for the next Dense."""
    return int(keras.layers.Dense(3).name.removeprefix("dense").strip("_") or 0)


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


def test_the_seed_that_was_given_is_shown_and_a_drawn_one_is_not():
    layer = keras.layers.EinsumDense("ab,bc->ac", 4, kernel_initializer="he_normal")
    layer.build((None, 3))
    assert seedbed.keras.report(layer).weights[0].seed is None
    given = dense(seedbed.keras.initializers.HeNormal(seed=2**60, stream="philox"))
    row = seedbed.keras.report(given).weights[0]
    assert row.seed == 2**60
    assert row.stream == "philox"
    assert row.initializer == "HeNormal"


@pytest.mark.parametrize("wrong", [None, 3, "model", np.zeros(3)])
def test_what_is_no_model_is_refused(wrong):
    with pytest.raises(TypeError, match="`model` must be a model or layer"):
        seedbed.keras.report(wrong)


def test_the_private_names_are_there():
    with keras.StatelessScope(initialize_variables=False):
        variable = keras.Variable("ones", shape=(2,))
    assert isinstance(first_initializer(variable), keras.initializers.Ones)
    assert first_initializer(keras.Variable("ones", shape=(2,))) is None
