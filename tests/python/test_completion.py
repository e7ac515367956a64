"""`seedbed completion`: bash completes words by the script; the other shells' have them, too."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from command import run

# What bash does when Tab is pressed at the end of the words given.
ASK = r"""
source "$1"; shift
function_of=$(complete -p seedbed); function_of=${function_of##*-F }; function_of=${function_of%% *}
COMP_WORDS=(seedbed "$@"); COMP_CWORD=$#; COMP_LINE="seedbed $*"; COMP_POINT=${#COMP_LINE}
previous=${COMP_WORDS[$COMP_CWORD - 1]}
"$function_of" seedbed "${COMP_WORDS[$COMP_CWORD]}" "$previous"
printf '%s\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = run("completion", "bash")
    assert made.returncode == 0, made.stderr
    path = tmp_path_factory.mktemp("completion") / "seedbed.bash"
    path.write_text(made.stdout)
    return path


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (["in"], {"init", "inspect"}),
        (["ver"], {"verify"}),
        (["init", "--sh"], {"--shards"}),
        (["init", "model.toml", "--max"], {"--max-shard-size"}),
        (["inspect", "--st"], {"--stats", "--strict"}),
        (["inspect", "--sort", ""], {"name", "size", "offset"}),
        (["preset", "llama"], {"llama", "llama-torchtitan"}),
        (["spec", "mo"], {"model.safetensors", "models"}),
        (["verify", "m.toml", "mo"], {"model.safetensors", "models"}),
        (["init", "-o", "models/"], {"models/deep.safetensors"}),
        (["inspect", "--spec", "m."], {"m.toml"}),
    ],
)
def test_bash(script: Path, tmp_path: Path, typed: list[str], expected: set[str]) -> None:
    (tmp_path / "models").mkdir()
    for name in ("m.toml", "model.safetensors", "models/deep.safetensors"):
        (tmp_path / name).touch()
    # Without its start files, which know completions of their own.
    command = ["bash", "--norc", "--noprofile", "-c", ASK, "bash", str(script), *typed]
    asked = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert asked.stderr == ""
    assert {word.rstrip() for word in asked.stdout.splitlines()} == expected


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "tcsh"])
def test_every_shell_has_a_script(shell: str) -> None:
    made = run("completion", shell)
    assert made.returncode == 0, made.stderr
    for word in ("inspect", "max-shard-size", "olmo2"):
        assert word in made.stdout
    assert "resume-quick" not in made.stdout
    syntax = shutil.which(shell)
    if syntax is not None:
        checked = subprocess.run([syntax, "-n"], input=made.stdout, text=True, timeout=60)
        assert checked.returncode == 0


def test_it_says_what_it_needs(tmp_path: Path) -> None:
    without = "import sys; sys.modules['shtab'] = None; from seedbed._command.main import main; "
    call = [sys.executable, "-c", f"{without} sys.exit(main(['completion', 'bash']))"]
    ended = subprocess.run(call, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr == (
        "seedbed: error: completion needs shtab: pip install 'seedbed[completion]'\n"
    )
    assert run("completion", "ksh").returncode == 2


def test_the_command_starts_without_it() -> None:
    looks = "import sys; from seedbed._command.main import main; main(['preset', 'gpt2']); "
    code = f"{looks} assert 'shtab' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=60)
