"""Directories of shards, for the tests of what is written to them."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy

from command import COMMAND
from seedbed._checkpoint.directory import Planned
from seedbed._checkpoint.format import lay_out
from seedbed._checkpoint.shards import INDEX_NAME, file_names

SPEC = """seed = 1
[[tensor]]
name = "w.{i}"
repeat = { i = 6 }
shape = [100, 50]
init = "he_normal"
"""
# 24 shards of 16 MB, to be interrupted.
LONG = SPEC.replace("i = 6", "i = 24").replace("[100, 50]", "[2000, 2000]")


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
