"""Which axes of a tensor are its inputs and outputs, and the fans that follow.

Without its batch axes a tensor has input axes, output axes and a rest, the receptive field, that
counts for both:

    fan_in = product of the input axes * rest        fan_out = product of the output axes * rest

A layout names them: "torch" is [out, in, rest ...], "keras" is [rest ..., in, out]. Groups of a
convolution divide fan_out, since each output channel has inputs of its own group alone, which the
length of the input axis says already.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

TORCH: Final = "torch"
KERAS: Final = "keras"
LAYOUTS: Final = (TORCH, KERAS)


@dataclass(frozen=True, slots=True)
class Axes:
    """What a rule says of a tensor's axes; axes may count from the end.

    Attributes:
        layout: One of `LAYOUTS`, for what `inputs` and `outputs` do not say.
        inputs: The input axes, None for the layout's.
        outputs: The output axes, None for the layout's.
        batch: Axes along which there are tensors side by side, such as experts.
    """

    layout: str = TORCH
    inputs: tuple[int, ...] | None = None
    outputs: tuple[int, ...] | None = None
    batch: tuple[int, ...] = ()

    def of(self, rank: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return the axes of fan_in and of fan_out, those of the rest in both.

        Raises:
            ValueError: An axis is named twice or is none of a tensor of this rank.
        """
        batch = _resolved("batch_axes", self.batch, rank)
        left = [axis for axis in range(rank) if axis not in batch]
        if self.inputs is not None and self.outputs is not None:
            inputs = _resolved("input_axes", self.inputs, rank)
            outputs = _resolved("output_axes", self.outputs, rank)
        elif len(left) < 2:
            # As everywhere: a vector's length is both of its fans.
            inputs = outputs = ()
        elif self.layout == TORCH:
            inputs, outputs = (left[1],), (left[0],)
        else:
            inputs, outputs = (left[-2],), (left[-1],)
        for name, one, two in (
            ("input_axes", inputs, outputs),
            ("batch_axes", batch, (*inputs, *outputs)),
        ):
            if both := set(one) & set(two):
                raise ValueError(f"`{name}` has axis {min(both)}, which has another part already")
        rest = tuple(axis for axis in left if axis not in inputs and axis not in outputs)
        return tuple(sorted((*inputs, *rest))), tuple(sorted((*outputs, *rest)))


def fans(
    shape: tuple[int, ...], axes: tuple[tuple[int, ...], tuple[int, ...]], groups: int = 1
) -> tuple[int, int]:
    """Return fan_in and fan_out of a tensor by the axes of each.

    Raises:
        ValueError: `groups` does not divide fan_out.
    """
    fan_in = math.prod(shape[axis] for axis in axes[0])
    fan_out = math.prod(shape[axis] for axis in axes[1])
    if fan_out % groups:
        raise ValueError(f"`groups` must divide fan_out, which is {fan_out}. Received: {groups}")
    return fan_in, fan_out // groups


def _resolved(argument: str, axes: tuple[int, ...], rank: int) -> tuple[int, ...]:
    found = []
    for axis in axes:
        if not -rank <= axis < rank:
            raise ValueError(f"`{argument}` must be axes of a tensor of rank {rank}, not {axis}")
        if axis % rank in found:
            raise ValueError(f"`{argument}` has axis {axis} twice")
        found.append(axis % rank)
    return tuple(found)
