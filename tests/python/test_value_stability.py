"""Value stability: the native stream's bytes are those of tests/vectors/native_stream.txt.

The hashes were computed by the NumPy program, not by the library. They must hold under every
instruction set this machine has, for any number of threads, and whatever floating-point modes
another library has left behind in the calling thread. A change of any of them is a new stream.
"""

import hashlib
import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest

import core
import reference_philox as reference
from float_modes import MODES, float_modes
from seedbed import _core

GOLDEN = reference.read_golden()
# Four samplers, six dtypes, two ranges of elements.
GOLDEN_ROWS = 48
# A tensor that holds every run in the table.
SHAPE = (2**36,)


def values_of(row: reference.Golden) -> np.ndarray:
    fill = getattr(core, f"fill_{row.sampler}")
    run = (slice(row.first, row.first + row.count),)
    key = (row.dtype, row.seed, row.call, "philox")
    return fill(SHAPE, *row.parameters, *key, index=run)


def digest(values: np.ndarray) -> str:
    return hashlib.sha256(values.tobytes()).hexdigest()


def differing() -> list[str]:
    """The rows whose hash is another."""
    return [row.name for row in GOLDEN if digest(values_of(row)) != row.sha256]


def test_the_table_is_whole() -> None:
    assert len(GOLDEN) == GOLDEN_ROWS
    assert {row.dtype for row in GOLDEN} == set(reference.DTYPES)
    assert {row.sampler for row in GOLDEN} == set(reference.SAMPLERS)
    assert len({row.sha256 for row in GOLDEN}) == GOLDEN_ROWS
    assert all(row.count > 100_000 for row in GOLDEN)


def test_the_table_is_what_its_command_prints() -> None:
    text = (reference.VECTORS / "native_stream.txt").read_text()
    assert text.splitlines() == list(reference.golden_lines())


@pytest.mark.parametrize("table", ["native_stream.txt", "orthogonal.txt"])
def test_the_definition_is_frozen(table: str) -> None:
    """The page that defines the stream names the digest of its golden values, once."""
    # Line ends as in the repository, whatever the checkout made of them.
    text = (reference.VECTORS / table).read_text().encode()
    page = (reference.VECTORS.parents[1] / "docs" / "streams.md").read_text()
    told = re.findall(rf"^    {re.escape(table)} +([0-9a-f]{{64}})$", page, re.MULTILINE)
    assert told == [hashlib.sha256(text).hexdigest()]


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
    assert told["differing"] == {"1": [], "2": [], "3": []}


# --- Floating-point modes ------------------------------------------------------------------------


def test_the_modes_are_really_set() -> None:
    """Without this the tests below would pass for nothing."""
    third, tiny = np.float64(1) / np.float64(3), np.float64(2.0**-1074)
    for name, bits in MODES.items():
        with float_modes(bits):
            quotient = -np.float64(1) / np.float64(-3) if name == "up" else np.float64(1) / -3.0
            kept = float(tiny * np.float64(1)) != 0.0
        if name == "flush":
            assert not kept
        elif name == "up":
            assert quotient > third
        else:
            assert (quotient < -third) == (name == "down")


# Values, bounds and steps that are subnormal or depend on the rounding direction.
DELICATE = [
    ("uniform", (0.0, 1e-41)),
    ("uniform", (-1e-39, 3e-40)),
    ("uniform", (0.1, 0.10000001)),
    ("uniform", (1.0, 3.3)),
    ("normal", (0.0, 1e-40)),
    ("normal", (1e-39, 1e-38)),
    ("normal", (0.1, 0.3)),
    ("truncated_normal", (0.0, 1e-40, -2.0, 2.0)),
    ("truncated_normal", (0.1, 0.3, -2.0, 2.0)),
    ("truncated_normal", (0.0, 1e-39, -1.0, 3.0)),
]


@pytest.mark.parametrize("mode", list(MODES))
@pytest.mark.parametrize("dtype", list(reference.DTYPES))
def test_float_modes_of_the_caller_change_nothing(dtype: str, mode: str) -> None:
    # The second length is shared among threads, made under the same modes.
    for length in (1003, 300_007):
        for sampler, parameters in DELICATE:
            fill = getattr(core, f"fill_{sampler}")
            arguments = ((length,), *parameters, dtype, 5, 0, "philox")
            wanted = fill(*arguments)
            with float_modes(MODES[mode]):
                got = fill(*arguments)
            assert digest(got) == digest(wanted), (sampler, parameters, length)


@pytest.mark.parametrize("dtype", list(reference.DTYPES))
@pytest.mark.parametrize(("sampler", "parameters"), DELICATE)
def test_delicate_values_are_the_references(
    sampler: str, parameters: tuple[float, ...], dtype: str
) -> None:
    elements = np.arange(3001, dtype=np.uint64)
    wanted = reference.SAMPLERS[sampler](elements, *parameters, reference.DTYPES[dtype], 5, 0)
    got = getattr(core, f"fill_{sampler}")((3001,), *parameters, dtype, 5, 0, "philox")
    assert got.tobytes() == wanted.tobytes()


def main() -> None:
    """Prints which rows differ for one, two and three threads."""
    result = {}
    for threads in (1, 2, 3):
        _core.set_num_threads(threads)
        result[str(threads)] = differing()
    told = {"isa": _core.isa(), "rows": len(GOLDEN), "differing": result}
    print(json.dumps(told))


if __name__ == "__main__":
    main()
