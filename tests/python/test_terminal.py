"""What the command `seedbed` shows, whatever names and streams there are."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import safetensors

import seedbed
from command import COMMAND, EXAMPLES, SMALL, TINY, run
from seedbed import initializers
from seedbed._command import terminal


def test_version_and_help() -> None:
    assert run("--version").stdout == f"seedbed {seedbed.__version__}\n"
    assert "init" in run("--help").stdout
    assert "--dry-run" in run("init", "--help").stdout
    nothing = run()
    assert (nothing.returncode, nothing.stderr) == (0, "")
    assert nothing.stdout == run("--help").stdout


def test_the_help_of_init_ends_with_the_names_of_the_initializers() -> None:
    last = run("init", "--help").stdout.splitlines()[-1]
    assert last.startswith("initializers: ")
    names = last.removeprefix("initializers: ").split(", ")
    classes = {
        found
        for found in vars(initializers).values()
        if isinstance(found, type) and issubclass(found, initializers.Initializer)
    }
    assert {type(initializers.get(name)) for name in names} == classes - {initializers.Initializer}
    assert len(names) == len(classes) - 1
    described = (Path(__file__).parents[2] / "docs" / "command.md").read_text()
    assert all(f"`{name}`" in described for name in names)


def shown_on_a_terminal(out: Path, columns: int) -> str:
    """What writing the tiny example to `out` shows on a terminal of so many columns."""
    master, slave = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": str(columns)}
    with subprocess.Popen(
        [*COMMAND, "init", str(TINY), "-o", str(out)], stderr=slave, env=environment
    ) as process:
        os.close(slave)
        shown = b""
        # Reading from a terminal that nobody holds open any more is an error on Linux.
        while True:
            try:
                data = os.read(master, 65536)
            except OSError:
                break
            if not data:
                break
            shown += data
    os.close(master)
    assert process.returncode == 0
    return shown.decode()


def test_progress_bar_on_a_terminal(tmp_path: Path) -> None:
    out = tmp_path / "t.safetensors"
    text = shown_on_a_terminal(out, 120)
    assert all(part in text for part in ("t.safetensors", "\x1b[", "━"))
    assert "22 tensors" in text.splitlines()[-1]
    assert len(safetensors.deserialize(out.read_bytes())) == 22


def test_a_narrow_terminal_shows_the_bar_first_and_shortens_the_name(tmp_path: Path) -> None:
    name = "a-name-longer-than-the-terminal-is-wide-by-far.safetensors"
    text = shown_on_a_terminal(tmp_path / name, 50)
    bars = [re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", line) for line in re.split("[\r\n]", text)]
    bars = [bar for bar in bars if "━" in bar]
    assert bars
    for bar in bars:
        assert len(bar) <= 50
        assert bar.startswith("━" * 5)
        assert re.search(" a-na.*…$", bar.rstrip())


def test_lines_of_progress_when_it_is_not_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    clock = iter([0.0, 0.5, 2.0, 3.0, 3.1, 9.0])
    monkeypatch.setattr(terminal.time, "monotonic", lambda: next(clock))
    progress = terminal.PlainProgress("m.safetensors", 10_000_000)
    for _ in range(5):
        progress(2_000_000)
    assert capsys.readouterr().err.splitlines() == [
        "m.safetensors: 40%, 4.0 MB of 10.0 MB, 2.0 MB/s, 3 s left",
        "m.safetensors: 60%, 6.0 MB of 10.0 MB, 2.0 MB/s, 2 s left",
    ]


def test_nothing_that_is_shown_can_drive_the_terminal(tmp_path: Path) -> None:
    # Colours, a line end that would begin a second message, and a mark that turns writing around.
    hostile = "\x1b[31mred\nsecond \u202eline"
    spec = tmp_path / f"{hostile}.toml"
    spec.write_text(SMALL.replace('"w"', '"w\u202e"'))
    out = tmp_path / f"{hostile}.safetensors"
    results = [
        run("init", spec, "-o", out),
        run("init", spec, "--dry-run"),
        run("init", tmp_path / hostile, "-o", out),
        run("init", spec, "-o", out, hostile),
        run("init", spec, "-o", out, "--threads", hostile),
        run("init", spec, "-o", tmp_path / hostile / "o"),
        run(hostile),
    ]
    assert [done.returncode for done in results] == [0, 0, 2, 2, 2, 1, 2]
    for done in results:
        assert not {"\x1b", "\u202e"} & set(done.stdout + done.stderr)
        assert "\nsecond" not in done.stdout + done.stderr
    assert "\\x1b[31mred\\nsecond \\u202eline.safetensors: 1 tensors" in results[0].stderr
    assert results[1].stdout.splitlines()[1].split()[:2] == ["w\\u202e", "HeNormal"]
    assert out.exists()


@pytest.mark.parametrize("encoding", ["ascii", "ascii:strict", "latin-1", "utf-8"])
def test_every_name_can_be_shown_in_every_encoding(tmp_path: Path, encoding: str) -> None:
    spec = tmp_path / "模型.toml"
    spec.write_text(SMALL.replace('"w"', '"埋め込み"'), encoding="utf-8")
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    options: dict[str, Any] = {"env": environment, "encoding": encoding.partition(":")[0]}
    done = run("init", spec, "--dry-run", **options)
    assert (done.returncode, done.stderr) == (0, "")
    name = "埋め込み" if encoding == "utf-8" else "\\u57cb\\u3081\\u8fbc\\u307f"
    lines = done.stdout.splitlines()
    assert lines[1].split()[0] == name
    assert lines[0].index("initializer") == lines[1].index("HeNormal")
    missing = run("init", tmp_path / "無い.toml", "--dry-run", **options)
    assert missing.returncode == 2
    assert "cannot be read" in missing.stderr


def test_names_in_a_file_system_that_are_not_text_can_be_shown(tmp_path: Path) -> None:
    (tmp_path / "m.toml").write_text(SMALL)
    out = os.fsdecode(bytes(tmp_path) + b"/\xff.safetensors")
    done = run("init", tmp_path / "m.toml", "-o", out)
    assert done.returncode == 0, done.stderr
    assert "\\udcff.safetensors: 1 tensors" in done.stderr
    assert os.path.exists(out)


def test_a_reader_that_leaves_early_is_not_a_traceback() -> None:
    with subprocess.Popen(
        [*COMMAND, "init", str(EXAMPLES / "gpt2-xl.toml"), "--dry-run"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        errors = process.stderr.read()
    assert (process.returncode, errors) == (1, b"")


@pytest.mark.parametrize(
    ("redirections", "code", "errors"),
    [
        ("2>&-", 0, ""),
        (">&-", 0, None),
        ("2>/dev/full", 0, ""),
        ("--dry-run >/dev/full", 1, "No space left on device"),
        ("--dry-run >&-", 0, ""),
        ("--unknown 2>&-", 2, ""),
        ("-o missing/o 2>&-", 1, ""),
    ],
)
def test_streams_that_are_closed_or_full(
    tmp_path: Path, redirections: str, code: int, errors: str | None
) -> None:
    line = f'"$0" -m seedbed init "$1" -o o.safetensors {redirections}'
    done = subprocess.run(
        ["sh", "-c", line, sys.executable, str(TINY)],
        capture_output=True,
        text=True,
        timeout=400,
        cwd=tmp_path,
    )
    assert (done.returncode, done.stdout) == (code, "")
    assert errors is None or (errors in done.stderr and done.stderr.count("\n") == bool(errors))
    assert os.listdir(tmp_path) == (
        ["o.safetensors"] if code == 0 and "dry" not in redirections else []
    )
