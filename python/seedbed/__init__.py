"""Initial weights of neural networks: the same bits for any layout, thread count and machine.

`seedbed.initializers` stands in for `keras.initializers` and returns NumPy arrays;
`seedbed.random` holds the samplers and seeds beneath it. Importing seedbed imports NumPy and
no framework; ml_dtypes, which adds bfloat16 and float8 to NumPy, comes with the first draw.
"""

from typing import TYPE_CHECKING, Any

try:
    # Reads the environment, and so comes first.
    from seedbed._core import __version__, get_num_threads, set_num_threads
except ValueError as error:
    from seedbed._refusal import end_command

    end_command(error)
    raise

from seedbed import initializers, random
from seedbed._config import show_config
from seedbed._draw import Draw
from seedbed._selfcheck import selfcheck
from seedbed._streams import get_stream, set_stream, use_stream

if TYPE_CHECKING:
    from seedbed._plan.plan import Plan

__all__ = [
    "initializers",
    "random",
    "Draw",
    "Plan",
    "set_stream",
    "use_stream",
    "get_stream",
    "set_num_threads",
    "get_num_threads",
    "show_config",
    "selfcheck",
    "__version__",
]


def __getattr__(name: str) -> Any:
    # A plan needs more than most programs do, and is imported by those that make one.
    if name == "Plan":
        from seedbed._plan.plan import Plan

        return Plan
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
