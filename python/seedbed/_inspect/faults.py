"""Which mistake explains a deviation that is wrong by a factor.

What: `explain` names the mistakes whose factor, divided out, leaves a deviation that is right.
Method: a table of factors that people get wrong, each with the words for it.
Consumes: what is known of the tensor: its fans, its shape, the number of its layers.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from seedbed._law import truncated_stddev

MOST: Final = 2


@dataclass(frozen=True, slots=True)
class Context:
    """What is known of the tensor whose deviation is wrong."""

    sigma: float
    fan_in: int
    fan_out: int
    shape: tuple[int, ...]
    # How many tensors of this kind the model has, one a layer; 1 where it is the only one.
    layers: int


@dataclass(frozen=True, slots=True)
class Fault:
    """A factor, how to write it, and what it hints at."""

    ratio: float
    formula: str
    hint: str


def explain(ratio: float, fits: Callable[[float], bool], context: Context) -> list[Fault]:
    """Return at most `MOST` mistakes that explain the ratio of a deviation, the nearest first.

    Args:
        ratio: The measured deviation over the expected one.
        fits: Whether a ratio is as good as 1.
        context: What is known of the tensor.
    """
    found: dict[float, Fault] = {}
    for fault in _faults(context):
        if fault.ratio > 0 and abs(math.log(fault.ratio)) > 1e-6 and fits(ratio / fault.ratio):
            # Of those that cannot be told apart the first one is the more usual.
            found.setdefault(round(fault.ratio, 9), fault)
    ordered = sorted(found.values(), key=lambda fault: abs(math.log(ratio / fault.ratio)))
    return ordered[:MOST]


def _faults(context: Context) -> list[Fault]:
    two, three = truncated_stddev(2.0), truncated_stddev(3.0)
    layers, sigma = context.layers, context.sigma
    fan_in, fan_out = max(context.fan_in, 1), max(context.fan_out, 1)
    faults = [
        Fault(two, "0.8796", "cut at 2 deviations without correction?"),
        Fault(1 / two, "1 / 0.8796", "corrected for a cut that was not made?"),
        Fault(three, "0.9866", "cut at 3 deviations without correction?"),
    ]
    if layers > 1:
        faults += [
            Fault(math.sqrt(2 * layers), "sqrt(2 * layers)", "depth scale missing?"),
            Fault(1 / math.sqrt(2 * layers), "1 / sqrt(2 * layers)", "depth scale applied twice?"),
            Fault(math.sqrt(layers), "sqrt(layers)", "depth scale missing?"),
            Fault(1 / math.sqrt(layers), "1 / sqrt(layers)", "depth scale applied twice?"),
        ]
    if fan_in != fan_out:
        swapped = math.sqrt(fan_in / fan_out)
        faults.append(Fault(swapped, "sqrt(fan_in / fan_out)", "axes swapped?"))
    faults += [
        Fault(math.sqrt(2), "sqrt(2)", "He for Lecun, or depth counted once a layer, not twice?"),
        Fault(1 / math.sqrt(2), "1 / sqrt(2)", "Lecun for He, or Glorot over fused projections?"),
        Fault(math.sqrt(3), "sqrt(3)", "a deviation taken for a bound?"),
        Fault(1 / math.sqrt(3), "1 / sqrt(3)", "a bound taken for a deviation?"),
    ]
    if len(context.shape) > 2:
        stacked = context.shape[0]
        faults.append(
            Fault(1 / math.sqrt(stacked), f"1 / sqrt({stacked})", "stacked tensors in the fan?")
        )
    faults += [
        Fault(1 / math.sqrt(fan_out), "1 / sqrt(fan_out)", "an axis too many in the fan?"),
        Fault(sigma, "sigma", "the variance given as the deviation?"),
        Fault(1 / math.sqrt(sigma), "1 / sqrt(sigma)", "the deviation given as the variance?"),
        Fault(2.0, "2", ""),
        Fault(0.5, "1 / 2", ""),
    ]
    # Widths are multiples of those that muP compares with.
    for m in (4, 8, 16, 32):
        faults.append(Fault(math.sqrt(m), f"sqrt({m})", f"muP at a width of {m} times the base?"))
        inverse = Fault(1 / math.sqrt(m), f"1 / sqrt({m})", f"muP twice, at {m} times the width?")
        faults.append(inverse)
    return faults
