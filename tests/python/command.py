"""The command `seedbed` in a process of its own, for the tests that share it."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

EXAMPLES = Path(__file__).parents[2] / "examples"
TINY = EXAMPLES / "tiny.toml"
COMMAND = [sys.executable, "-m", "seedbed"]
SMALL = 'seed = 1\n[[tensor]]\nname = "w"\nshape = [2, 3]\ninit = "he_normal"\n'
# A model that takes seconds to write, to be interrupted: 1000 tensors of 16 MB.
LONG = SMALL.replace('"w"', '"w.{i}"\nrepeat = { i = 1000 }').replace("[2, 3]", "[2000, 2000]")
SCRIPT = Path(sysconfig.get_path("scripts")) / "seedbed"


def run(*arguments: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *map(str, arguments)], capture_output=True, text=True, timeout=400, **options
    )
