"""`install`, `uninstall`, `installed`: whom they serve, and that Keras comes back as it was."""

import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import keras
import keras_hub
import numpy as np
import pytest

import seedbed
import seedbed.keras
from cases import LAYERS, RANDOM, data, kernels, subclass_of, value
from seedbed import initializers as on_numpy
from seedbed.keras import _install, initializers

PATCHED = ["RandomNormal", "RandomUniform", "TruncatedNormal", "VarianceScaling", "Orthogonal"]
ORIGINALS = {name: getattr(keras.initializers, name).__call__ for name in PATCHED}
GET = keras.initializers.get


@pytest.fixture(autouse=True)
def _leaves_keras_as_it_was() -> Any:
    yield
    assert not _install._replaced
    for name, original in ORIGINALS.items():
        assert getattr(keras.initializers, name).__call__ is original
    assert keras.initializers.get is GET


def native(name: str, seed: Any, shape: Any = (6, 5), **kwargs: Any) -> bytes:
    return bytes(getattr(on_numpy, name)(seed=seed, **RANDOM[name])(shape, **kwargs).tobytes())


@pytest.mark.parametrize("name", RANDOM)
def test_keras_classes_draw_here(name: str) -> None:
    kind, arguments = getattr(keras.initializers, name), RANDOM[name]
    before = kind(seed=1, **arguments)
    own = data(before((6, 5)))
    users = subclass_of(kind)(seed=1, **arguments)
    layer = keras.layers.Dense(5, kernel_initializer=before)
    seedbed.keras.install()
    try:
        layer.build((None, 6))
        for drawn in (
            before((6, 5)),
            before(shape=(6, 5), dtype="float32"),
            kind(seed=1, **arguments)((6, 5), "float32"),
            users((6, 5)),
            layer.kernel,
            keras.Variable(before, (6, 5)),
        ):
            assert data(drawn) == native(name, 1) != own
        assert keras.saving.serialize_keras_object(before)["registered_name"] is None
    finally:
        seedbed.keras.uninstall()
    assert data(before((6, 5))) == own


def test_what_is_not_touched() -> None:
    class Own(keras.initializers.HeNormal):
        def __call__(self, shape: Any, dtype: Any = None) -> Any:
            return keras.ops.ones(shape, dtype)

    def outcomes() -> list[bytes]:
        return [
            data(keras.random.normal((4, 4), seed=1)),
            data(keras.random.dropout(keras.ops.ones((4, 4)), 0.5, seed=1)),
            data(Own()((2, 2))),
            data(keras.initializers.Zeros()((2, 2))),
        ]

    before = outcomes()
    with seedbed.keras.installed():
        assert outcomes() == before


def test_set_random_seed_governs_names_and_defaults() -> None:
    def build() -> bytes:
        keras.utils.set_random_seed(5)
        layer = keras.layers.Dense(8)
        layer.build((None, 8))
        return data(layer.kernel)

    with seedbed.keras.installed():
        assert build() == build()


def test_streams_and_nesting() -> None:
    init = keras.initializers.HeNormal(seed=1)
    own = data(init((6, 5)))
    numpys = native("HeNormal", 1, dtype="float32") and bytes(
        on_numpy.HeNormal(seed=1, stream="numpy")((6, 5)).tobytes()
    )
    with seedbed.keras.installed("numpy"):
        assert data(init((6, 5))) == numpys
        with seedbed.keras.installed():
            assert data(init((6, 5))) == native("HeNormal", 1)
            with seedbed.use_stream("numpy"):
                assert data(init((6, 5))) == numpys
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                with seedbed.keras.installed("keras"):
                    assert data(init((6, 5))) == own
        assert data(init((6, 5))) == numpys
    assert data(init((6, 5))) == own


@pytest.mark.parametrize("name", RANDOM)
def test_the_stream_of_keras_is_exact(name: str) -> None:
    for seed in (0, 1, 12345, 2**31 - 1):
        for dtype in ("float32", "float16", "bfloat16", "float64"):
            for shape in ((6, 5), (3, 3, 4, 8), (300, 200)):
                init = getattr(keras.initializers, name)(seed=seed, **RANDOM[name])
                try:
                    own = init(shape, dtype)
                except Exception as error:
                    with seedbed.keras.installed("keras"), pytest.raises(type(error)):
                        init(shape, dtype)
                    continue
                with seedbed.keras.installed("keras"):
                    drawn = init(shape, dtype)
                assert drawn.dtype == own.dtype
                assert data(drawn) == data(own)
    ours = getattr(initializers, name)(seed=3, stream="keras", **RANDOM[name])((9, 9))
    assert data(ours) == data(getattr(keras.initializers, name)(seed=3, **RANDOM[name])((9, 9)))


MODELS: dict[str, Any] = {
    "gpt2": lambda: keras_hub.models.GPT2Backbone(
        vocabulary_size=90, num_layers=2, num_heads=2, hidden_dim=16, intermediate_dim=32
    ),
    "gemma": lambda: keras_hub.models.GemmaBackbone(
        vocabulary_size=90,
        num_layers=2,
        num_query_heads=4,
        num_key_value_heads=1,
        hidden_dim=16,
        intermediate_dim=32,
        head_dim=8,
    ),
    "bert": lambda: keras_hub.models.BertBackbone(
        vocabulary_size=90, num_layers=2, num_heads=2, hidden_dim=16, intermediate_dim=32
    ),
    "resnet": lambda: keras_hub.models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[7],
        stackwise_num_filters=[64, 64],
        stackwise_num_blocks=[1, 1],
        stackwise_num_strides=[1, 2],
        block_type="basic_block",
    ),
    "vit": lambda: keras_hub.models.ViTBackbone(
        image_shape=(16, 16, 3),
        patch_size=8,
        num_layers=2,
        num_heads=2,
        hidden_dim=16,
        mlp_dim=32,
    ),
    "t5": lambda: keras_hub.models.T5Backbone(
        vocabulary_size=90, num_layers=2, num_heads=2, hidden_dim=16, intermediate_dim=32
    ),
    "mobilenet": lambda: keras.applications.MobileNetV2(
        input_shape=(32, 32, 3), alpha=0.35, weights=None, classes=10
    ),
    "convnext": lambda: keras.applications.ConvNeXtTiny(
        input_shape=(32, 32, 3), weights=None, include_top=False
    ),
}


def weights_of(name: str) -> list[tuple[Any, bytes]]:
    keras.utils.set_random_seed(11)
    model = MODELS[name]()
    return [(tuple(v.shape), data(v)) for v in model.weights]


# Without values, as in a symbolic build on NumPy, the hub's own code warns.
@pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore:Layer .* looks like:UserWarning")
@pytest.mark.parametrize("name", MODELS)
def test_models_of_others(name: str) -> None:
    own = weights_of(name)
    with seedbed.keras.installed("keras"):
        assert weights_of(name) == own
    with seedbed.keras.installed():
        ours = weights_of(name)
    assert [shape for shape, _ in ours] == [shape for shape, _ in own]

    def equal(weights: Any) -> set[tuple[int, int]]:
        return {(i, j) for j, b in enumerate(weights) for i, a in enumerate(weights[:j]) if a == b}

    assert equal(ours) == equal(own)
    different = sum(a != b for a, b in zip(ours, own, strict=True))
    assert different >= sum(len(shape) > 1 for shape, _ in own) // 2


def test_threads_build_models_at_once() -> None:
    init = keras.initializers.HeNormal(seed=1)
    own, ours = data(init((64, 64))), native("HeNormal", 1, (64, 64))
    numpys = bytes(on_numpy.HeNormal(seed=1, stream="numpy")((64, 64)).tobytes())
    start = threading.Barrier(3)

    def build(expected: bytes, scope: Any) -> None:
        start.wait()
        for _ in range(20):
            with scope() if scope else warnings.catch_warnings():
                layer = keras.layers.Dense(64, kernel_initializer=init)
                layer.build((None, 64))
                assert data(layer.kernel) == expected

    with ThreadPoolExecutor(3) as pool:
        jobs = [
            pool.submit(build, own, None),
            pool.submit(build, ours, seedbed.keras.installed),
            pool.submit(build, numpys, lambda: seedbed.keras.installed("numpy")),
        ]
        for job in jobs:
            job.result()

    seedbed.keras.install()
    try:
        with ThreadPoolExecutor(4) as pool:
            start = threading.Barrier(4)
            for job in [pool.submit(build, ours, None) for _ in range(4)]:
                job.result()
    finally:
        seedbed.keras.uninstall()


def test_blocks_of_threads_that_begin_and_end_at_once() -> None:
    init = keras.initializers.HeNormal(seed=1)
    ours = native("HeNormal", 1)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)

    def blocks(_: int) -> bool:
        for _ in range(300):
            with seedbed.keras.installed():
                if data(init((6, 5))) != ours:
                    return False
        return True

    try:
        with ThreadPoolExecutor(4) as pool:
            assert all(pool.map(blocks, range(4)))
    finally:
        sys.setswitchinterval(interval)
    assert _install._scopes == 0


def test_generators_of_threads_give_each_state_once() -> None:
    init = initializers.HeNormal(seed=keras.random.SeedGenerator(3))
    with ThreadPoolExecutor(4) as pool:
        drawn = list(pool.map(lambda _: data(init((4, 4))), range(40)))
    assert len(set(drawn)) == 40


def test_installing_twice() -> None:
    seedbed.keras.install()
    seedbed.keras.install()
    with pytest.raises(ValueError, match="`stream` must be None, which is installed"):
        seedbed.keras.install("numpy")
    seedbed.keras.uninstall()
    with pytest.raises(RuntimeError, match="`uninstall`"):
        seedbed.keras.uninstall()
    with pytest.raises(ValueError, match="`stream`"):
        seedbed.keras.install("no such")
    with pytest.raises(ValueError, match="`stream`"), seedbed.keras.installed("no such"):
        pass


def test_a_scope_outlives_uninstall() -> None:
    init = keras.initializers.HeNormal(seed=1)
    seedbed.keras.install()
    with seedbed.keras.installed():
        seedbed.keras.uninstall()
        assert data(init((6, 5))) == native("HeNormal", 1)
    assert data(init((6, 5))) != native("HeNormal", 1)


def test_a_scope_counts_before_the_process_and_ends() -> None:
    init = keras.initializers.HeNormal(seed=1)
    numpys = bytes(on_numpy.HeNormal(seed=1, stream="numpy")((6, 5)).tobytes())
    seedbed.keras.install()
    try:
        with seedbed.keras.installed("numpy"):
            assert data(init((6, 5))) == numpys
        assert data(init((6, 5))) == native("HeNormal", 1)
    finally:
        seedbed.keras.uninstall()


def test_failures_leave_keras_working(monkeypatch: Any) -> None:
    init = keras.initializers.HeNormal(seed=1)
    own = data(init((6, 5)))

    def fails(by_keras: Any) -> Any:
        raise MemoryError

    monkeypatch.setattr(_install, "_get_of", fails)
    with pytest.raises(MemoryError):
        seedbed.keras.install()
    monkeypatch.undo()
    assert data(init((6, 5))) == own

    class Sealed:
        get = property(lambda self: GET)  # which cannot be set

    # The classes are replaced before, and come back.
    monkeypatch.setattr(_install, "registries_of_get", lambda: [Sealed()])
    with pytest.raises(AttributeError):
        seedbed.keras.install()
    monkeypatch.undo()
    assert not _install._replaced
    assert data(init((6, 5))) == own
    with pytest.raises(KeyError), seedbed.keras.installed():
        raise KeyError
    with seedbed.keras.installed():
        assert data(init((6, 5))) == native("HeNormal", 1)


def test_what_others_replaced_meanwhile_is_left() -> None:
    seedbed.keras.install()
    ours = keras.initializers.RandomNormal.__call__

    def others(self: Any, shape: Any, dtype: Any = None) -> Any:
        return ours(self, shape, dtype)

    keras.initializers.RandomNormal.__call__ = others
    with pytest.warns(UserWarning, match="RandomNormal.__call__` was replaced"):
        seedbed.keras.uninstall()
    assert keras.initializers.RandomNormal.__call__ is others
    keras.initializers.RandomNormal.__call__ = ORIGINALS["RandomNormal"]


def test_initializers_on_numpy_are_taken_for_keras_classes() -> None:
    with seedbed.keras.installed():
        for seed in (1, 2**60):
            layer = LAYERS["multi_head_attention"](on_numpy.GlorotUniform(seed=seed))
            reference = LAYERS["multi_head_attention"](initializers.GlorotUniform(seed=seed))
            for mine, theirs in zip(kernels(layer), kernels(reference), strict=True):
                assert data(mine) == data(theirs)
        dense = keras.layers.Dense(3, kernel_initializer=on_numpy.HeNormal(seed=1))
        assert type(dense.kernel_initializer) is keras.initializers.HeNormal
        dense = keras.layers.Dense(3, kernel_initializer=on_numpy.HeNormal(seed=2**40))
        assert type(dense.kernel_initializer) is initializers.HeNormal
        dense = keras.layers.Dense(3, bias_initializer=on_numpy.Constant(2.0))
        assert type(dense.bias_initializer) is keras.initializers.Constant
        unseeded = on_numpy.HeNormal()
        dense = keras.layers.Dense(3, kernel_initializer=unseeded)
        assert dense.kernel_initializer.seed == unseeded.seed
        assert dense.kernel_initializer.get_config()["seed"] is None
        generator = seedbed.random.SeedGenerator(3)
        dense = keras.layers.Dense(3, kernel_initializer=on_numpy.HeNormal(seed=generator))
        assert dense.kernel_initializer.seed is generator


def test_stored_models_are_plain_keras(tmp_path: Any) -> None:
    with seedbed.keras.installed():
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    assert "seedbed" not in model.to_json()
    weights = [value(w) for w in model.weights]
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert all(np.array_equal(value(a), b) for a, b in zip(loaded.weights, weights, strict=True))
