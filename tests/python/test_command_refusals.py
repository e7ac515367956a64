"""What the command `seedbed` refuses, each before anything is done."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from command import COMMAND, SCRIPT, SMALL, TINY, run
from seedbed import initializers
from seedbed._command.main import main


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["initialize"], "invalid choice: 'initialize'"),
        (["init"], "SPEC.toml"),
        (["init", "{spec}"], "-o/--output"),
        (
            ["init", "{spec}", "-o", "{dir}/o", "--threads", "0"],
            "--threads: must be an integer in 1..1024. Received: 0",
        ),
        (["init", "{spec}", "-o", "{dir}/o", "--threads", "two"], "Received: two"),
        (["init", "{spec}", "-o", "{dir}/o", "--thread-count", "2"], "--thread-count"),
        (["init", "{spec}", "-o", ""], "-o/--output must name a file"),
        (["init", "{spec}", "-o", "{dir}/o", "--shards", "2"], "--shards must be at most 1, the"),
        (["init", "{spec}", "-o", "{dir}/o", "--shards", "0"], "must be an integer in 1..99999"),
        (["init", "{spec}", "-o", "{dir}/o.safetensors", "--shards", "1"], "end it with /"),
        (["init", "{spec}", "-o", "{spec}", "--resume"], "--resume is for a directory"),
        (
            ["init", "{spec}", "-o", "{dir}/o", "--max-shard-size", "5Q"],
            "must be a size such as 5GB, 500MiB or 1000000. Received: 5Q",
        ),
        (["init", "{spec}", "-o", "{dir}/o", "--max-shard-size", "-1GB"], "--max-shard-size"),
        (["init", "{spec}", "-o", "{dir}/o", "--max-shard-size", "1", "--shards", "1"], "not allo"),
        (["init", "{spec}", "-o", "{dir}/o", "--resume", "--overwrite"], "not allowed with"),
        (["init", "{spec}", "-o", "{dir}/o", "--part", "3/2"], "must be I/N with 1 <= I <= N"),
        (["init", "{spec}", "-o", "{dir}/o", "--part", "1"], "must be I/N with 1 <= I <= N"),
        (["init", "{spec}", "-o", "{dir}/o", "--json"], "--json needs --dry-run"),
        (["init", "{spec}", "-o", "{dir}/o", "--shard", "2"], "Did you mean --shards?"),
        (["inspct", "{dir}"], "Did you mean inspect?"),
        (["inspect"], "PATH"),
        (["inspect", "{dir}/none"], "none: cannot be read: No such file or directory"),
        (["inspect", "{dir}"], "has no file that ends in .safetensors"),
        (["inspect", "{spec}"], "is no safetensors file"),
        (["verify", "{spec}"], "PATH"),
        (["verify", "{spec}", "{dir}/none"], "none: cannot be read: No such file or directory"),
        (["verify", "{spec}", "{dir}", "--sample", "101"], "must be a percentage in 0..100"),
        (["init", "{spec}", "-o", "{spec}"], "must not be the specification itself"),
        (
            ["init", "{dir}/none.toml", "-o", "{dir}/o"],
            "none.toml: cannot be read: No such file or directory",
        ),
        (["init", "{dir}", "-o", "{dir}/o"], "cannot be read: Is a directory"),
    ],
)
def test_wrong_usage_is_exit_code_2(tmp_path: Path, arguments: list[str], message: str) -> None:
    (tmp_path / "m.toml").write_text(SMALL)
    filled = [a.format(spec=tmp_path / "m.toml", dir=tmp_path) for a in arguments]
    done = run(*filled)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert os.listdir(tmp_path) == ["m.toml"]
    assert (tmp_path / "m.toml").read_text() == SMALL


@pytest.mark.parametrize(
    ("arguments", "usage"),
    [
        (["init", "{spec}", "--unknown"], "usage: seedbed init "),
        (["init", "--unknown", "{spec}", "-o", "{dir}/o"], "usage: seedbed init "),
        (["init", "{spec}", "{spec}", "-o", "{dir}/o"], "usage: seedbed init "),
        (["init"], "usage: seedbed init "),
        (["selfcheck", "all"], "usage: seedbed selfcheck "),
        (["--unknown"], "usage: seedbed [-h]"),
    ],
)
def test_wrong_options_are_answered_with_the_usage_of_the_subcommand(
    tmp_path: Path, arguments: list[str], usage: str
) -> None:
    (tmp_path / "m.toml").write_text(SMALL)
    done = run(*(a.format(spec=tmp_path / "m.toml", dir=tmp_path) for a in arguments))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(usage)
    assert os.listdir(tmp_path) == ["m.toml"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (SMALL.replace("seed = 1", "# No seed."), "`seed` is missing"),
        (
            SMALL.replace(
                '"he_normal"', '{ class_name = "Constant", config = { value = 1979-05-27 } }'
            ),
            "tensor 1 (`w`): `init.config.value` must not be a date or a time. "
            "Received: '1979-05-27'",
        ),
        (
            SMALL.replace('"w"', '"a\\u001b[31mb"'),
            r"tensor 1 (`a\x1b[31mb`): `name` must not have control characters. "
            r"Received: 'a\x1b[31mb'",
        ),
        (SMALL.replace("he_normal", "he_nrmal"), "Did you mean `he_normal`?"),
        (SMALL.replace("he_normal", "kaiming_normal"), "Did you mean `he_normal`?"),
        (SMALL.replace("he_normal", "initializer"), "is the base class of initializers"),
        (
            SMALL.replace("[2, 3]", "[2, -3]"),
            "tensor 1 (`w`): `shape[1]` must be an integer >= 0. Received: -3",
        ),
        (SMALL.replace("he_normal", "he_norm"), "tensor 1 (`w`): `init`: "),
        (
            SMALL.replace("[2, 3]", "[100, 3, 9]").replace("he_normal", "identity"),
            "tensor 1 (`w`): `init`: ",
        ),
        ("seed == 1", "is not TOML"),
    ],
    ids=[
        *("no seed", "date", "control characters", "misspelt", "torch's name", "base class"),
        *("negative", "unknown init", "refused shape", "not TOML"),
    ],
)
def test_a_malformed_specification_is_exit_code_2_and_leaves_the_target(
    tmp_path: Path, text: str, message: str
) -> None:
    spec, out = tmp_path / "m.toml", tmp_path / "o.safetensors"
    spec.write_text(text)
    out.write_bytes(b"before")
    for more in ([], ["--dry-run"]):
        done = run("init", spec, "-o", out, *more)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith(f"seedbed: error: {spec}: ")
        assert message in done.stderr
        assert len(done.stderr.splitlines()) == 1
    assert out.read_bytes() == b"before"
    assert sorted(os.listdir(tmp_path)) == ["m.toml", "o.safetensors"]


# initializer, configuration, shape, dtype, stream, and what is said of it.
REFUSED = [
    ("Orthogonal", "", "[4, 4]", "int32", "philox", "int32"),
    ("Orthogonal", "gain = inf", "[4, 4]", "float32", "philox", "`gain` must be finite"),
    ("Orthogonal", "gain = nan", "[4, 4]", "float32", "numpy", "`gain` must be finite"),
    ("Orthogonal", 'gain = "x"', "[4, 4]", "float32", "philox", "`x`, which is no variable"),
    ("Orthogonal", "", "[4]", "float32", "philox", "at least two-dimensional"),
    ("Orthogonal", "", "[4, 4]", "float16", "numpy", "float16"),
    ("Orthogonal", "seed = 4294967296", "[4, 4]", "float32", "numpy", "0 .. 2**32-1"),
    ("HeNormal", "seed = 4294967296", "[4, 4]", "float32", "numpy", "0 .. 2**32-1"),
    ("HeNormal", 'seed = 4294967296, stream = "numpy"', "[4]", "float32", "philox", "2**32-1"),
    ("HeNormal", "", "[4, 4]", "int32", "philox", "int32"),
    ("RandomNormal", "stddev = -1.0", "[4]", "float32", "philox", "`stddev` must be"),
    ("RandomNormal", "stddev = -1.0", "[4]", "int32", "numpy", "`stddev` must be"),
    ("VarianceScaling", "scale = inf", "[4]", "float32", "philox", "inf"),
    ("VarianceScaling", "input_axes = [7], output_axes = [0]", "[4, 4]", "float32", "philox", "7"),
    ("STFT", "", "[4, 4]", "float32", "philox", "`shape` must be (frame_length, 1,"),
    ("STFT", "window = [1.0, 2.0]", "[8, 1, 5]", "float32", "philox", "`window`"),
    ("Identity", "", "[4, 4, 4]", "float32", "philox", "2D matrices"),
    ("Constant", "value = [1.0, 2.0, 3.0]", "[4]", "float32", "philox", "must broadcast"),
    ("Constant", "value = 1e39", "[4]", "float32", "philox", "`value` must be"),
    ("Constant", 'value = "x"', "[4]", "float32", "philox", "'x'"),
]


@pytest.mark.parametrize(
    ("init", "config", "shape", "dtype", "stream", "message"),
    REFUSED,
    ids=[f"{r[0]}-{r[1]}-{r[2]}-{r[3]}-{r[4]}" for r in REFUSED],
)
def test_a_dry_run_refuses_what_the_run_refuses(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    init: str,
    config: str,
    shape: str,
    dtype: str,
    stream: str,
    message: str,
) -> None:
    spec, out = tmp_path / "m.toml", tmp_path / "o.safetensors"
    # Something good before it, and another tensor of its own kind.
    spec.write_text(
        f'seed = 1\nstream = "{stream}"\n[[tensor]]\nname = "a"\nshape = [9]\ninit = "ones"\n'
        f'[[tensor]]\nname = "w.{{i}}"\nrepeat = {{ i = 2 }}\nshape = {shape}\ndtype = "{dtype}"\n'
        f'init = {{ class_name = "{init}", config = {{ {config} }} }}\n'
    )
    out.write_bytes(b"before")
    said = []
    for more in (["--dry-run"], []):
        assert main(["init", str(spec), "-o", str(out), *more]) == 2
        shown = capsys.readouterr()
        assert shown.out == ""
        said.append(shown.err)
    assert said[0] == said[1]
    # Of the initializer, or of a key of its config.
    start = f"seedbed: error: {spec}: tensor 2 (`w.{{i}}`): `init"
    assert said[0].startswith((f"{start}`: ", f"{start}.config"))
    assert message in said[0].removeprefix(start)
    assert said[0].count("\n") == 1
    assert out.read_bytes() == b"before"
    assert sorted(os.listdir(tmp_path)) == ["m.toml", "o.safetensors"]


def test_what_only_drawing_shows_is_exit_code_2_and_leaves_the_target(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Failing(initializers.Zeros):
        def prepare(self, shape: Any, dtype: Any = None) -> Any:
            return self

        def draw(self, index: Any = None, out: Any = None) -> Any:
            raise RuntimeError("no values\ntoday")

    monkeypatch.setattr(initializers, "get", lambda value: Failing())
    spec, out = tmp_path / "m.toml", tmp_path / "o.safetensors"
    spec.write_text(SMALL)
    out.write_bytes(b"before")
    assert main(["init", str(spec), "-o", str(out)]) == 2
    message = f"seedbed: error: {spec}: tensor `w`: `init`: no values today\n"
    assert capsys.readouterr().err == message
    assert out.read_bytes() == b"before"
    assert sorted(os.listdir(tmp_path)) == ["m.toml", "o.safetensors"]


@pytest.mark.parametrize("command", [COMMAND, [sys.executable, "-Imseedbed"], [str(SCRIPT)]])
@pytest.mark.parametrize("arguments", [["--version"], ["init", str(TINY), "--dry-run"]])
@pytest.mark.parametrize(
    ("variable", "message"),
    [
        ("SEEDBED_NUM_THREADS", "must be an integer from 1 to 1024. Received: SEEDBED_NUM_THREADS"),
        ("SEEDBED_ISA", "must be available on this machine: scalar"),
    ],
)
def test_a_wrong_environment_is_one_line(
    command: list[str], arguments: list[str], variable: str, message: str
) -> None:
    ended = subprocess.run(
        [*command, *arguments],
        capture_output=True,
        text=True,
        timeout=400,
        env={**os.environ, variable: "none"},
    )
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith(f"seedbed: error: `{variable}` {message}")
    assert ended.stderr.count("\n") == 1


@pytest.mark.parametrize("module", [None, "seedbed_user", "program"])
def test_other_programs_see_an_exception(tmp_path: Path, module: str | None) -> None:
    # A module whose package imports seedbed is looked for as the command's is.
    (tmp_path / "seedbed_user").mkdir()
    (tmp_path / "seedbed_user" / "__init__.py").write_text("import seedbed\n")
    (tmp_path / "seedbed_user" / "__main__.py").write_text("")
    (tmp_path / "program.py").write_text("import seedbed\n")
    start = ["-c", "import seedbed"] if module is None else ["-m", module, "seedbed"]
    ended = subprocess.run(
        [sys.executable, *start],
        capture_output=True,
        text=True,
        timeout=400,
        cwd=tmp_path,
        env={**os.environ, "SEEDBED_ISA": "none"},
    )
    assert ended.returncode == 1
    assert "ValueError: `SEEDBED_ISA` must be available on this machine" in ended.stderr
