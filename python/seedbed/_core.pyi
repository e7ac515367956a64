"""The Rust core: fills memory, and nothing else.

`shape` is an iterable of integers >= 0; `dtype` a name or `numpy.dtype`, of random values one of
the six floating-point dtypes; `key` the pair of a seed in 0 .. 2**64-1 and the number of the call
in 0 .. 2**32-1. `index` is basic indexing of the whole shape. `out` is itself returned where given.
"""

from collections.abc import Callable, Iterable
from typing import Any, Final, SupportsFloat, SupportsIndex, TypeAlias, TypeVar, final

import numpy as np
import numpy.typing as npt

__all__ = [
    "__version__",
    "MAX_DIMENSIONS",
    "MODES",
    "DISTRIBUTIONS",
    "TRUNCATED_STDDEV",
    "Draw",
    "Stream",
    "compute_fans",
    "standardize_shape",
    "filled",
    "memory",
    "moments",
    "set_num_threads",
    "get_num_threads",
    "with_standard_floats",
    "isa",
    "available_isas",
    "streams",
    "build_info",
]

__version__: Final[str]
MAX_DIMENSIONS: Final[int]
MODES: Final[tuple[str, ...]]
DISTRIBUTIONS: Final[tuple[str, ...]]
TRUNCATED_STDDEV: Final[float]

_T = TypeVar("_T")
_Shape: TypeAlias = Iterable[SupportsIndex]
_Dtype: TypeAlias = str | np.dtype[Any]
_Key: TypeAlias = tuple[int, int]
_Real: TypeAlias = SupportsFloat | SupportsIndex
_Axes: TypeAlias = Iterable[SupportsIndex] | None

@final
class Draw:
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> np.dtype[Any]: ...
    @property
    def seed(self) -> int: ...
    @property
    def call(self) -> int: ...
    @property
    def stream(self) -> str: ...
    @property
    def fans(self) -> tuple[int, int] | None: ...
    def draw(self, index: Any = None, out: Any = None) -> Any: ...

@final
class Stream:
    def __new__(cls, name: str) -> Stream: ...
    @property
    def name(self) -> str: ...
    def uniform(self, shape: _Shape, dtype: _Dtype, key: _Key, low: _Real, high: _Real) -> Draw: ...
    def normal(
        self, shape: _Shape, dtype: _Dtype, key: _Key, mean: _Real, stddev: _Real
    ) -> Draw: ...
    def truncated_normal(
        self,
        shape: _Shape,
        dtype: _Dtype,
        key: _Key,
        mean: _Real,
        stddev: _Real,
        lower: _Real,
        upper: _Real,
    ) -> Draw: ...
    def variance_scaling(
        self,
        shape: _Shape,
        dtype: _Dtype,
        key: _Key,
        scale: _Real,
        mode: str,
        distribution: str,
        input_axes: _Axes,
        output_axes: _Axes,
    ) -> Draw: ...
    def orthogonal(self, shape: _Shape, dtype: _Dtype, key: _Key, gain: _Real) -> Draw: ...

def compute_fans(
    shape: _Shape, input_axes: _Axes = None, output_axes: _Axes = None
) -> tuple[int, int]: ...
def standardize_shape(shape: _Shape) -> tuple[int, ...]: ...
def filled(shape: _Shape, value: npt.NDArray[Any], index: Any = None, out: Any = None) -> Any: ...
def memory(
    shape: _Shape, dtype: np.dtype[Any], index: Any = None, out: Any = None
) -> tuple[npt.NDArray[Any], tuple[slice, ...]]: ...
def moments(
    stored: npt.NDArray[np.uint8], dtype: _Dtype
) -> tuple[int, float, float, float, float, int, int, int]: ...
def with_standard_floats(function: Callable[[], _T]) -> _T: ...
def set_num_threads(n: SupportsIndex) -> None: ...
def get_num_threads() -> int: ...
def isa() -> str: ...
def available_isas() -> list[str]: ...
def streams() -> list[str]: ...
def build_info() -> dict[str, str]: ...
