"""What a report shows: the table, the dictionary, the plot."""

import json
import math
import re
import sys

import keras
import numpy as np
import pytest

import seedbed.keras
from reported import dense, model_of_many_kinds, set_kernel
from seedbed.keras import _report


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


def test_flags_are_in_the_dictionary():
    layer = dense()
    set_kernel(layer, np.zeros((64, 64)))
    entries = json.loads(json.dumps(seedbed.keras.report(layer).to_dict()))
    text = "every value is 0, where values are drawn"
    assert entries["weights"][0]["flags"] == [{"kind": "uninitialized", "text": text}]


def test_the_table_shows_every_weight():
    report = seedbed.keras.report(model_of_many_kinds())
    text = str(report)
    for row in report.weights:
        assert row.path in text
    assert "nothing to flag" in text
    assert repr(report).startswith("<Report of 'many'")


def test_a_row_shows_shape_stream_fans_and_time():
    class Layer(keras.layers.Layer):
        def build(self, shape):
            initializer = seedbed.keras.initializers.HeNormal(stream="numpy")
            self.kernel = self.add_weight(shape=(30, 20), initializer=initializer, name="kernel")
            self.gain = self.add_weight(shape=(), initializer="ones", name="gain")

    layer = Layer()
    layer.build(None)
    report = seedbed.keras.report(layer)
    for row, seconds in zip(report.weights, (0.0123, 0.000123), strict=True):
        row.seconds = seconds
    _, kernel, gain, *_ = (
        line for line in str(report).splitlines() if "float32" in line or "──" in line
    )
    assert re.search(r" 30x20 .* HeNormal \(numpy\) +30, 20 .* 12\.3 ms$", kernel)
    assert re.search(r" scalar +float32 +Ones .* 123 µs$", gain)
    report.weights[0].seconds = 2.34
    assert "2.3 s" in str(report)


def test_nothing_to_flag_is_said_of_built_layers_alone():
    assert "nothing to flag" in str(seedbed.keras.report(dense()))
    assert "nothing to flag" not in str(seedbed.keras.report(keras.layers.Dense(3)))


def test_a_report_can_be_printed_where_there_is_no_standard_output(monkeypatch):
    report = seedbed.keras.report(dense())
    monkeypatch.setattr(sys, "stdout", None)
    assert "nothing to flag" in str(report)


def test_each_kind_of_weight_is_timed_once(monkeypatch):
    timed = []

    def seconds(initializer, weight):
        timed.append((type(initializer).__name__, weight.shape))
        return float(len(timed))

    monkeypatch.setattr(_report, "_seconds", seconds)
    layers = [dense("he_normal", 8, 8), dense("he_normal", 8, 8), dense("he_normal", 16, 8)]
    report = seedbed.keras.report(keras.Sequential([keras.Input((8,)), *layers]))
    assert timed == [("HeNormal", (8, 8)), ("Zeros", (8,)), ("HeNormal", (8, 16)), ("Zeros", (16,))]
    assert [row.seconds for row in report.weights] == [1, 2, 1, 2, 3, 4]


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


def test_a_plot_covers_the_whole_weight_and_shows_its_flags():
    pytest.importorskip("matplotlib")
    layer = dense("he_normal", 7000, 30)
    values = np.array(keras.ops.convert_to_numpy(layer.kernel))
    values[20:] *= 10
    set_kernel(layer, values)
    figure = seedbed.keras.report(layer).plot()
    (panel,) = figure.axes
    assert panel.get_xlim()[1] == pytest.approx(abs(values).max(), rel=0.15)
    assert "deviation" in panel.texts[0].get_text()


def test_a_plot_of_equal_values_has_a_column_where_they_are():
    pytest.importorskip("matplotlib")
    layer = dense("he_normal")
    set_kernel(layer, np.full((64, 64), 0.25))
    (panel,) = seedbed.keras.report(layer).plot().axes
    low, high = panel.get_xlim()
    assert (low + high) / 2 == pytest.approx(0.25)
    assert high - low > 8 * math.sqrt(2 / 64)


def test_a_plot_of_nothing_that_is_drawn_is_refused():
    pytest.importorskip("matplotlib")
    with pytest.raises(ValueError, match="a weight that is drawn"):
        seedbed.keras.report(dense("zeros")).plot()


def test_a_plot_without_matplotlib_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"seedbed\[plot\]"):
        seedbed.keras.report(dense()).plot()
