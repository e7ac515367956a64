"""Whether the exact streams are exact here: each against the backend it stands for, as installed.

A stream's promise names the versions it holds for; another version, processor or mathematical
library may compute otherwise. `selfcheck` compares about 1e5 values of every sampler and dtype
with what Keras draws on that backend. A process has one Keras backend, so each is checked in an
interpreter of its own, which answers in JSON.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from seedbed import _core, random
from seedbed._streams import rules_of, streams
from seedbed._streams.rules import Rules
from seedbed.initializers import Orthogonal

if TYPE_CHECKING:
    import numpy.typing as npt

_DTYPES: Final = ("float32", "float16", "bfloat16", "float64", "float8_e4m3fn", "float8_e5m2")
_SHAPE: Final = (224, 224)  # drawn twice: some 1e5 values
_SEED: Final = 2**31 + 5
_GENERATOR_SEED: Final = 2**31 - 5  # torch's generators of seeds hold no larger ones
# A QR factor is promised to rounding: this many units in the last place of 1.0 in float32, twice
# the largest difference that was measured between two correct factorizations of this size.
_ORTHOGONAL_BOUND: Final = 40 * 2.0**-23
_SECONDS: Final = 600

EXACT: Final = "exact"
ROUNDING: Final = "to rounding"
DIFFERENT: Final = "not exact"
ABSENT: Final = "not installed"
UNDEFINED: Final = "-"  # Keras makes no such array on this backend
_STYLES: Final = {EXACT: "green", ROUNDING: "green", DIFFERENT: "bold red", UNDEFINED: "dim"}


class Result(NamedTuple):
    """What a comparison came to."""

    stream: str
    version: str
    sampler: str
    dtype: str
    status: str
    reason: str


def selfcheck() -> bool | None:
    """Compares every exact stream with the installed backend it reproduces and prints a table.

    Keras and the backends that are not installed are reported and skipped. Takes some seconds for
    each backend that is: each runs in an interpreter of its own.

    Returns:
        Whether nothing differed; None if there was nothing to compare with.
    """
    from rich.console import Console  # not wanted by anyone who only imports seedbed
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    console.print(f"seedbed {_core.__version__}: exact streams against the backends installed")
    same: bool | None = None
    for stream in _exact_streams():
        results = check(stream)
        statuses = {(result.sampler, result.dtype): result.status for result in results}
        if any(sampler for sampler, _ in statuses):
            table = Table(title=results[0].version, title_justify="left")
            for column in (stream, *_DTYPES):
                table.add_column(column.removeprefix("float8_"))
            for sampler in dict.fromkeys(sampler for sampler, _ in statuses):
                cells = (statuses.get((sampler, dtype), "") for dtype in _DTYPES)
                table.add_row(sampler, *(Text(cell, _STYLES.get(cell, "")) for cell in cells))
            console.print(table)
        for result in results:
            if result.reason:
                what = " ".join(filter(None, (stream, result.sampler, result.dtype)))
                print(f"{what}: {result.status}: {result.reason}")
        compared = {result.status for result in results} - {ABSENT, UNDEFINED}
        if compared:
            same = same is not False and DIFFERENT not in compared
    if same is None:
        print("nothing was compared: no backend to compare with is installed")
    return same


def _exact_streams() -> list[str]:
    """The streams that stand for a backend of Keras: they have rules of their own.

    Keras, the backend's module and seedbed give it one name.
    """
    return [name for name in streams() if type(rules_of(name)) is not Rules]


def check(stream: str) -> list[Result]:
    """Compares `stream` with the backend of that name, in a new interpreter."""
    from importlib.util import find_spec  # as above

    for module in ("keras", stream):
        if find_spec(module) is None:
            return [Result(stream, "", "", "", ABSENT, f"no module `{module}`")]
    import json
    import subprocess

    # The streams stand for the backends on the CPU.
    settings = {
        "KERAS_BACKEND": stream,
        "JAX_PLATFORMS": "cpu",
        "CUDA_VISIBLE_DEVICES": "",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    command = [sys.executable, "-c", "from seedbed import _selfcheck; _selfcheck.answer()", stream]
    try:
        done = subprocess.run(
            command,
            env=os.environ | settings,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        reason = f"no answer in {_SECONDS} s"
        return [Result(stream, "", "", "", DIFFERENT, reason)]
    lines = done.stdout.splitlines()
    if done.returncode != 0 or not lines:
        last = (done.stderr.splitlines() or ["nothing was written"])[-1]
        return [Result(stream, "", "", "", DIFFERENT, f"could not be compared: {last}")]
    return [Result(*row) for row in json.loads(lines[-1])]


def _compare(stream: str) -> list[Result]:
    """Compares `stream` with the Keras of this process, whose backend must be of that name."""
    import keras

    if keras.backend.backend() != stream:
        raise RuntimeError(f"Keras runs on {keras.backend.backend()}, not on {stream}")
    version = f"{stream} {sys.modules[stream].__version__}, keras {keras.__version__}"
    results = []
    for name in ("uniform", "normal", "truncated_normal"):
        for dtype in _DTYPES:

            def ours(seed: Any, name: str = name, dtype: str = dtype) -> npt.NDArray[Any]:
                array: npt.NDArray[Any] = getattr(random, name)(
                    _SHAPE, dtype=dtype, seed=seed, stream=stream
                )
                return array

            def theirs(seed: Any, name: str = name, dtype: str = dtype) -> Any:
                return getattr(keras.random, name)(_SHAPE, dtype=dtype, seed=seed)

            status, reason = _judge(ours, theirs, dtype)
            results.append(Result(stream, version, name, dtype, status, reason))

    def our_matrix(seed: Any) -> npt.NDArray[Any]:
        matrix: npt.NDArray[Any] = Orthogonal(seed=seed, stream=stream)(_SHAPE, dtype="float32")
        return matrix

    def their_matrix(seed: Any) -> Any:
        return keras.initializers.Orthogonal(seed=seed)(_SHAPE, dtype="float32")

    status, reason = _judge(our_matrix, their_matrix, "float32", _ORTHOGONAL_BOUND)
    results.append(Result(stream, version, "orthogonal", "float32", status, reason))
    return results


def _judge(
    ours: Callable[[Any], npt.NDArray[Any]],
    theirs: Callable[[Any], Any],
    dtype: str,
    bound: float | None = None,
) -> tuple[str, str]:
    """Status and reason: with an integer seed, and with the second call of a generator."""
    import keras

    generators = tuple(library.SeedGenerator(_GENERATOR_SEED) for library in (random, keras.random))
    for generator in generators:
        generator.next()
    worst, differing, count = 0.0, 0, 0
    for our_seed, their_seed in ((_SEED, _SEED), generators):
        try:
            expected = np.asarray(keras.ops.convert_to_numpy(theirs(their_seed)))
        except Exception as error:
            return UNDEFINED, f"Keras raises {type(error).__name__}"
        if expected.dtype.name != dtype:
            return UNDEFINED, f"Keras returns {expected.dtype.name}"
        try:
            got = ours(our_seed)
        except ValueError as error:
            return DIFFERENT, str(error)
        count += got.size
        unequal = got.view(f"u{got.itemsize}") != expected.view(f"u{expected.itemsize}")
        if unequal.any():
            differing += int(unequal.sum())
            gap = np.abs(got[unequal].astype(np.float64) - expected[unequal].astype(np.float64))
            worst = max(worst, float(gap.max()))
    if differing == 0:
        return EXACT, ""
    reason = f"{differing} of {count} values differ, by at most {worst:.2g}"
    return (ROUNDING if bound is not None and worst <= bound else DIFFERENT), reason


def answer() -> None:
    """What the new interpreter runs: compares the stream that its argument names, in JSON."""
    import json

    print(json.dumps(_compare(sys.argv[1])))
