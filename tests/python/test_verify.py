"""`seedbed verify`: every way in which a checkpoint may not be what its specification makes."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st

from command import TINY, run
from seedbed._checkpoint.compare import differences
from seedbed._checkpoint.format import lay_out
from seedbed._checkpoint.pieces import Placed
from seedbed._checkpoint.reader import open_checkpoint
from seedbed._checkpoint.shards import INDEX_NAME
from seedbed._checkpoint.writer import write_checkpoint
from seedbed._command.main import main
from seedbed._spec.reader import read_specification

SPEC = """seed = 1
[[tensor]]
name = "w.{i}"
repeat = { i = 4 }
shape = [300, 70]
init = "he_normal"
dtype = "bfloat16"
[[tensor]]
name = "b"
shape = [70]
init = "zeros"
[[tensor]]
name = "q"
shape = [30, 30]
init = "orthogonal"
[[tensor]]
name = "flags"
shape = [3]
init = "ones"
dtype = "bool"
"""


@pytest.fixture
def made(tmp_path: Path) -> tuple[Path, Path]:
    """A specification, and the file that it makes."""
    spec, out = tmp_path / "m.toml", tmp_path / "m.safetensors"
    spec.write_text(SPEC)
    assert main(["init", str(spec), "-o", str(out), "--quiet"]) == 0
    return spec, out


def resave(path: Path, change: Callable[[dict[str, Any]], None], **metadata: str) -> None:
    """Write the tensors again by the reference package, after a change."""
    arrays = dict(safetensors.numpy.load_file(path))
    change(arrays)
    safetensors.numpy.save_file(arrays, path, metadata={"format": "pt", **metadata})


def test_what_init_wrote_is_right(made: tuple[Path, Path]) -> None:
    done = run("verify", *made)
    assert (done.returncode, done.stdout) == (0, "")
    assert "same; compared 7 tensors" in done.stderr
    done = run("verify", *made, "--quiet")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_reference_packages_order_is_right_too(made: tuple[Path, Path]) -> None:
    # Other offsets, sorted by dtype and name, some of them unaligned.
    resave(made[1], lambda arrays: None)
    assert run("verify", *made).returncode == 0


def test_the_first_difference_is_named_with_both_values(made: tuple[Path, Path]) -> None:
    def change(arrays: dict[str, Any]) -> None:
        arrays["w.2"][5, 7:9] = 42
        arrays["w.2"][299, 69] = 42
        arrays["b"][3] = -0.0

    expected = safetensors.numpy.load_file(made[1])["w.2"][5, 7]
    resave(made[1], change)
    done = run("verify", *made)
    assert done.returncode == 1
    assert sorted(done.stdout.splitlines()) == [
        # Bytes are compared, not numbers.
        f"error: {made[1]}: tensor `b` differs first at [3]: -0.0 stored, 0.0 expected; 1 of 70 "
        f"values differ",
        f"error: {made[1]}: tensor `w.2` differs first at [5, 7]: 42.0 stored, {expected} "
        f"expected; 3 of 21000 values differ",
    ]
    assert "different; compared 7 tensors" in done.stderr


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.pop("b"), "tensor `b` is missing"),
        (lambda a: a.update({"w.00": a.pop("w.0")}), "tensor `w.0` is missing; there is `w.00`"),
        (lambda a: a.update(x=a["b"]), "tensor `x` is not in the specification"),
        (lambda a: a.update(b=a["b"].astype("f2")), "tensor `b` is F16, expected F32"),
        (lambda a: a.update(b=a["b"][:9]), "tensor `b` has the shape [9], expected [70]"),
        (lambda a: a.update(q=a["q"].T.copy()), "tensor `q` differs first at [0, 1]"),
        (lambda a: a["flags"].__setitem__(2, False), "differs first at [2]: False stored, True"),
    ],
)
def test_every_kind_of_difference(
    made: tuple[Path, Path], change: Callable[[dict[str, Any]], None], message: str
) -> None:
    resave(made[1], change)
    done = run("verify", *made)
    assert done.returncode == 1
    assert message in done.stdout
    document = json.loads(run("verify", *made, "--json").stdout)
    assert document["same"] is False
    assert any(message in finding["message"] for finding in document["findings"])


def test_additional_tensors_may_be_allowed(made: tuple[Path, Path]) -> None:
    resave(made[1], lambda arrays: arrays.update(x=arrays["b"]))
    assert run("verify", *made, "--allow-extra").returncode == 0


def test_another_text_with_the_same_values_is_a_note(made: tuple[Path, Path]) -> None:
    made[0].write_text("# A comment.\n" + SPEC)
    done = run("verify", *made)
    assert done.returncode == 0
    assert "note: " in done.stdout
    assert "another text of the specification, with the same values" in done.stdout


def test_ties(made: tuple[Path, Path]) -> None:
    specification = read_specification(str(made[0]))
    specification.tied["x"] = "b"
    assert json.loads(specification.metadata()["tied"]) == {"x": "b"}
    layout = specification.layout()
    write_checkpoint(str(made[1]), layout)
    assert open_checkpoint(str(made[1])).tied == {"x": "b"}
    # The specification of the file does not say so.
    done = run("verify", *made)
    assert done.returncode == 1
    assert "the metadata name other ties than the specification" in done.stdout


def test_format_is_asked_for(made: tuple[Path, Path]) -> None:
    arrays = safetensors.numpy.load_file(made[1])
    safetensors.numpy.save_file(arrays, made[1], metadata={"seed": "1"})
    done = run("verify", *made)
    assert done.returncode == 0
    assert "warning: " in done.stdout
    assert "does not say `format` = `pt`" in done.stdout


def test_a_directory_by_parts(tmp_path: Path) -> None:
    spec, out = tmp_path / "m.toml", tmp_path / "d"
    spec.write_text(SPEC)
    assert run("init", spec, "-o", f"{out}/", "--shards", "3").returncode == 0
    shard = out / "model-00002-of-00003.safetensors"
    data = bytearray(shard.read_bytes())
    data[-1] ^= 1
    shard.write_bytes(data)
    codes = [run("verify", spec, out, "--part", f"{part}/4").returncode for part in (1, 2, 3, 4)]
    assert sorted(codes) == [0, 0, 0, 1]
    assert codes[3] == 0
    assert "no file is left" in run("verify", spec, out, "--part", "4/4").stderr
    assert run("verify", spec, out).returncode == 1
    assert run("verify", spec, out / INDEX_NAME).returncode == 1
    shard.unlink()
    done = run("verify", spec, out)
    assert done.returncode == 2
    assert "names model-00002-of-00003.safetensors, which is missing" in done.stderr


def test_a_sample_has_the_ends_and_some_between(tmp_path: Path) -> None:
    spec, out = tmp_path / "m.toml", tmp_path / "m.safetensors"
    spec.write_text('seed = 1\n[[tensor]]\nname = "w"\nshape = [4000, 1000]\ninit = "he_normal"\n')
    assert run("init", spec, "-o", out).returncode == 0
    whole = out.read_bytes()

    def code(position: int, percent: str) -> int:
        data = bytearray(whole)
        data[position] ^= 1
        out.write_bytes(data)
        return run("verify", spec, out, "--sample", percent).returncode

    assert run("verify", spec, out, "--sample", "0").returncode == 0
    start = len(whole) - 16_000_000
    assert code(start, "0") == 1
    assert code(len(whole) - 1, "0") == 1
    middle = start + 8_000_000
    assert code(middle, "0") == 0
    assert code(middle, "100") == 1
    document = json.loads(run("verify", spec, out, "--sample", "25", "--json").stdout)
    # The two ends, and a quarter of 62 runs of 256 kB give or take.
    assert 0.1 < document["compared"]["bytes"] / 16_000_000 < 0.45


class Stored:
    """A tensor whose right values are an array."""

    def __init__(self, name: str, values: np.ndarray[Any, Any], whole: bool) -> None:
        self.name, self.values, self.whole = name, values, whole
        self.shape: tuple[int, ...] = values.shape
        self.dtype, self.nbytes = values.dtype, values.nbytes

    def prepare(self) -> Stored:
        return self

    def draw(self, index: Any = None, out: Any = None) -> Any:
        block = self.values if index is None else self.values[index]
        if out is None:
            return block.copy()
        assert out.flags.aligned
        out[...] = block
        return out


@settings(max_examples=60, deadline=None)
@given(
    tensors=st.lists(
        st.tuples(
            st.lists(st.integers(0, 12), max_size=3).map(tuple),
            st.sampled_from(["uint8", "float16", "bfloat16", "float32", "float64"]),
            st.booleans(),
        ),
        max_size=6,
    ),
    chunk_bytes=st.integers(8, 600),
    data=st.data(),
)
def test_differences_are_exact_whatever_the_chunks(
    tmp_path_factory: pytest.TempPathFactory,
    tensors: list[tuple[tuple[int, ...], str, bool]],
    chunk_bytes: int,
    data: st.DataObject,
) -> None:
    path = tmp_path_factory.mktemp("compare") / "a.safetensors"
    rng = np.random.default_rng(len(tensors))
    right = []
    for number, (shape, dtype, whole) in enumerate(tensors):
        kind = np.dtype(getattr(ml_dtypes, dtype, dtype))
        right.append(Stored(f"t{number}", rng.integers(0, 99, shape).astype(kind), whole))
    wrong = [Stored(t.name, t.values.copy(), t.whole) for t in right]
    expected = {}
    for tensor in wrong:
        count = data.draw(st.integers(0, min(3, tensor.values.size)))
        places = sorted(data.draw(st.permutations(range(tensor.values.size)))[:count])
        tensor.values.reshape(-1)[places] += np.ones((), tensor.dtype)
        if places:
            first = tuple(map(int, np.unravel_index(places[0], tensor.shape)))
            expected[tensor.name] = first if tensor.shape else (), count
    write_checkpoint(str(path), lay_out(wrong, {}))
    stored = {tensor.name: tensor for tensor in open_checkpoint(str(path)).tensors}
    placed = [Placed(tensor, stored[tensor.name].offset) for tensor in right]
    done: list[int] = []
    with path.open("rb") as file:
        found = list(differences(file, placed, done.append, chunk_bytes=chunk_bytes))
    assert {d.tensor: (d.index, d.count) for d in found} == expected
    assert sum(done) == sum(tensor.nbytes for tensor in right)
    for difference in found:
        tensor = next(t for t in wrong if t.name == difference.tensor)
        assert difference.stored == tensor.values[difference.index]
        assert difference.expected == right[wrong.index(tensor)].values[difference.index]
        assert difference.compared == tensor.values.size


def test_nothing_is_written(made: tuple[Path, Path]) -> None:
    before = sorted(os.listdir(made[0].parent))
    assert run("verify", *made).returncode == 0
    assert run("verify", TINY, made[1]).returncode == 1
    assert sorted(os.listdir(made[0].parent)) == before
