"""Keras initializers at memory speed: the same bits for any layout, thread count and machine.

`seedbed.initializers` stands in for `keras.initializers` and returns NumPy arrays;
`seedbed.random` holds the samplers and seeds beneath it. Importing seedbed imports NumPy and
ml_dtypes, and no framework.
"""

from seedbed import initializers, random
from seedbed._config import show_config
from seedbed._core import __version__, get_num_threads, set_num_threads
from seedbed._selfcheck import selfcheck
from seedbed._streams import get_stream, set_stream, use_stream

__all__ = [
    "initializers",
    "random",
    "set_stream",
    "use_stream",
    "get_stream",
    "set_num_threads",
    "get_num_threads",
    "show_config",
    "selfcheck",
    "__version__",
]
