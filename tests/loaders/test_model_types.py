"""The table of docs/recipes.md: presets draw what transformers draws for these types of models.

A small model of each type goes from its config.json through `seedbed init` to `from_pretrained`,
and is compared with one that transformers fills itself, tensor by tensor.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from transformers.models.auto import modeling_auto
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from seedbed._command.main import main

RECIPES = (Path(__file__).parents[2] / "docs" / "recipes.md").read_text(encoding="utf-8")
SECTION = RECIPES.partition("## From a `config.json`\n")[2].partition("\n## ")[0]
TABLE = {
    kind: preset
    for preset, kinds in re.findall(r"^\| `([\w-]+)` \| (`.*) \|$", SECTION, re.MULTILINE)
    for kind in re.findall(r"`([\w-]+)`", kinds)
}
# Those of the table that version 4 has not.
NEW = {"glm4_moe_lite", "minimax_m2"}
HEADS: tuple[dict[str, str], ...] = (
    modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    modeling_auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    modeling_auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
    modeling_auto.MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES,
    modeling_auto.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES,
)
SIZES: dict[str, Any] = {
    "vocab_size": 300,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
T5 = {"d_model": 64, "d_kv": 16, "d_ff": 128, "num_layers": 2, "num_heads": 4}
DEEPSEEK = {
    "n_routed_experts": 4, "n_group": 2, "topk_group": 1, "num_experts_per_tok": 2,
    "first_k_dense_replace": 1, "q_lora_rank": 16, "kv_lora_rank": 16, "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 8, "num_key_value_heads": 4, "v_head_dim": 16,
}  # fmt: skip
# What else makes a model of a type small.
MORE: dict[str, dict[str, Any]] = {
    "bloom": {"n_layer": 2, "n_head": 4},
    "codegen": {"n_embd": 64, "n_layer": 2, "n_head": 4, "rotary_dim": 8},
    "deepseek_v2": DEEPSEEK,
    "deepseek_v3": DEEPSEEK,
    "distilbert": {"dim": 64, "hidden_dim": 128, "n_layers": 2, "n_heads": 4},
    "electra": {"embedding_size": 64},
    "ernie4_5_moe": {"moe_num_experts": 4, "moe_k": 2},
    "glm4_moe": {"n_routed_experts": 4, "first_k_dense_replace": 1, "num_experts_per_tok": 2},
    "glm4_moe_lite": {"n_routed_experts": 4},
    "gpt2": {"n_layer": 2, "n_embd": 64, "n_head": 4, "n_positions": 64},
    "gpt_bigcode": {"n_layer": 2, "n_embd": 64, "n_head": 4, "n_positions": 64},
    "gpt_neo": {"num_layers": 2, "num_heads": 4, "attention_types": [[["global", "local"], 1]]},
    "gptj": {"n_embd": 64, "n_layer": 2, "n_head": 4, "rotary_dim": 8},
    "llama4_text": {"intermediate_size_mlp": 128, "interleave_moe_layer_step": 1},
    "mpt": {"d_model": 64, "n_layers": 2, "n_heads": 4},
    "opt": {"ffn_dim": 128, "word_embed_proj_dim": 64},
    "persimmon": {"num_key_value_heads": 4},
    "t5": T5,
    "umt5": T5,
    "vit": {"image_size": 32, "patch_size": 8, "num_labels": 10},
}
EXPERTS = {"num_experts": 4, "num_local_experts": 4, "moe_intermediate_size": 32, "head_dim": 16}


def configuration(kind: str) -> Any:
    known = CONFIG_MAPPING[kind]
    fields = set(known().to_dict())
    # What one type calls `num_experts` is nothing that others know.
    sizes = {**SIZES, **{key: size for key, size in EXPERTS.items() if key in fields}}
    config = known(**{**sizes, **MORE.get(kind, {})})
    config.architectures = [next(heads[kind] for heads in HEADS if kind in heads)]
    return config


def let_of(preset: str, config: Any) -> dict[str, float]:
    """What recipes.md says that a preset needs, and the model's own deviation."""
    if preset == "t5":
        return {"head_width": 16, "width": 64}
    if preset == "gpt2":
        return {"layers": 2}
    return {"std": config.init_std if config.model_type == "opt" else config.initializer_range}


@pytest.mark.parametrize("kind", [kind for kind in TABLE if kind in CONFIG_MAPPING])
def test_presets_draw_as_transformers_does(tmp_path: Path, kind: str) -> None:
    config = configuration(kind)
    config.save_pretrained(tmp_path)
    let = ", ".join(f"{key} = {value}" for key, value in let_of(TABLE[kind], config).items())
    spec, out = tmp_path / "m.toml", tmp_path / "out"
    spec.write_text(
        f'seed = 1\nmodel = "config.json"\npreset = "{TABLE[kind]}"\nlet = {{ {let} }}\n'
    )
    assert main(["init", str(spec), "-o", f"{out}/", "--quiet"]) == 0
    build = getattr(transformers, config.architectures[0])
    model, info = build.from_pretrained(out, dtype="auto", output_loading_info=True)
    assert not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    torch.manual_seed(0)
    theirs = build(transformers.AutoConfig.from_pretrained(out)).state_dict()
    ours = model.state_dict()
    assert ours.keys() == theirs.keys()
    for name, one in theirs.items():
        compare(name, one.double(), ours[name].double())


def compare(name: str, theirs: torch.Tensor, ours: torch.Tensor) -> None:
    assert theirs.shape == ours.shape, name
    if theirs.unique().numel() <= 1 or ours.unique().numel() <= 1:
        assert torch.equal(theirs, ours), name
        return
    assert torch.equal(theirs == 0, ours == 0), name
    # Six standard errors of the ratio of two deviations, each of so many values.
    ratio = (theirs.square().sum() / ours.square().sum()).sqrt().item()
    assert abs(ratio - 1) < 6 / theirs.count_nonzero().item() ** 0.5, name


def test_the_table_is_there() -> None:
    assert {"llama", "gpt2", "qwen3", "deepseek_v3", "gpt_oss", "bert", "t5", "vit"} <= TABLE.keys()
    assert len(TABLE) > 50
    if int(transformers.__version__.partition(".")[0]) < 5:
        assert TABLE.keys() - set(CONFIG_MAPPING) <= NEW
    else:
        assert TABLE.keys() <= set(CONFIG_MAPPING)
