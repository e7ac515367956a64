"""The presets: against what transformers draws, and against the formulas of their sources."""

from __future__ import annotations

import math
import re
import tomllib
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from command import run
from seedbed import Plan
from seedbed._plan import presets
from seedbed._spec.error import SpecError

VECTORS = Path(__file__).parents[1] / "vectors" / "presets.txt"
# The deviation of a standard normal cut at 2 and at 3.
CUT_2, CUT_3 = 0.87962566103423978, 0.9865783925581086


def measured() -> dict[str, tuple[dict[str, float], list[tuple[str, tuple[int, ...], float]]]]:
    """What the vectors hold: by preset, the variables, and names, shapes and deviations."""
    found: dict[str, Any] = {}
    for line in VECTORS.read_text().splitlines():
        if line.startswith("#"):
            continue
        preset, variables, name, shape, rms, _ = line.split()
        pairs = [] if variables == "-" else [pair.split("=") for pair in variables.split(",")]
        let = {key: float(value) for key, value in pairs}
        sizes = tuple(map(int, shape.split("x")))
        found.setdefault(preset, (let, []))[1].append((name, sizes, float(rms)))
    assert len(found) == 8
    return found


MEASURED = measured()
# Made by rules of one's own: presets refuse them.
SPECIAL = [
    {"match": ["A_log", "dt_proj.bias"], "init": "zeros", "optional": True},
]


@pytest.mark.parametrize("preset", MEASURED)
def test_deviations_are_those_that_transformers_draws(preset: str) -> None:
    let, tensors = MEASURED[preset]
    plan = Plan(SPECIAL if "mamba" in preset else [], let=let, preset=preset, seed=0)
    made = plan.resolve({name: shape for name, shape, _ in tensors})
    assert len(made.tensors) == len(tensors)
    pooled: dict[int, list[float]] = defaultdict(list)
    for tensor, (name, shape, rms) in zip(made.tensors, tensors, strict=True):
        law = tensor.law()
        assert (tensor.name, tensor.shape) == (name, shape)
        if name.endswith(("A_log", "dt_proj.bias")):
            continue
        assert law.mean is not None
        assert law.std is not None
        if law.kind == "constant":
            assert law.mean == rms, name
            continue
        # Six standard errors of a normal sample's deviation, and the row of zeros that an
        # embedding of 1000 rows or more has for padding.
        count = math.prod(shape)
        error = abs(rms / law.std - 1)
        assert error <= 6 / math.sqrt(2 * count) + 1 / 1000 * ("embed" in name), name
        assert tensor.rule is not None
        pooled[tensor.rule] += [(rms / law.std) ** 2 * count, count]
    for values in pooled.values():
        count = sum(values[1::2])
        ratio = math.sqrt(sum(values[::2]) / count)
        assert abs(ratio - 1) <= 6 / math.sqrt(2 * count) + 1 / 4000


def std(preset: str, name: str, shape: tuple[int, ...], **let: Any) -> float:
    """The deviation of one tensor, at least of its values other than its mean."""
    [tensor] = Plan(preset=preset, let=let or None, seed=0).resolve({name: shape}).tensors
    law = tensor.law()
    assert law.std is not None
    return law.std if law.kind != "constant" else law.mean or 0.0


FORMULAS: list[tuple[str, str, tuple[int, ...], dict[str, Any], float]] = [
    ("gpt2", "h.1.mlp.c_proj.weight", (64, 16), {"layers": 12}, 0.02 / math.sqrt(24)),
    ("gpt2-openai", "wpe.weight", (64, 16), {}, 0.01),
    ("gpt2-openai", "h.1.mlp.c_proj.weight", (64, 16), {}, 0.02),
    ("llama-torchtitan", "model.embed_tokens.weight", (64, 16), {}, 1.0),
    ("llama-torchtitan", "model.layers.3.mlp.up_proj.weight", (64, 16), {}, 0.02 / math.sqrt(8)),
    ("llama-torchtitan", "layers.3.attention.wo.weight", (64, 16), {}, 0.02 / math.sqrt(8)),
    ("llama-torchtitan", "layers.3.feed_forward.w1.weight", (64, 16), {}, 0.02),
    ("llama-torchtitan", "lm_head.weight", (64, 16), {}, CUT_3 / 4),
    ("mitchell", "model.layers.0.self_attn.q_proj.weight", (16, 16), {"width": 16}, CUT_3 / 4),
    (
        "mitchell",
        "model.layers.1.self_attn.o_proj.weight",
        (16, 16),
        {"width": 16},
        CUT_3 / math.sqrt(2 * 16 * 2),
    ),
    (
        "mitchell",
        "model.layers.1.mlp.down_proj.weight",
        (16, 64),
        {"width": 16},
        CUT_3 / math.sqrt(2 * 64 * 2),
    ),
    (
        "mitchell",
        "transformer.wte.weight",
        (9, 16),
        {"width": 16, "embed_std": 0.5},
        CUT_3 * 0.5,
    ),
    ("olmo2", "model.layers.1.mlp.down_proj.weight", (16, 64), {}, CUT_3 * 0.02),
    (
        "megatron",
        "decoder.layers.1.mlp.linear_fc2.weight",
        (16, 64),
        {"layers": 8},
        0.02 / 4,
    ),
    (
        "megatron",
        "decoder.layers.1.mlp.experts.linear_fc2.weight3",
        (16, 64),
        {"layers": 8, "branches": 1},
        0.02 / math.sqrt(8),
    ),
    ("megatron", "embedding.word_embeddings.weight", (9, 4), {"embed_std": 1, "layers": 1}, 1.0),
    ("small-init", "h.0.mlp.fc_in.weight", (64, 16), {"width": 16}, math.sqrt(2 / 80)),
    (
        "small-init",
        "h.0.mlp.fc_out.weight",
        (16, 64),
        {"width": 16, "layers": 5, "out_std": "2 / (layers * sqrt(width))"},
        0.1,
    ),
    (
        "deepnorm",
        "layers.0.self_attn.v_proj.weight",
        (16, 16),
        {"layers": 2},
        16**-0.25 * math.sqrt(2 / 32),
    ),
    ("deepnorm", "layers.0.self_attn.q_proj.weight", (16, 16), {"layers": 2}, math.sqrt(2 / 32)),
    (
        "deepnorm-encoder-decoder",
        "encoder.layers.0.fc1.weight",
        (64, 16),
        {"encoder_layers": 6, "decoder_layers": 4},
        0.87 * (6**4 * 4) ** (-1 / 16) * math.sqrt(2 / 80),
    ),
    (
        "deepnorm-encoder-decoder",
        "decoder.layers.0.encoder_attn.out_proj.weight",
        (16, 16),
        {"encoder_layers": 6, "decoder_layers": 4},
        48 ** (-1 / 4) * math.sqrt(2 / 32),
    ),
    ("bert", "bert.encoder.layer.0.output.dense.weight", (16, 64), {}, CUT_2 * 0.02),
    ("vit-jax", "blocks.0.mlp.fc1.bias", (64,), {}, 1e-6),
    ("vit-jax", "blocks.0.mlp.fc1.weight", (64, 16), {}, math.sqrt(2 / 80)),
    # The three matrices that it holds, not the one that it looks like.
    ("vit-jax", "blocks.0.attn.qkv.weight", (48, 16), {}, math.sqrt(2 / 32)),
    ("vit-jax", "patch_embed.proj.weight", (16, 3, 4, 4), {}, math.sqrt(1 / 48)),
    ("vit-jax", "head.weight", (10, 16), {}, 0.0),
    ("vit-timm", "patch_embed.proj.weight", (16, 3, 4, 4), {}, 1 / math.sqrt(48 * 3)),
    ("vit-timm", "patch_embed.proj.bias", (16,), {"patch": 4}, 1 / math.sqrt(48 * 3)),
    ("vit-timm", "cls_token", (1, 1, 16), {}, 1e-6),
    ("gemma", "model.norm.weight", (16,), {}, 0.0),
    ("mamba", "layers.0.mixer.out_proj.weight", (16, 32), {"layers": 4}, 1 / math.sqrt(96 * 4)),
    ("mamba", "layers.0.mixer.conv1d.bias", (16,), {"layers": 1}, 1 / math.sqrt(12)),
    (
        "mup",
        "model.layers.0.mlp.down_proj.weight",
        (16, 64),
        {"width": 64, "base_width": 16, "head_width": 8},
        0.02 / 2,
    ),
    (
        "mup",
        "lm_head.weight",
        (99, 64),
        {"width": 64, "base_width": 16, "head_width": 8},
        0.02,
    ),
]


@pytest.mark.parametrize(
    ("preset", "name", "shape", "let", "expected"),
    FORMULAS,
    ids=lambda v: v if type(v) is str else "",
)
def test_deviations_are_those_of_the_source(
    preset: str, name: str, shape: tuple[int, ...], let: dict[str, Any], expected: float
) -> None:
    # What a preset needs for its other rules.
    if preset == "mamba":
        let = {"layers": 4, **let}
    assert std(preset, name, shape, **let) == pytest.approx(expected, rel=1e-12)


def test_every_preset_is_tested() -> None:
    tested = {formula[0] for formula in FORMULAS} | set(MEASURED)
    assert tested == set(presets.names())


def test_mup_says_what_the_optimizer_and_the_forward_pass_need() -> None:
    let = {"width": 1024, "base_width": 256, "head_width": 64}
    plan = Plan(preset="mup", let=let)
    table = plan.table(
        {
            "model.embed_tokens.weight": (99, 1024),
            "model.norm.weight": (1024,),
            "model.layers.0.self_attn.q_proj.weight": (1024, 1024),
            "lm_head.weight": (99, 1024),
        }
    )
    # As mup's own optimizer multiplies them at 4 times the width.
    by_name = {row.names[0].split(".")[-2]: row for row in table.rows}
    assert by_name["q_proj"].lrs == (0.25, 0.25)
    assert by_name["q_proj"].stds == (0.01, 0.01)
    assert {by_name[name].lrs for name in ("embed_tokens", "norm", "lm_head")} == {(1.0, 1.0)}
    assert table.forward["logits"] == 0.25
    assert list(table.forward.values())[1] == 1 / 64
    assert "forward: logits x 0.25" in str(table)
    assert "0.25" in next(line for line in str(table).splitlines() if line.startswith("5 mup"))


def test_deepnorm_says_what_the_forward_pass_needs() -> None:
    plan = Plan(preset="deepnorm", let={"layers": 8})
    assert list(plan.table({"fc1.weight": (4, 4)}).forward.values()) == [2.0]


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("layers.0.mixer.A_log", "Mamba's logarithms"),
        ("layers.0.mixer.dt_proj.bias", "Mamba's biases of time steps"),
        ("blocks.0.att.time_decay", "RWKV's decays"),
        ("blocks.0.att.time_mix_k", "RWKV's mixing factors"),
    ],
)
def test_tensors_with_a_formula_of_their_own_are_refused(name: str, why: str) -> None:
    for preset, let in (("mamba", {"layers": 2}), ("llama", None)):
        with pytest.raises(SpecError, match=f"{name}.*{why}"):
            Plan(preset=preset, let=let, seed=0).resolve({name: (4,)})
    # One's own rule is taken at its word.
    own = Plan([(name, "ones")], preset="llama", seed=0)
    assert own.resolve({name: (4,)}).tensors[0].init_name == "Ones"


@pytest.mark.parametrize("preset", presets.names())
def test_presets_are_plans_with_a_source(preset: str) -> None:
    table = tomllib.loads(presets.load(preset).text)
    assert table.pop("source")
    needed = {"layers", "width", "base_width", "head_width", "encoder_layers", "decoder_layers"}
    needed |= {"pad_token_id"}
    inits = [(rule["init"], rule.get("lr"), rule.get("zero_row")) for rule in table["rule"]]
    used = {
        word
        for value in (inits, table.get("let"), table.get("forward"))
        for word in re.findall(r"\w+", str(value))
    }
    let = {**dict.fromkeys(sorted(needed & used), 2), **table.get("let", {})}
    Plan(preset=preset, let={name: let[name] for name in needed & used} or None)
    # The file itself is a plan, once it has what it needs.
    text = Plan(table["rule"], let=let or None, forward=table.get("forward")).to_toml()
    assert Plan.from_toml(text).to_toml() == text


def test_the_command_prints_them() -> None:
    done = run("preset")
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.split()[0] for line in done.stdout.splitlines()] == list(presets.names())
    done = run("preset", "gpt2")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == presets.load("gpt2").text
    done = run("preset", "gpt3")
    assert done.returncode == 2
    assert "must be one of bert, " in done.stderr
