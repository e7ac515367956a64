"""The command `seedbed` as a person runs it: files, exit codes, interruptions."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import stat
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import safetensors
import safetensors.numpy

import seedbed
from command import COMMAND, EXAMPLES, LONG, SCRIPT, SMALL, TINY, run
from seedbed import initializers
from seedbed._checkpoint.format import lay_out
from seedbed._checkpoint.writer import write_checkpoint
from seedbed._command.main import main
from seedbed._spec.error import SpecError
from seedbed._spec.reader import parse_specification
from seedbed.random import fold_in


def read(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    """Every tensor of a safetensors file, by the reference package, in ml_dtypes' dtypes."""
    arrays = {}
    for name, entry in safetensors.deserialize(path.read_bytes()):
        dtype = {
            "BF16": np.dtype(ml_dtypes.bfloat16),
            "F8_E4M3": np.dtype(ml_dtypes.float8_e4m3fn),
            "F16": np.dtype(np.float16),
            "F32": np.dtype(np.float32),
            "F64": np.dtype(np.float64),
            "I64": np.dtype(np.int64),
            "BOOL": np.dtype(np.bool_),
        }[entry["dtype"]]
        arrays[name] = np.frombuffer(bytes(entry["data"]), dtype).reshape(entry["shape"])
    return arrays


def same(array: np.ndarray[Any, Any], expected: np.ndarray[Any, Any]) -> bool:
    return (
        array.dtype == expected.dtype
        and array.shape == expected.shape
        and array.tobytes() == expected.tobytes()
    )


def test_the_tiny_example_is_what_the_initializers_return(tmp_path: Path) -> None:
    out = tmp_path / "tiny.safetensors"
    done = run("init", TINY, "-o", out)
    assert (done.returncode, done.stdout) == (0, "")
    assert f"{out}: 22 tensors, " in done.stderr
    arrays = read(out)
    data = out.read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    # Larger items first, and otherwise the order of the specification.
    assert list(header)[1:4] == ["steps", "embedding.weight", "layer.0.recurrent"]
    assert list(header)[7:9] == ["layer.0.expert.0.kernel", "layer.0.expert.1.kernel"]

    def seeded(
        name: str, cls: type[initializers.Initializer], **config: object
    ) -> initializers.Initializer:
        made = cls(**config, seed=fold_in(7, name))
        assert isinstance(made, initializers.Initializer)
        return made

    expected = {
        "embedding.weight": seeded(
            "embedding.weight", initializers.RandomUniform, minval=-0.1, maxval=0.1
        )((1000, 64), dtype="float32"),
        "head.kernel": initializers.VarianceScaling(1.0, "fan_avg", "uniform", seed=123)(
            (64, 10), dtype="float32"
        ),
        "head.temperature": np.float32(0.7).reshape(()),
        "steps": np.zeros(1, np.int64),
    }
    for layer in range(2):
        name = f"layer.{layer}.recurrent"
        expected[name] = seeded(name, initializers.Orthogonal, gain=0.5)((64, 64), dtype="float32")
        for expert in range(4):
            name = f"layer.{layer}.expert.{expert}"
            kernel = seeded(f"{name}.kernel", initializers.HeNormal)
            expected[f"{name}.kernel"] = kernel((64, 256), dtype="bfloat16")
            expected[f"{name}.bias"] = np.zeros(256, ml_dtypes.bfloat16)
    assert arrays.keys() == expected.keys()
    for name, array in arrays.items():
        assert same(array, expected[name]), name

    with safetensors.safe_open(str(out), "numpy") as file:
        assert file.metadata() == {
            "format": "pt",
            "seed": "7",
            "stream": "philox",
            "seedbed_version": seedbed.__version__,
            "specification_digest": hashlib.sha256(TINY.read_bytes()).hexdigest(),
        }


def test_tensors_of_many_chunks_are_the_direct_call(tmp_path: Path) -> None:
    # Rows of 44 MB and 22 MB: pieces of rows, and rows of several pieces.
    (tmp_path / "m.toml").write_text(
        'seed = 9\n[[tensor]]\nname = "wide"\nshape = [2, 5500001]\ninit = "random_normal"\n'
        'dtype = "float64"\n'
        '[[tensor]]\nname = "odd"\nshape = [3]\ninit = "ones"\ndtype = "bool"\n'
        '[[tensor]]\nname = "deep"\nshape = [3, 7, 5, 40001]\ninit = "glorot_uniform"\n'
        '[[tensor]]\nname = "small"\nshape = [77]\ninit = "lecun_normal"\ndtype = "float8_e4m3fn"\n'
        '[[tensor]]\nname = "tall"\nshape = [3000001, 3]\ninit = "he_normal"\ndtype = "bfloat16"\n'
    )
    out = tmp_path / "m.safetensors"
    assert main(["init", str(tmp_path / "m.toml"), "-o", str(out), "--quiet"]) == 0
    arrays = read(out)
    for name, init, shape, dtype in (
        ("wide", "RandomNormal", (2, 5500001), "float64"),
        ("deep", "GlorotUniform", (3, 7, 5, 40001), "float32"),
        ("small", "LecunNormal", (77,), "float8_e4m3fn"),
        ("tall", "HeNormal", (3000001, 3), "bfloat16"),
    ):
        initializer = initializers.get({"class_name": init, "config": {"seed": fold_in(9, name)}})
        assert same(arrays[name], initializer(shape, dtype=dtype)), name
    assert arrays["odd"].all()


def test_threads_change_no_byte(tmp_path: Path) -> None:
    outs = [tmp_path / f"{count}.safetensors" for count in (1, 3)]
    for count, out in zip((1, 3), outs, strict=True):
        assert run("init", TINY, "-o", out, "--threads", str(count)).returncode == 0
    assert outs[0].read_bytes() == outs[1].read_bytes()


def test_dry_run_prints_the_table_and_writes_nothing(tmp_path: Path) -> None:
    done = run("init", EXAMPLES / "gpt2-xl.toml", "--dry-run", "-o", tmp_path / "m.safetensors")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["tensor", "initializer", "dtype", "shape", "parameters", "bytes"]
    assert lines[1].split() == [
        "wte.weight",
        "RandomNormal",
        "bfloat16",
        "50257x1600",
        "80411200",
        "160822400",
    ]
    assert len(lines) == 1 + 580 + 2
    assert lines[-2].split() == ["580", "tensors", "1557611200", "3115222400"]
    assert os.listdir(tmp_path) == []


def test_dry_run_announces_the_size_of_the_file(tmp_path: Path) -> None:
    out = tmp_path / "t.safetensors"
    assert run("init", TINY, "-o", out, "--quiet").returncode == 0
    assert f"file: {out.stat().st_size} bytes;" in run("init", TINY, "--dry-run").stdout


def test_quiet_says_nothing(tmp_path: Path) -> None:
    done = run("init", TINY, "-o", tmp_path / "t.safetensors", "--quiet")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(("same", "code"), [(True, 0), (False, 1), (None, 2)])
def test_selfcheck_fails_where_a_stream_differs(
    monkeypatch: pytest.MonkeyPatch, same: bool | None, code: int
) -> None:
    # The comparison itself has its own tests and takes seconds for each backend.
    monkeypatch.setattr(seedbed, "selfcheck", lambda: same)
    assert main(["selfcheck"]) == code


@pytest.mark.parametrize("name", ["missing/o.safetensors", "m.toml/o.safetensors"])
def test_an_unwritable_target_is_exit_code_1(tmp_path: Path, name: str) -> None:
    (tmp_path / "m.toml").write_text(SMALL)
    done = run("init", tmp_path / "m.toml", "-o", tmp_path / name)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"seedbed: error: {tmp_path / name}: cannot be written: ")
    assert len(done.stderr.splitlines()) == 1
    assert os.listdir(tmp_path) == ["m.toml"]


# Names of the length that file systems allow, in bytes; the temporary name is longer by itself.
@pytest.mark.parametrize("name", ["字" * 84, "é" * 126, "x" * 255, "x" + "字" * 84])
def test_a_long_name_can_be_written(tmp_path: Path, name: str) -> None:
    (tmp_path / "m.toml").write_text(SMALL)
    done = run("init", tmp_path / "m.toml", "-o", tmp_path / name)
    assert done.returncode == 0, done.stderr
    assert sorted(os.listdir(tmp_path)) == ["m.toml", name]


def test_devices_are_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "m.toml").write_text(SMALL)
    assert run("init", tmp_path / "m.toml", "-o", os.devnull).returncode == 1
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)


def test_a_disk_that_fills_up_is_exit_code_1_and_leaves_the_target(tmp_path: Path) -> None:
    spec, out = tmp_path / "m.toml", tmp_path / "o.safetensors"
    spec.write_text(LONG.replace("i = 1000", "i = 5"))
    out.write_bytes(b"before")
    # A limit on the size of files is the full disk that needs no privilege to make. A program sets
    # it for itself: a function run between fork and exec would run other libraries' hooks as well.
    limited = (
        "import os, resource, sys\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (40 << 20, 40 << 20))\n"
        "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
    )
    done = subprocess.run(
        [sys.executable, "-c", limited, *COMMAND[1:], "init", str(spec), "-o", str(out)],
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert done.returncode == 1
    assert (
        done.stderr.splitlines()[-1]
        == f"seedbed: error: {out}: tensor `w.2`: cannot be written: File too large"
    )
    assert "Traceback" not in done.stderr
    assert out.read_bytes() == b"before"
    assert sorted(os.listdir(tmp_path)) == ["m.toml", "o.safetensors"]


def test_a_model_larger_than_the_disk_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "m.toml").write_text(SMALL.replace("[2, 3]", "[1000000, 1000000, 1000]"))
    done = run("init", tmp_path / "m.toml", "-o", tmp_path / "o.safetensors")
    assert done.returncode == 1
    assert "cannot be written: it needs 4000000000000" in done.stderr
    assert os.listdir(tmp_path) == ["m.toml"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interruption_is_exit_code_1_and_leaves_the_target(
    tmp_path: Path, number: signal.Signals
) -> None:
    spec, out = tmp_path / "m.toml", tmp_path / "o.safetensors"
    spec.write_text(LONG)
    out.write_bytes(b"before")
    with subprocess.Popen(
        [*COMMAND, "init", str(spec), "-o", str(out)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        # Interrupt once part of the model has been written.
        deadline = time.monotonic() + 60
        while not any(p.stat().st_size > 20_000_000 for p in tmp_path.glob(".*.part")):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.005)
        process.send_signal(number)
        stdout, stderr = process.communicate(timeout=400)
    assert (process.returncode, stdout) == (1, "")
    assert stderr.splitlines()[-1] == f"seedbed: error: {out}: interrupted by {number.name}"
    assert "Traceback" not in stderr
    assert out.read_bytes() == b"before"
    assert sorted(os.listdir(tmp_path)) == ["m.toml", "o.safetensors"]


def test_the_installed_command_is_the_module(tmp_path: Path) -> None:
    done = subprocess.run([SCRIPT, "--version"], capture_output=True, text=True, timeout=400)
    assert done.stdout == run("--version").stdout


def test_the_command_loads_no_framework_and_rich_only_on_a_terminal(tmp_path: Path) -> None:
    program = (
        "import sys\nfrom seedbed._command.main import main\n"
        f"assert main(['init', {str(TINY)!r}, '-o', {str(tmp_path / 'o')!r}]) == 0\n"
        "unwanted = {'keras', 'jax', 'torch', 'tensorflow', 'scipy', 'rich', 'safetensors'}\n"
        "print(sorted(unwanted & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "[]\n", done.stderr


def test_memory_is_bounded_by_the_chunks_not_the_tensor(tmp_path: Path) -> None:
    (tmp_path / "m.toml").write_text(SMALL.replace("[2, 3]", "[1, 100000000]"))
    program = (
        "import resource, sys\nfrom seedbed._command.main import main\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        f"spec, out = {str(tmp_path / 'm.toml')!r}, {str(tmp_path / 'o')!r}\n"
        "assert main(['init', spec, '-o', out, '--quiet']) == 0\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
    )
    # In KiB; the tensor is 400 MB.
    assert int(done.stdout) < 80 * 1024, done.stderr


@pytest.mark.parametrize(
    ("init", "shape", "dtype"),
    [
        ('"zeros"', (7, 9), "int8"),
        ('"ones"', (3, 5, 4), "bool"),
        ('{ class_name = "Constant", config = { value = [1.0, 2.0, 3.0] } }', (50, 3), "float16"),
        ('"identity"', (13, 17), "float64"),
        ('{ class_name = "STFT", config = { side = "real" } }', (8, 1, 5), "float32"),
        ('{ class_name = "Orthogonal", config = { seed = 3 } }', (9, 14), "bfloat16"),
        ('{ class_name = "RandomNormal", config = { seed = 3 } }', (4, 3, 11), "float64"),
        ('{ class_name = "TruncatedNormal", config = { seed = 3 } }', (99,), "float8_e5m2"),
        ('{ class_name = "RandomUniform", config = { seed = 3 } }', (2, 2, 2, 9), "float8_e4m3fn"),
        ('{ class_name = "GlorotUniform", config = { seed = 3 } }', (3, 3, 5, 7), "float32"),
    ],
)
@pytest.mark.parametrize("stream", seedbed._core.streams())
def test_every_initializer_in_small_chunks_is_the_direct_call(
    tmp_path: Path, init: str, shape: tuple[int, ...], dtype: str, stream: str
) -> None:
    text = (
        f'seed = 1\nstream = "{stream}"\ndtype = "{dtype}"\n[[tensor]]\nname = "w"\n'
        f"shape = {list(shape)}\ninit = {init}\n".encode()
    )
    identifier = tomllib.loads(f"init = {init}")["init"]
    try:
        with seedbed.use_stream(stream):
            expected = initializers.get(identifier)(shape, dtype=dtype)
    except (ValueError, NotImplementedError) as error:
        # A dtype that the backend of the stream lacks.
        assert stream != "philox"
        with pytest.raises(SpecError, match=re.escape(str(error).partition(".")[0])):
            parse_specification(text, "m.toml")
        return
    specification = parse_specification(text, "m.toml")
    path = tmp_path / "m.safetensors"
    for chunk_bytes in (8, 64, 1 << 20):
        write_checkpoint(str(path), lay_out(specification.tensors, {}), chunk_bytes=chunk_bytes)
        data = path.read_bytes()
        assert data[8 + int.from_bytes(data[:8], "little") :] == expected.tobytes()


def test_an_initializer_that_only_makes_everything_is_called_once_a_tensor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    class Counting(initializers.Initializer):
        def __init__(self, seed: int | None = None) -> None:
            self.seed = seed

        def __call__(self, shape: Any, dtype: Any = None) -> Any:
            calls.append(self.seed)
            return np.full(shape, len(calls), dtype)

        def get_config(self) -> dict[str, Any]:
            return {"seed": self.seed}

    monkeypatch.setattr(initializers, "get", lambda value: Counting())
    specification = parse_specification(
        SMALL.replace('"w"', '"w.{i}"\nrepeat = { i = 2 }').replace("[2, 3]", "[50, 3]").encode(),
        "m.toml",
    )
    assert calls == []
    path = tmp_path / "m.safetensors"
    write_checkpoint(str(path), specification.layout(), chunk_bytes=64)
    assert calls == [fold_in(1, "w.0"), fold_in(1, "w.1")]
    assert {name: array.mean() for name, array in read(path).items()} == {"w.0": 1, "w.1": 2}
