"""The limits of `report`: how often they are crossed by chance, which the report promises to be
less than once in 10^6 models without a fault."""

import math

import keras
import numpy as np
import pytest

import seedbed.keras
from reported import dense
from seedbed._core import TRUNCATED_STDDEV
from seedbed.keras import _report
from seedbed.keras._law import law_of
from seedbed.keras._measure import numpy_dtype


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


def test_the_probabilities_of_all_flags_add_up_to_the_promise(monkeypatch):
    # Chance may take the mean, the deviation and the tail of a weight over either of two limits
    # with probability exp(-x) each, and too many values over the bounds with exp(-x).
    given = []
    against = _report._against_law

    def recorded(origin, law, values, x):
        given.append(x)
        return against(origin, law, values, x)

    monkeypatch.setattr(_report, "_against_law", recorded)
    layers = [dense("he_normal", 8, 8, use_bias=False) for _ in range(9)]
    assert not seedbed.keras.report(keras.Sequential([keras.Input((8,)), *layers])).flagged
    by_law = 7 * sum(math.exp(-x) for x in given)
    assert 0.8e-6 < by_law < 0.9e-6
    # All values of a weight are equal by chance with a probability below 2^-41: 64 bits of chance,
    # of which the first value, with 23 at most, is free. Two weights are equal with one below
    # 2^-64, and have first elements with such a cosine with one below 10^-40. Ten thousand
    # weights, or fifty million pairs of them, do not exhaust what is left.
    assert _report._BITS == 64
    assert by_law + 1e4 * 2**-41 + 5e7 * (2**-64 + 1e-40) < 1e-6


def test_limits_are_those_of_the_inequalities():
    x = math.log(2 * 4 * 100 / 1e-6)  # a hundred weights
    normal = law_of(keras.initializers.RandomNormal(stddev=1.0), (1,), "float32")
    for count, percent in ((1000, 15), (10**6, 0.5)):  # as docs/keras.md says
        # The squares of normal values have variance 2, and deviate as a gamma law does: c = 2.
        spread = math.sqrt(2 * 2 * x / count) + 2 * x / count
        low, high = normal.stddev_limits(count, "float32", x)
        assert low == pytest.approx(math.sqrt(1 - spread), abs=1e-6)
        assert high == pytest.approx(math.sqrt(1 + spread), abs=1e-6)
        assert 100 * (high - 1) == pytest.approx(percent, rel=0.1)
        assert normal.mean_limit(count, "float32", x) == pytest.approx(
            math.sqrt(2 * x / count), abs=1e-6
        )
    uniform = law_of(keras.initializers.RandomUniform(-1.0, 1.0), (1,), "float32")
    # Values exceed their mean by 1 at most, their variance is 1/3, and that of squares 4/45.
    limit = math.sqrt(2 / 3 * x / 1000) + 1 / 3 * x / 1000
    assert uniform.mean_limit(1000, "float32", x) == pytest.approx(limit, abs=1e-6)
    spread = 3 * (math.sqrt(2 * 4 / 45 * x / 1000) + 2 / 3 / 3 * x / 1000)
    _, high = uniform.stddev_limits(1000, "float32", x)
    assert high == pytest.approx(math.sqrt(1 + spread) / math.sqrt(3), abs=1e-6)
    # Of four normal candidates none is within two deviations: torch takes an outer one.
    truncated = law_of(keras.initializers.TruncatedNormal(), (1,), "float32")
    outside = (1 - 0.9544997) ** 4 * 10**8
    assert outside < truncated.bound_limit(10**8, "float32", x) < 1.5 * outside


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("count", [5, 20, 1000])
@pytest.mark.parametrize("kind", ["RandomNormal", "RandomUniform", "TruncatedNormal"])
def test_limits_hold_at_every_sample_size(kind, count, dtype):
    # At x = 6 the inequalities promise less than exp(-6), one in 400, on either side, of 4000
    # samples; by the normal approximation, which is nearer the truth, it is one in 4000.
    generator = np.random.default_rng(1)
    x, promised = 6.0, math.exp(-6.0)
    law = law_of(getattr(keras.initializers, kind)(), (count,), dtype)
    if kind == "RandomUniform":
        values = generator.uniform(*law.bounds, size=(4000, count))
    else:
        values = generator.normal(size=(4000, count))
        for _ in range(3 if kind == "TruncatedNormal" else 0):  # the first of four within bounds
            outside = np.abs(values) > 2
            values[outside] = generator.normal(size=np.count_nonzero(outside))
        values *= law.stddev / (TRUNCATED_STDDEV if kind == "TruncatedNormal" else 1)
    values = values.astype(numpy_dtype(dtype)).astype("float64")

    outside = np.abs(values.mean(1) - law.mean) > law.mean_limit(count, dtype, x)
    assert outside.mean() <= 2 * promised
    low, high = law.stddev_limits(count, dtype, x)
    spread = np.sqrt(np.mean((values - law.mean) ** 2, 1))
    assert np.mean((spread < low) | (spread > high)) <= 2 * promised
    assert high < 5 * law.stddev
    low, high = law.beyond_limits(count, dtype, x)
    share = np.mean(np.abs(values - law.mean) > 2 * law.stddev, 1)
    assert np.mean((share < low) | (share > high)) <= 2 * promised
    if law.bounds is not None:
        low, high = np.array(law.bounds).astype(numpy_dtype(dtype)).astype("float64")
        on_bound = np.count_nonzero((values <= low) | (values >= high), axis=1)
        limit = law.bound_limit(count, dtype, x)
        assert np.mean(on_bound > limit) <= promised
        assert limit < 5 + 0.2 * count


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize(
    "initializer",
    [
        ("RandomNormal", 1.002, 1e-4),
        ("RandomNormal", 1.002, 0.002),
        ("RandomNormal", 1.0, 0.02),
        ("TruncatedNormal", 1.002, 0.002),
        ("RandomUniform", 1.002, 1.003),
        ("RandomNormal", 0.0, 1e-8),
    ],
    ids=str,
)
def test_dtypes_that_leave_little_of_a_law_raise_no_flag(initializer, dtype):
    # Numbers near 1 are 2^-7 and 2^-10 apart: in the first case all values are the same.
    name, *parameters = initializer
    kind = getattr(keras.initializers, name)
    layers = [dense(kind(*parameters), 64, 64, dtype=dtype) for _ in range(3)]
    report = seedbed.keras.report(keras.Sequential([keras.Input((64,)), *layers]))
    assert [(row.path, row.flags) for row in report.flagged] == []


def test_weights_that_are_off_their_mean_alike_are_not_the_same_numbers():
    layers = [dense(keras.initializers.RandomNormal(5.0, 0.1)) for _ in range(2)]
    assert not seedbed.keras.report(keras.Sequential([keras.Input((64,)), *layers])).flagged
