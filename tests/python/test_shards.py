"""Checkpoints of several files: who holds what; directories are never half of two models."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st

from command import COMMAND, EXAMPLES, TINY, run
from seedbed._checkpoint import directory, publish
from seedbed._checkpoint.directory import Existing, Planned, publish_index, write_directory
from seedbed._checkpoint.format import lay_out
from seedbed._checkpoint.index import encode_index
from seedbed._checkpoint.publish import WriteError
from seedbed._checkpoint.shards import (
    INDEX_NAME,
    by_count,
    by_size,
    file_names,
    parse_part,
    parse_size,
    share,
)
from seedbed._checkpoint.store import LocalDirectory
from seedbed._checkpoint.writer import write_checkpoint

SPEC = """seed = 1
[[tensor]]
name = "w.{i}"
repeat = { i = 6 }
shape = [100, 50]
init = "he_normal"
"""
# 24 shards of 16 MB, to be interrupted.
LONG = SPEC.replace("i = 6", "i = 24").replace("[100, 50]", "[2000, 2000]")


class Sized:
    """A tensor of which only the size matters."""

    def __init__(self, nbytes: int, name: str = "t") -> None:
        self.name = name
        self.nbytes = nbytes
        self.shape = (nbytes,)
        self.dtype = np.dtype(np.uint8)


def sizes_of(shards: Sequence[Sequence[Sized]]) -> list[list[int]]:
    return [[tensor.nbytes for tensor in shard] for shard in shards]


@pytest.mark.parametrize(
    ("text", "size"),
    [
        *(("5GB", 5 * 10**9), ("5gb", 5 * 10**9), (" 1.5 GB", 15 * 10**8), ("5G", 5 * 10**9)),
        *(("5GiB", 5 * 2**30), ("500MiB", 500 * 2**20), ("1KB", 1000), ("1kib", 1024)),
        *(("500", 500), ("5e3MB", 5 * 10**9), ("1TB", 10**12), (".5KB", 500), ("7B", 7)),
        ("9007199254740993", 2**53 + 1),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text", ["", "GB", "5 G B", "-1GB", "0", "0.1", "nan", "inf", "infGB", "1e99GB", "5Q", "1e999"]
)
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(ValueError, match="must be a size such as"):
        parse_size(text)


def test_a_tensor_above_the_limit_leaves_the_open_shard_open() -> None:
    # What huggingface_hub does; tests/loaders compares at random.
    tensors = [Sized(n) for n in (50, 500, 50, 1)]
    assert sizes_of(by_size(tensors, 100)) == [[500], [50, 50], [1]]
    assert by_size([], 100) == []


@given(
    sizes=st.lists(st.sampled_from([0, 1, 5, 50, 99, 100]), min_size=1, max_size=8),
    data=st.data(),
)
def test_shards_by_count_keep_the_order_and_the_largest_is_least(
    sizes: list[int], data: st.DataObject
) -> None:
    count = data.draw(st.integers(1, len(sizes)))
    tensors = [Sized(size) for size in sizes]
    shards = by_count(tensors, count)
    assert len(shards) == count
    assert all(shards)
    assert [tensor for shard in shards for tensor in shard] == tensors
    largest = max(map(sum, sizes_of(shards)))
    ways = itertools.combinations(range(1, len(sizes)), count - 1)
    cuts = ([0, *way, len(sizes)] for way in ways)
    assert largest == min(max(sum(sizes[a:b]) for a, b in itertools.pairwise(cut)) for cut in cuts)


def test_shards_by_count_are_about_equal() -> None:
    sums = [sum(shard) for shard in sizes_of(by_count([Sized(100)] * 48 + [Sized(3)] * 100, 7))]
    assert min(sums) > 0.85 * max(sums)


def test_many_shards_are_cut_and_dealt_out_quickly() -> None:
    # Minutes, were each dealt out by a search among all parts.
    shards = by_count([Sized(4)] * 50_000, 50_000)
    assert len(shards) == 50_000
    assert share([4] * 50_000, 7, 50_000) == [6]


def test_names() -> None:
    assert file_names(1) == ["model.safetensors"]
    assert file_names(12)[10] == "model-00011-of-00012.safetensors"


@given(sizes=st.lists(st.integers(0, 1000), min_size=1, max_size=20), parts=st.integers(1, 24))
def test_every_file_is_dealt_to_one_part(sizes: list[int], parts: int) -> None:
    shares = [share(sizes, part, parts) for part in range(1, parts + 1)]
    assert sorted(number for own in shares for number in own) == list(range(len(sizes)))
    loads = [sum(max(sizes[number], 1) for number in own) for own in shares]
    # None has a whole file more than the least loaded one.
    assert max(loads) <= min(loads) + max(1, *sizes)


@pytest.mark.parametrize("text", ["", "1", "0/2", "3/2", "a/2", "1/2/3", "-1/2", "1/ 2"])
def test_what_is_no_part(text: str) -> None:
    with pytest.raises(ValueError, match="must be I/N"):
        parse_part(text)
    assert parse_part("2/8") == (2, 8)


def write_spec(directory: Path, text: str = SPEC) -> Path:
    path = directory / "m.toml"
    path.write_text(text)
    return path


def load(directory: Path) -> dict[str, np.ndarray[Any, Any]]:
    """Every tensor of a directory, through its index where it has one."""
    index = directory / INDEX_NAME
    if not index.exists():
        return dict(safetensors.numpy.load_file(directory / "model.safetensors"))
    files = json.loads(index.read_text())["weight_map"]
    loaded = {name: safetensors.numpy.load_file(directory / name) for name in set(files.values())}
    assert {n for tensors in loaded.values() for n in tensors} == set(files)
    return {name: loaded[file][name] for name, file in files.items()}


def snapshot(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_a_directory_holds_what_the_file_does(tmp_path: Path) -> None:
    assert run("init", TINY, "-o", tmp_path / "one.safetensors", "--quiet").returncode == 0
    done = run("init", TINY, "-o", f"{tmp_path}/many/", "--max-shard-size", "100KB")
    assert (done.returncode, done.stdout) == (0, "")
    assert "in 5 files; " in done.stderr
    whole = safetensors.numpy.load_file(tmp_path / "one.safetensors")
    split = load(tmp_path / "many")
    assert whole.keys() == split.keys()
    assert all(whole[name].tobytes() == split[name].tobytes() for name in whole)
    index = json.loads((tmp_path / "many" / INDEX_NAME).read_text())
    assert index["metadata"] == {
        "total_size": sum(array.nbytes for array in whole.values()),
        "total_parameters": sum(array.size for array in whole.values()),
    }
    text = json.dumps(index, indent=2, sort_keys=True) + "\n"
    assert (tmp_path / "many" / INDEX_NAME).read_text() == text
    for name in set(index["weight_map"].values()):
        with safetensors.safe_open(tmp_path / "many" / name, "numpy") as file:
            assert file.metadata()["format"] == "pt"
            data = (tmp_path / "many" / name).read_bytes()
            assert (8 + int.from_bytes(data[:8], "little")) % 64 == 0


def test_one_shard_has_no_suffix_and_no_index(tmp_path: Path) -> None:
    assert run("init", TINY, "-o", f"{tmp_path}/d/").returncode == 0
    assert os.listdir(tmp_path / "d") == ["model.safetensors"]
    # Just as the file itself would be.
    assert run("init", TINY, "-o", tmp_path / "f").returncode == 0
    assert (tmp_path / "f").read_bytes() == (tmp_path / "d" / "model.safetensors").read_bytes()


def test_an_existing_directory_needs_no_slash(tmp_path: Path) -> None:
    assert run("init", TINY, "-o", tmp_path, "--shards", "3").returncode == 0
    assert len(os.listdir(tmp_path)) == 4


def test_parts_make_what_one_run_makes(tmp_path: Path) -> None:
    spec = write_spec(tmp_path)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert run("init", spec, "-o", f"{whole}/", "--shards", "5").returncode == 0
    said = []
    for part in (3, 1, 2):
        # What is there of the others is no obstacle, nor is starting late.
        done = run("init", spec, "-o", f"{parts}/", "--shards", "5", "--part", f"{part}/3")
        assert done.returncode == 0, done.stderr
        said.append(done.stderr)
        assert (parts / INDEX_NAME).exists() == (part == 2)
    assert "3 files of other parts not there yet" in said[0]
    assert snapshot(parts) == snapshot(whole)


def test_more_parts_than_files(tmp_path: Path) -> None:
    spec, out = write_spec(tmp_path), tmp_path / "d"
    for part in (4, 1, 2, 3):
        done = run("init", spec, "-o", f"{out}/", "--shards", "3", "--part", f"{part}/4")
        assert done.returncode == 0, done.stderr
        assert ("no file is left for this part" in done.stderr) == (part == 4)
    assert (out / INDEX_NAME).exists()
    # And once more, when all is done.
    assert run("init", spec, "-o", f"{out}/", "--shards", "3", "--part", "4/4").returncode == 0


def test_finish_writes_the_index_only_when_all_are_there(tmp_path: Path) -> None:
    spec, out = write_spec(tmp_path), tmp_path / "d"
    arguments = ["init", spec, "-o", f"{out}/", "--shards", "3"]
    assert run(*arguments, "--part", "1/2").returncode == 0
    done = run(*arguments, "--finish")
    assert done.returncode == 1
    assert "not finished; missing: model-00002-of-00003.safetensors" in done.stderr
    assert run(*arguments, "--part", "2/2").returncode == 0
    (out / INDEX_NAME).unlink()
    assert run(*arguments, "--finish").returncode == 0
    assert len(load(out)) == 6


def test_finish_waits_for_no_run_that_replaces_shards(tmp_path: Path) -> None:
    spec, out = write_spec(tmp_path), tmp_path / "d"
    arguments = ["init", spec, "-o", f"{out}/", "--shards", "3"]
    done = run(*arguments, "--finish")
    assert done.returncode == 1
    assert "not finished; missing: model-00001-of-00003.safetensors" in done.stderr
    assert run(*arguments).returncode == 0
    (out / INDEX_NAME).unlink()
    with publish.claim(str(out), shared=False):
        done = run(*arguments, "--finish")
    assert done.returncode == 1
    assert "another process is writing to it" in done.stderr
    assert not (out / INDEX_NAME).exists()


def test_finish_refuses_shards_of_another_version(tmp_path: Path) -> None:
    spec, out = write_spec(tmp_path), tmp_path / "d"
    arguments = ["init", spec, "-o", f"{out}/", "--shards", "3"]
    assert run(*arguments).returncode == 0
    (out / INDEX_NAME).unlink()
    shard = out / "model-00002-of-00003.safetensors"
    data = shard.read_bytes()
    shard.write_bytes(data.replace(b'"seedbed_version":"0', b'"seedbed_version":"9'))
    done = run(*arguments, "--finish")
    assert done.returncode == 1
    assert "00002-of-00003.safetensors: is not what this specification and version" in done.stderr
    assert not (out / INDEX_NAME).exists()
    # What this version writes takes its place.
    assert run(*arguments, "--resume").returncode == 0
    assert shard.read_bytes() == data


@pytest.mark.parametrize(
    "stale",
    [
        *("model.safetensors", "model-00001-of-00002.safetensors", "adapter.safetensors"),
        *("other.safetensors.index.json", "model-00001-of-00003.safetensors"),
    ],
)
@pytest.mark.parametrize("more", [[], ["--resume"], ["--part", "1/2"]])
def test_a_directory_of_another_model_is_refused(
    tmp_path: Path, stale: str, more: list[str]
) -> None:
    spec, out = write_spec(tmp_path), tmp_path / "d"
    out.mkdir()
    (out / stale).write_bytes(b"what was there")
    (out / "README.md").write_text("no part of any model")
    done = run("init", spec, "-o", f"{out}/", "--shards", "3", *more)
    assert done.returncode == 1
    assert f"{out / stale}: belongs to another checkpoint" in done.stderr
    assert snapshot(out) == {stale: b"what was there", "README.md": b"no part of any model"}


def test_another_specification_is_not_resumed(tmp_path: Path) -> None:
    spec, out = write_spec(tmp_path), tmp_path / "d"
    assert run("init", spec, "-o", f"{out}/", "--shards", "3").returncode == 0
    before = snapshot(out)
    spec.write_text(SPEC.replace("seed = 1", "seed = 2"))
    done = run("init", spec, "-o", f"{out}/", "--shards", "3", "--resume")
    assert done.returncode == 1
    assert "belongs to another checkpoint (and 2 more)" in done.stderr
    assert snapshot(out) == before


def test_what_is_there_is_neither_replaced_nor_left_unsaid(tmp_path: Path) -> None:
    spec, out = write_spec(tmp_path), tmp_path / "d"
    arguments = ["init", spec, "-o", f"{out}/", "--shards", "3"]
    assert run(*arguments).returncode == 0
    before = snapshot(out)
    done = run(*arguments)
    assert done.returncode == 1
    assert "is there already (and 3 more); use --resume" in done.stderr
    assert snapshot(out) == before


def test_overwrite_leaves_nothing_of_the_old_model(tmp_path: Path) -> None:
    spec, out = write_spec(tmp_path), tmp_path / "d"
    for old in (["--shards", "6"], ["--max-shard-size", "1GB"], ["--shards", "3"]):
        assert run("init", spec, "-o", f"{out}/", *old, "--overwrite").returncode == 0
        assert len(load(out)) == 6
    assert len(list(out.iterdir())) == 4


def test_overwriting_unpublishes_first(tmp_path: Path) -> None:
    # A failure in the middle: what is left does not load, and nothing is mixed.
    out = tmp_path / "d"
    store = LocalDirectory(str(out))
    good = planned([np.full(9, 1.0), np.full(9, 2.0)])
    write_directory(store, good)
    with pytest.raises(WriteError):
        write_directory(store, planned([np.full(9, 3.0), None]), existing=Existing.OVERWRITE)
    assert not (out / INDEX_NAME).exists()


class Array:
    """A tensor that is an array, or fails where it has none."""

    whole = False

    def __init__(self, name: str, values: np.ndarray[Any, Any] | None) -> None:
        self.name = name
        self._values = values
        shape = np.zeros(9) if values is None else values
        self.shape: tuple[int, ...] = shape.shape
        self.dtype = shape.dtype
        self.nbytes = shape.nbytes

    def prepare(self) -> Array:
        return self

    def draw(self, index: Any = None, out: Any = None) -> Any:
        if self._values is None:
            raise OSError(5, "broken")
        block = self._values if index is None else self._values[index]
        if out is None:
            return block.copy()
        out[...] = block
        return out


def planned(arrays: Sequence[np.ndarray[Any, Any] | None], digest: str = "d") -> Planned:
    names = file_names(len(arrays))
    metadata = {"format": "pt", "specification_digest": digest}
    layouts = {
        name: lay_out([Array(f"t{i}", array)], metadata)
        for i, (name, array) in enumerate(zip(names, arrays, strict=True))
    }
    return Planned(layouts, digest)


def test_resume_compares_values_and_quick_does_not(tmp_path: Path) -> None:
    spec, out = write_spec(tmp_path), tmp_path / "d"
    arguments = ["init", spec, "-o", f"{out}/", "--shards", "3"]
    assert run(*arguments).returncode == 0
    before = snapshot(out)
    damaged, gone = (out / f"model-0000{number}-of-00003.safetensors" for number in (1, 2))
    data = bytearray(damaged.read_bytes())
    data[-1] ^= 1
    damaged.write_bytes(data)
    gone.unlink()
    done = run(*arguments, "--resume=quick")
    assert done.returncode == 0
    assert "kept 2 files, not compared" in done.stderr
    assert damaged.read_bytes() == data
    done = run(*arguments, "--resume")
    assert "kept 2 files, compared" in done.stderr
    assert snapshot(out) == before
    # A file cut short, of the right header.
    gone.write_bytes(before[gone.name][:-7])
    assert "kept 2 files" in run(*arguments, "--resume=quick").stderr
    assert snapshot(out) == before


def start(*arguments: str | Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_shards(out: Path, process: subprocess.Popen[str], count: int) -> None:
    deadline = time.monotonic() + 60
    while len(list(out.glob("model-*"))) < count:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.002)


def test_a_killed_run_is_resumed(tmp_path: Path) -> None:
    spec, out = write_spec(tmp_path, LONG), tmp_path / "d"
    arguments = ["init", spec, "-o", f"{out}/", "--shards", "24"]
    with start(*arguments) as process:
        wait_for_shards(out, process, 2)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
    assert not (out / INDEX_NAME).exists()
    # Whatever the moment, at most one file was in work; make sure that there is one.
    (out / ".model-00024-of-00024.safetensors.0123abcd.part").write_bytes(b"half")
    done = run(*arguments, "--resume")
    assert done.returncode == 0, done.stderr
    assert "compared" in done.stderr
    assert not list(out.glob(".*.part"))
    assert run("verify", spec, out).returncode == 0


def test_the_temporary_file_of_a_live_run_is_left_alone(tmp_path: Path) -> None:
    name = "model-00001-of-00002.safetensors"
    with publish.replacement(str(tmp_path / name), 8) as sink:
        sink(memoryview(b"12345678"))
        [temporary] = tmp_path.iterdir()
        old = time.time() - 7 * 24 * 3600
        os.utime(temporary, (old, old))
        publish.sweep(str(tmp_path), [name], everything=True)
        assert temporary.exists()
    assert (tmp_path / name).read_bytes() == b"12345678"


@pytest.mark.parametrize(
    ("age", "everything", "left"), [(0, False, 1), (2, False, 0), (0, True, 0)]
)
def test_the_temporary_files_of_dead_runs_are_removed(
    tmp_path: Path, age: int, everything: bool, left: int
) -> None:
    name = "model-00001-of-00002.safetensors"
    temporary = tmp_path / f".{name}.0123abcd.part"
    temporary.write_bytes(b"half")
    (tmp_path / ".other.0123abcd.part").write_bytes(b"somebody else's")
    then = time.time() - age * 24 * 3600
    os.utime(temporary, (then, then))
    publish.sweep(str(tmp_path), [name], everything=everything)
    assert len(list(tmp_path.iterdir())) == 1 + left


def test_two_runs_at_once_one_of_them_is_told(tmp_path: Path) -> None:
    spec, out = write_spec(tmp_path, LONG), tmp_path / "d"
    arguments = ["init", spec, "-o", f"{out}/", "--shards", "24"]
    with start(*arguments) as process:
        wait_for_shards(out, process, 1)
        done = run(*arguments, "--overwrite")
        assert done.returncode == 1
        assert "another process is writing to it" in done.stderr
        _, stderr = process.communicate(timeout=300)
    assert process.returncode == 0, stderr
    assert run("verify", spec, out).returncode == 0


def test_parts_at_once_make_the_whole(tmp_path: Path) -> None:
    spec, out = write_spec(tmp_path), tmp_path / "d"
    arguments = ["init", spec, "-o", f"{out}/", "--shards", "6"]
    processes = [start(*arguments, "--part", f"{part}/3") for part in (1, 2, 3)]
    for process in processes:
        with process:
            _, stderr = process.communicate(timeout=300)
        assert process.returncode == 0, stderr
    # The last one to end saw all of them.
    assert len(load(out)) == 6
    assert not list(out.glob(".*"))


def test_parts_of_two_models_are_not_mixed(tmp_path: Path) -> None:
    spec, out = write_spec(tmp_path), tmp_path / "d"
    assert run("init", spec, "-o", f"{out}/", "--shards", "2", "--part", "1/2").returncode == 0
    spec.write_text(SPEC.replace("seed = 1", "seed = 2"))
    done = run("init", spec, "-o", f"{out}/", "--shards", "2", "--part", "2/2")
    assert done.returncode == 1
    assert "belongs to another checkpoint" in done.stderr
    assert not (out / INDEX_NAME).exists()


def test_finish_refuses_what_readers_would_mix_in(tmp_path: Path) -> None:
    spec, out = write_spec(tmp_path), tmp_path / "d"
    arguments = ["init", spec, "-o", f"{out}/", "--shards", "3"]
    assert run(*arguments).returncode == 0
    (out / INDEX_NAME).unlink()
    (out / "model-00004-of-00004.safetensors").write_bytes(b"of another model")
    done = run(*arguments, "--finish")
    assert done.returncode == 1
    assert "00004-of-00004.safetensors: belongs to another checkpoint" in done.stderr
    assert not (out / INDEX_NAME).exists()


@pytest.mark.parametrize("existing", [Existing.REFUSE, Existing.OVERWRITE])
def test_parts_of_two_models_at_once_never_make_a_mixture_that_loads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, existing: Existing
) -> None:
    store = LocalDirectory(str(tmp_path / "d"))
    ours = planned([np.full(9, 1.0), np.full(9, 2.0)], "ours")
    theirs = planned([np.full(9, 3.0), np.full(9, 4.0)], "theirs")
    replacement = publish.replacement

    @contextlib.contextmanager
    def late(path: str, nbytes: int, *, sync: bool) -> Iterator[publish.Sink]:
        with replacement(path, nbytes, sync=sync) as sink:
            yield sink
            # The other model is written, all of it, just before this shard takes its place.
            monkeypatch.setattr(publish, "replacement", replacement)
            for part in (1, 2):
                write_directory(store, theirs, part=(part, 2), existing=existing)

    monkeypatch.setattr(publish, "replacement", late)
    if existing is Existing.REFUSE:
        with pytest.raises(WriteError, match="is not what this specification"):
            write_directory(store, ours, part=(1, 2))
    else:
        outcome = write_directory(store, ours, part=(1, 2), existing=existing)
        assert outcome.missing == ["model-00002-of-00002.safetensors"]
    assert store.size(INDEX_NAME) is None


def test_a_part_does_not_replace_what_another_model_wrote_meanwhile(tmp_path: Path) -> None:
    store = LocalDirectory(str(tmp_path))
    ours = planned([np.full(9, 1.0), np.full(9, 2.0)], "ours")
    theirs = planned([np.full(9, 3.0), np.full(9, 4.0)], "theirs")

    def interfere(count: int) -> None:
        for part in (1, 2):
            write_directory(store, theirs, part=(part, 2))

    with pytest.raises(WriteError, match="belongs to another checkpoint"):
        write_directory(store, ours, interfere, part=(1, 2))
    # Theirs is whole, and loads.
    assert publish_index(store, theirs) == []
    assert store.size(INDEX_NAME) is not None


def test_a_shard_replaced_while_the_index_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = LocalDirectory(str(tmp_path))
    ours = planned([np.full(9, 1.0), np.full(9, 2.0)], "ours")
    theirs = planned([np.full(9, 3.0), np.full(9, 4.0)], "theirs")
    first = next(iter(theirs.shards))

    def encode_late(shards: Any) -> bytes:
        write_checkpoint(store.path(first), theirs.shards[first])
        return encode_index(shards)

    monkeypatch.setattr(directory, "encode_index", encode_late)
    with pytest.raises(WriteError, match="is not what this specification"):
        write_directory(store, ours)
    assert store.size(INDEX_NAME) is None


@pytest.mark.parametrize("existing", [Existing.REFUSE, Existing.OVERWRITE])
def test_a_shard_that_is_gone_before_the_index_is_written(
    tmp_path: Path, existing: Existing
) -> None:
    store = LocalDirectory(str(tmp_path))

    def remove(count: int) -> None:
        with contextlib.suppress(FileNotFoundError):
            (tmp_path / "model-00001-of-00002.safetensors").unlink()

    arrays = [np.full(9, 1.0), np.full(9, 2.0)]
    with pytest.raises(WriteError, match=r"00001-of-00002.safetensors: was removed or replaced"):
        write_directory(store, planned(arrays), remove, existing=existing)
    assert store.size(INDEX_NAME) is None


def test_a_shard_that_comes_while_the_index_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = LocalDirectory(str(tmp_path))
    ours = planned([np.full(9, 1.0), np.full(9, 2.0)], "ours")
    theirs = planned([np.full(9, number) for number in (3.0, 4.0, 5.0)], "theirs")

    def encode_late(shards: Any) -> bytes:
        write_directory(store, theirs, part=(1, 3), existing=Existing.OVERWRITE)
        return encode_index(shards)

    monkeypatch.setattr(directory, "encode_index", encode_late)
    with pytest.raises(WriteError, match="belongs to another checkpoint"):
        write_directory(store, ours, part=(1, 1), existing=Existing.OVERWRITE)
    assert store.size(INDEX_NAME) is None


def test_parts_may_overwrite_a_model_of_the_same_names(tmp_path: Path) -> None:
    spec, out = write_spec(tmp_path), tmp_path / "d"
    arguments = ["init", spec, "-o", f"{out}/", "--shards", "2"]
    assert run(*arguments).returncode == 0
    spec.write_text(SPEC.replace("seed = 1", "seed = 2"))
    done = run(*arguments, "--overwrite", "--part", "1/2")
    assert done.returncode == 0, done.stderr
    assert "1 file of other parts not there yet" in done.stderr
    assert not (out / INDEX_NAME).exists()
    assert run(*arguments, "--overwrite", "--part", "2/2").returncode == 0
    assert run("verify", spec, out).returncode == 0


def test_a_file_that_replaces_shards_is_never_beside_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = LocalDirectory(str(tmp_path))
    write_directory(store, planned([np.full(9, 1.0), np.full(9, 2.0)], "old"))

    def fail(path: str) -> None:
        raise OSError(5, "broken")

    # Its name is there, and nothing after it happens.
    monkeypatch.setattr(publish, "sync_directory", fail)
    with pytest.raises(WriteError):
        write_directory(store, planned([np.full(9, 3.0)], "new"), existing=Existing.OVERWRITE)
    assert os.listdir(tmp_path) == ["model.safetensors"]


def test_a_file_that_replaces_another_never_loads_with_its_config(tmp_path: Path) -> None:
    out = tmp_path / "d"
    store = LocalDirectory(str(out))
    old, new = planned([np.full(9, 1.0)], "old"), planned([np.full(9, 2.0)], "new")
    write_directory(store, replace(old, beside={"config.json": b"old"}))
    seen = []

    def look(count: int) -> None:
        seen.append(snapshot(out))

    write_directory(
        store, replace(new, beside={"config.json": b"new"}), look, existing=Existing.OVERWRITE
    )
    for files in seen:
        assert files["config.json"] == b"new"
        assert "model.safetensors" not in files
    assert seen
    assert snapshot(out)["model.safetensors"].endswith(np.full(9, 2.0).tobytes())


def test_a_disk_that_fills_up_leaves_what_was_whole(tmp_path: Path) -> None:
    spec, out = write_spec(tmp_path, LONG.replace("i = 24", "i = 3")), tmp_path / "d"
    arguments = ["init", str(spec), "-o", f"{out}/", "--max-shard-size", "33MB"]
    # Two tensors fit a shard of 32 MB; a file may have 24 MB.
    limited = (
        "import os, resource, sys\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (24 << 20, 24 << 20))\n"
        "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
    )
    done = subprocess.run(
        [sys.executable, "-c", limited, *COMMAND[1:], *arguments],
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert done.returncode == 1
    assert "tensor `w.1`: cannot be written: File too large" in done.stderr
    assert os.listdir(out) == []
    assert run(*arguments, "--resume").returncode == 0
    assert run("verify", spec, out).returncode == 0


def test_a_model_larger_than_the_disk_is_refused_at_once(tmp_path: Path) -> None:
    spec = write_spec(tmp_path, SPEC.replace("[100, 50]", "[1000000, 1000000, 100]"))
    done = run("init", spec, "-o", f"{tmp_path}/d/", "--shards", "6")
    assert done.returncode == 1
    assert "cannot be written: it needs 24000000" in done.stderr
    assert os.listdir(tmp_path / "d") == []


def test_what_does_not_fit_overwrites_nothing(tmp_path: Path) -> None:
    spec, out = write_spec(tmp_path), tmp_path / "d"
    assert run("init", spec, "-o", f"{out}/", "--shards", "3").returncode == 0
    before = snapshot(out)
    spec.write_text(SPEC.replace("[100, 50]", "[1000000, 1000000, 100]"))
    done = run("init", spec, "-o", f"{out}/", "--shards", "6", "--overwrite")
    assert done.returncode == 1
    assert "cannot be written: it needs 24000000" in done.stderr
    assert snapshot(out) == before


def test_overwriting_needs_no_room_for_what_it_removes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = LocalDirectory(str(tmp_path))
    write_directory(store, planned([np.zeros(500)], "old"))
    asked: list[int] = []
    monkeypatch.setattr(LocalDirectory, "require_room", lambda self, nbytes: asked.append(nbytes))
    new = planned([np.zeros(300), np.zeros(300)], "new")
    write_directory(store, new, existing=Existing.OVERWRITE)
    assert 0 < asked[0] < 2 * 300 * 8


def test_files_are_on_the_disk_before_they_have_their_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    sync, replace = os.fsync, os.replace

    def spy_sync(file: int) -> None:
        events.append("sync")
        sync(file)

    def spy_replace(source: str, target: str) -> None:
        events.append(f"rename {os.path.basename(target)}")
        replace(source, target)

    monkeypatch.setattr(publish.os, "fsync", spy_sync)
    monkeypatch.setattr(publish.os, "replace", spy_replace)
    arrays = [np.zeros(9), np.ones(9)]
    write_directory(LocalDirectory(str(tmp_path / "d")), planned(arrays))
    first, second = file_names(2)
    expected = []
    for name in (first, second, INDEX_NAME):
        # The file, its name, the directory.
        expected += ["sync", f"rename {name}", "sync"]
    assert events == expected
    events.clear()
    write_directory(LocalDirectory(str(tmp_path / "e")), planned(arrays), sync=False)
    assert "sync" not in events


def test_dry_run_shows_the_files(tmp_path: Path) -> None:
    arguments = ["init", EXAMPLES / "gpt2-xl.toml", "--max-shard-size", "1GB", "--dry-run"]
    done = run(*arguments)
    assert done.returncode == 0
    assert "model-00004-of-00004.safetensors: " in done.stdout
    document = json.loads(run(*arguments, "--json").stdout)
    assert document["totals"]["parameters"] == 1557611200
    assert [file["name"] for file in document["files"]] == file_names(4)
    tensors = document["tensors"]
    assert len(tensors) == 580
    assert tensors[0]["expected"]["std"] == 0.02
    for number, file in enumerate(document["files"]):
        own = [tensor for tensor in tensors if tensor["file"] == number]
        end = max(tensor["offset"] + tensor["bytes"] for tensor in own)
        assert end == file["bytes"]
        assert min(tensor["offset"] for tensor in own) == file["header_bytes"]


def test_memory_is_bounded_by_the_chunks(tmp_path: Path) -> None:
    spec = write_spec(tmp_path, SPEC.replace("[100, 50]", "[1, 30000000]"))
    out = f"{tmp_path}/d/"
    for command in (
        ["init", str(spec), "-o", out, "--quiet", "--max-shard-size", "300MB"],
        ["init", str(spec), "-o", out, "--quiet", "--max-shard-size", "300MB", "--resume"],
        ["verify", str(spec), out, "--quiet"],
        ["inspect", out, "--stats", "--lint", "--spec", str(spec)],
    ):
        program = (
            "import resource, sys\nfrom seedbed._command.main import main\n"
            "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
            f"assert main({command}) == 0\n"
            "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
        )
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr
        # In KiB; the model is 720 MB.
        assert int(done.stdout.splitlines()[-1]) < 80 * 1024, command
