"""What lint finds: values that are wrong in one way each, and nothing in right ones."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from command import run
from seedbed import initializers
from seedbed._checkpoint.finding import Finding
from seedbed._checkpoint.reader import open_checkpoint
from seedbed._inspect.lint import Measured, lint
from seedbed._inspect.statistics import measure
from seedbed._spec.reader import parse_specification

FLOATS = ["float16", "bfloat16", "float32", "float64", "float8_e4m3fn", "float8_e5m2"]


# A specification, values that are wrong in one way, and the finding.
MODEL = """seed = 3
dtype = "{dtype}"
[[tensor]]
name = "h.{{layer}}.attn.c_proj.weight"
repeat = {{ layer = 12 }}
shape = [64, 96]
init = {{ class_name = "RandomNormal", config = {{ stddev = 0.05 }} }}
[[tensor]]
name = "fc.weight"
shape = [256, 100]
init = "he_normal"
[[tensor]]
name = "uniform"
shape = [400, 30]
init = "glorot_uniform"
[[tensor]]
name = "wte.weight"
shape = [500, 64]
init = {{ class_name = "RandomNormal", config = {{ stddev = 0.1, mean = 0.2 }} }}
[[tensor]]
name = "norm.weight"
shape = [64]
init = "ones"
[[tensor]]
name = "q"
shape = [60, 60]
init = "orthogonal"
"""


def linted(
    tmp_path: Path,
    text: str,
    change: Callable[[dict[str, Any]], None] = lambda arrays: None,
    *,
    deep: bool = False,
    blind: bool = False,
) -> list[Finding]:
    """The findings about what a specification makes, after a change; `blind` hides it."""
    specification = parse_specification(text.encode(), "m.toml")
    arrays = {tensor.name: np.asarray(tensor.prepare().draw()) for tensor in specification.tensors}
    change(arrays)
    path = tmp_path / "s.safetensors"
    safetensors.numpy.save_file(arrays, path)
    checkpoint = open_checkpoint(str(path))
    expected = {} if blind else {tensor.name: tensor for tensor in specification.tensors}
    found = measure(lambda: checkpoint.open(0), checkpoint.tensors, 1, deep=deep)
    measured = [
        Measured(
            tensor,
            statistics,
            expected.get(tensor.name),
            expected[tensor.name].law() if tensor.name in expected else None,
        )
        for tensor, statistics in found
    ]
    return lint(measured, deep=deep)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("blind", [False, True])
def test_right_values_have_no_finding(tmp_path: Path, dtype: str, blind: bool) -> None:
    text = MODEL.format(dtype=dtype)
    if dtype == "float8_e4m3fn":
        # 16 of its least steps are 0.031: what is finer is too coarse there.
        text = text.replace("0.05", "0.5")
    assert linted(tmp_path, text, deep=True, blind=blind) == []


PROJECTIONS = [f"h.{layer}.attn.c_proj.weight" for layer in range(12)]


def scale(factor: float, *names: str) -> Callable[[dict[str, Any]], None]:
    def change(arrays: dict[str, Any]) -> None:
        for name in names:
            arrays[name] = (arrays[name] * np.float32(factor)).astype(arrays[name].dtype)

    return change


def replace(
    name: str, make: Callable[[np.ndarray[Any, Any]], Any]
) -> Callable[[dict[str, Any]], None]:
    def change(arrays: dict[str, Any]) -> None:
        values = make(arrays[name].copy())
        arrays[name] = np.ascontiguousarray(values, dtype=arrays[name].dtype)

    return change


def put(name: str, index: Any, value: float) -> Callable[[dict[str, Any]], None]:
    def make(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        values[index] = value
        return values

    return replace(name, make)


def drawn(name: str, initializer: initializers.Initializer) -> Callable[[dict[str, Any]], None]:
    return replace(name, lambda values: initializer(values.shape, dtype="float32"))


def copied(source: str, target: str, factor: float = 1.0) -> Callable[[dict[str, Any]], None]:
    def change(arrays: dict[str, Any]) -> None:
        arrays[target] = (arrays[source] * np.float32(factor)).astype(arrays[source].dtype)

    return change


UNIFORM_BOUND = math.sqrt(6 / 430)
FC_STD = math.sqrt(2 / 256)
WRONG: dict[str, tuple[Callable[[dict[str, Any]], None], str, str, str]] = {
    # name: change, id, level, what the message says
    "depth scale missing": (
        scale(math.sqrt(24), *PROJECTIONS),
        "std",
        "error",
        "h.{0..11}.attn.c_proj.weight: std 0.245 in 12 tensors, expected 0.05 "
        "(ratio 4.9 = sqrt(2 * layers): depth scale missing?)",
    ),
    "depth scale twice": (
        scale(1 / math.sqrt(24), *PROJECTIONS),
        "std",
        "error",
        "= 1 / sqrt(2 * layers): depth scale applied twice?",
    ),
    "cut not corrected": (
        scale(0.87962566, "fc.weight"),
        "std",
        "error",
        "= 0.8796: cut at 2 deviations without correction?",
    ),
    "variance for deviation": (scale(FC_STD, "fc.weight"), "std", "error", "= sigma: the variance"),
    "bound for deviation": (scale(1 / math.sqrt(3), "uniform"), "std", "error", "= 1 / sqrt(3): a"),
    "axes swapped": (
        drawn("fc.weight", initializers.TruncatedNormal(0, math.sqrt(2 / 100) / 0.8796, seed=1)),
        "std",
        "error",
        "(ratio 1.61 = sqrt(fan_in / fan_out): axes swapped?)",
    ),
    "a little too wide": (scale(1.06, "fc.weight"), "std", "error", "ratio 1.06)"),
    "orthogonal gain": (scale(1.01, "q"), "std", "error", "RMS 0.13, expected 0.129"),
    "mean": (replace("uniform", lambda v: v + 0.02), "mean", "error", "expected 0 +- "),
    "outside": (put("uniform", (3, 4), 0.2), "bounds", "error", "has the value 0.2, outside of"),
    "never cut": (
        drawn("fc.weight", initializers.RandomNormal(0, FC_STD, seed=1)),
        "bounds",
        "error",
        "outside of -0.2",
    ),
    "norm that is not 1": (put("norm.weight", 7, 0.5), "bounds", "error", "expected 1 everywhere"),
    "extreme": (put("wte.weight", (3, 4), 1.5), "extreme", "error", "deviations from the mean"),
    "cut": (
        replace("wte.weight", lambda v: np.clip(v, 0, 0.4)),
        "cut",
        "error",
        "no value is beyond 2 deviations",
    ),
    "cut at 3": (
        replace("wte.weight", lambda v: np.clip(v, -0.1, 0.5)),
        "cut",
        "error",
        "no value is beyond 3 deviations",
    ),
    "NaN": (put("uniform", (0, 0), math.nan), "nan", "error", "has 1 NaN values"),
    "infinity": (put("uniform", (0, 0), math.inf), "inf", "error", "has 1 infinite values"),
    "constant": (put("fc.weight", ..., 0.0), "constant", "error", "every value is 0, expected"),
    "identical": (
        copied("h.0.attn.c_proj.weight", "h.5.attn.c_proj.weight"),
        "identical",
        "error",
        "has the values of h.0.",
    ),
    "same numbers": (
        copied("h.0.attn.c_proj.weight", "h.5.attn.c_proj.weight", 1.01),
        "same-numbers",
        "error",
        "has the random numbers of h.0.attn.c_proj.weight (one seed for both?)",
    ),
    "padding": (put("wte.weight", 0, 0.0), "zero-rows", "note", "1 of 500 rows are all zeros, for"),
    "a row of zeros": (put("fc.weight", 3, 0.0), "zero-rows", "warning", "1 of 256 rows are all"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_values_are_found(tmp_path: Path, case: str) -> None:
    change, kind, level, message = WRONG[case]
    findings = linted(tmp_path, MODEL.format(dtype="float32"), change)
    [found] = [finding for finding in findings if finding.id == kind]
    assert found.level == level
    assert message in found.message
    # Nothing else is accused, apart from what follows from the same change.
    about = {finding.tensor for finding in findings}
    assert about == {found.tensor}


@pytest.mark.parametrize("case", ["NaN", "infinity", "identical", "same numbers", "a row of zeros"])
def test_what_is_wrong_without_a_specification(tmp_path: Path, case: str) -> None:
    change, kind, level, message = WRONG[case]
    [found] = linted(tmp_path, MODEL.format(dtype="float32"), change, blind=True)
    assert (found.id, found.level) == (kind, level)
    assert message in found.message


def test_many_small_tensors_are_found_together(tmp_path: Path) -> None:
    text = (
        'seed = 1\n[[tensor]]\nname = "h.{i}"\nrepeat = { i = 400 }\nshape = [20, 10]\n'
        'init = { class_name = "RandomNormal", config = { stddev = 1.0 } }\n'
    )
    names = [f"h.{i}" for i in range(400)]
    assert linted(tmp_path, text) == []
    # 5% too wide: no tensor of 200 values shows it.
    [found] = linted(tmp_path, text, scale(1.05, *names))
    assert found.id == "pooled-std"
    assert "and 399 more tensors of one rule" in found.message

    def shift(arrays: dict[str, Any]) -> None:
        for name in names:
            arrays[name] += np.float32(0.05)

    [found] = linted(tmp_path, text, shift)
    assert found.id == "pooled-mean"


def test_values_whose_squares_float64_has_not(tmp_path: Path) -> None:
    path, spec = tmp_path / "a.safetensors", tmp_path / "s.toml"
    values = np.random.default_rng(0).standard_normal((64, 64)) * 1e200
    safetensors.numpy.save_file({"a": values}, path)
    spec.write_text(
        'seed = 1\n[[tensor]]\nname = "a"\nshape = [64, 64]\ndtype = "float64"\n'
        "init = { class_name = 'RandomNormal', config = { stddev = 1.0 } }\n"
    )
    done = run("inspect", path, "--lint", "--spec", spec, "--json")
    assert (done.returncode, done.stderr) == (1, "")
    assert "std" in [finding["id"] for finding in json.loads(done.stdout)["findings"]]


def test_the_whole_distribution(tmp_path: Path) -> None:
    # Uniform, of the right mean and deviation and beyond the 2 deviations that a cut would leave.
    text = (
        'seed = 1\n[[tensor]]\nname = "w"\nshape = [500, 500]\n'
        'init = { class_name = "TruncatedNormal", config = { stddev = 1.0 } }\n'
    )
    bound = 0.87962566103423978 * math.sqrt(3)
    change = drawn("w", initializers.RandomUniform(-bound, bound, seed=1))
    assert linted(tmp_path, text, change) == []
    [found] = linted(tmp_path, text, change, deep=True)
    assert found.id == "distribution"
    assert "not distributed as truncated_normal" in found.message
    assert linted(tmp_path, text, deep=True) == []


def test_a_dtype_that_is_too_coarse(tmp_path: Path) -> None:
    text = (
        'seed = 1\ndtype = "float8_e4m3fn"\n[[tensor]]\nname = "w"\nshape = [500, 500]\n'
        'init = { class_name = "RandomNormal", config = { stddev = 0.00204 } }\n'
    )
    [found] = linted(tmp_path, text)
    assert (found.id, found.level) == ("coarse", "warning")
    assert "float8_e4m3fn is too coarse for a deviation of 0.00204; 37% of the values are 0" in (
        found.message
    )


def test_tensors_with_one_seed_of_their_own_are_a_warning(tmp_path: Path) -> None:
    text = (
        'seed = 1\n[[tensor]]\nname = "h.{i}"\nrepeat = { i = 3 }\nshape = [20, 10]\n'
        'init = { class_name = "RandomNormal", config = { seed = 5 } }\n'
    )
    [found] = linted(tmp_path, text)
    assert (found.id, found.level) == ("identical", "warning")
    assert found.tensor == "h.{1..2}"
