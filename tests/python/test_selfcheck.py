"""`seedbed.selfcheck()`: what it says of the backends that are installed, and of others."""

from __future__ import annotations

import importlib.util

import pytest

import seedbed
from seedbed import _cli, _selfcheck


def test_the_numpy_stream_is_exact_here() -> None:
    results = _selfcheck.check("numpy")
    made = {(result.sampler, result.dtype): result for result in results}
    for sampler in ("uniform", "normal", "truncated_normal"):
        for dtype in ("float32", "float16", "bfloat16", "float64"):
            assert made[sampler, dtype].status == _selfcheck.EXACT, made[sampler, dtype]
    matrix = made["orthogonal", "float32"]
    assert matrix.status in (_selfcheck.EXACT, _selfcheck.ROUNDING), matrix
    assert "numpy" in matrix.version
    assert "keras" in matrix.version


def test_backends_that_are_not_installed_are_reported(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert seedbed.selfcheck()
    assert "numpy: not installed: no module `keras`" in capsys.readouterr().out


def test_a_difference_is_found(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    result = _selfcheck.Result("numpy", "numpy 0", "normal", "float32", _selfcheck.DIFFERENT, "why")
    monkeypatch.setattr(_selfcheck, "check", lambda stream: [result])
    assert not seedbed.selfcheck()
    assert "numpy normal float32: not exact: why" in capsys.readouterr().out


def test_the_judge_counts_and_measures() -> None:
    import keras

    import numpy as np

    def theirs(seed: object) -> np.ndarray:
        return np.zeros((2, 2), np.float32)

    def ours(seed: object) -> np.ndarray:
        return np.array([[0, 0], [0.5, 0]], np.float32)

    assert keras.backend.backend() == "numpy"
    status, reason = _selfcheck._judge(ours, theirs, "float32")
    assert (status, reason) == (_selfcheck.DIFFERENT, "2 of 8 values differ, by at most 0.5")
    assert _selfcheck._judge(ours, theirs, "float32", 0.5)[0] == _selfcheck.ROUNDING
    assert _selfcheck._judge(theirs, theirs, "float32") == (_selfcheck.EXACT, "")
    assert _selfcheck._judge(ours, theirs, "float64")[0] == _selfcheck.UNDEFINED


@pytest.mark.parametrize(("same", "code"), [(True, 0), (False, 1)])
def test_the_command_passes_the_verdict_on(
    monkeypatch: pytest.MonkeyPatch, same: bool, code: int
) -> None:
    monkeypatch.setattr(seedbed, "selfcheck", lambda: same)
    assert _cli.main(["selfcheck"]) == code
