"""Reading headers: what the reference library takes is taken, and nothing hostile gets through."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st

from command import TINY, run
from seedbed._checkpoint.format import DTYPE_BITS, MAX_HEADER_BYTES
from seedbed._checkpoint.reader import Checkpoint, ReadError, open_checkpoint
from seedbed._checkpoint.shards import INDEX_NAME


def raw(header: object, data: bytes = b"", length: int | None = None) -> bytes:
    """A file of this header, an object or bytes, whatever its length is said to be."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def entry(code: Any, shape: Any, begin: Any, end: Any, **more: object) -> dict[str, object]:
    return {"dtype": code, "shape": shape, "data_offsets": [begin, end], **more}


def deep(levels: int) -> bytes:
    return b'{"a":' + b"[" * levels + b"]" * levels + b"}"


F = entry("F32", [1], 0, 4)
ONE = b'"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}'
TWO = b"{" + ONE + b"," + ONE.replace(b'"a"', b'"b"').replace(b"0,4", b"4,8") + b"}"

# What the library refuses: a name, a file, what we say of it.
REFUSED = {
    "empty": (b"", "shorter than 8 bytes"),
    "short": (b"\x02\0\0", "shorter than 8 bytes"),
    "header beyond the end": (raw(b"{}", length=99), "goes beyond the end"),
    "header of 2^63": (raw(b"{}", length=2**63), "more than readers take"),
    "header of 2^64-1": (raw(b"{}", length=2**64 - 1), "more than readers take"),
    "too long": (raw(b"{}" + b" " * (MAX_HEADER_BYTES - 1)), "more than readers take"),
    "not JSON": (raw(b"nothing"), "is not JSON"),
    "a list": (raw([]), "is not JSON"),
    "nothing": (raw(b""), "is not JSON"),
    "trailing NUL": (raw(b"{}\0"), "something follows"),
    "two objects": (raw(b"{}{}"), "something follows"),
    "BOM": (raw(b"\xef\xbb\xbf{}"), "is not JSON"),
    "not UTF-8": (raw(b'{"\xff":1}'), "is not UTF-8"),
    "truncated": (raw(b'{"a":'), "is not JSON"),
    "no comma": (raw(b"{" + ONE + ONE.replace(b'"a"', b'"b"') + b"}", b"1234"), "is not JSON"),
    "trailing comma": (raw(b"{" + ONE + b",}", b"1234"), "is not JSON"),
    "two commas": (raw(TWO.replace(b"},", b"},,"), bytes(8)), "is not JSON"),
    "leading zeros": (raw(TWO.replace(b"[1]", b"[01]"), bytes(8)), "is not JSON"),
    "other digits": (raw(TWO.replace(b"[1]", "[\u0661]".encode()), bytes(8)), "is not JSON"),
    "metadata like an entry": (
        raw(TWO.replace(b'"a"', b'"__metadata__"'), bytes(8)),
        "not a table of strings",
    ),
    "raw newline in a name": (raw(b'{"a\n' + ONE[2:] + b"}", b"1234"), "is not JSON"),
    "hole": (raw({"a": F, "b": entry("F32", [1], 8, 12)}, bytes(12)), "leaves a hole"),
    "hole at the start": (raw({"a": entry("F32", [1], 4, 8)}, bytes(8)), "leaves a hole"),
    "overlap": (raw({"a": entry("F32", [2], 0, 8), "b": entry("F32", [1], 4, 8)}, bytes(8)), "lap"),
    "same range": (raw({"a": F, "b": F}, bytes(4)), "overlaps"),
    "backwards": (raw({"a": entry("F32", [1], 4, 0)}, bytes(4)), "at offsets 4 to 0"),
    "trailing bytes": (raw({"a": F}, bytes(5)), "has 5 bytes of data, but describes 4"),
    "truncated data": (raw({"a": F}, bytes(3)), "has 3 bytes of data, but describes 4"),
    "no data": (raw({"a": F}), "has 0 bytes of data"),
    "wrong size": (raw({"a": entry("F32", [3], 0, 8)}, bytes(8)), "of 12 bytes at offsets 0 to 8"),
    "wrong dtype": (raw({"a": entry("F64", [1], 0, 4)}, bytes(4)), "of 8 bytes"),
    "unknown dtype": (raw({"a": entry("F7", [4], 0, 4)}, bytes(4)), "the dtype 'F7'"),
    "dtype of another kind": (raw({"a": entry(7, [4], 0, 4)}, bytes(4)), "is not a string"),
    "no offsets": (raw({"a": {"dtype": "F32", "shape": [1]}}, bytes(4)), "without `data_offsets`"),
    "no shape": (raw({"a": {"dtype": "F32", "data_offsets": [0, 4]}}, bytes(4)), "without `shape`"),
    "one offset": (raw({"a": {**F, "data_offsets": [0]}}, bytes(4)), "not two integers"),
    "three offsets": (raw({"a": {**F, "data_offsets": [0, 2, 4]}}, bytes(4)), "not two integers"),
    "negative dimension": (raw({"a": entry("F32", [-1], 0, 4)}, bytes(4)), "not integers >= 0"),
    "float dimension": (raw({"a": entry("F32", [1.0], 0, 4)}, bytes(4)), "not integers >= 0"),
    "true": (raw({"a": entry("F32", [True], 0, 4)}, bytes(4)), "not integers >= 0"),
    "huge dimension": (raw({"a": entry("F32", [2**64], 0, 4)}, bytes(4)), "not integers >= 0"),
    "2^63 twice": (raw({"a": entry("U8", [2**63, 2**63, 0], 0, 0)}), "2**64 elements"),
    "2^62 floats": (raw({"a": entry("F32", [2**62], 0, 4)}, bytes(4)), "of 18446744073709551616"),
    "beyond 64 bits": (raw({"a": entry("U8", [4], 0, 2**64 + 4)}, bytes(4)), "two integers"),
    "odd F4": (raw({"a": entry("F4", [3], 0, 1)}, bytes(1)), "not end on a byte"),
    "a key twice": (raw(b"{" + ONE[:-1] + b',"shape":[1]}}', bytes(4)), "with `shape` twice"),
    "NaN": (raw(b'{"a":NaN}'), "is not JSON: NaN"),
    "beyond float64": (
        raw(b'{"a":' + json.dumps(F).encode()[:-1] + b',"x":1e999}}', b"1234"),
        "1e999 is out of range",
    ),
    "negative zero": (raw({"a": F}).replace(b"[0, 4]", b"[-0,4]") + b"1234", "two integers"),
    "half a pair in a name": (raw(b'{"\\ud800":' + ONE[4:] + b"}", b"1234"), "half of a surrogate"),
    "half a pair in metadata": (raw(b'{"__metadata__":{"a":"\\udc00"}}'), "half of a surrogate"),
    "an entry that is a list": (raw({"a": []}), "is not an object"),
    "metadata of numbers": (raw({"__metadata__": {"a": 1}}), "not a table of strings"),
    "metadata of a list": (raw({"__metadata__": []}), "not a table of strings"),
    "metadata twice": (raw(b'{"__metadata__":{},"__metadata__":{}}'), "__metadata__ twice"),
    "deep": (raw(deep(100_000)), "nested too deeply"),
    "deep without an end": (raw(b'{"a":' + b"[" * 1_000_000), "is nested too deeply"),
    "many digits": (raw(b'{"a":{"dtype":"U8","shape":[' + b"9" * 5000 + b"]}}"), "is not JSON"),
    "an endless entry": (raw(b'{"a":[' + b"0," * 500_000 + b"0]}"), "longer than 8192"),
}

# What it takes: a name, a file, its tensors.
TAKEN: dict[str, tuple[bytes, list[str]]] = {
    "nothing": (raw({}), []),
    "spaces": (raw(b' {\n\t"a" : ' + json.dumps(F).encode() + b" } \r\n", b"1234"), ["a"]),
    "no padding": (raw(b"{" + ONE + b"}", b"1234"), ["a"]),
    "several as usual": (raw(TWO, bytes(8)), ["a", "b"]),
    "spaces between": (raw(TWO.replace(b"},", b"} ,\n"), bytes(8)), ["a", "b"]),
    "any order": (raw({"b": entry("F32", [1], 4, 8), "a": F}, bytes(8)), ["a", "b"]),
    "unaligned": (
        raw({"a": entry("U8", [1], 0, 1), "b": entry("F32", [1], 1, 5)}, bytes(5)),
        ["a", "b"],
    ),
    "scalar": (raw({"a": entry("F64", [], 0, 8)}, bytes(8)), ["a"]),
    "nothing in it": (raw({"z": entry("F32", [0, 2**62], 0, 0), "a": F}, bytes(4)), ["z", "a"]),
    "zero hides": (raw({"z": entry("F32", [0, 2**63, 2**63], 0, 0)}), ["z"]),
    "65 dimensions": (raw({"a": entry("F32", [1] * 65, 0, 4)}, bytes(4)), ["a"]),
    "no name": (raw({"": F}, bytes(4)), [""]),
    "an escaped pair": (raw(b'{"\\ud83d\\ude00":' + ONE[4:] + b"}", b"1234"), ["\U0001f600"]),
    "escapes": (raw(b'{"\\u0041\\n\\\\":' + ONE[4:] + b"}", b"1234"), ["A\n\\"]),
    "metadata null": (raw(b'{"__metadata__":null}'), []),
    "two F4": (raw({"a": entry("F4", [2], 0, 1)}, bytes(1)), ["a"]),
}


def read(path: Path) -> Checkpoint:
    return open_checkpoint(str(path))


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_malformed_is_refused_as_the_library_does(tmp_path: Path, case: str) -> None:
    data, message = REFUSED[case]
    path = tmp_path / "a.safetensors"
    path.write_bytes(data)
    with pytest.raises(ReadError) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises((safetensors.SafetensorError, OSError)):
        safetensors.safe_open(path, "numpy")


@pytest.mark.parametrize("case", TAKEN)
def test_what_the_library_takes_is_read(tmp_path: Path, case: str) -> None:
    data, names = TAKEN[case]
    path = tmp_path / "a.safetensors"
    path.write_bytes(data)
    checkpoint = read(path)
    assert [tensor.name for tensor in checkpoint.tensors] == names
    with safetensors.safe_open(path, "numpy") as file:
        assert sorted(file.keys()) == sorted(names)


@pytest.mark.parametrize("case", ["header beyond the end", "deep", "hole", "wrong dtype"])
def test_a_malformed_file_is_exit_code_2_and_one_line(tmp_path: Path, case: str) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(REFUSED[case][0])
    for command in (["inspect", path], ["inspect", path, "--json"], ["verify", TINY, path]):
        done = run(*command)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith(f"seedbed: error: {path}: ")
        assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (b"{" + ONE + b"," + ONE + b"}", "has 'a' twice; the last one counts"),
        (b'{"a":' + json.dumps({**F, "x": 1}).encode() + b"}", "keys in the entry 'a' that do not"),
        (b'{"a\\u001b[31m":' + ONE[4:] + b"}", r"control characters: 'a\x1b[31m'"),
        (b'{"__metadata__":{"a":"1","a":"2"},' + ONE + b"}", "a key of __metadata__ twice"),
        (b'{"a":{"x":1,"x":2,' + ONE[5:] + b"}", "keys in the entry"),
    ],
)
def test_what_no_writer_should_do_is_a_finding(tmp_path: Path, header: bytes, message: str) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(raw(header, b"1234"))
    assert len(safetensors.safe_open(path, "numpy").keys()) == 1
    checkpoint = read(path)
    assert len(checkpoint.tensors) == 1
    [finding] = checkpoint.faults
    assert message in finding.message
    done = run("inspect", path)
    assert done.returncode == 1
    assert message in done.stdout
    assert "\x1b" not in done.stdout


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_files_of_the_library_are_read(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    names = data.draw(st.lists(st.text(min_size=1, max_size=9), max_size=6, unique=True))
    names = [name for name in names if name != "__metadata__"]
    dtypes = st.sampled_from(["bool", "int8", "uint16", "float16", "float32", "int64"])
    shapes = st.lists(st.integers(0, 4), max_size=3)
    arrays = {name: np.zeros(data.draw(shapes), data.draw(dtypes)) for name in names}
    path = tmp_path_factory.mktemp("read") / "a.safetensors"
    safetensors.numpy.save_file(arrays, path, metadata={"format": "np"})
    checkpoint = read(path)
    with safetensors.safe_open(path, "numpy") as file:
        in_order = [tensor.name for tensor in checkpoint.tensors]
        # Those without bytes have no place among the others.
        assert sorted(in_order) == sorted(file.keys())
        assert [name for name in in_order if arrays[name].size] == [
            name for name in file.offset_keys() if arrays[name].size
        ]
    for tensor in checkpoint.tensors:
        array = arrays[tensor.name]
        assert tensor.shape == array.shape
        assert tensor.dtype == array.dtype
        assert tensor.nbytes == array.nbytes
    assert checkpoint.files[0].metadata == {"format": "np"}


@settings(max_examples=150, deadline=None)
@given(
    position=st.integers(0, 250),
    replacement=st.binary(min_size=1, max_size=8),
)
def test_damage_is_refused_or_read_as_the_library_reads_it(
    tmp_path_factory: pytest.TempPathFactory, position: int, replacement: bytes
) -> None:
    header = {"__metadata__": {"format": "pt"}, "a": F, "b": entry("I16", [2, 2], 4, 12)}
    data = bytearray(raw(header, bytes(12)))
    data[position : position + len(replacement)] = replacement
    path = tmp_path_factory.mktemp("damage") / "a.safetensors"
    path.write_bytes(data)
    try:
        with safetensors.safe_open(path, "numpy") as file:
            expected: list[str] | None = sorted(file.keys())
    except (safetensors.SafetensorError, OSError):
        expected = None
    try:
        found: list[str] | None = sorted(tensor.name for tensor in read(path).tensors)
    except ReadError:
        found = None
    assert found == expected


def test_every_dtype_of_the_library_is_known(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    for code, bits in DTYPE_BITS.items():
        path.write_bytes(raw({"a": entry(code, [8], 0, bits)}, bytes(bits)))
        assert read(path).tensors[0].code == code
        assert safetensors.safe_open(path, "numpy").get_slice("a").get_dtype() == code


def directory(tmp_path: Path, index: object) -> Path:
    """A directory of two files of a tensor each, and an index."""
    for number, name in enumerate("ab", 1):
        file = tmp_path / f"model-0000{number}-of-00002.safetensors"
        file.write_bytes(raw({"__metadata__": {"format": "pt"}, name: F}, bytes(4)))
    text = index if isinstance(index, bytes) else json.dumps(index).encode()
    (tmp_path / INDEX_NAME).write_bytes(text)
    return tmp_path


FILES = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}


def test_a_directory_is_read_by_its_index(tmp_path: Path) -> None:
    path = directory(tmp_path, {"metadata": {"total_size": 8}, "weight_map": FILES})
    for asked in (path, path / INDEX_NAME):
        checkpoint = read(asked)
        assert [(t.name, t.file) for t in checkpoint.tensors] == [("a", 0), ("b", 1)]
        assert checkpoint.faults == []


@pytest.mark.parametrize(
    "name",
    [
        *("../a.safetensors", "/etc/passwd", "x/a.safetensors", "..", ".", ""),
        *("x\\a.safetensors", "a\0b", "missing.safetensors", "./a"),
    ],
)
def test_an_index_leads_nowhere_else(tmp_path: Path, name: str) -> None:
    (tmp_path / "a.safetensors").write_bytes(raw({"a": F}, bytes(4)))
    (tmp_path / "d").mkdir()
    path = directory(tmp_path / "d", {"metadata": {}, "weight_map": {**FILES, "c": name}})
    with pytest.raises(ReadError, match=r"outside its directory|which is missing"):
        read(path)
    assert run("inspect", path).returncode == 2


@pytest.mark.parametrize(
    ("index", "message"),
    [
        (b"", "is not JSON"),
        (b"[]", "is not JSON"),
        ({"weight_map": FILES}, "has no `metadata`"),
        ({"metadata": {}}, "has no `weight_map`"),
        ({"metadata": {}, "weight_map": []}, "is not JSON"),
        ({"metadata": {}, "weight_map": {"a": 1}}, "not a string"),
        (b'{"metadata":{},"weight_map":' + b"[" * 100_000, "is not JSON"),
        (b'{"metadata":' + b"[" * 100_000, "nested too deeply"),
        (b'{"metadata":{},"metadata":{},"weight_map":{}}', "twice"),
        (b'{"metadata":{"total_size":1e999},"weight_map":{}}', "1e999 is out of range"),
        (b'{"metadata":{},"weight_map":{"a":"' + b"x" * 10_000 + b'"}}', "longer than"),
    ],
)
def test_a_malformed_index_is_refused(tmp_path: Path, index: object, message: str) -> None:
    with pytest.raises(ReadError, match=message.replace("[", r"\[")):
        read(directory(tmp_path, index))


@pytest.mark.parametrize(
    ("index", "message"),
    [
        (
            {"metadata": {"total_size": 9}, "weight_map": FILES},
            "`total_size` is 9, the tensors have 8",
        ),
        ({"metadata": {}, "weight_map": {**FILES, "c": FILES["a"]}}, "has 'c', which it has not"),
        ({"metadata": {}, "weight_map": {"b": FILES["a"], "a": FILES["b"]}}, "does not say that"),
        (
            b'{"metadata":{},"weight_map":{"a":"%s","a":"%s","b":"%s"}}'
            % (FILES["a"].encode(), FILES["a"].encode(), FILES["b"].encode()),
            "has 'a' twice",
        ),
    ],
)
def test_what_the_index_gets_wrong_is_a_finding(
    tmp_path: Path, index: object, message: str
) -> None:
    path = directory(tmp_path, index)
    assert any(message in finding.message for finding in read(path).faults)
    assert run("inspect", path).returncode == 1


def test_stale_files_are_found(tmp_path: Path) -> None:
    path = directory(tmp_path, {"metadata": {}, "weight_map": FILES})
    (path / "old.safetensors").write_bytes(raw({"a": F}, bytes(4)))
    done = run("inspect", path)
    assert done.returncode == 0
    assert f"warning: {path / 'old.safetensors'}: is not in the index" in done.stdout
    assert run("inspect", path, "--strict").returncode == 1
    (path / "model.safetensors").write_bytes(raw({"a": F}, bytes(4)))
    done = run("inspect", path)
    assert done.returncode == 1
    assert "model.safetensors: is not in the index; transformers reads it instead" in done.stdout


def test_files_without_an_index_and_a_name_twice(tmp_path: Path) -> None:
    for name in ("x", "y"):
        (tmp_path / f"{name}.safetensors").write_bytes(raw({"a": F}, bytes(4)))
    done = run("inspect", tmp_path)
    assert done.returncode == 1
    assert "has 2 files and no index" in done.stdout
    assert "'a' is in x.safetensors and y.safetensors" in done.stdout


def test_pipes_and_devices_are_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.safetensors")
    for path in (tmp_path / "pipe.safetensors", Path("/dev/zero")):
        done = run("inspect", path)
        assert done.returncode == 2
        assert "cannot be read: it is no file" in done.stderr


def test_symbolic_links_are_followed(tmp_path: Path) -> None:
    # As the cache of huggingface_hub has them.
    (tmp_path / "blob").write_bytes(raw({"a": F}, bytes(4)))
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "model.safetensors").symlink_to("../blob")
    assert [tensor.name for tensor in read(tmp_path / "d").tensors] == ["a"]


@pytest.mark.parametrize("kind", ["lists", "entries", "metadata", "index", "dimensions"])
def test_memory_is_bounded_by_the_header(tmp_path: Path, kind: str) -> None:
    # 20 MB of JSON, which as Python objects would be a gigabyte.
    if kind == "lists":
        data = raw(b'{"a":' + b"[" + b"[]," * 7_000_000 + b"[]]}")
    elif kind == "entries":
        data = raw(b"{" + b",".join(b'"%d":[]' % i for i in range(2_000_000)) + b"}")
    elif kind == "dimensions":
        data = raw(b"{" + ONE.replace(b"[1]", b"[" + b"1," * 10_000_000 + b"1]") + b"}", b"1234")
    elif kind == "metadata":
        data = raw(b'{"__metadata__":' + b"[" + b"[]," * 7_000_000 + b"[]]}")
    else:
        data = b'{"metadata":' + b"[" + b"[]," * 7_000_000 + b"[]]}"
    name = INDEX_NAME if kind == "index" else "a.safetensors"
    (tmp_path / name).write_bytes(data)
    program = (
        "import resource\nfrom seedbed._command.main import main\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        f"assert main(['inspect', {str(tmp_path / name)!r}]) == 2\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=100
    )
    # In KiB: the text, once as bytes and once decoded, and one value of 16 MB.
    assert int(done.stdout) < 500 * 1024, done.stderr
