"""Orthogonal: the bytes are those of tests/vectors/orthogonal.txt, which the NumPy program made.

They hold under every instruction set and for any number of threads; so do those of matrices that
are cut among threads, which are too large for that program, and of the numpy stream's.
"""

import json
import os
import subprocess
import sys

import pytest

import core
import numpy as np
import reference_orthogonal as reference
from seedbed import _core

GOLDEN = reference.read_golden()
GOLDEN_ROWS = 40

# From about 2**18 elements on threads share the work: by strips, by row chunks, by panels.
SHARED = [
    ("philox", (420, 410), "float32"),
    ("philox", (6000, 96), "float32"),
    ("philox", (97, 6000), "float64"),
    ("philox", (2050, 200), "float32"),
    ("philox", (20_000, 20), "bfloat16"),
    ("numpy", (420, 410), "float32"),
    ("numpy", (18_000, 33), "float32"),
]


def differing() -> list[str]:
    """The rows whose hash is another."""
    key = (reference.SEED, reference.CALL, "philox")
    return [
        f"{row.rows} x {row.columns} {row.dtype}"
        for row in GOLDEN
        if row.sha256
        != reference.digest(
            core.fill_orthogonal((row.rows, row.columns), reference.GAIN, row.dtype, *key)
        )
    ]


def shared() -> list[str]:
    """Hashes of the matrices that threads share."""
    digests = []
    for stream, shape, dtype in SHARED:
        q = np.ascontiguousarray(core.fill_orthogonal(shape, 1.5, dtype, 7, 0, stream))
        digests.append(reference.digest(q.view(np.uint8)))
    return digests


def test_the_table_is_whole_and_what_its_program_prints() -> None:
    assert len(GOLDEN) == GOLDEN_ROWS == 2 * len(reference.SHAPES)
    assert len({row.sha256 for row in GOLDEN}) == GOLDEN_ROWS
    lines = reference.TABLE.read_text().splitlines()
    wanted = [*reference.HEADER.splitlines(), *reference.golden_lines(reference.SHAPES)]
    assert lines == wanted


# Chosen when the interpreter starts, hence a process for each.
@pytest.mark.parametrize("isa", _core.available_isas())
def test_every_instruction_set_gives_these_values(isa: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-W", "error", __file__],
        env={**os.environ, "SEEDBED_ISA": isa, "PYTHONPATH": os.path.dirname(__file__)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout)
    assert told["isa"] == isa
    assert told["rows"] == GOLDEN_ROWS
    assert told["differing"] == {"1": [], "2": [], "3": [], "8": []}
    here = shared()
    assert all(digests == here for digests in told["shared"].values())


def main() -> None:
    """Prints which rows differ, and the hashes of what threads share, by number of threads."""
    different, digests = {}, {}
    for threads in (1, 2, 3, 8):
        _core.set_num_threads(threads)
        different[str(threads)] = differing()
        digests[str(threads)] = shared()
    told = {"isa": _core.isa(), "rows": len(GOLDEN), "differing": different, "shared": digests}
    print(json.dumps(told))


if __name__ == "__main__":
    main()
