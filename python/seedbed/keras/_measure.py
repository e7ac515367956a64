"""What the values of a weight are like: one pass over them, in chunks that stay in a cache."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import ml_dtypes
import numpy as np

from seedbed._tensors import to_numpy
from seedbed.keras._private import has_value

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from seedbed.keras._law import Law

# Elements that are measured at once.
_CHUNK: Final = 1 << 16
# Elements kept for a histogram, taken evenly from the whole weight.
_SAMPLE: Final = 1 << 16
# The first elements, by which weights of one seed are told: 32 independent pairs of numbers have a
# cosine beyond 0.999 with probability below 1e-40.
PREFIX: Final = 32


@dataclass
class Measured:
    """What one pass over the values of a weight yields."""

    count: int
    mean: float
    stddev: float
    about_expected: float
    beyond: int
    on_bound: int
    low: float
    high: float
    finite: bool
    prefix: npt.NDArray[Any]
    sample: npt.NDArray[np.float64]


def blocks_of(variable: Any) -> Iterator[npt.NDArray[Any]]:
    """The values that this process holds, each once; one piece for each part of a sharded one."""
    value = variable.value
    shards = getattr(value, "addressable_shards", ())
    if len(shards) > 1:
        for shard in shards:
            if shard.replica_id == 0:
                yield np.asarray(shard.data)
    else:
        yield to_numpy(variable)


def measure(variable: Any, law: Law | None) -> Measured | None:
    """One pass over the values, None where there are none yet."""
    if not has_value(variable):
        return None
    low, high = math.inf, -math.inf
    count = beyond = on_bound = 0
    # Sums of what is left after taking away a number near the mean, which keeps them exact enough.
    centre = None if law is None else law.mean
    total = squares = 0.0
    bounds = _rounded_bounds(law, variable.dtype)
    size = math.prod(variable.shape)
    step = max(1, size // _SAMPLE)
    prefix: npt.NDArray[Any] | None = None
    samples = []
    for block in blocks_of(variable):
        flat = block.reshape(-1)
        if flat.dtype.kind == "c":
            flat = flat.real
        prefix = flat[:PREFIX].copy() if prefix is None else prefix
        samples.append(flat[::step].astype(np.float64))
        for start in range(0, flat.size, _CHUNK):
            chunk = flat[start : start + _CHUNK].astype(np.float64)
            centre = float(chunk[0]) if centre is None else centre
            low, high = min(low, float(chunk.min())), max(high, float(chunk.max()))
            if bounds is not None and (low <= bounds[0] or high >= bounds[1]):
                on_bound += int(np.count_nonzero((chunk <= bounds[0]) | (chunk >= bounds[1])))
            chunk -= centre
            with np.errstate(invalid="ignore", over="ignore"):
                total += float(chunk.sum())
                squares += float(np.square(chunk).sum())  # no BLAS: it has threads of its own
            if law is not None:
                beyond += int(np.count_nonzero(np.abs(chunk) > 2 * law.stddev))
            count += chunk.size
    divisor = max(count, 1)
    mean = total / divisor
    finite = math.isfinite(squares)
    spread = math.sqrt(max(0.0, squares / divisor - mean * mean)) if finite else math.nan
    return Measured(
        count,
        mean + (centre or 0.0),
        spread,
        math.sqrt(squares / divisor) if finite else math.nan,
        beyond,
        on_bound,
        low,
        high,
        finite,
        np.zeros(0) if prefix is None else prefix,
        np.concatenate(samples) if samples else np.zeros(0),
    )


def _rounded_bounds(law: Law | None, dtype: str) -> tuple[float, float] | None:
    """The bounds as values of `dtype`."""
    if law is None or law.bounds is None:
        return None
    low, high = (float(np.array(bound).astype(numpy_dtype(dtype))) for bound in law.bounds)
    return low, high


def numpy_dtype(name: str) -> np.dtype[Any]:
    return np.dtype(getattr(ml_dtypes, name, name))
