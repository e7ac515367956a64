"""`TruncatedNormal(cut=...)`: cut elsewhere than at two standard deviations."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

import seedbed
from seedbed import initializers, random
from seedbed._law import truncated_stddev

# The streams whose normals can be cut anywhere.
CUTTING = {"philox", "numpy"}


def test_two_is_what_it_was() -> None:
    plain, given = (
        initializers.TruncatedNormal(1.0, 0.5, 7),
        initializers.TruncatedNormal(1.0, 0.5, 7, cut=2),
    )
    assert plain((1000,)).tobytes() == given((1000,)).tobytes()
    # Keras knows no other, so its config says nothing of this one.
    assert "cut" not in given.get_config()
    assert given.get_config() == plain.get_config()


@pytest.mark.parametrize("cut", [0.5, 1, 3, 6.5])
def test_values_are_those_of_the_sampler(cut: float) -> None:
    made = initializers.TruncatedNormal(1.0, 0.5, 7, cut=cut)
    assert made.get_config() == {"seed": 7, "mean": 1.0, "stddev": 0.5, "cut": float(cut)}
    expected = random.truncated_normal((5000,), 1.0, 0.5, seed=7, lower=-cut, upper=cut)
    assert made((5000,)).tobytes() == expected.tobytes()
    assert made((5000,), index=(slice(7, 99),)).tobytes() == expected[7:99].tobytes()
    for again in (
        made.clone(),
        initializers.deserialize(json.loads(json.dumps(initializers.serialize(made)))),
    ):
        assert again((5000,)).tobytes() == expected.tobytes()


@pytest.mark.parametrize("cut", [0.5, 1, 3])
@pytest.mark.parametrize("stream", seedbed._core.streams())
def test_the_law(cut: float, stream: str) -> None:
    count = 200_000
    if stream not in CUTTING:
        # What the stream repeats cuts at two deviations only; it says so.
        with pytest.raises(ValueError, match="lower"):
            initializers.TruncatedNormal(cut=cut, stream=stream)((4,))
        return
    values = initializers.TruncatedNormal(0.0, 1.0, 3, cut=cut, stream=stream)((count,), "float64")
    assert np.abs(values).max() <= cut
    # A right sampler fails either with a probability below 1e-9.
    assert stats.kstest(values, stats.truncnorm(-cut, cut).cdf).pvalue > 1e-9
    assert abs(values.std() / truncated_stddev(cut) - 1) < 6.2 / math.sqrt(2 * count)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float8_e4m3fn", "float8_e5m2"])
def test_no_dtype_carries_a_value_beyond(dtype: str) -> None:
    values = initializers.TruncatedNormal(0.0, 0.02, 3, cut=3)((1 << 16,), dtype)
    assert np.abs(values.astype(np.float64)).max() <= 0.06


@pytest.mark.parametrize(
    ("cut", "error", "message"),
    [
        (0, ValueError, "`cut` must be positive and finite. Received: cut=0"),
        (-1.0, ValueError, "`cut` must be positive and finite"),
        (math.inf, ValueError, "`cut` must be positive and finite"),
        (math.nan, ValueError, "`cut` must be positive and finite"),
        ("3", TypeError, "`cut` must be a number. Received: cut='3'"),
        (True, TypeError, "`cut` must be a number"),
        (None, TypeError, "`cut` must be a number"),
        ([3], TypeError, "`cut` must be a number"),
    ],
)
def test_what_is_no_cut(cut: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        initializers.TruncatedNormal(cut=cut)
    with pytest.raises(TypeError):
        initializers.TruncatedNormal(0.0, 1.0, 1, 3)  # type: ignore[misc]
