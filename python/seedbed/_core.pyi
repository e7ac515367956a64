"""The Rust core: fills memory, and nothing else.

`shape` is an iterable of integers >= 0; `dtype` a name or `numpy.dtype` of one of the six
floating-point dtypes; `seed` is in 0 .. 2**64-1 and `draw` in 0 .. 2**32-1. `index` is basic
indexing of the global shape. `out` is itself returned where given.
"""

from collections.abc import Iterable
from typing import Any, Final, SupportsFloat, SupportsIndex, TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = [
    "__version__",
    "fill_uniform",
    "fill_normal",
    "fill_truncated_normal",
    "fill_variance_scaling",
    "fill_orthogonal",
    "compute_fans",
    "set_num_threads",
    "get_num_threads",
    "isa",
    "available_isas",
    "streams",
    "build_info",
]

__version__: Final[str]

_Real: TypeAlias = SupportsFloat | SupportsIndex
_Axes: TypeAlias = Iterable[SupportsIndex] | None

def fill_uniform(
    shape: Iterable[SupportsIndex],
    low: _Real,
    high: _Real,
    dtype: str | np.dtype[Any],
    seed: int,
    draw: int,
    stream: str,
    index: Any = None,
    out: Any = None,
) -> npt.NDArray[Any]: ...
def fill_normal(
    shape: Iterable[SupportsIndex],
    mean: _Real,
    stddev: _Real,
    dtype: str | np.dtype[Any],
    seed: int,
    draw: int,
    stream: str,
    index: Any = None,
    out: Any = None,
) -> npt.NDArray[Any]: ...
def fill_truncated_normal(
    shape: Iterable[SupportsIndex],
    mean: _Real,
    stddev: _Real,
    lower: _Real,
    upper: _Real,
    dtype: str | np.dtype[Any],
    seed: int,
    draw: int,
    stream: str,
    index: Any = None,
    out: Any = None,
) -> npt.NDArray[Any]: ...
def fill_variance_scaling(
    shape: Iterable[SupportsIndex],
    scale: _Real,
    mode: str,
    distribution: str,
    input_axes: _Axes,
    output_axes: _Axes,
    dtype: str | np.dtype[Any],
    seed: int,
    draw: int,
    stream: str,
    index: Any = None,
    out: Any = None,
) -> npt.NDArray[Any]: ...
def fill_orthogonal(
    shape: Iterable[SupportsIndex],
    gain: _Real,
    dtype: str | np.dtype[Any],
    seed: int,
    draw: int,
    stream: str,
    index: Any = None,
    out: Any = None,
) -> npt.NDArray[Any]: ...
def compute_fans(
    shape: Iterable[SupportsIndex], input_axes: _Axes = None, output_axes: _Axes = None
) -> tuple[int, int]: ...
def set_num_threads(n: SupportsIndex) -> None: ...
def get_num_threads() -> int: ...
def isa() -> str: ...
def available_isas() -> list[str]: ...
def streams() -> list[str]: ...
def build_info() -> dict[str, str]: ...
