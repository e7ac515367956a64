"""Object stores through fsspec: an object is whole or not there."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import numpy as np
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.spec import AbstractBufferedFile

from seedbed._checkpoint.directory import Existing, Planned, write_directory
from seedbed._checkpoint.format import lay_out
from seedbed._checkpoint.publish import WriteError
from seedbed._checkpoint.reader import open_checkpoint
from seedbed._checkpoint.shards import INDEX_NAME, file_names
from seedbed._checkpoint.store import directory_of
from seedbed._checkpoint.writer import write_checkpoint
from seedbed._command.main import main

SPEC = """seed = 1
[[tensor]]
name = "w.{i}"
repeat = { i = 6 }
shape = [100, 50]
init = "he_normal"
"""


class Upload(AbstractBufferedFile):
    """A multipart upload: what s3fs, gcsfs and adlfs have in common."""

    def _initiate_upload(self) -> None:
        self.parts: list[bytes] = []

    def _upload_chunk(self, final: bool = False) -> bool:
        self.parts.append(self.buffer.getvalue())
        if final and self.autocommit:
            self.commit()
        return True

    def commit(self) -> None:
        self.fs.objects[self.path] = b"".join(self.parts)

    def discard(self) -> None:
        self.fs.discarded.append(self.path)

    def _fetch_range(self, start: int, end: int) -> bytes:
        return bytes(self.fs.objects[self.path][start:end])


class Bucket(fsspec.AbstractFileSystem):
    """Objects in memory that appear when their upload is committed."""

    protocol = "bucket"
    cachable = False
    objects: ClassVar[dict[str, bytes]] = {}
    discarded: ClassVar[list[str]] = []
    # Raised by the upload of so many bytes.
    full: ClassVar[int | None] = None

    def _open(self, path: str, mode: str = "rb", **options: Any) -> Any:
        options.pop("size", None)
        size = len(self.objects[path]) if mode == "rb" else None
        return Upload(self, path, mode, size=size, **options)

    def ls(self, path: str, detail: bool = True, **options: Any) -> Any:
        inside = path.rstrip("/") + "/"
        found = [
            {"name": name, "size": len(data), "type": "file"}
            for name, data in self.objects.items()
            if name == path or name.startswith(inside)
        ]
        if not found:
            raise FileNotFoundError(path)
        return found if detail else [entry["name"] for entry in found]

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        """There are no directories."""

    def rm_file(self, path: str) -> None:
        if self.objects.pop(path, None) is None:
            raise FileNotFoundError(path)


fsspec.register_implementation("bucket", Bucket)


@pytest.fixture(params=["memory://", "bucket://"])
def url(request: pytest.FixtureRequest) -> str:
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]
    Bucket.objects.clear()
    Bucket.discarded.clear()
    return f"{request.param}x/model"


def objects(url: str) -> dict[str, bytes]:
    files, path = fsspec.core.url_to_fs(url)
    try:
        found = files.find(path)
    except FileNotFoundError:
        return {}
    return {name.rpartition("/")[2]: files.cat_file(name) for name in found}


def test_a_directory_in_a_store_is_that_of_a_disk(tmp_path: Path, url: str) -> None:
    spec, out = tmp_path / "m.toml", tmp_path / "d"
    spec.write_text(SPEC)
    for target in (f"{out}/", f"{url}/"):
        assert main(["init", str(spec), "-o", target, "--shards", "3", "--quiet"]) == 0
    assert objects(url) == {path.name: path.read_bytes() for path in out.iterdir()}
    assert main(["verify", str(spec), url, "--quiet"]) == 0
    assert main(["inspect", url, "--lint", "--spec", str(spec), "--json"]) == 0


def test_one_object(tmp_path: Path, url: str) -> None:
    spec = tmp_path / "m.toml"
    spec.write_text(SPEC)
    assert main(["init", str(spec), "-o", f"{url}/a.safetensors", "--quiet"]) == 0
    assert main(["init", str(spec), "-o", str(tmp_path / "a"), "--quiet"]) == 0
    assert objects(url) == {"a.safetensors": (tmp_path / "a").read_bytes()}
    assert main(["verify", str(spec), f"{url}/a.safetensors", "--quiet"]) == 0


class Array:
    whole = False

    def __init__(self, name: str, values: Any, failing: bool = False) -> None:
        self.name, self._values, self._failing = name, values, failing
        self.shape, self.dtype, self.nbytes = values.shape, values.dtype, values.nbytes

    def prepare(self) -> Array:
        return self

    def draw(self, index: Any = None, out: Any = None) -> Any:
        if self._failing:
            raise ValueError("broken")
        out[...] = self._values if index is None else self._values[index]
        return out


def test_what_an_exception_cut_short_has_no_name(url: str) -> None:
    first = Array("a", np.zeros(40 << 20, np.uint8))
    layout = lay_out([first, Array("b", np.zeros(9, np.uint8), failing=True)], {})
    with pytest.raises(Exception, match="broken"):
        write_checkpoint(f"{url}/a.safetensors", layout)
    import gc

    gc.collect()
    assert objects(url) == {}
    if url.startswith("bucket"):
        assert Bucket.discarded == ["x/model/a.safetensors"]


def test_a_store_that_refuses_is_a_write_error(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    def refuse(self: Any, final: bool = False) -> bool:
        raise RuntimeError("SlowDown: please\nreduce your rate")

    monkeypatch.setattr(Upload, "_upload_chunk", refuse)
    if url.startswith("memory"):
        url = url.replace("memory", "bucket")
    layout = lay_out([Array("a", np.zeros(40 << 20, np.uint8))], {})
    with pytest.raises(WriteError, match=r"a\.safetensors: .*cannot be written: SlowDown"):
        write_checkpoint(f"{url}/a.safetensors", layout)
    assert objects(url) == {}


def planned(values: list[float], *, failing: bool = False) -> Planned:
    names = file_names(len(values))
    metadata = {"specification_digest": "d"}
    layouts = {}
    for number, (name, value) in enumerate(zip(names, values, strict=True)):
        broken = failing and number == len(names) - 1
        layouts[name] = lay_out([Array(f"t{number}", np.full(9, value), broken)], metadata)
    return Planned(layouts, "d")


def test_publishing_and_resuming(url: str) -> None:
    store = directory_of(url)
    with pytest.raises(Exception, match="broken"):
        write_directory(store, planned([1, 2, 3], failing=True))
    assert INDEX_NAME not in objects(url)
    with pytest.raises(WriteError, match="is there already"):
        write_directory(store, planned([1, 2, 3]))
    outcome = write_directory(store, planned([1, 2, 3]), existing=Existing.RESUME)
    assert len(outcome.kept) == 2
    assert len(outcome.written) == 1
    assert INDEX_NAME in objects(url)
    write_directory(store, planned([4, 5]), existing=Existing.OVERWRITE)
    assert sorted(objects(url)) == [*file_names(2), INDEX_NAME]
    assert len(open_checkpoint(url).tensors) == 2


def test_parts(tmp_path: Path, url: str) -> None:
    spec = tmp_path / "m.toml"
    spec.write_text(SPEC)
    arguments = ["init", str(spec), "-o", f"{url}/", "--shards", "3", "--quiet"]
    for part in (2, 1):
        assert INDEX_NAME not in objects(url)
        assert main([*arguments, "--part", f"{part}/2"]) == 0
    assert len(json.loads(objects(url)[INDEX_NAME])["weight_map"]) == 6


def test_a_local_url_is_a_path(tmp_path: Path) -> None:
    spec = tmp_path / "m.toml"
    spec.write_text(SPEC)
    out = f"file://{tmp_path}/d/"
    assert main(["init", str(spec), "-o", out, "--shards", "2", "--quiet"]) == 0
    assert len(os.listdir(tmp_path / "d")) == 3
    assert main(["verify", str(spec), out, "--quiet"]) == 0


def test_a_protocol_that_nobody_knows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = tmp_path / "m.toml"
    spec.write_text(SPEC)
    assert main(["init", str(spec), "-o", "nowhere://x/"]) == 1
    assert main(["inspect", "nowhere://x/a.safetensors"]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 2
    assert all("nowhere" in error for error in errors)
