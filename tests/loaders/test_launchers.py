"""The examples of distributed writing, each with two processes: torchrun, Slurm's array and Ray."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
SPEC = """seed = 1
[[tensor]]
name = "w.{i}"
repeat = { i = 6 }
shape = [1000, 500]
init = "he_normal"
"""


def run(*arguments: object, **environment: str) -> str:
    done = subprocess.run(
        list(map(str, arguments)),
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "m.toml"
    path.write_text(SPEC)
    return path


def require_right(spec: Path, out: Path) -> None:
    """The directory is what one process makes."""
    whole = out.parent / "whole"
    run(sys.executable, "-m", "seedbed", "init", spec, "-o", f"{whole}/", "--shards", 5)
    assert sorted(os.listdir(out)) == sorted(os.listdir(whole))
    assert len(os.listdir(out)) == 6
    for name in os.listdir(out):
        assert (out / name).read_bytes() == (whole / name).read_bytes()


def test_torchrun(spec: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", 2]
    run(*launch, EXAMPLES / "parts_torchrun.py", spec, f"{out}/", 5)
    require_right(spec, out)


def test_slurm_array(spec: Path, tmp_path: Path) -> None:
    # What Slurm does with the script: run it once a task, with these variables.
    out = tmp_path / "out"
    for task in ("2", "1"):
        variables = {"SLURM_ARRAY_TASK_ID": task, "SLURM_ARRAY_TASK_COUNT": "2", "SHARDS": "5"}
        run("bash", EXAMPLES / "parts_slurm.sh", spec, f"{out}/", **variables)
    require_right(spec, out)


def test_ray(spec: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    said = run(
        sys.executable, EXAMPLES / "parts_ray.py", spec, f"{out}/", "--shards", 5, "--parts", 2
    )
    assert "part 2 of 2" in said
    require_right(spec, out)
