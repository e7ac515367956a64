"""The core's streams as plain functions, for tests of the values alone."""

from typing import Any

from seedbed import _core

_STREAMS = {name: _core.Stream(name) for name in _core.streams()}


def fill_uniform(
    shape: Any,
    low: float,
    high: float,
    dtype: Any,
    seed: int,
    call: int,
    stream: str,
    index: Any = None,
    out: Any = None,
) -> Any:
    """Uniform values of a stream."""
    return _STREAMS[stream].uniform(shape, dtype, (seed, call), low, high).draw(index, out)


def fill_normal(
    shape: Any,
    mean: float,
    stddev: float,
    dtype: Any,
    seed: int,
    call: int,
    stream: str,
    index: Any = None,
    out: Any = None,
) -> Any:
    """Normal values of a stream."""
    return _STREAMS[stream].normal(shape, dtype, (seed, call), mean, stddev).draw(index, out)


def fill_truncated_normal(
    shape: Any,
    mean: float,
    stddev: float,
    lower: float,
    upper: float,
    dtype: Any,
    seed: int,
    call: int,
    stream: str,
    index: Any = None,
    out: Any = None,
) -> Any:
    """Normal values of a stream, held within bounds."""
    law = (mean, stddev, lower, upper)
    return _STREAMS[stream].truncated_normal(shape, dtype, (seed, call), *law).draw(index, out)


def fill_variance_scaling(
    shape: Any,
    scale: float,
    mode: str,
    distribution: str,
    input_axes: Any,
    output_axes: Any,
    dtype: Any,
    seed: int,
    call: int,
    stream: str,
) -> Any:
    """Values of a stream whose variance is scaled by a fan."""
    scheme = (scale, mode, distribution, input_axes, output_axes)
    return _STREAMS[stream].variance_scaling(shape, dtype, (seed, call), *scheme).draw()


def fill_orthogonal(
    shape: Any,
    gain: float,
    dtype: Any,
    seed: int,
    call: int,
    stream: str,
    index: Any = None,
    out: Any = None,
) -> Any:
    """Orthogonal matrices of a stream."""
    return _STREAMS[stream].orthogonal(shape, dtype, (seed, call), gain).draw(index, out)
