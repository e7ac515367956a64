"""Random arrays and the seeds they come from.

Signatures and defaults follow `keras.random`; the results are NumPy arrays. All samplers take
the same keyword-only additions:

- `stream`: the named, frozen stream that fixes every bit; None for `seedbed.get_stream()`.
- `index`: a tuple of slices, integers and Ellipsis. The result is that block of the array of
  shape `shape`, bit for bit, and nothing else is computed or held.
- `out`: a writable array (NumPy, or anything that lends CPU memory by the buffer protocol or
  DLPack) of the result's shape and dtype, which is filled and returned.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from seedbed._draw import dtype_of
from seedbed._generator import SeedGenerator
from seedbed._seeds import fold_in
from seedbed._streams import rules_of

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["SeedGenerator", "fold_in", "normal", "truncated_normal", "uniform"]


def uniform(
    shape: Any,
    minval: float = 0.0,
    maxval: float = 1.0,
    dtype: object = None,
    seed: int | SeedGenerator | None = None,
    *,
    stream: str | None = None,
    index: Any = None,
    out: Any = None,
) -> npt.NDArray[Any]:
    """Samples of the uniform distribution on `[minval, maxval)`.

    Args:
        shape: The shape, a tuple or list of integers.
        minval: Lower bound, included.
        maxval: Upper bound, excluded.
        dtype: A floating-point dtype. None is that of `out` where given, else
            `keras.config.floatx()` where Keras is imported, else float32.
        seed: An integer in 0 .. 2**64-1, which repeats its values, a `SeedGenerator`, which is
            advanced, or None for new values each time.
        stream: See the module.
        index: See the module.
        out: See the module.

    Returns:
        An array of shape `shape`, or of the block `index`; `out` itself where given.

    Raises:
        ValueError: A shape, bound, dtype, seed, stream or `out` that cannot be.
        TypeError: An argument of a wrong type; an `out` of another dtype.
        IndexError: An `index` outside the shape.
        MemoryError: The array does not fit.
    """
    dtype = dtype_of(out) if dtype is None and out is not None else dtype
    draw = rules_of(stream).uniform(shape, dtype, seed, minval, maxval, floating=True)
    values: npt.NDArray[Any] = draw.draw(index, out)
    return values


def normal(
    shape: Any,
    mean: float = 0.0,
    stddev: float = 1.0,
    dtype: object = None,
    seed: int | SeedGenerator | None = None,
    *,
    stream: str | None = None,
    index: Any = None,
    out: Any = None,
) -> npt.NDArray[Any]:
    """Samples of the normal distribution.

    Args:
        shape: The shape, a tuple or list of integers.
        mean: Mean.
        stddev: Standard deviation, at least 0.
        dtype: As `uniform`.
        seed: As `uniform`.
        stream: See the module.
        index: See the module.
        out: See the module.

    Returns:
        As `uniform`.

    Raises:
        As `uniform`.
    """
    dtype = dtype_of(out) if dtype is None and out is not None else dtype
    draw = rules_of(stream).normal(shape, dtype, seed, mean, stddev)
    values: npt.NDArray[Any] = draw.draw(index, out)
    return values


def truncated_normal(
    shape: Any,
    mean: float = 0.0,
    stddev: float = 1.0,
    dtype: object = None,
    seed: int | SeedGenerator | None = None,
    *,
    lower: float = -2.0,
    upper: float = 2.0,
    stream: str | None = None,
    index: Any = None,
    out: Any = None,
) -> npt.NDArray[Any]:
    """Samples of the normal distribution, redrawn until they lie within bounds.

    Args:
        shape: The shape, a tuple or list of integers.
        mean: Mean before truncation.
        stddev: Standard deviation before truncation, at least 0.
        dtype: As `uniform`.
        seed: As `uniform`.
        lower: Lower bound, in standard deviations from the mean.
        upper: Upper bound, in standard deviations from the mean.
        stream: See the module.
        index: See the module.
        out: See the module.

    Returns:
        As `uniform`.

    Raises:
        As `uniform`.
    """
    dtype = dtype_of(out) if dtype is None and out is not None else dtype
    draw = rules_of(stream).truncated_normal(shape, dtype, seed, mean, stddev, lower, upper)
    values: npt.NDArray[Any] = draw.draw(index, out)
    return values
