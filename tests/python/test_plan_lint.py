"""The lint of plans: what it finds in a plan that is wrong, and nothing in one that is right."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from command import run
from seedbed import Plan, initializers
from seedbed._law import truncated_stddev
from seedbed._plan import presets

ROOT = Path(__file__).parents[2]


def found(rules: Any, names: dict[str, Any], **more: Any) -> dict[str, str]:
    """The messages by their words."""
    findings = Plan(rules, **more).lint(names)
    assert all(finding.level == "warning" for finding in findings)
    return {finding.id: finding.message for finding in findings}


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.toml")), ids=lambda p: p.name)
def test_examples_are_right(path: Path) -> None:
    assert Plan.from_toml(path).lint() == []


def test_presets_are_right() -> None:
    vectors = ROOT / "tests" / "vectors" / "presets.txt"
    models: dict[str, Any] = {}
    for line in vectors.read_text().splitlines():
        if line.startswith("#"):
            continue
        preset, variables, name, shape, *_ = line.split()
        if name.endswith(("A_log", "dt_proj.bias")):
            continue
        models.setdefault((preset, variables), {})[name] = tuple(map(int, shape.split("x")))
    for (preset, variables), names in models.items():
        pairs = [] if variables == "-" else [pair.split("=") for pair in variables.split(",")]
        let = {key: float(value) for key, value in pairs}
        assert found([], names, let=let, preset=preset) == {}


CASES: list[tuple[str, Any, dict[str, Any], dict[str, Any], str]] = [
    (
        "shadow",
        [("*.weight", {"normal": 1}), {"match": "c.weight", "init": "ones", "optional": True}],
        {"h.0.c.weight": (2, 2), "h.1.c.weight": (2, 2)},
        {},
        "`h.*.c.weight` (2 tensors), by rule 1 (`*.weight`): rule 2 (`c.weight`) is more exact",
    ),
    ("fan-vector", [("*", "he_normal")], {"w": (8,)}, {}, "a fan of a tensor of rank 1"),
    (
        "fan-vector",
        [("*", {"normal": "1 / fan_in"})],
        {"w": (8,)},
        {},
        "a fan of a tensor of rank 1",
    ),
    ("fan-embedding", [("**", "he_normal")], {"wte.weight": (8, 2)}, {}, "a fan of an embedding"),
    (
        "fan-experts",
        [("**", "he_normal")],
        {"mlp.experts.down_proj": (8, 32, 16)},
        {},
        "the fans 512 and 128 count the experts; give the rule `batch_axes = [0]`",
    ),
    (
        "fan-experts",
        [("**", {"normal": "1 / sqrt(fan_in) + 0 * experts"})],
        {"mlp.w2": (8, 32, 16)},
        {"let": {"experts": 8}},
        "count the experts",
    ),
    ("random-norm", [("**", {"normal": 1})], {"a_norm.weight": (8,)}, {}, "the scale of a norm"),
    ("random-bias", [("**", {"normal": 1})], {"a.bias": (8,)}, {}, "a bias is normal"),
    ("special", [("**", "zeros")], {"mixer.A_log": (8,)}, {}, "have a formula of their own"),
    (
        "ones-norm",
        [("*norm.weight", "ones")],
        {"a.norm.weight": (8,)},
        {"preset": "gemma"},
        "in models of preset `gemma` it acts as 1 + w and starts at 0",
    ),
    (
        "preset-std",
        [("c_proj.weight", {"normal": 0.02})],
        {"h.0.c_proj.weight": (8, 8), "h.1.c_proj.weight": (8, 8)},
        {"preset": "gpt2", "let": {"layers": 48}},
        "std 0.02; preset `gpt2` has 0.00204124 (ratio 9.798, sqrt(2 * layers): depth scale miss",
    ),
    (
        "preset-std",
        [("c_proj.weight", {"normal": 0.0123})],
        {"h.0.c_proj.weight": (8, 8)},
        {"preset": "gpt2", "let": {"layers": 48}},
        "no depth scale",
    ),
    (
        "preset-std",
        [("w.weight", {"truncated_normal": 0.02})],
        {"w.weight": (8, 8)},
        {"preset": "llama"},
        "0.8796: cut at 2 deviations without correction?",
    ),
    (
        "preset-std",
        [("fc1.weight", "lecun_normal")],
        {"blocks.0.mlp.fc1.weight": (64, 64)},
        {"preset": "deepnorm", "let": {"layers": 2}},
        "std 0.125; preset `deepnorm` has 0.0625 (ratio 2, ",
    ),
    ("zero-std", [("*", {"normal": 0})], {"w": (8, 8)}, {}, "every value is 0"),
    ("large-std", [("*", {"normal": 11})], {"w": (8, 8)}, {}, "std 11 is more than any recipe"),
    (
        "cut",
        [("*", {"truncated_normal": {"stddev": 0.02, "cut": 100}})],
        {"w": (8, 8)},
        {},
        "cut at 100 deviations, where no value is",
    ),
    (
        "coarse",
        [("*", {"normal": 0.02 / 96**0.5})],
        {"w": (8, 8)},
        {"dtype": "float8_e4m3fn"},
        "float8_e4m3fn is too coarse for a std of 0.00204: its least number is 0.00195, about 37%",
    ),
    (
        "tie-dtype",
        [{"match": "a", "tie": "b", "dtype": "float16"}, ("b", "ones")],
        {"a": (2,), "b": (2,)},
        {},
        "`a`: is float16 by its rule, and shares `b`, which is float32",
    ),
]


@pytest.mark.parametrize(
    ("id", "rules", "names", "more", "message"), CASES, ids=[case[0] for case in CASES]
)
def test_mistakes_are_found(
    id: str, rules: Any, names: dict[str, Any], more: dict[str, Any], message: str
) -> None:
    findings = found(rules, names, **more)
    assert list(findings) == [id]
    assert message in findings[id]


def test_what_is_stacked_on_purpose_is_right() -> None:
    rule = {"match": "**", "init": "he_normal", "batch_axes": [0]}
    assert found([rule], {"mlp.experts.down_proj": (8, 32, 16)}) == {}


@pytest.mark.parametrize(
    ("dtype", "least"), [("float8_e4m3fn", 16 * 2.0**-9), ("float8_e5m2", 16 * 2.0**-16)]
)
def test_coarseness_begins_where_the_variance_is_lost(dtype: str, least: float) -> None:
    names = {"w": (8, 8)}
    assert found([("*", {"normal": least})], names, dtype=dtype) == {}
    assert list(found([("*", {"normal": least * 0.99})], names, dtype=dtype)) == ["coarse"]
    # What is said to be lost is lost.
    values = initializers.RandomNormal(stddev=least / 16, seed=1)((1 << 20,), dtype=dtype)
    message = found([("*", {"normal": least / 16})], names, dtype=dtype)["coarse"]
    zeros = 100 * float(np.mean(values.astype(np.float64) == 0))
    assert f"about {zeros:.2g}%" in message


def test_a_head_that_the_configuration_ties_is_found(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    names = ["lm_head.weight", "model.embed_tokens.weight"]
    save_file({name: np.zeros((4, 2), np.float32) for name in names}, tmp_path / "m.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({"tie_word_embeddings": True}))
    plan = Plan([("**", "ones")], model=tmp_path / "m.safetensors")
    [finding] = plan.lint()
    assert finding.id == "untied-head"
    assert "add a rule with `tie`" in finding.message
    tied = [{"match": "lm_head.weight", "tie": "model.embed_tokens.weight"}, ("**", "ones")]
    assert Plan(tied, model=tmp_path / "m.safetensors").lint() == []


def test_init_warns_of_what_a_dtype_loses(tmp_path: Path) -> None:
    spec = tmp_path / "m.toml"
    text = Plan(
        [("*", {"normal": 0.002})], tensors={"w": (4, 4)}, seed=1, dtype="float8_e4m3fn"
    ).to_toml()
    spec.write_text(text)
    for arguments in (("--dry-run",), ("-o", tmp_path / "m.safetensors")):
        done = run("init", spec, *arguments)
        assert done.returncode == 0
        assert "warning: `w`: float8_e4m3fn is too coarse" in done.stderr
    done = run("init", spec, "--dry-run", "--quiet")
    assert done.stderr == ""


def test_deviations_of_cut_normals() -> None:
    # Published to more digits than doubles have: sqrt(1 - 2 c phi(c) / (2 Phi(c) - 1)).
    assert truncated_stddev(2.0) == pytest.approx(0.87962566103423978, rel=1e-15)
    assert truncated_stddev(3.0) == pytest.approx(0.98657839255, rel=1e-10)
    assert truncated_stddev(1e-4) == pytest.approx(1e-4 / 3**0.5, rel=1e-6)
    assert truncated_stddev(0.001) == pytest.approx(truncated_stddev(0.00099999), rel=2e-5)
    assert truncated_stddev(40.0) == 1.0


def test_presets_and_lint_know_every_dtype() -> None:
    for dtype in (ml_dtypes.bfloat16, np.float16, np.float64):
        assert found([("*", {"normal": 0.02})], {"w": (8, 8)}, dtype=dtype) == {}
    assert set(presets.names()) >= {"gpt2", "llama", "mup"}
