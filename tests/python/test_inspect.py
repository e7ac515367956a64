"""`seedbed inspect`: tables, folding, JSON and exit codes."""

from __future__ import annotations

import json
import math
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st

from command import COMMAND, TINY, run
from seedbed._command.main import main
from seedbed._inspect.fold import fold, natural


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    out = tmp_path / "tiny.safetensors"
    assert main(["init", str(TINY), "-o", str(out), "--quiet"]) == 0
    return out


def test_the_table_folds_repeated_layers(tiny: Path) -> None:
    done = run("inspect", tiny)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["name", "dtype", "shape", "parameters", "bytes"]
    assert "layer.{0..1}.expert.{0..3}.kernel  BF16   [64, 256]    8 x 16384  8 x 32768" in lines
    assert lines[8] == (
        "22 tensors, 205954 parameters (I64 1, F32 72833, BF16 133120), 557580 bytes (557.6 kB)"
    )
    assert "metadata: format pt, seed 7, " in lines[10]
    assert len(run("inspect", tiny, "--no-fold").stdout.splitlines()) == 22 + 4


def test_orders(tiny: Path) -> None:
    def names(*more: str) -> list[str]:
        lines = run("inspect", tiny, "--no-fold", *more).stdout.splitlines()
        return [line.split()[0] for line in lines[1:23]]

    assert names() == sorted(names(), key=natural)
    assert names("--sort", "size")[0] == "embedding.weight"
    assert names("--sort", "offset")[0] == "steps"


def test_match(tiny: Path) -> None:
    done = run("inspect", tiny, "--match", "*.bias", "--match", "expert.{0,1}.kernel")
    assert "12 of 22 tensors" in done.stdout
    done = run("inspect", tiny, "--match", "nothing")
    assert done.returncode == 2
    assert "no tensor matches nothing" in done.stderr
    done = run("inspect", tiny, "--match", "{a")
    assert (done.returncode, done.stdout) == (2, "")
    assert "--match: " in done.stderr


def test_a_name_of_megabytes_fits_no_pattern(tmp_path: Path) -> None:
    # The square of its length would be a week.
    path = tmp_path / "a.safetensors"
    arrays = {"a" * 10_000_000: np.zeros(1, np.float32), "aab": np.zeros(1, np.float32)}
    safetensors.numpy.save_file(arrays, path)
    done = run("inspect", path, "--match", "**a*b")
    assert done.returncode == 0
    assert "1 of 2 tensors" in done.stdout


def test_json(tiny: Path) -> None:
    done = run("inspect", tiny, "--json", "--spec", TINY, "--lint")
    assert (done.returncode, done.stderr) == (0, "")
    document = json.loads(done.stdout)
    assert document["schema"] == 1
    assert document["path"] == str(tiny)
    assert document["files"][0]["bytes"] == tiny.stat().st_size
    assert document["totals"]["by_dtype"] == {"I64": 1, "F32": 72833, "BF16": 133120}
    assert document["tied"] == {}
    assert document["findings"] == []
    tensors = {tensor["name"]: tensor for tensor in document["tensors"]}
    arrays = safetensors.numpy.load_file(tiny)
    data = tiny.read_bytes()
    for name, tensor in tensors.items():
        values = arrays[name].astype(np.float64)
        assert tensor["stats"]["mean"] == pytest.approx(values.mean(), rel=1e-5, abs=1e-9)
        assert tensor["stats"]["std"] == pytest.approx(values.std(), rel=1e-5)
        assert tensor["stats"]["min"] == values.min()
        assert tensor["stats"]["max"] == values.max()
        begin = tensor["offset"]
        assert data[begin : begin + tensor["bytes"]] == arrays[name].tobytes()
    assert tensors["layer.0.expert.0.kernel"]["expected"]["law"] == "truncated_normal"
    assert tensors["layer.0.expert.0.kernel"]["expected"]["std"] == pytest.approx(math.sqrt(2 / 64))


def test_several_paths(tiny: Path) -> None:
    assert len(json.loads(run("inspect", tiny, tiny, "--json").stdout)) == 2
    assert run("inspect", tiny, tiny).stdout.count(f"{tiny}:\n") == 2


def test_numbers_that_json_has_not_are_text(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    arrays = {"a": np.array([np.nan, np.inf, 1, 0], np.float32), "b": np.zeros((0, 3), np.float32)}
    safetensors.numpy.save_file(arrays, path)
    document = json.loads(run("inspect", path, "--stats", "--json").stdout)
    a, b = document["tensors"][0]["stats"], document["tensors"][1]["stats"]
    if document["tensors"][0]["name"] == "b":
        a, b = b, a
    assert (a["nan"], a["inf"], a["zeros"], a["max"], a["mean"]) == (1, 1, 1, 1.0, 0.5)
    assert b == {
        "mean": "nan",
        "std": "nan",
        "min": "nan",
        "max": "nan",
        "zeros": 0,
        "nan": 0,
        "inf": 0,
    }


def test_a_long_name_does_not_widen_every_row(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    names = ["n" * 1_000_000, *(f"a{number}" for number in range(99))]
    safetensors.numpy.save_file({name: np.zeros(1, np.float32) for name in names}, path)
    done = run("inspect", path)
    assert done.returncode == 0
    assert len(done.stdout) < 100_000
    assert f"{'n' * 497}..." in done.stdout


def test_colour_only_on_a_terminal_and_not_without_it(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    safetensors.numpy.save_file({"a": np.array([np.nan], np.float32)}, path)
    assert "\x1b" not in run("inspect", path, "--lint").stdout
    master, slave = os.openpty()
    for environment, coloured in (
        ({}, True),
        ({"NO_COLOR": "1"}, False),
        ({"TERM": "dumb"}, False),
    ):
        with subprocess.Popen(
            [*COMMAND, "inspect", str(path), "--lint"],
            stdout=slave,
            env={**os.environ, "TERM": "xterm", "NO_COLOR": "", **environment},
        ) as process:
            process.wait(timeout=100)
        assert (b"\x1b[31merror\x1b[0m" in os.read(master, 100_000)) == coloured
    os.close(master)
    os.close(slave)


def test_a_terminal_without_bars(tiny: Path) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = run("inspect", tiny, "--stats", env=environment)
    assert done.returncode == 0
    assert "histogram" not in done.stdout
    assert "histogram" in run("inspect", tiny, "--stats").stdout


@given(
    names=st.lists(
        st.lists(st.sampled_from(["h", "w", "0", "1", "2", "10", "07"]), min_size=1, max_size=4),
        unique_by=tuple,
        max_size=30,
    )
)
def test_folding_loses_no_name(names: list[list[str]]) -> None:
    full = [".".join(parts) for parts in names]
    groups = fold(full, lambda name: name, len)
    assert sorted(name for group in groups for name in group.members) == sorted(full)
    for group in groups:
        # What a line says is what it has.
        assert sorted(unfolded(group.name)) == sorted(group.members)


def unfolded(name: str) -> list[str]:
    """The names that a folded one stands for."""
    before, brace, rest = name.partition("{")
    if not brace:
        return [name]
    inside, _, after = rest.partition("}")
    numbers = []
    for run_ in inside.split(","):
        first, _, last = run_.partition("..")
        numbers += range(int(first), int(last or first) + 1)
    return [f"{before}{number}{end}" for number in numbers for end in unfolded(after)]


def test_names_of_many_numbers_take_no_time() -> None:
    # The square of their count would be hours.
    names = [".".join(["1"] * 100_000) + end for end in (".1", ".2")]
    assert [group.name for group in fold(names, str, len)] == names


def test_findings_are_the_exit_code(tmp_path: Path, tiny: Path) -> None:
    arrays = dict(safetensors.numpy.load_file(tiny))
    arrays["embedding.weight"][0] = 0
    safetensors.numpy.save_file(arrays, tiny)
    done = run("inspect", tiny, "--spec", TINY, "--lint")
    assert done.returncode == 0
    assert "note: embedding.weight: 1 of 1000 rows are all zeros, for padding?" in done.stdout
    arrays["embedding.weight"] *= np.float32(2)
    safetensors.numpy.save_file(arrays, tiny)
    done = run("inspect", tiny, "--spec", TINY, "--lint")
    assert done.returncode == 1
    assert "error: embedding.weight: std 0.115, expected 0.0577 (ratio 2 = 2)" in done.stdout
    document = json.loads(run("inspect", tiny, "--spec", TINY, "--lint", "--json").stdout)
    [finding] = [f for f in document["findings"] if f["id"] == "std"]
    assert finding["measured"] == pytest.approx(0.115, rel=0.01)
    assert finding["allowed"][0] < finding["expected"] < finding["allowed"][1]
    # Without --lint it is shown, not judged.
    assert run("inspect", tiny, "--spec", TINY).returncode == 0
