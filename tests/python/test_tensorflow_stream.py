"""The tensorflow stream against the vectors of TensorFlow itself; TensorFlow is not needed here.

`tests/backends/on_tensorflow/test_stream.py` compares with a live one.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import reference_philox
import seedbed
from float_modes import MODES, float_modes
from seedbed import _core

VECTORS = Path(__file__).parents[1] / "vectors"
STREAM = "tensorflow"
SAMPLERS = ("uniform", "normal", "truncated_normal")
DTYPES = ("float16", "bfloat16", "float32", "float64")
# Where Keras takes both words of a state modulo this.
PERIOD = 2**31 - 2
# A tensor that holds every row of the tables.
SHAPE = (2**30,)


@pytest.fixture(scope="module", autouse=True)
def _tensorflow_stream() -> Iterator[None]:
    with seedbed.use_stream(STREAM):
        yield


def rows(name: str) -> list[list[str]]:
    lines = (VECTORS / name).read_text().splitlines()
    found = [line.split() for line in lines if not line.startswith("#")]
    assert found
    return found


def source(seed: str, call: str) -> Any:
    """The integer, or the generator after `call` calls."""
    if call == "0":
        return int(seed)
    generator = seedbed.random.SeedGenerator(int(seed))
    for _ in range(int(call)):
        generator.next()
    return generator


def drawn(row: list[str], first: int, count: int) -> np.ndarray:
    sampler, dtype, seed, call, a, b = row[:6]
    values: np.ndarray = getattr(seedbed.random, sampler)(
        SHAPE,
        float(a),
        float(b),
        dtype=dtype,
        seed=source(seed, call),
        index=(slice(first, first + count),),
    )
    return values


def test_known_answers() -> None:
    table = rows("tensorflow_stream.txt")
    assert len(table) > 700
    assert {tuple(row[:2]) for row in table} >= {(s, d) for s in SAMPLERS for d in DTYPES[:3]}
    for row in table:
        expected = [int(word, 16) for word in row[7:]]
        values = drawn(row, int(row[6]), len(expected))
        assert values.view(f"u{values.itemsize}").tolist() == expected, row


def differing() -> list[list[str]]:
    """The rows of digests that do not hold."""
    table = rows("tensorflow_digests.txt")
    assert len(table) == 10
    return [
        row
        for row in table
        if hashlib.sha256(drawn(row, 0, int(row[6])).tobytes()).hexdigest() != row[7]
    ]


def test_any_number_of_threads() -> None:
    before = seedbed.get_num_threads()
    try:
        for threads in (1, 2, 3, 7):
            seedbed.set_num_threads(threads)
            assert differing() == []
    finally:
        seedbed.set_num_threads(before)


@pytest.mark.parametrize("mode", MODES)
def test_floating_point_modes_of_the_caller(mode: str) -> None:
    with float_modes(MODES[mode]):
        found = differing()
    assert found == []


@pytest.mark.parametrize("isa", _core.available_isas())
def test_every_instruction_set(isa: str) -> None:
    code = (
        "import json, seedbed; seedbed.set_stream('tensorflow');"
        "import test_tensorflow_stream as test; print(json.dumps([test.differing(),"
        "test._core.isa()]))"
    )
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    settings = {"SEEDBED_ISA": isa, "PYTHONPATH": path}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | settings,
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout.splitlines()[-1]) == [[], isa]


@settings(max_examples=150, deadline=None)
@given(
    data=st.data(),
    sampler=st.sampled_from(SAMPLERS),
    dtype=st.sampled_from(DTYPES),
    seed=st.integers(-(2**63), 2**63 - 1),
)
def test_blocks_and_outputs(data: st.DataObject, sampler: str, dtype: str, seed: int) -> None:
    shape = data.draw(st.lists(st.integers(1, 40), min_size=1, max_size=3).map(tuple))
    axis = st.tuples(
        st.integers(0, 39) | st.none(),
        st.integers(0, 39) | st.none(),
        st.integers(-5, 5).filter(bool) | st.none(),
    )
    index = tuple(slice(*data.draw(axis)) for _ in shape)
    draw = getattr(seedbed.random, sampler)
    expected = draw(shape, dtype=dtype, seed=seed)[index]
    assert draw(shape, dtype=dtype, seed=seed, index=index).tobytes() == expected.tobytes()
    doubled = tuple(2 * extent for extent in reversed(expected.shape))
    out = np.zeros(doubled, np.dtype(dtype))[tuple(slice(None, None, 2) for _ in doubled)].T
    assert draw(shape, dtype=dtype, seed=seed, index=index, out=out) is out
    assert out.tobytes() == expected.tobytes()


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_tensor_is_the_beginning_of_a_longer_one(sampler: str, dtype: str) -> None:
    draw = getattr(seedbed.random, sampler)
    whole = draw((5000,), dtype=dtype, seed=3)
    for length in (0, 1, 2, 3, 4, 5, 255, 256, 257, 4095, 4097):
        assert draw((length,), dtype=dtype, seed=3).tobytes() == whole[:length].tobytes()
    assert draw((), dtype=dtype, seed=3).tobytes() == whole[:1].tobytes()


class Model:
    """The stream in float64, one value after another, with this machine's C library."""

    def __init__(self, seed: int, call: int) -> None:
        words = [seed % PERIOD, 0, call % PERIOD, 0]
        scrambled = self.philox(words, (0x3EC8F720, 0x02461E29))
        self.key = scrambled[0], scrambled[1]
        self.upper = scrambled[2:]

    @staticmethod
    def philox(counter: list[int], key: tuple[int, int]) -> list[int]:
        words = reference_philox.philox([np.array([word], np.uint64) for word in counter], key)
        return [int(word[0]) for word in words]

    def unit(self, block: int) -> list[float]:
        """The two numbers on [0, 1) of a block."""
        words = self.philox([block % 2**32, block >> 32, *self.upper], self.key)
        pairs = ((words[0], words[1]), (words[2], words[3]))
        return [((a & 0xFFFFF) << 32 | b) * 2.0**-52 for a, b in pairs]

    def normals(self, block: int) -> list[float]:
        """Its two normal values."""
        first, second = self.unit(block)
        radius = math.sqrt(-2.0 * math.log(max(first, 1e-7)))
        angle = 6.283185307179586 * second
        return [math.sin(angle) * radius, math.cos(angle) * radius]

    def truncated(self, group: int) -> list[float]:
        """The two truncated values of a group."""
        values: list[float] = []
        block = 128 * group
        while len(values) < 2:
            values += [value for value in self.normals(block) if abs(value) < 2.0]
            block += 1
        return values[:2]


@pytest.mark.parametrize(("seed", "call"), [(0, 0), (7, 3), (2**40 + 1, 0), (-5, 2)])
def test_float64_is_this_machines_library(seed: int, call: int) -> None:
    model = Model(seed, call)
    units, normals, truncated = (
        np.array([value for block in range(600) for value in of(block)])
        for of in (model.unit, model.normals, model.truncated)
    )
    draw, shape = seedbed.random, (1200,)
    again = source(str(seed), str(call))
    assert draw.uniform(shape, dtype="float64", seed=again).tobytes() == units.tobytes()
    again = source(str(seed), str(call))
    scaled = normals * 0.37 + 0.1
    assert draw.normal(shape, 0.1, 0.37, "float64", again).tobytes() == scaled.tobytes()
    again = source(str(seed), str(call))
    scaled = truncated * 0.37 + 0.1
    assert draw.truncated_normal(shape, 0.1, 0.37, "float64", again).tobytes() == scaled.tobytes()


def test_seeds() -> None:
    normal = seedbed.random.normal
    for seed, same in ((-1, PERIOD - 1), (0, PERIOD), (-(2**63), -(2**63) % PERIOD)):
        assert normal((9,), seed=seed).tobytes() == normal((9,), seed=same).tobytes()
    for seed in (True, False, 2**63, -(2**63) - 1, np.int64(3), 1.0, "1", [1]):
        for make in (
            lambda seed: normal((2,), seed=seed),
            lambda seed: seedbed.initializers.HeNormal(seed=seed)((2, 2)),
            seedbed.random.SeedGenerator,
        ):
            with pytest.raises(ValueError, match="seed"):
                make(seed)
    generator = seedbed.random.SeedGenerator(-5)
    assert normal((9,), seed=generator).tobytes() == normal((9,), seed=-5).tobytes()
    assert normal((9,), seed=generator).tobytes() != normal((9,), seed=-5).tobytes()
    random.seed(4)
    unseeded = normal((9,))
    random.seed(4)
    assert unseeded.tobytes() == normal((9,), seed=random.randint(1, 10**9)).tobytes()
    # What is refused advances no generator.
    before = generator.state.tolist()
    with pytest.raises(ValueError, match="dtype"):
        normal((2,), dtype="complex64", seed=generator)
    assert generator.state.tolist() == before


@pytest.mark.parametrize(
    ("sampler", "arguments", "kind"),
    [
        ("normal", {"dtype": "int32"}, TypeError),
        ("truncated_normal", {"dtype": "bool"}, TypeError),
        ("normal", {"dtype": "nonsense"}, TypeError),
        ("normal", {"dtype": "complex64"}, ValueError),
        ("normal", {"dtype": "float8_e5m2"}, ValueError),
        ("uniform", {"dtype": "int32"}, ValueError),
        ("uniform", {"dtype": "half"}, ValueError),
        ("uniform", {"dtype": "float8_e4m3fn"}, ValueError),
        ("normal", {"stddev": None}, ValueError),
        ("normal", {"stddev": "1"}, TypeError),
        ("normal", {"stddev": 1j}, TypeError),
        ("normal", {"mean": [1.0, 2.0]}, TypeError),
        ("normal", {"mean": np.zeros(2)}, TypeError),
        ("normal", {"mean": 10**400}, ValueError),
        ("normal", {"mean": 2**63, "dtype": "bfloat16"}, ValueError),
        ("uniform", {"minval": "1"}, ValueError),
        ("uniform", {"maxval": None}, ValueError),
        ("uniform", {"maxval": 2**63}, ValueError),
        ("uniform", {"maxval": 1e39}, ValueError),
        ("uniform", {"maxval": 1e39, "dtype": "float64"}, ValueError),
        ("uniform", {"maxval": np.longdouble(1)}, ValueError),
        ("uniform", {"maxval": np.ones(2)}, TypeError),
        ("truncated_normal", {"upper": 3.0}, ValueError),
        ("normal", {"shape": (-1,)}, ValueError),
        ("normal", {"shape": 3}, ValueError),
        ("normal", {"shape": (2.0,)}, ValueError),
    ],
)
def test_what_is_refused(sampler: str, arguments: dict[str, Any], kind: type[Exception]) -> None:
    arguments = {"shape": (2,), "seed": 1, **arguments}
    with pytest.raises(kind, match=r"Received|Invalid dtype"):
        getattr(seedbed.random, sampler)(**arguments)


def test_numbers_become_those_of_the_dtype() -> None:
    normal, uniform = seedbed.random.normal, seedbed.random.uniform
    # Half a unit in the last place and a little: lost where it passes through float32.
    above = 1 + 2.0**-11 + 2.0**-30
    for number, expected in ((above, 1.0), (np.float64(above), 1 + 2.0**-10)):
        assert normal((1,), number, 0.0, "float16", 1)[0] == expected
    for number in (above, np.float64(above)):
        assert uniform((1,), number, number, "float16", 1)[0] == 1.0
    # Bounds of Python are float32s, whatever the dtype; those of NumPy are what they are.
    single = float(np.float32(0.1))
    assert uniform((1,), 0.1, 0.1, "float64", 1)[0] == single
    assert uniform((1,), np.float64(0.1), np.float64(0.1), "float64", 1)[0] == 0.1
    wide = uniform((4, 5), np.float64(-0.1), 0.7, "float64", 9)
    unit = uniform((4, 5), dtype="float64", seed=9)
    high = float(np.float32(0.7))
    assert wide.tobytes() == (unit * (high + 0.1) + np.float64(-0.1)).tobytes()
    block = uniform((4, 5), np.float64(-0.1), 0.7, "float64", 9, index=(1, slice(None, None, -2)))
    assert block.tobytes() == wide[1, ::-2].tobytes()
    odd = 2**24 + 1
    assert uniform((1,), odd, odd, "float64", 1)[0] == odd
    large = 2**62 + 2**38 + 1
    for number, expected in ((large, 2.0**62), (np.int64(large), 2.0**62 + 2.0**39)):
        assert normal((1,), number, 0.0, "float32", 1)[0] == expected
    assert uniform((1,), large, large, "float32", 1)[0] == 2.0**62 + 2.0**39
    assert normal((1,), True, np.array(0.0), "float32", 1)[0] == 1.0
    assert normal((1,), ml_dtypes.bfloat16(0.1), 0.0, "float64", 1)[0] == 0.10009765625


@pytest.mark.parametrize("dtype", DTYPES)
def test_numbers_may_be_infinite(dtype: str) -> None:
    values = seedbed.random.normal((100,), 0.0, math.inf, dtype, 1).astype(np.float64)
    assert np.isinf(values).all()
    assert np.isnan(seedbed.random.normal((9,), 0.0, math.nan, dtype, 1).astype(np.float64)).all()
    values = seedbed.random.uniform((100,), 0.0, -1.0, dtype, 1).astype(np.float64)
    assert ((values <= 0) & (values > -1)).all()


def test_initializers_are_keras_compositions_of_the_samplers() -> None:
    shape, seed = (3, 3, 8, 16), 11
    fan_in, fan_out = 72, 144
    for dtype in DTYPES:
        deviation = math.sqrt(2.0 / fan_in) / 0.87962566103423978
        expected = seedbed.random.truncated_normal(shape, 0.0, deviation, dtype, seed)
        made = seedbed.initializers.HeNormal(seed=seed)(shape, dtype)
        assert made.tobytes() == expected.tobytes()
        limit = math.sqrt(3.0 * (1.0 / ((fan_in + fan_out) / 2.0)))
        expected = seedbed.random.uniform(shape, -limit, limit, dtype, seed)
        made = seedbed.initializers.GlorotUniform(seed=seed)(shape, dtype)
        assert made.tobytes() == expected.tobytes()
    scale = np.float32(0.3)
    deviation = math.sqrt(scale / 72.0)
    made = seedbed.initializers.VarianceScaling(scale, distribution="untruncated_normal", seed=1)
    expected = seedbed.random.normal(shape, 0.0, deviation, seed=1)
    assert made(shape).tobytes() == expected.tobytes()


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("shape", [(5, 5), (2, 3, 9), (40, 7), (7, 40), (1, 1), (0, 3)])
def test_orthogonal_is_the_factor_of_the_streams_gaussian(shape: Any, dtype: str) -> None:
    rows, columns = math.prod(shape[:-1]), shape[-1]
    tall = (max(rows, columns), min(rows, columns))
    gaussian = seedbed.random.normal(tall, dtype=dtype, seed=5).astype(np.float64)
    q, r = np.linalg.qr(gaussian)
    q = q * np.sign(np.diag(r))
    expected = (q.T if rows < columns else q).reshape(shape) * 1.5
    made = seedbed.initializers.Orthogonal(1.5, seed=5)(shape, dtype)
    assert made.dtype == dtype
    # Three roundings to the dtype, of numbers up to 1.5.
    bound = 3 * float(np.finfo(dtype).eps) + 1e-12
    assert np.abs(made.astype(np.float64) - expected).max(initial=0.0) <= bound


def test_orthogonal_refuses_what_tensorflow_does_not_factor() -> None:
    make = seedbed.initializers.Orthogonal(seed=1)
    for dtype in ("bfloat16", "float8_e5m2", "complex64"):
        with pytest.raises(ValueError, match="dtype"):
            make((3, 3), dtype)
    with pytest.raises(TypeError, match="dtype"):
        make((3, 3), "int32")
    with pytest.raises(ValueError, match="at least two-dimensional"):
        make((3,))


def test_seeds_of_names_are_seeds_of_keras() -> None:
    # The command gives a tensor the low 32 bits of its name's seed.
    from seedbed._streams import rules_of

    assert rules_of(STREAM).folded(2**63 + 5) == 5


def test_tensorflow_is_not_imported() -> None:
    code = (
        "import sys, seedbed; seedbed.random.normal((3,), seed=1, stream='tensorflow');"
        "seedbed.initializers.HeNormal(seed=1, stream='tensorflow')((3, 3));"
        "assert not {'tensorflow', 'keras'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
