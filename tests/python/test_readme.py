"""What README.md shows is what happens: its sessions, its commands and its make targets."""

import doctest
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = ["README.md", "CONTRIBUTING.md", *(f"docs/{page.name}" for page in ROOT.glob("docs/*.md"))]


def blocks(language: str) -> list[str]:
    found = re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    assert found, f"README.md has no {language} block"
    return found


def test_every_code_block_is_of_a_kind_that_is_tested() -> None:
    fences = re.findall(r"^```(\w*)$", README, re.MULTILINE)
    assert set(fences[::2]) <= {"pycon", "console"}
    assert set(fences[1::2]) == {""}


def test_python_sessions_print_what_they_show() -> None:
    session = doctest.DocTestParser().get_doctest(
        "".join(blocks("pycon")), {}, "README.md", None, None
    )
    report: list[str] = []
    result = doctest.DocTestRunner(verbose=False).run(session, out=report.append)
    assert result.attempted > 0
    assert result.failed == 0, "".join(report)


def test_commands_run() -> None:
    lines = [line for block in blocks("console") for line in block.splitlines()]
    commands = [shlex.split(line.removeprefix("$ "), comments=True) for line in lines]
    ours = [command[1:] for command in commands if command[0] == "seedbed"]
    assert ours
    for arguments in ours:
        # Writing gigabytes is for `make demo`; names, options and the specification are checked.
        dry = arguments if "--dry-run" in arguments else [*arguments, "--dry-run"]
        command = [sys.executable, "-m", "seedbed", *dry]
        result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=400)
        assert result.returncode == 0, result.stderr


def test_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    contributing = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    targets = re.findall(r"`make ([\w-]+)`|^\$ make ([\w-]+)", contributing + README, re.MULTILINE)
    assert targets
    for quoted, typed in targets:
        assert re.search(rf"^{quoted or typed}:", makefile, re.MULTILINE), (quoted, typed)


@pytest.mark.parametrize("page", PAGES)
def test_linked_files_exist(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)#:]+)\)", text):
        assert ((ROOT / page).parent / link).is_file(), link
