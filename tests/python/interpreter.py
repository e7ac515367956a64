"""Programs that need a process of their own, for the tests that share it."""

import os
import subprocess
import sys
import textwrap


def run(script: str, **environment: str) -> str:
    """What a fresh interpreter prints when running `script`, which must not fail."""
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
        env={**os.environ, **environment},
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.strip()
