"""`reinitialize(model, seed=...)`: new first values for a built model, each weight keyed by itself.

The seed of a weight is `fold_in(seed, *key)`, where the key is the weight's path or its position in
the model. So one number fixes a whole model, and what is added to the model changes no weight
that was there before.
"""

from __future__ import annotations

import copy
import math
import sys
import time
import warnings
from collections import Counter
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal

import keras
import numpy as np

from seedbed._core import get_num_threads
from seedbed._seeds import fold_in, in_range
from seedbed._streams import rules_of
from seedbed.keras._backends import BACKEND
from seedbed.keras._call import AS_KERAS, LAWS, Call, check_stream
from seedbed.keras._origin import Origin, has_automatic_name, is_kerass_own, layers_of, origins
from seedbed.keras._private import has_value, places_in_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from seedbed._draw import Draw

# Seeds that every backend of Keras takes.
_KERAS_SEEDS: Final = 1 << 31
_BAR_AFTER: Final = 1.0
_SHOWN_PATHS: Final = 5


@dataclass(frozen=True)
class _Task:
    """A weight to be set: from a draw of seedbed's, or by a function that makes the tensor."""

    origin: Origin
    make: Callable[[], Any]
    request: Call | None = None
    draw: Draw | None = None

    @property
    def size(self) -> int:
        return math.prod(self.origin.variable.shape)


def reinitialize(
    model: Any,
    *,
    seed: int,
    stream: str | None = None,
    key: Literal["path", "position"] = "path",
    state: bool = False,
) -> dict[str, int | None]:
    """Sets the weights of `model` to new first values, in place, each by a seed of its own.

    Each weight is drawn from the law of the initializer that it was created with, Keras' or
    seedbed's, with the seed `fold_in(seed, *key of the weight)`, and keeps its dtype and its place
    on devices. What an initializer does not draw is set to its constant again. Weights whose
    initializer cannot be found out are left as they are, with a warning. The optimizer is not
    touched. All new values exist before the first of them is assigned: an error leaves the model
    as it was, and memory for a second set of weights is needed.

    Args:
        model: A built model or layer of Keras.
        seed: An integer in 0 .. 2**64-1.
        stream: The stream to draw from. None is what an initializer of seedbed names, else the
            default. "keras" is what the active backend of Keras draws.
        key: "path" keys a weight by its path, `layer/sublayer/kernel`. That is stable where layers
            have names from you; automatic ones count up within a process, and draw a warning.
            "position" keys it by its place in a file of weights, which depends on the structure
            of the model alone, and on how many layers of its class come before.
        state: Whether to reset what layers keep beside their weights, as moving averages.

    Returns:
        The seed of each weight by its path, None where nothing is drawn. It is that of `fold_in`,
        or its low 31 bits where the stream or a class of yours takes no more.

    Raises:
        TypeError: `model` is no layer or model of Keras.
        ValueError: A seed, stream or key that cannot be; a weight without a value, or quantized;
            two weights with one path.
    """
    if not isinstance(seed, int | np.integer) or isinstance(seed, bool):
        raise ValueError(f"Argument `seed` must be an integer. Received: seed={seed!r}")
    seed = in_range(seed)
    if key not in ("path", "position"):
        raise ValueError(f'`key` must be "path" or "position". Received: key={key!r}')
    check_stream(stream)
    found = origins(model)
    _check_values(model, found)
    wanted = [origin for origin in found if state or not origin.is_state]
    unknown = [origin for origin in wanted if origin.initializer is None]
    wanted = [origin for origin in wanted if origin.initializer is not None]
    keys = _paths(model, wanted) if key == "path" else _positions(model, wanted)
    seeds: dict[str, int | None] = {}
    tasks = []
    for origin, place in zip(wanted, keys, strict=True):
        task, used = _task(origin, fold_in(seed, *place), stream)
        tasks.append(task)
        seeds[_unique(origin.variable.path, seeds)] = used
    values = _make(tasks)
    if unknown:
        reasons = _listed(f"{origin.variable.path} ({origin.reason})" for origin in unknown)
        warnings.warn(
            f"`reinitialize` left {len(unknown)} weights as they were, whose initializer is not "
            f"known: {reasons}",
            stacklevel=2,
        )
    variables = [task.origin.variable for task in tasks]
    placed = [BACKEND.beside(value, v.value) for v, value in zip(variables, values, strict=True)]
    _assign(variables, placed)
    return seeds


def _check_values(model: Any, found: list[Origin]) -> None:
    """Refuse a model without weights, or with some that are not to be replaced."""
    if not found and not all(layer.built for layer in layers_of(model)):
        raise ValueError(f"`model` must be built. Received: model={model!r}, which has no weights")
    empty = [origin.variable.path for origin in found if not has_value(origin.variable)]
    if empty:
        raise ValueError(f"`model` has weights without a value: {_listed(empty)}")
    quantized = [layer.name for layer in layers_of(model) if _is_quantized(layer)]
    if quantized:
        raise ValueError(
            "`model` must not be quantized, as integers computed from weights cannot be drawn; "
            f"quantize it afterwards. Received: model={model!r}, with {_listed(quantized)}"
        )


def _is_quantized(layer: Any) -> bool:
    """Whether `layer` has integers for weights. Those of float8 are computed in its calls."""
    return layer.quantization_mode not in (None, "float8")


def _paths(model: Any, wanted: list[Origin]) -> list[tuple[str | int, ...]]:
    """Keys by path, with a warning where Keras made up a part of it."""
    keys: list[tuple[str | int, ...]] = [tuple(o.variable.path.split("/")) for o in wanted]
    twice = [path for path, count in Counter(o.variable.path for o in wanted).items() if count > 1]
    if twice:
        raise ValueError(
            '`key="path"` needs a path of its own for each weight; name the layers, or use '
            f'`key="position"`. These come more than once: {_listed(twice)}'
        )
    automatic = {layer.name for layer in layers_of(model) if has_automatic_name(layer)}
    named = [part for place in keys for part in place[:-1] if part in automatic]
    if named:
        warnings.warn(
            "These layers have names that Keras counts up within a process, so that the values "
            "that `reinitialize` keys by them may differ in another one; name the layers, or use "
            f'`key="position"`: {_listed(dict.fromkeys(named))}',
            stacklevel=3,
        )
    return keys


def _positions(model: Any, wanted: list[Origin]) -> list[tuple[str | int, ...]]:
    places = places_in_file(model)
    missing = [o.variable.path for o in wanted if id(o.variable) not in places]
    if missing:
        raise ValueError(
            '`key="position"` needs weights that a file of weights holds as they are; use '
            f'`key="path"`. These it does not: {_listed(missing)}'
        )
    return [places[id(origin.variable)] for origin in wanted]


def _task(origin: Origin, seed: int, stream: str | None) -> tuple[_Task, int | None]:
    """How to make the new values of a weight, and the seed, None where nothing is drawn."""
    initializer, variable = origin.initializer, origin.variable
    shape, dtype = tuple(variable.shape), variable.dtype
    law = next((LAWS[cls] for cls in type(initializer).__mro__ if cls in LAWS), None)
    if law is not None and is_kerass_own(initializer):
        name: str | None
        if stream == AS_KERAS:
            seed %= _KERAS_SEEDS
            known, name = law.is_elementwise and BACKEND.is_repeated(dtype), BACKEND.name
            insists = False
        else:
            name = getattr(initializer, "stream", None) if stream is None else stream
            known, insists = True, name is not None
        # Streams that repeat a backend may take seeds of as few bits as it does.
        for number in (seed, seed % _KERAS_SEEDS) if known else ():
            request = Call(_seeded(initializer, number), law, rules_of(name), shape, dtype)
            try:
                draw = request.trial()
                return _Task(origin, draw.draw, request, draw), number
            except OverflowError:
                if insists and number < _KERAS_SEEDS:
                    raise
            except (TypeError, ValueError, IndexError, RuntimeError):
                if insists:
                    raise
        seed %= _KERAS_SEEDS
        by_keras = Call(_seeded(initializer, seed), law, rules_of(None), shape, dtype).by_keras
        return _Task(origin, by_keras), seed
    if law is not None:  # a user's class, which calls Keras' or draws by itself
        seed %= _KERAS_SEEDS
        return _Task(origin, partial(_seeded(initializer, seed), shape, dtype=dtype)), seed
    if not isinstance(initializer, keras.initializers.Initializer) and origin.inner:
        # A closure around initializers of the layer: these get the seed.
        seed %= _KERAS_SEEDS

        def make() -> Any:
            for inner in origin.inner:
                inner.seed = seed
            return initializer(shape, dtype=dtype)

        return _Task(origin, make), seed
    return _Task(origin, partial(initializer, shape, dtype=dtype)), None


def _seeded(initializer: Any, seed: int) -> Any:
    """The initializer with another seed."""
    other = copy.copy(initializer)
    other.seed = other._init_seed = seed
    return other


def _make(tasks: list[_Task]) -> list[Any]:
    """The values of all tasks, as tensors of the backend, with a bar when it takes long."""
    values: list[Any] = [None] * len(tasks)
    with _progress(sum(task.size for task in tasks)) as advance:
        # Keras' own code is for this thread, whose scopes it asks for, and so is what several
        # processes do together, in one order.
        for number, task in enumerate(tasks):
            if task.draw is None or _sharding(task) is not None:
                values[number] = _made(task)
                advance(task.size)
        # The largest first, so that the threads end together.
        order = sorted(range(len(tasks)), key=lambda number: -tasks[number].size)
        with ThreadPoolExecutor(max_workers=get_num_threads()) as threads:
            waiting: dict[Future[Any], int] = {
                threads.submit(tasks[number].make): number
                for number in order
                if values[number] is None
            }
            try:
                while waiting:
                    done, _ = wait(waiting, timeout=0.1, return_when=FIRST_COMPLETED)
                    for future in done:
                        number = waiting.pop(future)
                        values[number] = BACKEND.tensor(future.result())
                        advance(tasks[number].size)
                    advance(0)
            except BaseException:
                for future in waiting:
                    future.cancel()
                raise
    return values


def _sharding(task: _Task) -> Any:
    """How JAX spreads the weight over several devices, None where it does not."""
    sharding = getattr(task.origin.variable.value, "sharding", None)
    return None if sharding is None or len(sharding.device_set) == 1 else sharding


def _made(task: _Task) -> Any:
    """The tensor of a task; of a sharded one each device's block is drawn alone."""
    if task.request is not None and task.draw is not None:
        from seedbed.keras._sharding import draw_sharded

        return draw_sharded(task.request, task.draw, _sharding(task))
    variable = task.origin.variable
    value = keras.ops.convert_to_tensor(task.make(), dtype=variable.dtype)
    if tuple(value.shape) != tuple(variable.shape):
        raise ValueError(
            f"The initializer of {variable.path} must return a tensor of shape "
            f"{tuple(variable.shape)}. Received: shape {tuple(value.shape)}"
        )
    return value


def _assign(variables: list[Any], values: list[Any]) -> None:
    """Assign them all; an interruption waits for the last."""
    pending = list(zip(variables, values, strict=True))
    pending.reverse()
    interruption = None
    while pending:
        try:
            variable, value = pending[-1]
            variable.assign(value)
            pending.pop()
        except KeyboardInterrupt as error:
            interruption = error
    if interruption is not None:
        raise interruption


class _Bar:
    """A bar of rich that appears when the work has taken a while."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._done = 0
        self._started = time.monotonic()
        self._progress: Any = None
        self._task: Any = None

    def __call__(self, count: int) -> None:
        self._done += count
        if self._progress is None:
            if time.monotonic() - self._started < _BAR_AFTER or self._done >= self._total:
                return
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

            self._progress = Progress(
                TextColumn("reinitialize"),
                BarColumn(),
                TextColumn("{task.percentage:>3.0f}%"),
                TimeRemainingColumn(),
                console=Console(stderr=True),
            )
            self._progress.start()
            self._task = self._progress.add_task("reinitialize", total=self._total)
        self._progress.update(self._task, completed=self._done)

    def stop(self) -> None:
        if self._progress is not None:
            self._progress.stop()


class _progress:
    """A `_Bar` on a terminal, nothing elsewhere."""

    def __init__(self, total: int) -> None:
        self._bar = _Bar(total) if sys.stderr is not None and sys.stderr.isatty() else None

    def __enter__(self) -> Callable[[int], None]:
        return self._bar if self._bar is not None else lambda count: None

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._bar.stop()


def _unique(path: str, taken: dict[str, int | None]) -> str:
    """`path`, or with a number where keys by position allow a path to come again."""
    name, number = path, 1
    while name in taken:
        number += 1
        name = f"{path} ({number})"
    return name


def _listed(names: Any) -> str:
    """A few of `names`, and how many there are besides."""
    names = list(names)
    rest = len(names) - _SHOWN_PATHS
    text = ", ".join(names[:_SHOWN_PATHS])
    return f"{text} and {rest} more" if rest > 0 else text
