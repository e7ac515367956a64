"""Specifications: what a good one means; a bad one is a SpecError that names its place."""

from __future__ import annotations

import contextlib
import hashlib
import tracemalloc
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import seedbed
from plans import assert_refused, parse
from seedbed import initializers
from seedbed._checkpoint import format as file_format
from seedbed._spec.error import SpecError
from seedbed._spec.model import Specification
from seedbed._spec.reader import (
    MAX_SPECIFICATION_BYTES,
    read_specification,
)
from seedbed._streams import rules_of
from seedbed.random import fold_in

EXAMPLES = Path(__file__).parents[2] / "examples"
ONE = '\n[[tensor]]\nname = "w"\nshape = [2, 3]\ninit = "he_normal"\n'


def tensor(
    name: str = '"w"', shape: str = "[2, 3]", init: str = '"he_normal"', more: str = ""
) -> str:
    return f"seed = 1\n[[tensor]]\nname = {name}\nshape = {shape}\ninit = {init}\n{more}\n"


def test_defaults_and_metadata() -> None:
    text = "seed = 18446744073709551615" + ONE
    specification = parse(text)
    [only] = specification.tensors
    assert (only.name, only.shape, only.dtype, only.nbytes) == ("w", (2, 3), np.float32, 24)
    assert specification.metadata() == {
        "format": "pt",
        "seed": "18446744073709551615",
        "stream": "philox",
        "seedbed_version": seedbed.__version__,
        "specification_digest": hashlib.sha256(text.encode()).hexdigest(),
    }


def test_gpt2_xl_has_all_its_parameters() -> None:
    specification = read_specification(str(EXAMPLES / "gpt2-xl.toml"))
    assert specification.elements == 1_557_611_200
    assert specification.nbytes == 2 * 1_557_611_200
    assert len(specification.tensors) == 2 + 48 * 12 + 2
    assert {t.dtype for t in specification.tensors} == {np.dtype(ml_dtypes.bfloat16)}
    by_name = {t.name: t for t in specification.tensors}
    assert by_name["h.47.mlp.c_proj.weight"].shape == (6400, 1600)
    for name, t in by_name.items():
        config = t.initializer().get_config()
        if name.endswith("bias"):
            assert t.init_name == "Zeros"
        elif "ln_" in name:
            assert t.init_name == "Ones"
        elif "c_proj" in name:
            # Two residual branches in each of 48 layers.
            assert config["stddev"] == 0.02 / np.sqrt(96)
        else:
            assert config["stddev"] == 0.02


def test_repeat_makes_the_product_with_the_last_name_fastest() -> None:
    names = [
        t.name for t in parse(tensor('"a.{y}.{x}.{y}"', more="repeat = { y = 2, x = 3 }")).tensors
    ]
    assert names == ["a.0.0.0", "a.0.1.0", "a.0.2.0", "a.1.0.1", "a.1.1.1", "a.1.2.1"]


def test_each_tensor_is_prepared_once_and_those_that_are_equal_together() -> None:
    zeros = '[[tensor]]\nname = "z.{i}"\nrepeat = { i = 3 }\nshape = [4]\ninit = "zeros"\n'
    same = '[[tensor]]\nname = "y"\nshape = [4]\ninit = "zeros"\n'
    other = '[[tensor]]\nname = "x"\nshape = [5]\ninit = "zeros"\n'
    seeded = '[[tensor]]\nname = "w.{i}"\nrepeat = { i = 2 }\nshape = [4]\ninit = "he_normal"\n'
    tensors = parse("seed = 3\n" + zeros + same + other + seeded).tensors
    draws = {t.name: t.prepare() for t in tensors}
    assert len({id(draws[name]) for name in ("z.0", "z.1", "z.2", "y")}) == 1
    assert draws["x"] is not draws["y"]
    for name in ("w.0", "w.1"):
        assert isinstance(draws[name], seedbed.Draw)
        assert (draws[name].shape, draws[name].seed) == ((4,), fold_in(3, name))


def test_the_streams_rules_fold_the_seeds_of_names() -> None:
    for stream in seedbed._core.streams():
        [only] = parse(f'stream = "{stream}"\n' + tensor()).tensors
        assert only.prepare().seed == rules_of(stream).folded(fold_in(1, "w"))
        assert only.prepare().stream == stream
        # That of the initializer wins.
        init = f'{{ class_name = "HeNormal", config = {{ stream = "{stream}" }} }}'
        [only] = parse(tensor(init=init)).tensors
        assert only.prepare().seed == rules_of(stream).folded(fold_in(1, "w"))
        assert only.prepare().stream == stream


def test_values_are_keyed_by_name_alone() -> None:
    def values(specification: Specification) -> dict[str, bytes]:
        found = {}
        for t in specification.tensors:
            found[t.name] = t.prepare().draw().tobytes()
        return found

    a = '[[tensor]]\nname = "a.{i}"\nrepeat = { i = 3 }\nshape = [4, 4]\ninit = "glorot_uniform"\n'
    b = '[[tensor]]\nname = "b"\nshape = [5]\ninit = { class_name = "RandomNormal" }\n'
    first, second = (
        values(parse("seed = 3\n" + a + b)),
        values(parse("seed = 3\n" + b + a.replace("= 3", "= 2"))),
    )
    assert {name: first[name] for name in second} == second
    assert len(set(first.values())) == 4
    expected = initializers.get(
        {"class_name": "GlorotUniform", "config": {"seed": fold_in(3, "a.1")}}
    )
    assert expected((4, 4), dtype="float32").tobytes() == first["a.1"]


def test_an_own_seed_wins() -> None:
    init = '{ class_name = "HeNormal", config = { seed = 5 } }'
    first, second = parse(tensor('"w.{i}"', init=init, more="repeat = { i = 2 }")).tensors
    assert (
        first.initializer().get_config()["seed"] == second.initializer().get_config()["seed"] == 5
    )


@pytest.mark.parametrize(
    "init", ["he_normal", "HeNormal", "glorot_uniform", "zeros", "Ones", "orthogonal", "identity"]
)
def test_identifiers_are_those_of_get(init: str) -> None:
    [as_string] = parse(tensor(init=f'"{init}"')).tensors
    assert type(as_string.initializer()) is type(initializers.get(init))


def test_serialized_form_of_keras_is_understood() -> None:
    init = (
        '{ module = "keras.initializers", class_name = "VarianceScaling", '
        'config = { scale = 2.0, mode = "fan_out", distribution = "uniform" } }'
    )
    [only] = parse(tensor(init=init)).tensors
    assert only.initializer().get_config()["scale"] == 2.0
    assert only.initializer().get_config()["seed"] == fold_in(1, "w")


def test_exact_streams_take_the_low_half_of_the_names_seed() -> None:
    [only] = parse('stream = "numpy"\n' + tensor()).tensors
    assert only.initializer().get_config()["seed"] == fold_in(1, "w") % 2**32
    written = only.prepare().draw()
    seed = fold_in(1, "w") % 2**32
    expected = initializers.HeNormal(seed=seed, stream="numpy")((2, 3))
    np.testing.assert_array_equal(written, expected)


def test_scalars_and_empty_tensors_are_allowed() -> None:
    assert parse(tensor(shape="[]", init='"ones"')).tensors[0].elements == 1
    assert parse(tensor(shape="[0, 7]", init='"he_normal"')).tensors[0].elements == 0


MALFORMED = [
    # text, what the message says, in order
    ("", ["`seed`", "is missing"]),
    (ONE, ["`seed`", "is missing"]),
    ("seed = 1", ["`tensor`", "is missing"]),
    ("seed = 1\ntensor = []", ["`tensor`", "one or more [[tensor]] tables"]),
    ("seed = 1\ntensor = 5", ["`tensor`", "Received: 5"]),
    ("seed = 1\ntensor = [3]", ["`tensor`", "Received: [3]"]),
    ("seed = 1\n[tensor]\nname = 'w'", ["`tensor`", "[[tensor]]"]),
    ("seed = -1" + ONE, ["`seed`", "0..18446744073709551615", "Received: -1"]),
    ("seed = 18446744073709551616" + ONE, ["`seed`", "Received: 18446744073709551616"]),
    ("seed = true" + ONE, ["`seed`", "Received: True"]),
    ("seed = 1.0" + ONE, ["`seed`", "Received: 1.0"]),
    ('seed = "1"' + ONE, ["`seed`", "Received: '1'"]),
    ("seed = 0x" + "f" * 9999 + ONE, ["`seed`", "Received"]),
    ("seed = " + "9" * 9999 + ONE, ["m.toml"]),
    ("seed = 1\nseeds = 2" + ONE, ["`seeds`", "is not a key", "seed, dtype, stream, tensor"]),
    ('seed = 1\nstream = "mersenne"' + ONE, ["`stream`", "philox", "Received: 'mersenne'"]),
    ("seed = 1\nstream = ['philox']" + ONE, ["`stream`", "Received: ['philox']"]),
    ('seed = 1\ndtype = "float33"' + ONE, ["`dtype`", "bfloat16", "Received: 'float33'"]),
    ('seed = 1\ndtype = "complex64"' + ONE, ["`dtype`", "Received: 'complex64'"]),
    ("seed = 1\ndtype = 32" + ONE, ["`dtype`", "Received: 32"]),
    ("seed = ", ["is not TOML", "end of document"]),
    ("seed = 1\nseed = 2" + ONE, ["is not TOML"]),
    ("a = " + "[" * 5000, ["m.toml"]),
    ("seed = 1\n[[tensor]]\nshape = [1]\ninit = 'zeros'", ["tensor 1:", "`name`", "is missing"]),
    (
        "seed = 1\n[[tensor]]\nname = 'w'\ninit = 'zeros'",
        ["tensor 1 (`w`):", "`shape`", "is missing"],
    ),
    ("seed = 1\n[[tensor]]\nname = 'w'\nshape = [1]", ["tensor 1 (`w`):", "`init`", "is missing"]),
    (tensor("5"), ["tensor 1:", "`name`", "Received: 5"]),
    (tensor('""'), ["`name`", "non-empty"]),
    (tensor('"__metadata__"'), ["`name`", "reserved"]),
    *(
        (
            tensor(f'"a\\u00{code}b"'),
            [f"tensor 1 (`a{shown}b`):", "`name`", f"Received: 'a{shown}b'"],
        )
        for code, shown in (("1b", r"\x1b"), ("0a", r"\n"), ("7f", r"\x7f"), ("9b", r"\x9b"))
    ),
    # What a message repeats is escaped, whatever it is.
    (tensor(more='"\\u001b[31m" = 1'), [r"`\x1b[31m`", "is not a key"]),
    (tensor(init='{ class_name = "\\u001b[31m" }'), ["`init`", r"\x1b[31m"]),
    (
        tensor('"w.{i}"', more='repeat = { "\\u001b" = 2 }'),
        [r"`repeat.\x1b`", "like a variable"],
    ),
    # Far below the limit in characters, above it in bytes.
    (
        tensor('"' + "字" * 40 + '.{i}"', more="repeat = { i = 700000 }"),
        ["tensor 1 (", "`name`", "header longer than 100000000 bytes"],
    ),
    (
        tensor(more="shapes = 1"),
        ["tensor 1 (`w`):", "`shapes`", "name, shape, init, dtype, repeat"],
    ),
    (tensor(shape="3"), ["`shape`", "array of integers", "Received: 3"]),
    (tensor(shape="[2, -3]"), ["`shape[1]`", ">= 0", "Received: -3"]),
    (tensor(shape="[2.0]"), ["`shape[0]`", "Received: 2.0"]),
    (tensor(shape="[true]"), ["`shape[0]`", "Received: True"]),
    (tensor(shape='["2 x"]'), ["`shape[0]`", "`x` at character 3", "Received: '2 x'"]),
    (tensor(shape="[[2]]"), ["`shape[0]`", "Received: [2]"]),
    (tensor(shape="[9223372036854775808]"), ["`shape[0]`", "at most 9223372036854775807"]),
    (
        tensor(shape="[4294967296, 4294967296]"),
        ["`shape`", "larger than 9223372036854775807 bytes"],
    ),
    (tensor(shape="[0, 4294967296, 4294967296]"), ["`shape`", "larger than"]),
    (tensor(shape="[2305843009213693952]", init='"zeros"'), ["`shape`", "larger than"]),
    (tensor(shape="[1" + ", 1" * 64 + "]"), ["`shape`", "at most 64 dimensions"]),
    (
        tensor('"w.{i}"', "[576460752303423488]", '"zeros"', more="repeat = { i = 9 }"),
        ["`shape`", "makes the file larger"],
    ),
    (tensor(more='dtype = "int4"'), ["`dtype`", "Received: 'int4'"]),
    (tensor(more='dtype = "int32"'), ["tensor 1 (`w`):", "`init`"]),
    (tensor(init="5"), ["`init`", "string or a table", "Received: 5"]),
    (tensor(init="['zeros']"), ["`init`", "Received: ['zeros']"]),
    (tensor(init="'hee_normal'"), ["`init`", "hee_normal"]),
    (tensor(init="''"), ["`init`"]),
    (tensor(init="'Initializer'"), ["`init`", "base class", "--help", "'Initializer'"]),
    (tensor(init="'initializer'"), ["`init`", "base class", "--help", "'initializer'"]),
    (tensor(init="{ class_name = 'Initializer' }"), ["`init`", "base class"]),
    (tensor(init="'kaiming_normal'"), ["`init`", "kaiming_normal", "mean `he_normal`?"]),
    (tensor(init="'KaimingUniform'"), ["`init`", "KaimingUniform", "mean `he_uniform`?"]),
    (tensor(init="'xavier_uniform_'"), ["`init`", "xavier", "mean `glorot_uniform`?"]),
    (tensor(init="'trunc_normal_'"), ["`init`", "trunc_normal_", "mean `truncated_normal`?"]),
    (tensor(init="'he_nrmal'"), ["`init`", "he_nrmal", "mean `he_normal`?"]),
    (tensor(init="'OrthogonalInit'"), ["`init`", "OrthogonalInit", "mean `orthogonal`?"]),
    (tensor(init="'eye'"), ["`init`", "eye", "mean `identity`?"]),
    (tensor(init="{ class_name = 'HeNromal' }"), ["`init`", "HeNromal", "mean `he_normal`?"]),
    (tensor(init="'zzz'"), ["`init`", "zzz", "`seedbed init --help` lists the names"]),
    (tensor(init="'" + "x" * 9999 + "'"), ["`init`", "xxx", "lists the names"]),
    (tensor(init="1979-05-27"), ["`init`", "string or a table"]),
    *(
        (
            tensor(init=f"{{ class_name = '{name}', config = {{ {config} }} }}"),
            ["tensor 1 (`w`):", f"`init.config.{key}`", "date or a time", received],
        )
        for name, config, key, received in (
            ("Constant", "value = 1979-05-27", "value", "'1979-05-27'"),
            ("Constant", "value = 1979-05-27T07:32:00Z", "value", "'1979-05-27 07:32:00+00:00'"),
            ("Constant", "value = [[1.0, 07:32:00]]", "value[0][1]", "'07:32:00'"),
            ("RandomNormal", "stddev = 1979-05-27", "stddev", "'1979-05-27'"),
            ("RandomNormal", "stddev = { a = 1979-05-27 }", "stddev.a", "'1979-05-27'"),
            ("STFT", "window = 1979-05-27", "window", "'1979-05-27'"),
            ("RandomNormal", "stream = 1979-05-27", "stream", "'1979-05-27'"),
        )
    ),
    (
        tensor(init="{ class_name = 'Zeros', registered_name = 1979-05-27 }"),
        ["`init.registered_name`", "date or a time"],
    ),
    (
        tensor(init="{ class_name = 'RandomNormal', config = { seed = 1979-05-27 } }"),
        ["`init.config.seed`", "date or a time"],
    ),
    ("seed = 1979-05-27" + ONE, ["`seed`", "Received: datetime.date(1979, 5, 27)"]),
    (tensor(shape="[1979-05-27]"), ["`shape[0]`", "Received: datetime.date(1979, 5, 27)"]),
    (tensor(more="dtype = 1979-05-27"), ["`dtype`", "Received: datetime.date(1979, 5, 27)"]),
    (tensor(init="{}"), ["`init.class_name`", "is missing"]),
    (tensor(init="{ class_name = 3 }"), ["`init.class_name`", "Received: 3"]),
    (tensor(init="{ class_name = 'Nothing' }"), ["`init`", "Nothing"]),
    (tensor(init="{ class_name = 'Zeros', conf = {} }"), ["`init.conf`", "is not a key"]),
    (tensor(init="{ class_name = 'Zeros', config = 3 }"), ["`init.config`", "Received: 3"]),
    (tensor(init="{ class_name = 'RandomNormal', config = { std = 0.02 } }"), ["`init`", "std"]),
    (
        tensor(init="{ class_name = 'RandomNormal', config = { seed = -1 } }"),
        ["`init.config.seed`", "Received: -1"],
    ),
    (
        tensor(init="{ class_name = 'RandomNormal', config = { seed = {} } }"),
        ["`init.config.seed`", "Received: {}"],
    ),
    (
        tensor(init="{ class_name = 'VarianceScaling', config = { scale = -1.0 } }"),
        ["`init`", "scale"],
    ),
    (
        tensor(init="{ class_name = 'VarianceScaling', config = { mode = 'fan' } }"),
        ["`init`", "mode"],
    ),
    (tensor(init="{ class_name = 'system', module = 'os' }"), ["tensor 1 (`w`):", "`init`"]),
    (tensor(init="'orthogonal'", shape="[3]"), ["`init`", "two-dimensional", "shape=(3,)"]),
    (tensor(init="'identity'", shape="[3]"), ["tensor 1 (`w`):"]),
    (tensor('"w.{i"'), ["`name`", "brace"]),
    (tensor('"w.i}"'), ["`name`", "brace"]),
    (tensor('"w.{{i}}"', more="repeat = { i = 2 }"), ["`name`", "brace"]),
    (tensor('"w.{i}"'), ["`name`", "{i}", "`repeat` lacks"]),
    (tensor('"w.{}"', more="repeat = { i = 2 }"), ["`name`", "{}"]),
    (tensor('"w.{i.real}"', more="repeat = { i = 2 }"), ["`name`", "{i.real}"]),
    (tensor('"w.{i:09}"', more="repeat = { i = 2 }"), ["`name`", "{i:09}"]),
    (tensor(more="repeat = { i = 2 }"), ["`repeat.i`", "is not used", "{i}"]),
    (tensor('"w.{i}"', more="repeat = 2"), ["`repeat`", "table", "Received: 2"]),
    (tensor('"w.{i}"', more="repeat = { i = 0 }"), ["`repeat.i`", ">= 1", "Received: 0"]),
    (tensor('"w.{i}"', more="repeat = { i = true }"), ["`repeat.i`", "Received: True"]),
    (tensor('"w.{i}"', more="repeat = { i = 2.0 }"), ["`repeat.i`", "Received: 2.0"]),
    (
        tensor('"w.{i}"', more="repeat = { i = 999999999999 }"),
        ["`repeat`", "more than 1000000 tensors"],
    ),
    (
        tensor('"w.{i}{j}"', more="repeat = { i = 10001, j = 10001 }"),
        ["`repeat`", "more than 1000000 tensors"],
    ),
    (tensor('"w.{i-j}"', more='repeat = { "i-j" = 2 }'), ["`repeat.i-j`", "like a variable"]),
    (
        tensor('"w{a}{b}"', more="repeat = { a = 12, b = 12 }"),
        ["`name`", "unique", "`repeat` makes it twice", "'w110'"],
    ),
    (
        tensor('"w.0"') + tensor('"w.{i}"', more="repeat = { i = 2 }")[9:],
        ["tensor 2", "`name`", "tensor 1", "'w.0'"],
    ),
]


@pytest.mark.parametrize(("text", "parts"), MALFORMED, ids=[str(i) for i in range(len(MALFORMED))])
def test_malformed_specifications_name_file_tensor_and_key(text: str, parts: list[str]) -> None:
    assert_refused(text, parts)


def test_the_header_is_limited_exactly(monkeypatch: pytest.MonkeyPatch) -> None:
    specification = parse(tensor('"字.{i}"', more="repeat = { i = 3 }"))
    length = len(specification.layout().header) - 8
    monkeypatch.setattr(file_format, "MAX_HEADER_BYTES", length)
    assert len(specification.layout().header) == 8 + length
    monkeypatch.setattr(file_format, "MAX_HEADER_BYTES", length - 1)
    with pytest.raises(SpecError, match=r"m\.toml: tensor `字\.2`: `name` makes the header longer"):
        specification.layout()


def test_bad_sizes_are_refused_without_allocating_them() -> None:
    tracemalloc.start()
    try:
        for text in (
            tensor(shape="[9223372036854775807]", init='"zeros"'),
            tensor('"w.{i}"', more="repeat = { i = 9223372036854775807 }"),
            tensor(shape="[100000, 100000, 100000]", more="dtype = 3"),
        ):
            with pytest.raises(SpecError):
                parse(text)
        # A petabyte is a legal size: it is the disk that refuses it.
        assert parse(tensor(shape="[100000, 100000, 100000]")).nbytes == 4 * 10**15
        assert parse(tensor(shape="[100000, 100000, 100000]", init='"ones"')).nbytes == 4 * 10**15
        assert tracemalloc.get_traced_memory()[1] < 10 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"seed = 1 # \xff", "byte 11 is not UTF-8"),
        (
            b"#" * (MAX_SPECIFICATION_BYTES + 1),
            f"must be at most {MAX_SPECIFICATION_BYTES} bytes long",
        ),
        (b"\x00", "is not TOML"),
    ],
)
def test_files_that_are_not_text_are_refused(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "m.toml"
    path.write_bytes(data)
    with pytest.raises(SpecError, match=f"m.toml.*{message}"):
        read_specification(str(path))


def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"missing\.toml: cannot be read: No such file"):
        read_specification(str(tmp_path / "missing.toml"))
    with pytest.raises(SpecError, match="cannot be read: Is a directory"):
        read_specification(str(tmp_path))
    with pytest.raises(SpecError, match="cannot be read: embedded null"):
        read_specification("a\0b")
    with pytest.raises(SpecError, match="must be at most"):
        read_specification("/dev/zero")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)


def to_toml(value: object) -> str:
    """Write a value as TOML well enough to be parsed back."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "{" + ", ".join(f"{to_toml(k)} = {to_toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(to_toml, value)) + "]"
    if isinstance(value, str) or value is None:
        return '"' + "".join(f"\\U{ord(c):08x}" for c in value or "") + '"'
    return repr(value)


@settings(max_examples=150, deadline=None)
@given(
    replaced=st.dictionaries(
        st.sampled_from(["name", "shape", "init", "dtype", "repeat", "other"]),
        VALUES,
        min_size=1,
        max_size=2,
    ),
    config=st.dictionaries(st.sampled_from(["stddev", "mean", "seed", "x"]), VALUES, max_size=2),
)
def test_anything_is_a_specification_or_a_spec_error(
    replaced: dict[str, object], config: dict[str, object]
) -> None:
    table: dict[str, object] = {
        "name": "w",
        "shape": [2, 3],
        "init": {"class_name": "RandomNormal", "config": config},
        **replaced,
    }
    lines = "\n".join(f"{key} = {to_toml(value)}" for key, value in table.items())
    # Any other exception fails the test.
    with contextlib.suppress(SpecError):
        assert parse(f"seed = 1\n[[tensor]]\n{lines}\n").tensors
