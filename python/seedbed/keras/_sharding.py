"""Tensors laid out over JAX's devices, each of which gets its own block alone.

What: `draw_sharded` makes a JAX array under a `NamedSharding`.
Method: one `Draw` for the whole tensor, and one block of it for each device. Devices that hold the
same block get one drawing of it; a block is let go as soon as the last of them has it.
Consumes: one state of the generator, if the seed is one, in every process alike.
Promises: the values are those of the whole tensor, for any mesh, partitioning and number of
processes. A process draws what its own devices hold, and no host holds more than one block besides.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import jax
import keras
import numpy as np

from seedbed._seeds import lock

if TYPE_CHECKING:
    from seedbed._draw import Draw
    from seedbed.keras._call import Call

# Up to this many elements Keras' own code makes the whole tensor before it is laid out; beyond, a
# compiled program makes the parts.
_WHOLE: Final = 1 << 20


def concrete(layout: Any) -> Any:
    """The sharding of a layout of Keras or JAX, over devices.

    Raises:
        ValueError: It is neither, or lies on a mesh that was not set.
    """
    if isinstance(layout, keras.distribution.TensorLayout):
        layout = layout.backend_layout
    if isinstance(layout, jax.sharding.NamedSharding):
        mesh = layout.mesh
        if isinstance(mesh, jax.sharding.AbstractMesh):
            # Keras' variables set the mesh, and pass on its axes alone.
            mesh = jax.sharding.get_mesh()
            if mesh.axis_names != layout.mesh.axis_names:
                raise ValueError(
                    "`layout` must lie on devices, or on the mesh in use. "
                    f"Received: layout={layout}"
                )
        return jax.sharding.NamedSharding(mesh, layout.spec)
    if isinstance(layout, jax.sharding.Sharding):
        return layout
    raise ValueError(
        "`layout` must be a `keras.distribution.TensorLayout` or a `jax.sharding.Sharding`. "
        f"Received: layout={layout} (of type {type(layout)})"
    )


def draw_sharded(call: Call, trial: Draw, sharding: Any) -> Any:
    """The tensor of a call, laid out.

    Args:
        call: The call, of which nothing is advanced yet.
        trial: Its tensor, from a trial seed where the seed is a generator.
        sharding: Which device holds what.

    Raises:
        ValueError: The sharding does not divide the shape, or processes have different seeds.
    """
    try:
        shards = sharding.shard_shape(trial.shape)
    except ValueError as error:
        raise ValueError(
            f"`layout` must divide the shape {trial.shape} evenly. Received: layout={sharding}"
        ) from error
    draw = _agreed(call, trial)
    blocks = sharding.addressable_devices_indices_map(trial.shape)
    waiting = Counter(_extent(index, trial.shape) for index in blocks.values())
    # A block of the very shape is the whole tensor, which costs less without an index.
    whole = None
    if shards == trial.shape or not call.law.is_elementwise:
        whole = draw.draw()
    drawn: dict[Any, Any] = {}
    arrays = []
    for device, index in blocks.items():
        extent = _extent(index, trial.shape)
        if extent not in drawn:
            drawn[extent] = draw.draw(index) if whole is None else whole[index]
        arrays.append(jax.device_put(drawn[extent], device))
        waiting[extent] -= 1
        if not waiting[extent]:
            del drawn[extent]
    return jax.make_array_from_single_device_arrays(trial.shape, sharding, arrays)


def draw_by_keras(call: Call, sharding: Any) -> Any:
    """The tensor that Keras' own code makes, laid out: its bits, but never whole where large."""
    with jax.sharding.use_abstract_mesh(sharding.mesh.abstract_mesh):  # out of Keras' explicit mesh
        if call.repeats and int(np.prod(call.shape)) > _WHOLE:
            return jax.jit(call.by_keras, out_shardings=sharding)()
        return jax.device_put(call.by_keras(), sharding)


def _agreed(call: Call, trial: Draw) -> Draw:
    """The tensor from the seed, the same in every process."""
    if isinstance(call.seed, keras.random.SeedGenerator):
        draw = call.prepare_at(_advanced(call.seed))
    else:
        draw = call.settle(trial)
    if jax.process_count() == 1:
        return draw
    from jax.experimental import multihost_utils

    seed, number = draw.seed, draw.call
    assert seed is not None
    key = np.array([seed % (1 << 32), seed >> 32, number], np.uint32)
    keys = np.asarray(multihost_utils.process_allgather(key))
    if (keys == key).all():
        return draw
    # Blocks of different tensors must not be joined: training would go on without a word.
    named = [(int(low) | int(high) << 32, int(number)) for low, high, number in keys]
    if call.initializer._init_seed is not None:
        raise ValueError(
            f"`seed` must be the same in every process. Received: (seed, call)={named}"
        )
    # Unseeded, every process took a seed from its own `random`: that of the first is used.
    return call.prepare_at(named[0])


def _advanced(generator: Any) -> Any:
    """The next state of Keras' generator.

    Its own `next` computes on the mesh that Keras sets for the call, which fails where the state
    lives on another, and moves the state where it does not fail. Assigning leaves it where it is.
    """
    with lock:
        state = np.asarray(generator.state.value)
        generator.state.assign(state + np.array([0, 1], state.dtype))
    return state


def _extent(index: Any, shape: tuple[int, ...]) -> tuple[Any, ...]:
    """Where a block lies, by which equal blocks are found."""
    return tuple(part.indices(size)[:2] for part, size in zip(index, shape, strict=True))
