"""The streaming safetensors writer: right bytes, and a target that is never half-written."""

from __future__ import annotations

import errno
import json
import math
import os
import resource
import signal
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import safetensors
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st

from seedbed._checkpoint import format as file_format
from seedbed._checkpoint import publish
from seedbed._checkpoint.format import (
    DATA_ALIGNMENT,
    LEAST_ENTRY_BYTES,
    MAX_HEADER_BYTES,
    SAFETENSORS_DTYPES,
    HeaderError,
    lay_out,
    name_bytes,
)
from seedbed._checkpoint.publish import WriteError
from seedbed._checkpoint.writer import DrawError, Index, blocks, write_checkpoint

METADATA = {"seed": "42", "stream": "philox"}


class ArrayTensor:
    """A tensor whose values are an array that exists; counts what was asked of it."""

    def __init__(self, name: str, values: np.ndarray[Any, Any], whole: bool = False) -> None:
        self.name = name
        self.values = values
        self.whole = whole
        self.shape: tuple[int, ...] = values.shape
        self.dtype = values.dtype
        self.nbytes = values.nbytes
        self.prepared = 0
        self.largest_draw = 0

    def prepare(self) -> ArrayTensor:
        self.prepared += 1
        return self

    def draw(self, index: Index | None = None, out: np.ndarray[Any, Any] | None = None) -> Any:
        block = self.values if index is None else self.values[index]
        self.largest_draw = max(self.largest_draw, block.nbytes)
        if out is None:
            return block.copy()
        assert out.flags.c_contiguous
        assert out.flags.aligned
        out[...] = block
        return out


class FailingTensor(ArrayTensor):
    def __init__(self, name: str, values: np.ndarray[Any, Any], fail: Callable[[], None]) -> None:
        super().__init__(name, values)
        self._fail = fail

    def draw(self, index: Index | None = None, out: np.ndarray[Any, Any] | None = None) -> Any:
        self._fail()
        return super().draw(index, out)


class UnpreparedTensor(FailingTensor):
    def prepare(self) -> ArrayTensor:
        self._fail()
        return self


def random_array(shape: tuple[int, ...], dtype: str, seed: int = 0) -> np.ndarray[Any, Any]:
    """Random bytes seen as `dtype` (booleans: zeros and ones)."""
    kind = np.dtype(getattr(ml_dtypes, dtype, dtype))
    rng = np.random.default_rng(seed)
    if kind == np.bool_:
        return rng.integers(0, 2, shape).astype(bool)
    raw = rng.integers(0, 256, math.prod(shape) * kind.itemsize).astype(np.uint8)
    return raw.view(kind).reshape(shape)


def write(
    path: Path,
    tensors: Sequence[ArrayTensor],
    advance: Callable[[int], None] = lambda count: None,
    **options: int,
) -> None:
    write_checkpoint(str(path), lay_out(tensors, METADATA), advance, **options)


def raw_tensors(path: Path) -> dict[str, tuple[str, tuple[int, ...], bytes]]:
    """Read a file by the format's own description, checking that the data has no gaps."""
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    assert length % 8 == 0
    header = json.loads(data[8 : 8 + length])
    header.pop("__metadata__", None)
    body = data[8 + length :]
    read = {}
    position = 0
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        assert begin == position
        position = end
        read[name] = (entry["dtype"], tuple(entry["shape"]), body[begin:end])
    assert position == len(body)
    return read


@pytest.mark.parametrize("dtype", sorted(SAFETENSORS_DTYPES))
def test_every_dtype_reads_back_with_the_reference_package(tmp_path: Path, dtype: str) -> None:
    values = random_array((5, 7), dtype)
    path = tmp_path / "a.safetensors"
    write(path, [ArrayTensor("t", values)])
    [(name, read)] = safetensors.deserialize(path.read_bytes())
    assert name == "t"
    assert read["dtype"] == SAFETENSORS_DTYPES[dtype]
    assert read["shape"] == [5, 7]
    assert bytes(read["data"]) == values.tobytes()


def test_numpy_reader_returns_the_arrays_and_the_metadata(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    arrays = {
        "z": random_array((3, 4), "int32"),
        "a": random_array((), "float32"),
        "leer": np.zeros((0, 5), np.float32),
        'mädchen\n"x"': random_array((9,), "uint8"),
    }
    layout = lay_out([ArrayTensor(n, v) for n, v in arrays.items()], METADATA)
    write_checkpoint(str(path), layout)
    assert layout.nbytes == path.stat().st_size
    read = safetensors.numpy.load_file(path)
    assert read.keys() == arrays.keys()
    for name, values in arrays.items():
        assert read[name].dtype == values.dtype
        assert read[name].shape == values.shape
        assert read[name].tobytes() == values.tobytes()
    with safetensors.safe_open(str(path), "numpy") as file:
        assert file.metadata() == METADATA
    # In the order given, not sorted.
    assert list(raw_tensors(path)) == list(arrays)


@given(
    tensors=st.lists(
        st.tuples(
            st.text(min_size=1, max_size=20),
            st.lists(st.integers(0, 5), max_size=3).map(tuple),
            st.sampled_from(sorted(SAFETENSORS_DTYPES)),
        ),
        max_size=8,
        unique_by=lambda tensor: tensor[0],
    )
)
def test_tensors_are_aligned_and_otherwise_in_the_order_given(
    tensors: list[tuple[str, tuple[int, ...], str]],
) -> None:
    given_tensors = [ArrayTensor(n, random_array(shape, dtype)) for n, shape, dtype in tensors]
    layout = lay_out(given_tensors, METADATA)
    header = layout.header
    length = int.from_bytes(header[:8], "little")
    assert len(header) == 8 + length
    assert len(header) % DATA_ALIGNMENT == 0
    assert header[8:9] == b"{"
    assert header.endswith(b"}" + b" " * (len(header) - len(header.rstrip(b" "))))
    assert len(header) - len(header.rstrip(b" ")) < DATA_ALIGNMENT
    entries = json.loads(header[8:])
    assert entries.pop("__metadata__") == METADATA
    assert list(entries) == [t.name for t in layout.tensors]
    ordered = [t for size in (8, 4, 2, 1) for t in given_tensors if t.dtype.itemsize == size]
    assert list(layout.tensors) == ordered
    for tensor in ordered:
        begin, end = entries[tensor.name]["data_offsets"]
        assert (len(header) + begin) % tensor.dtype.itemsize == 0
        assert end - begin == tensor.nbytes
    assert layout.nbytes == len(header) + sum(t.nbytes for t in given_tensors)
    # The least that the header has for a tensor is what it has for the smallest one.
    for name, _, _ in tensors:
        smallest = lay_out([ArrayTensor(name, random_array((), "uint8"))], {}).header
        without = lay_out([], {}).header
        added = len(smallest.rstrip(b" ")) - len(without.rstrip(b" "))
        # Its end is at 1 rather than 0.
        assert added == LEAST_ENTRY_BYTES + name_bytes(name)


def test_a_small_item_before_a_large_one_leaves_it_aligned(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    flags, weights = random_array((3,), "bool"), random_array((4,), "float32")
    write(path, [ArrayTensor("flags", flags), ArrayTensor("weights", weights)])
    data = path.read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    assert start % 64 == 0
    assert data[start:] == weights.tobytes() + flags.tobytes()
    read = safetensors.numpy.load_file(path)
    assert np.array_equal(read["flags"], flags)
    assert read["weights"].tobytes() == weights.tobytes()


def test_the_header_is_measured_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    # Three bytes of UTF-8 for each character.
    tensors = [ArrayTensor("字" * 40 + str(i), np.zeros(2, np.float32)) for i in range(9)]
    header = lay_out(tensors, METADATA).header
    length = len(header) - 8
    assert len(header.decode()) < length * 0.6
    monkeypatch.setattr(file_format, "MAX_HEADER_BYTES", length)
    assert lay_out(tensors, METADATA).header == header
    monkeypatch.setattr(file_format, "MAX_HEADER_BYTES", length - 1)
    with pytest.raises(HeaderError, match="longer than"):
        lay_out(tensors, METADATA)
    monkeypatch.setattr(file_format, "MAX_HEADER_BYTES", length // 2)
    with pytest.raises(HeaderError) as caught:
        lay_out(tensors, METADATA)
    assert caught.value.tensor == tensors[4].name


@given(
    shape=st.lists(st.integers(1, 7), min_size=1, max_size=4).map(tuple), limit=st.integers(1, 30)
)
def test_blocks_are_contiguous_in_order_and_within_the_limit(
    shape: tuple[int, ...], limit: int
) -> None:
    values = np.arange(math.prod(shape)).reshape(shape)
    parts = [values[index] for index in blocks(shape, limit)]
    assert all(0 < part.size <= limit and part.flags.c_contiguous for part in parts)
    assert np.array_equal(np.concatenate([part.ravel() for part in parts]), values.ravel())


@settings(max_examples=40, deadline=None)
@given(
    shapes=st.lists(
        st.tuples(
            st.lists(st.integers(0, 12), max_size=3).map(tuple),
            st.sampled_from(["uint8", "bool", "bfloat16", "float32", "float64", "float8_e5m2"]),
            st.booleans(),
        ),
        max_size=8,
    ),
    chunk_bytes=st.integers(8, 600),
)
def test_bytes_do_not_depend_on_the_chunk_size(
    tmp_path_factory: pytest.TempPathFactory,
    shapes: list[tuple[tuple[int, ...], str, bool]],
    chunk_bytes: int,
) -> None:
    path = tmp_path_factory.mktemp("chunks") / "a.safetensors"
    tensors = [
        ArrayTensor(f"t{i}", random_array(shape, dtype, i), whole)
        for i, (shape, dtype, whole) in enumerate(shapes)
    ]
    reported: list[int] = []
    write(path, tensors, reported.append, chunk_bytes=chunk_bytes)
    read = raw_tensors(path)
    assert {n: data for n, (_, _, data) in read.items()} == {
        t.name: t.values.tobytes() for t in tensors
    }
    assert sum(reported) == sum(t.nbytes for t in tensors)
    assert all(t.largest_draw <= chunk_bytes for t in tensors if not t.whole)
    # Once each, however many chunks it takes; not at all where there is nothing to write.
    assert [t.prepared for t in tensors] == [int(t.nbytes > 0) for t in tensors]


def test_a_tensor_larger_than_all_buffers_is_asked_for_in_pieces(tmp_path: Path) -> None:
    values = random_array((3, 50_000), "float32")
    tensor = ArrayTensor("t", values)
    write(tmp_path / "a.safetensors", [tensor], chunk_bytes=4096)
    assert tensor.largest_draw <= 4096
    assert (
        safetensors.numpy.load_file(tmp_path / "a.safetensors")["t"].tobytes() == values.tobytes()
    )


@pytest.mark.parametrize(
    "error", [ValueError("no"), KeyboardInterrupt(), OSError(errno.EIO, "broken")]
)
@pytest.mark.parametrize("kind", [FailingTensor, UnpreparedTensor])
@pytest.mark.parametrize("before", [None, b"what was there"])
def test_a_failure_leaves_the_target_and_the_directory_alone(
    tmp_path: Path, error: BaseException, kind: type[FailingTensor], before: bytes | None
) -> None:
    path = tmp_path / "a.safetensors"
    if before is not None:
        path.write_bytes(before)

    def fail() -> None:
        raise error

    tensors = [
        ArrayTensor("a", random_array((9999,), "float32")),
        kind("b", np.zeros(3, np.float32), fail),
    ]
    expected = {OSError: WriteError, ValueError: DrawError}.get(type(error), type(error))
    with pytest.raises(expected) as caught:
        write(path, tensors, chunk_bytes=256)
    if isinstance(caught.value, DrawError):
        assert (caught.value.tensor, caught.value.cause) == ("b", error)
    assert os.listdir(tmp_path) == ([] if before is None else ["a.safetensors"])
    assert before is None or path.read_bytes() == before


def test_running_out_of_memory_names_the_tensor(tmp_path: Path) -> None:
    def fail() -> None:
        raise MemoryError

    with pytest.raises(WriteError, match=r"a\.safetensors: tensor `b\.weight`: out of memory"):
        write(
            tmp_path / "a.safetensors",
            [FailingTensor("b.weight", np.zeros(3), fail)],
        )
    assert os.listdir(tmp_path) == []


def test_a_file_that_may_not_grow_is_an_error_that_names_the_tensor(tmp_path: Path) -> None:
    # A limit on file sizes fails a write in the middle, as a full disk does. Python ignores the
    # signal that comes too.
    path = tmp_path / "a.safetensors"
    path.write_bytes(b"before")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    assert signal.getsignal(signal.SIGXFSZ) == signal.SIG_IGN
    tensors = [
        ArrayTensor(name, random_array((4096,), "uint8")) for name in ("first", "second", "third")
    ]
    resource.setrlimit(resource.RLIMIT_FSIZE, (8000, hard))
    try:
        with pytest.raises(
            WriteError, match=r"a\.safetensors: tensor `second`: cannot be written: File too large"
        ):
            write(path, tensors, chunk_bytes=512)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == b"before"
    assert os.listdir(tmp_path) == ["a.safetensors"]


def test_a_disk_without_room_is_an_error_before_anything_is_filled(tmp_path: Path) -> None:
    # 8 EB, more than any disk has: a view of one zero.
    huge = ArrayTensor("t", np.broadcast_to(np.zeros((), np.uint8), (2**62,)))
    with pytest.raises(WriteError, match=r"needs 4611686018427388\d+ bytes, the disk has \d+ free"):
        write(tmp_path / "a.safetensors", [huge])
    assert huge.largest_draw == 0
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda d: d, "it is a directory"),
        (lambda d: d / "missing" / "a", "No such file or directory"),
        (lambda d: Path("/dev/null"), "it is not a regular file"),
        (lambda d: d / ("x" * 300), "File name too long"),
    ],
)
def test_targets_that_cannot_be_files_are_refused(
    tmp_path: Path, make: Callable[[Path], Path], message: str
) -> None:
    with pytest.raises(WriteError, match=message):
        write(make(tmp_path), [])
    assert os.listdir(tmp_path) == []
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_a_read_only_target_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(b"keep")
    # The superuser may write everything, so the answer of the system is replaced rather than the
    # permissions.
    monkeypatch.setattr(publish.os, "access", lambda *_: False)
    with pytest.raises(WriteError, match="it is read-only"):
        write(path, [])
    assert path.read_bytes() == b"keep"


def test_a_directory_that_may_not_be_read_is_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Tests may run as a user whom nothing is refused.
    opened = os.open

    def refuse(path: str, flags: int, *mode: int) -> int:
        if flags & os.O_DIRECTORY:
            raise PermissionError(13, "Permission denied", path)
        return opened(path, flags, *mode)

    monkeypatch.setattr(publish.os, "open", refuse)
    with publish.replacement(str(tmp_path / "m"), 3) as sink:
        sink(memoryview(b"abc"))
    assert (tmp_path / "m").read_bytes() == b"abc"


def test_replacing_keeps_permissions_and_follows_symbolic_links(tmp_path: Path) -> None:
    real = tmp_path / "real.safetensors"
    real.write_bytes(b"old")
    real.chmod(0o640)
    link = tmp_path / "link.safetensors"
    link.symlink_to(real)
    write(link, [ArrayTensor("t", np.ones(3, np.float32))])
    assert link.is_symlink()
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    assert safetensors.numpy.load_file(real)["t"].tolist() == [1, 1, 1]


def test_a_new_file_gets_the_permissions_of_the_umask(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        write(tmp_path / "a.safetensors", [])
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "a.safetensors").stat().st_mode) == 0o640


def test_header_limit_is_the_readers(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes((MAX_HEADER_BYTES + 8).to_bytes(8, "little") + b"{}" + b" " * 32)
    with pytest.raises(safetensors.SafetensorError, match=r"(?i)header.*too.*large"):
        safetensors.safe_open(path, "numpy")
