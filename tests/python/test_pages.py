"""What docs/command.md and docs/recipes.md show is what happens, as a reader would try it."""

from __future__ import annotations

import doctest
import re
import shlex
import shutil
import tomllib
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from command import EXAMPLES, TINY, run
from seedbed import Plan
from seedbed._command.main import main
from seedbed._spec.reader import read_specification

DOCS = Path(__file__).parents[2] / "docs"
PAGES = {page: (DOCS / page).read_text(encoding="utf-8") for page in ("command.md", "recipes.md")}


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGES[page], re.MULTILINE | re.DOTALL)


def test_every_block_is_of_a_kind_that_is_tested() -> None:
    kinds = {page: re.findall(r"^```(\w+)$", text, re.MULTILINE) for page, text in PAGES.items()}
    assert kinds["recipes.md"] == ["pycon"]
    assert sorted(set(kinds["command.md"])) == ["console", "python", "toml"]


def test_sessions_print_what_they_show() -> None:
    (session,) = blocks("recipes.md", "pycon")
    test = doctest.DocTestParser().get_doctest(session, {}, "recipes.md", None, None)
    report: list[str] = []
    result = doctest.DocTestRunner(verbose=False).run(test, out=report.append)
    assert result.attempted > 0
    assert result.failed == 0, "".join(report)


def test_python_runs(capsys: pytest.CaptureFixture[str]) -> None:
    rules, values = blocks("command.md", "python")
    exec(rules, {})
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["ln_f.weight", "1"], ["h.0.c_proj.weight", "2"], ["wte.weight", "3"],
    ]  # fmt: skip
    names: dict[str, np.ndarray] = {}
    exec(values, names)
    plan = Plan.from_toml(EXAMPLES / "gpt2-xl.toml").resolve()
    (made,) = (t for t in plan.tensors if t.name == "h.0.attn.c_attn.weight")
    assert made.prepare().draw().tobytes() == names["w"].tobytes()


def test_the_specification_is_complete() -> None:
    (text,) = blocks("command.md", "toml")
    tensors = Plan.from_toml(text).resolve().tensors
    assert len(tensors) == 1 + 48 * 6
    assert all(tensor.law().std is not None for tensor in tensors)


def test_the_command_prints_the_plan_that_is_shown(tmp_path: Path) -> None:
    (shown,) = (block for block in blocks("command.md", "console") if "seedbed spec" in block)
    command, _, expected = shown.partition("\n")
    layout = read_specification(str(EXAMPLES / "gpt2-xl.toml")).layout()
    with (tmp_path / "gpt2-xl.safetensors").open("wb") as file:
        # Only the header is read; the rest has no blocks on the disk.
        file.write(layout.header)
        file.truncate(layout.nbytes)
    ended = run(*shlex.split(command.removeprefix("$ seedbed ")), cwd=tmp_path)
    assert ended.stdout == expected
    assert tomllib.loads(expected)["let"] == {"layers": 48}


def test_commands_run(tmp_path: Path) -> None:
    # What the reader has is a specification; what is between `<` and `>` of a shell stays out.
    shutil.copy(TINY, tmp_path / "SPEC.toml")
    lines = [line for block in blocks("command.md", "console") for line in block.splitlines()]
    ran = set()
    for line in lines:
        if not line.startswith("$ seedbed ") or "model/" in line or "gpt2-xl" in line:
            continue  # with transformers: tests/loaders/test_whole_model.py; and the test above
        words = shlex.split(line.removeprefix("$ seedbed "), comments=True)
        words = words[: words.index(">")] if ">" in words else words
        words = [{"PATH": "OUT.safetensors", "PATH...": "OUT/"}.get(word, word) for word in words]
        ended = run(*words, cwd=tmp_path)
        assert ended.returncode == 0, (line, ended.stderr)
        ran.add(words[0])
    assert ran == {"init", "inspect", "verify", "completion"}


def test_a_row_of_zeros_for_padding_is_a_note(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec, file = tmp_path / "m.toml", tmp_path / "m.safetensors"
    spec.write_text('seed = 1\npreset = "llama"\ntensors = { "embed_tokens.weight" = [300, 64] }\n')
    assert main(["init", str(spec), "-o", str(file), "--quiet"]) == 0
    tensors = load_file(file)
    tensors["embed_tokens.weight"][0] = 0
    save_file(tensors, file)
    assert main(["inspect", str(file), "--lint", "--spec", str(spec)]) == 0
    found = capsys.readouterr().out
    assert "note: embed_tokens.weight: 1 of 300 rows are all zeros, for padding?" in found
    assert "error" not in found
    assert main(["verify", str(spec), str(file)]) == 1
