"""Directories of shards: what is written, replaced, resumed and refused, and in which order."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from command import COMMAND, EXAMPLES, TINY, run
from directories import LONG, SPEC, load, planned, snapshot, start, wait_for_shards, write_spec
from seedbed._checkpoint import publish
from seedbed._checkpoint.directory import Existing, write_directory
from seedbed._checkpoint.publish import WriteError
from seedbed._checkpoint.shards import INDEX_NAME, file_names
from seedbed._checkpoint.store import LocalDirectory


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
