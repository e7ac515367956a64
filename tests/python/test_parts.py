"""Directories that several runs write to: each its share, at once or one after the other."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from command import run
from directories import SPEC, load, planned, snapshot, start, write_spec
from seedbed._checkpoint import directory, publish
from seedbed._checkpoint.directory import Existing, publish_index, write_directory
from seedbed._checkpoint.index import encode_index
from seedbed._checkpoint.publish import WriteError
from seedbed._checkpoint.shards import INDEX_NAME
from seedbed._checkpoint.store import LocalDirectory
from seedbed._checkpoint.writer import write_checkpoint


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
