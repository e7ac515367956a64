"""`report(model)`: what the weights of a model were drawn from, and whether they look like it.

Each weight is compared with the law of its initializer: its mean, its deviation, the share beyond
two deviations and the number of values on a bound. The limits are those of `_law`, and the
probability that a model whose weights are all right raises any flag is at most `FALSE_ALARM`.
"""

from __future__ import annotations

import math
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

import keras
import numpy as np

from seedbed._core import get_num_threads
from seedbed._tensors import to_numpy
from seedbed.keras._law import Law, fans_of, law_of
from seedbed.keras._measure import PREFIX, Measured, blocks_of, measure, numpy_dtype
from seedbed.keras._origin import Origin, layers_of, origins
from seedbed.keras._report_page import Flag, Report, Weight

if TYPE_CHECKING:
    import numpy.typing as npt

# The probability of any flag on a model without a fault.
FALSE_ALARM: Final = 1e-6
# How many comparisons with a law a weight takes part in.
_COMPARISONS: Final = 4
# The cosine of two weights' first elements from which they are the same numbers.
_SAME_NUMBERS: Final = 0.999
# Elements up to which a weight is timed twice.
_TWICE: Final = 1 << 20
# Bits of chance that two weights must share, or one lack, before chance is ruled out.
_BITS: Final = 64


def report(model: Any, *, timing: bool = True) -> Report:
    """What the weights of `model` were drawn from, and whether they look like it.

    Meant for a model that has not been trained: training moves weights away from what is
    expected of them. Of a weight that is sharded over processes, each process sees its own part.

    Args:
        model: A model or layer of Keras, with Keras' initializers or seedbed's.
        timing: Whether to measure how long the values take to make, by making one tensor for each
            kind that the model has. Weights under a distribution are never timed.

    Returns:
        The report: a table when printed, plain values from `to_dict()`, histograms from `plot()`.

    Raises:
        TypeError: `model` is no layer or model of Keras.
    """
    found = origins(model)
    laws = [_law(origin) for origin in found]
    weights = [_row(origin, law) for origin, law in zip(found, laws, strict=True)]
    with ThreadPoolExecutor(max_workers=get_num_threads()) as threads:
        measured = list(threads.map(measure, (origin.variable for origin in found), laws))
    comparisons = _COMPARISONS * max(1, sum(law is not None for law in laws))
    x = math.log(2 * comparisons / FALSE_ALARM)
    for origin, law, weight, values in zip(found, laws, weights, measured, strict=True):
        if values is None:
            weight.flags.append(Flag("uninitialized", "it has no value yet"))
            continue
        weight.mean, weight.stddev = values.mean, values.stddev
        if weight.expected_beyond is not None and values.count:
            weight.beyond = values.beyond / values.count
        weight.flags += _against_law(origin, law, values, x)
    _flag_equal(found, laws, weights, measured)
    if timing:
        _time(found, weights)
    unbuilt = [layer.name for layer in layers_of(model) if not layer.built]
    empty = np.zeros(0)
    samples = [
        (law, empty if values is None else values.sample)
        for law, values in zip(laws, measured, strict=True)
    ]
    return Report(model.name, weights, unbuilt, samples)


def _law(origin: Origin) -> Law | None:
    if origin.initializer is None:
        return None
    variable = origin.variable
    return law_of(origin.initializer, tuple(variable.shape), variable.dtype)


def _row(origin: Origin, law: Law | None) -> Weight:
    variable, initializer = origin.variable, origin.initializer
    seed = origin.seed
    shape = tuple(variable.shape)
    return Weight(
        variable.path,
        shape,
        variable.dtype,
        None if initializer is None else type(initializer).__name__,
        origin.reason,
        getattr(initializer, "stream", None),
        seed if seed is None or isinstance(seed, int) else "generator",
        None if initializer is None else fans_of(initializer, shape),
        expected_mean=None if law is None else law.mean,
        expected_stddev=None if law is None else law.stddev,
        expected_beyond=None if law is None or not law.is_drawn else law.beyond,
    )


def _against_law(origin: Origin, law: Law | None, values: Measured, x: float) -> list[Flag]:
    """What is wrong with one weight by itself."""
    if not values.count:
        return []
    if not values.finite:
        return [Flag("uninitialized", "some values are not finite")]
    if law is None or origin.is_state:  # state moves, and is no fault when it does
        return []
    dtype = origin.variable.dtype
    if not law.is_drawn:
        return [] if _holds_constant(origin, law, values) else [_not_constant(law, values)]
    if values.low == values.high and law.chance(values.count, dtype) >= _BITS:
        text = f"every value is {values.low:.6g}, where values are drawn"
        return [Flag("uninitialized", text)]
    flags = []
    limit = law.mean_limit(values.count, dtype, x)
    if abs(values.mean - law.mean) > limit:
        flags.append(
            Flag("mean", f"the mean is {values.mean:.4g}, not {law.mean:.4g} within {limit:.2g}")
        )
    low, high = law.stddev_limits(values.count, dtype, x)
    if not low <= values.about_expected <= high:
        ratio = values.about_expected / law.stddev
        flags.append(
            Flag(
                "deviation",
                f"the deviation is {values.about_expected:.4g}, {ratio:.3g} times the expected "
                f"{law.stddev:.4g}; chance explains {low:.4g} to {high:.4g}",
            )
        )
    shares = law.beyond_limits(values.count, dtype, x)
    if shares is not None and not shares[0] <= values.beyond / values.count <= shares[1]:
        flags.append(
            Flag(
                "tail",
                f"{values.beyond / values.count:.2%} of the values are beyond 2 deviations, "
                f"not {law.beyond:.2%}: another law",
            )
        )
    if values.on_bound > law.bound_limit(values.count, dtype, x):
        assert law.bounds is not None
        flags.append(
            Flag(
                "bound",
                f"{values.on_bound:,} values are on a bound or beyond, "
                f"{law.bounds[0]:.4g} to {law.bounds[1]:.4g}",
            )
        )
    return flags


def _holds_constant(origin: Origin, law: Law, values: Measured) -> bool:
    if law.values is not None:
        held = to_numpy(origin.variable)
        return bool(np.array_equal(held, law.values.astype(held.dtype)))
    constant = float(np.array(law.mean).astype(numpy_dtype(origin.variable.dtype)).real)
    return values.low == values.high == constant


def _not_constant(law: Law, values: Measured) -> Flag:
    wanted = "those of its initializer" if law.values is not None else f"all {law.mean:.6g}"
    return Flag("value", f"values of {values.low:.4g} to {values.high:.4g} are not {wanted}")


def _flag_equal(
    found: list[Origin],
    laws: list[Law | None],
    weights: list[Weight],
    measured: list[Measured | None],
) -> None:
    """Flag weights that are drawn and yet equal another, or hold the same random numbers."""
    firsts: dict[tuple[tuple[int, ...], bytes], list[int]] = {}
    directions: list[tuple[int, npt.NDArray[np.float64]]] = []
    for number, (origin, law, values) in enumerate(zip(found, laws, measured, strict=True)):
        if law is None or values is None or not law.is_drawn or not values.finite:
            continue
        dtype = origin.variable.dtype
        if values.low == values.high or law.chance(values.count, dtype) < _BITS:
            continue
        same = firsts.setdefault((weights[number].shape, values.prefix.tobytes()), [])
        original = next((first for first in same if _equal(found[first], origin)), None)
        if original is not None:
            weights[number].flags.append(_equal_flag(weights[original], weights[number]))
            continue
        same.append(number)
        if values.count < PREFIX or law.chance(PREFIX, dtype) < _BITS:
            continue
        direction = (values.prefix.astype(np.float64) - law.mean) / law.stddev
        length = float(np.linalg.norm(direction))
        if length > 0:
            directions.append((number, direction / length))
    if not directions:
        return
    matrix = np.array([direction for _, direction in directions])
    alike = np.abs(matrix @ matrix.T) > _SAME_NUMBERS
    for place, (number, _) in enumerate(directions):
        first = int(np.argmax(alike[place]))
        if first < place:
            path = weights[directions[first][0]].path
            text = f"it starts with the numbers of {path}, up to a factor: one seed for both"
            weights[number].flags.append(Flag("same numbers", text))


def _equal(one: Origin, other: Origin) -> bool:
    pairs = zip(blocks_of(one.variable), blocks_of(other.variable), strict=False)
    return all(np.array_equal(a, b) for a, b in pairs)


def _equal_flag(original: Weight, copy: Weight) -> Flag:
    cause = "an unseeded initializer that both share"
    if copy.seed == "generator":
        cause = "copies of one generator"
    elif copy.seed is not None:
        cause = f"seed {copy.seed} in both"
    return Flag("equal", f"equal to {original.path}, value by value ({cause})")


def _time(found: list[Origin], weights: list[Weight]) -> None:
    """Fill in how long the values of each weight take to make."""
    if keras.distribution.distribution() is not None:
        return
    known: dict[str, float | None] = {}
    for origin, weight in zip(found, weights, strict=True):
        initializer = origin.initializer
        if not isinstance(initializer, keras.initializers.Initializer):
            continue
        try:
            config = initializer.get_config()
            config = {**config, "seed": 0} if "seed" in config else config
            key = repr((type(initializer), config, weight.shape, weight.dtype))
            if key not in known:
                known[key] = _seconds(type(initializer).from_config(config), weight)
            weight.seconds = known[key]
        except Exception:  # of a user's class: any; its time stays unknown
            continue


def _seconds(initializer: Any, weight: Weight) -> float:
    """The time of a call; the better one of two where that is cheap, as the first may set up."""
    times = []
    for _ in range(2 if math.prod(weight.shape) <= _TWICE else 1):
        started = time.perf_counter()
        value = initializer(weight.shape, dtype=weight.dtype)
        if hasattr(value, "block_until_ready"):
            value.block_until_ready()
        times.append(time.perf_counter() - started)
    return min(times)
