"""Tensors over eight devices: the values of the whole, and each block alone."""

import contextvars
import inspect
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import keras
import numpy as np
import pytest

import seedbed
import seedbed.keras
from cases import RANDOM, data
from seedbed import initializers as on_numpy
from seedbed.keras import _sharding, initializers
from seedbed.keras._call import Call
from seedbed.keras._private import jax_is_tracing

P = jax.sharding.PartitionSpec


def shardings() -> list[Any]:
    devices = np.array(jax.devices())
    assert len(devices) == 8
    found = [jax.sharding.SingleDeviceSharding(devices[3])]
    for count in (1, 2, 4, 8):
        mesh = jax.sharding.Mesh(devices[:count], ("x",))
        found += [jax.sharding.NamedSharding(mesh, spec) for spec in (P(), P("x"), P(None, "x"))]
    mesh = jax.sharding.Mesh(devices.reshape(4, 2), ("x", "y"))
    specs = (P("x"), P("y", "x"), P(None, ("x", "y")), P(("y", "x"), None))
    found += [jax.sharding.NamedSharding(mesh, spec) for spec in specs]
    return found


@pytest.mark.parametrize("name", RANDOM)
def test_any_partitioning_gives_the_whole(name: str) -> None:
    for stream in ("philox", "numpy"):
        init = getattr(initializers, name)(seed=5, stream=stream, **RANDOM[name])
        whole = getattr(on_numpy, name)(seed=5, stream=stream, **RANDOM[name])((16, 24), "float32")
        for sharding in shardings():
            drawn = init((16, 24), "float32", layout=sharding)
            assert drawn.sharding == sharding
            assert np.array_equal(drawn, whole)


def distribution(**kwargs: Any) -> Any:
    mesh = keras.distribution.DeviceMesh((4, 2), ["model", "batch"], jax.devices())
    layouts = keras.distribution.LayoutMap(mesh)
    layouts[".*kernel"] = ("model", None)
    layouts[".*embeddings"] = ("model", None)
    return keras.distribution.ModelParallel(layout_map=layouts, batch_dim_name="batch", **kwargs)


SEEDS: dict[str, Any] = {
    "int": lambda: 2**60,
    "generator of Keras": lambda: keras.random.SeedGenerator(7),
    "generator of seedbed": lambda: seedbed.random.SeedGenerator(2**50),
}


@pytest.mark.parametrize("inside", [True, False])
@pytest.mark.parametrize("seed", SEEDS)
def test_model_parallel(seed: str, inside: bool) -> None:
    outer = SEEDS[seed]()
    with distribution().scope():
        # A generator lives on the distribution's mesh if it was made under it.
        init = initializers.HeNormal(seed=SEEDS[seed]() if inside else outer)
        drawn = []
        for _ in range(2):
            layer = keras.layers.Dense(16, kernel_initializer=init)
            layer.build((None, 32))
            assert layer.kernel.value.sharding.spec == P("model", None)
            assert {s.data.shape for s in layer.kernel.value.addressable_shards} == {(8, 16)}
            drawn.append(data(layer.kernel))
    twin = initializers.HeNormal(seed=SEEDS[seed]())
    assert drawn == [data(twin((32, 16))) for _ in range(2)]


def test_installed_in_distributions() -> None:
    for make in (distribution, keras.distribution.DataParallel):
        with make().scope():
            keras.utils.set_random_seed(3)
            own = keras.layers.Dense(16)
            own.build((None, 32))
            mean = keras.ops.ones((4,))
            for stream in (None, "keras"):
                with seedbed.keras.installed(stream):
                    keras.utils.set_random_seed(3)
                    layer = keras.layers.Dense(16)
                    layer.build((None, 32))
                    kernel = layer.kernel.value
                    assert kernel.sharding.is_equivalent_to(own.kernel.value.sharding, 2)
                    assert (data(kernel) == data(own.kernel)) == (stream == "keras")
                    # What seedbed cannot draw is Keras', and laid out as well.
                    initializer = keras.initializers.RandomNormal(mean, 0.1, seed=1)
                    odd = keras.Variable(initializer, (8, 4), name="odd_kernel")
                    assert odd.value.sharding.mesh.size == 8


def test_who_is_not_served_has_layouts_as_before() -> None:
    def build() -> Any:
        layer = keras.layers.Dense(16, kernel_initializer=keras.initializers.HeNormal(1))
        layer.build((None, 32))
        return layer.kernel.value

    with distribution().scope():
        own = build()
        with seedbed.keras.installed():
            # Keras asks the signature whether an initializer lays out what it makes.
            assert "layout" in inspect.signature(keras.initializers.HeNormal.__call__).parameters
            other = contextvars.Context().run(build)
    assert other.sharding.is_equivalent_to(own.sharding, 2)
    assert data(other) == data(own)


def test_generators_of_threads_give_each_state_once() -> None:
    init = initializers.HeNormal(seed=keras.random.SeedGenerator(3))
    mesh = jax.sharding.Mesh(np.array(jax.devices()), ("x",))
    sharding = jax.sharding.NamedSharding(mesh, P("x"))
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            drawn = list(pool.map(lambda _: data(init((8, 4), layout=sharding)), range(200)))
    finally:
        sys.setswitchinterval(interval)
    assert len(set(drawn)) == 200


@pytest.mark.parametrize("whole", [1 << 20, 8])
@pytest.mark.parametrize("seed", ["int", "generator"])
def test_what_keras_draws_is_laid_out(seed: str, whole: int, monkeypatch: Any) -> None:
    traced = []
    by_keras = Call.by_keras

    def recorded(call: Call) -> Any:
        traced.append(jax_is_tracing())
        return by_keras(call)

    monkeypatch.setattr(Call, "by_keras", recorded)
    monkeypatch.setattr(_sharding, "_WHOLE", whole)
    mean = np.ones(4)  # as a tensor, which is no number
    ours, theirs = (
        library.RandomNormal(
            keras.ops.convert_to_tensor(mean),
            0.1,
            seed=keras.random.SeedGenerator(7) if seed == "generator" else 7,
        )
        for library in (initializers, keras.initializers)
    )
    mesh = jax.sharding.Mesh(np.array(jax.devices()), ("x",))
    sharding = jax.sharding.NamedSharding(mesh, P("x"))
    for _ in range(2):
        drawn = ours((8, 4), "float32", layout=sharding)
        assert drawn.sharding == sharding
        assert np.array_equal(drawn, theirs((8, 4), "float32"))
    # A program lays out what is large in parts; it could not advance a generator.
    assert traced == [whole == 8 and seed == "int"] * 2


def test_models_train_where_they_are_laid_out() -> None:
    with distribution().scope(), seedbed.keras.installed():
        model = keras.Sequential(
            [keras.Input((16,)), keras.layers.Dense(32, "relu"), keras.layers.Dense(4)]
        )
        model.compile("sgd", "mse")
        history = model.fit(np.ones((16, 16)), np.ones((16, 4)), epochs=2, verbose=0)
    losses = history.history["loss"]
    assert losses[1] < losses[0]


def test_each_distinct_block_is_drawn_once(monkeypatch: Any) -> None:
    drawn: list[Any] = []
    settle = _sharding._agreed

    class Counted:
        def __init__(self, draw: Any) -> None:
            self._draw = draw

        def draw(self, index: Any = None) -> Any:
            block = self._draw.draw(index)
            drawn.append(block.shape)
            return block

    monkeypatch.setattr(_sharding, "_agreed", lambda *args: Counted(settle(*args)))
    with distribution().scope():
        keras.layers.Dense(16, kernel_initializer=initializers.HeNormal(1)).build((None, 32))
    assert drawn == [(8, 16)] * 4
    drawn.clear()
    with distribution().scope():
        keras.layers.Dense(16, kernel_initializer=initializers.Orthogonal(1)).build((None, 32))
    assert drawn == [(32, 16)]  # of which no part is made alone


def test_wrong_layouts() -> None:
    init = initializers.HeNormal(seed=1)
    mesh = jax.sharding.Mesh(np.array(jax.devices()), ("x",))
    with pytest.raises(ValueError, match=r"`layout` must divide the shape \(30, 4\)"):
        init((30, 4), layout=jax.sharding.NamedSharding(mesh, P("x")))
    with pytest.raises(ValueError, match=r"`layout`"):
        init((32,), layout=jax.sharding.NamedSharding(mesh, P(None, "x")))
    with pytest.raises(ValueError, match="`layout`"):
        init((32, 4), layout=("x", None))
    abstract = jax.sharding.NamedSharding(mesh.abstract_mesh, P("x"))
    with pytest.raises(ValueError, match="`layout`"):
        init((32, 4), layout=abstract)
    keras_mesh = keras.distribution.DeviceMesh((8,), ["x"], jax.devices())
    with pytest.raises(ValueError, match="Layout"):
        init((32, 4), layout=keras.distribution.TensorLayout(["no such", None], keras_mesh))
    assert init((32, 4), layout=None).shape == (32, 4)


TWO = """
import sys, random
sys.modules["tensorflow"] = None  # which Keras imports where it can
import jax
process, port, unseeded = int(sys.argv[1]), sys.argv[2], sys.argv[3] == "unseeded"
jax.config.update("jax_cpu_collectives_implementation", "gloo")
jax.distributed.initialize(f"127.0.0.1:{port}", num_processes=2, process_id=process)
import keras, numpy as np
from keras.src.backend import distribution_lib
import seedbed
from seedbed.keras import initializers, _sharding
from seedbed import initializers as on_numpy
if sys.argv[3] == "seeded":
    distribution_lib.initialize_rng()
else:
    random.seed(process)
mesh = keras.distribution.DeviceMesh((4, 2), ["model", "batch"], jax.devices())
layouts = keras.distribution.LayoutMap(mesh)
layouts[".*kernel"] = ("model", None)
results = []
with keras.distribution.ModelParallel(layout_map=layouts, batch_dim_name="batch").scope():
    if sys.argv[3] == "torn":
        try:
            init = initializers.HeNormal(seed=process)
            keras.layers.Dense(16, kernel_initializer=init, use_bias=False).build((None, 32))
        except ValueError as error:
            print("refused", str(error).count("`seed`") > 0)
        sys.exit()
    for seed in (None, 2**60, seedbed.random.SeedGenerator(5), keras.random.SeedGenerator(6)):
        init = initializers.HeNormal(seed=seed)
        if unseeded and seed is not None:
            continue
        layer = keras.layers.Dense(16, kernel_initializer=init, use_bias=False)
        layer.build((None, 32))
        shards = layer.kernel.value.addressable_shards
        assert len(shards) == 4
        rows = {s.index[0].start or 0: np.asarray(s.data).tobytes().hex() for s in shards}
        print("rows", sorted(rows.items()))
        if process == 0:
            seed = init.seed if seed is None else seed
            if hasattr(seed, "get_config"):
                seed = seedbed.random.SeedGenerator(seed.get_config()["seed"])
            whole = on_numpy.HeNormal(seed=seed)((32, 16))
            rows = sorted((s, whole[s : s + 8].tobytes().hex()) for s in range(0, 32, 8))
            print("whole", rows)
"""


@pytest.mark.parametrize("kind", ["seeded", "unseeded", "torn"])
def test_two_processes(kind: str) -> None:
    import ast
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    environment = {
        **os.environ,
        "XLA_FLAGS": "--xla_force_host_platform_device_count=4",
    }
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", TWO, str(i), port, kind],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for i in range(2)
    ]
    try:
        ended = [process.communicate(timeout=500) for process in processes]
    finally:
        for process in processes:
            process.kill()
    for process, (_, said) in zip(processes, ended, strict=True):
        assert process.returncode == 0, said
    lines = [out.splitlines() for out, _ in ended]
    if kind == "torn":
        # Blocks of two tensors are not joined.
        refused = [[line for line in out if line.startswith("refused")] for out in lines]
        assert refused == [["refused True"]] * 2  # by both, so that none waits for the other
        return

    def found(process: int, what: str) -> list[dict[int, str]]:
        return [
            dict(ast.literal_eval(line.removeprefix(what)))
            for line in lines[process]
            if line.startswith(what)
        ]

    wholes = found(0, "whole")
    assert len(wholes) == (1 if kind == "unseeded" else 4)
    for first, second, whole in zip(found(0, "rows"), found(1, "rows"), wholes, strict=True):
        assert {**first, **second} == whole
        assert len(first) == len(second) == 2


MEMORY = """
import re, sys
from pathlib import Path
sys.modules["tensorflow"] = None
import jax, keras, numpy as np
from seedbed.keras import initializers

def kib(what):
    return int(re.search(what + r":\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])

size = int(sys.argv[1]) << 10  # KiB
mesh = jax.sharding.Mesh(np.array(jax.devices()), ("x",))
sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("x"))
initializers.HeNormal(seed=1)((1024, 512), "float32", sharding)
Path("/proc/self/clear_refs").write_text("5")  # the peak starts from here
before = kib("VmRSS")
drawn = initializers.HeNormal(seed=1)((size * 256 // 512, 512), "float32", sharding)
drawn.block_until_ready()
print((kib("VmHWM") - before) / size)
"""


def test_memory_is_that_of_the_tensor() -> None:
    # An embedding of 4 GiB: on the processor the devices' memory is the host's, so that the tensor
    # counts once, and a second copy of a block anywhere would show.
    result = subprocess.run(
        [sys.executable, "-c", MEMORY, "4096"], capture_output=True, text=True, timeout=500
    )
    assert result.returncode == 0, result.stderr
    assert 0.99 < float(result.stdout) < 1.02
