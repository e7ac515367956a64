"""What docs/command.md and docs/recipes.md show is what happens, as a reader would try it."""

from __future__ import annotations

import doctest
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from command import EXAMPLES, TINY, run
from seedbed import Plan
from seedbed._command.main import main
from seedbed._plan.draft import TO_CHOOSE
from seedbed._spec.reader import read_specification

DOCS = Path(__file__).parents[2] / "docs"
PAGES = {page: (DOCS / page).read_text(encoding="utf-8") for page in ("command.md", "recipes.md")}


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGES[page], re.MULTILINE | re.DOTALL)


def test_every_block_is_of_a_kind_that_is_tested() -> None:
    kinds = {page: re.findall(r"^```(\w+)$", text, re.MULTILINE) for page, text in PAGES.items()}
    assert sorted(set(kinds["recipes.md"])) == ["pycon", "toml"]
    assert sorted(set(kinds["command.md"])) == ["console", "python", "toml"]


def test_sessions_print_what_they_show() -> None:
    (session,) = blocks("recipes.md", "pycon")
    test = doctest.DocTestParser().get_doctest(session, {}, "recipes.md", None, None)
    report: list[str] = []
    result = doctest.DocTestRunner(verbose=False).run(test, out=report.append)
    assert result.attempted > 0
    assert result.failed == 0, "".join(report)


def test_python_runs(capsys: pytest.CaptureFixture[str]) -> None:
    rules, values, *_ = blocks("command.md", "python")
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
    (shown,) = (block for block in blocks("command.md", "console") if "spec gpt2-xl" in block)
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
        if not line.startswith("$ seedbed ") or re.search(r"model/|gpt2-xl|net\.toml", line):
            continue  # with transformers: tests/loaders/test_whole_model.py; the other tests here
        words = shlex.split(line.removeprefix("$ seedbed "), comments=True)
        words = words[: words.index(">")] if ">" in words else words
        words = [{"PATH": "OUT.safetensors", "PATH...": "OUT/"}.get(word, word) for word in words]
        ended = run(*words, cwd=tmp_path)
        assert ended.returncode == 0, (line, ended.stderr)
        ran.add(words[0])
    assert ran == {"init", "inspect", "verify", "completion"}


def test_files_are_read_as_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    in_numpy, in_torch, in_jax, module, in_keras = blocks("command.md", "python")[2:]
    assert "safetensors.torch" in in_torch  # tests/loaders/test_reading.py

    text = 'seed = 1\ndtype = "bfloat16"\n[[tensor]]\nname = "w"\nshape = [4, 8]\ninit = "normal"\n'
    Path("m.toml").write_text(text)
    assert main(["init", "m.toml", "-o", "model.safetensors", "--quiet"]) == 0
    [made] = Plan.from_toml(text).resolve().tensors
    for block in (in_numpy, in_jax):
        names: dict[str, Any] = {}
        exec(block, names)
        assert names["tensors"]["w"].dtype == "bfloat16"
        assert np.asarray(names["tensors"]["w"]).tobytes() == made.prepare().draw().tobytes()

    Path("net.py").write_text(module)
    (session,) = (block for block in blocks("command.md", "console") if "net.toml" in block)
    spec, init = (shlex.split(line.removeprefix("$ "), True) for line in session.splitlines())
    written = run(*spec[1:-2], cwd=tmp_path)
    assert written.returncode == 0, written.stderr
    Path(spec[-1]).write_text(written.stdout.replace(TO_CHOOSE, "he_normal"))
    assert run(*init[1:], cwd=tmp_path).returncode == 0
    names = {}
    exec(in_keras, names)
    weights = {weight.path: np.asarray(weight.numpy()) for weight in names["model"].weights}
    made_by_name = {t.name: t.prepare().draw() for t in Plan.from_toml(spec[-1]).resolve().tensors}
    assert len(weights) == 4
    assert weights.keys() == made_by_name.keys()
    assert all(np.array_equal(weights[name], made_by_name[name]) for name in weights)


def test_numpy_needs_ml_dtypes(tmp_path: Path) -> None:
    # What the page says of the first of them without its first line.
    in_numpy = blocks("command.md", "python")[2]
    (tmp_path / "m.toml").write_text(
        'seed = 1\ndtype = "bfloat16"\n[[tensor]]\nname = "w"\nshape = [4]\ninit = "ones"\n'
    )
    assert run("init", "m.toml", "-o", "model.safetensors", cwd=tmp_path).returncode == 0
    command = [sys.executable, "-c", in_numpy.replace("import ml_dtypes\n", "")]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=100)
    assert "data type 'bfloat16' not understood" in ended.stderr


@pytest.mark.parametrize("subcommand", ["init", "inspect", "verify", "spec", "preset"])
def test_examples_of_the_help_run(tmp_path: Path, subcommand: str) -> None:
    spec = (
        'seed = 1\n[[tensor]]\nname = "{i}.bias"\nrepeat = { i = 64 }\nshape = [9]\ninit = "ones"\n'
    )
    (tmp_path / "model.toml").write_text(spec)
    for out in ("model.safetensors", "model/ --shards 2"):
        assert run("init", "model.toml", "-o", *out.split(), cwd=tmp_path).returncode == 0
    shutil.copy(tmp_path / "model" / "model.safetensors.index.json", tmp_path)
    for shard in (tmp_path / "model").glob("*.safetensors"):
        shutil.copy(shard, tmp_path)
    examples = re.findall(r"^  seedbed (.*)$", run(subcommand, "--help").stdout, re.MULTILINE)
    assert len(examples) >= 2
    for example in examples:
        if "config.json" in example or "mypackage" in example:
            continue  # with transformers: tests/loaders/test_plans.py
        if subcommand == "init":
            shutil.rmtree(tmp_path / "model")
        command = re.split(r" {2,}| [>|] ", example)[0]
        ended = run(*shlex.split(command), cwd=tmp_path)
        assert ended.returncode == 0, (example, ended.stderr)
        if subcommand == "init":
            (tmp_path / "model").mkdir(exist_ok=True)


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
