"""show_config and the choice of instruction set."""

import os
import subprocess
import sys

import pytest

import seedbed
from seedbed import _core


def test_config_tells_what_a_bug_report_needs(capsys: pytest.CaptureFixture[str]) -> None:
    config = seedbed.show_config("dicts")
    assert config["seedbed"] == seedbed.__version__ == _core.__version__
    assert config["instruction set"]["used"] in config["instruction set"]["available"]
    assert config["instruction set"]["available"][0] == "scalar"
    assert config["threads"] == seedbed.get_num_threads()
    assert config["streams"]["used"] == "philox"
    assert "rustc" in config["build"]["compiler"]
    assert config["packages"]["numpy"]
    assert capsys.readouterr().out == ""
    seedbed.show_config()
    printed = capsys.readouterr().out
    assert seedbed.__version__ in printed
    assert _core.isa() in printed
    with pytest.raises(ValueError, match="`mode` must be 'stdout' or 'dicts'"):
        seedbed.show_config("json")  # type: ignore[call-overload]


def run(isa: str) -> str:
    script = """
try:
    from seedbed import _core, random
except ValueError as error:
    print(error)
else:
    import hashlib
    digest = hashlib.sha256()
    for dtype in ("float32", "float64", "bfloat16", "float16", "float8_e4m3fn"):
        for sampler in (random.uniform, random.normal, random.truncated_normal):
            digest.update(sampler((123, 57), dtype=dtype, seed=1).tobytes())
    print(_core.isa(), digest.hexdigest())
"""
    environment = {**os.environ, "SEEDBED_ISA": isa}
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment
    )
    return run.stdout.strip()


def test_every_instruction_set_gives_the_same_bytes() -> None:
    results = [run(isa).split() for isa in _core.available_isas()]
    assert [isa for isa, _ in results] == _core.available_isas()
    assert len({digest for _, digest in results}) == 1
    assert run("").split()[0] == _core.available_isas()[-1]


def test_unavailable_instruction_sets_are_errors_at_import() -> None:
    message = run("mmx")
    assert message.startswith("`SEEDBED_ISA` must be available on this machine: scalar")
    assert message.endswith("Received: SEEDBED_ISA='mmx'")
