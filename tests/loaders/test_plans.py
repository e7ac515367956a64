"""Plans and transformers: names and shapes of its models, and what it draws."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors import safe_open

from models import seedbed
from seedbed import Plan
from seedbed._plan.draft import TO_CHOOSE

ROOT = Path(__file__).parents[2]
WIDTH = {"hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 4}
LLAMA = transformers.LlamaConfig(
    num_hidden_layers=2, num_key_value_heads=2, vocab_size=100, architectures=["LlamaForCausalLM"],
    **WIDTH,
)  # fmt: skip


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("dtype", [None, "bfloat16"])
def test_a_configuration_gives_the_tensors_of_its_files(
    tmp_path: Path, tied: bool, dtype: str | None
) -> None:
    config = transformers.LlamaConfig(**{**LLAMA.to_dict(), "tie_word_embeddings": tied})
    config.dtype = dtype
    # The model sets the configuration's dtype to its own.
    config.save_pretrained(tmp_path / "config")
    model = transformers.LlamaForCausalLM(config)
    model.save_pretrained(tmp_path / "saved")
    stored = Plan([("**", {"normal": 1})], model=tmp_path / "saved" / "model.safetensors", seed=1)
    for path in (tmp_path / "config", tmp_path / "config" / "config.json"):
        made = Plan(preset="llama", model=path, seed=1).resolve()
        expected = {t.name: t.shape for t in stored.resolve().tensors}
        assert {t.name: t.shape for t in made.tensors} == expected
        assert made.tied == ({"lm_head.weight": "model.embed_tokens.weight"} if tied else {})
        assert {t.dtype.name for t in made.tensors} == {dtype or "float32"}
        assert made.model == str(tmp_path / "config" / "config.json")


MIXTRAL = transformers.MixtralConfig(
    num_hidden_layers=1, num_local_experts=2, num_key_value_heads=2, vocab_size=50, **WIDTH
)
SMALL = {"num_hidden_layers": 2, "num_key_value_heads": 4, "vocab_size": 50, **WIDTH}
EXPERTS = [
    MIXTRAL,
    transformers.MixtralConfig(**{**MIXTRAL.to_dict(), "tie_word_embeddings": True}),
    transformers.Qwen2MoeConfig(
        num_experts=3, moe_intermediate_size=32, shared_expert_intermediate_size=48, **SMALL
    ),
    transformers.Qwen3MoeConfig(num_experts=3, moe_intermediate_size=32, head_dim=16, **SMALL),
    transformers.DeepseekV3Config(
        n_routed_experts=4, n_group=2, topk_group=1, num_experts_per_tok=2, first_k_dense_replace=1,
        moe_intermediate_size=32, q_lora_rank=16, kv_lora_rank=16, qk_rope_head_dim=8,
        qk_nope_head_dim=8, v_head_dim=16, **SMALL,
    ),
]  # fmt: skip


@pytest.mark.parametrize("config", EXPERTS, ids=lambda config: config.model_type)
def test_mixtures_of_experts_have_the_names_of_their_files(tmp_path: Path, config: Any) -> None:
    # transformers 5 has the experts of a layer in one tensor, and stores each by itself.
    model = transformers.AutoModelForCausalLM.from_config(config)
    model.save_pretrained(tmp_path / "saved")
    made = Plan([("**", {"normal": 1})], model=tmp_path / "saved" / "config.json", seed=1).resolve()
    with safe_open(tmp_path / "saved" / "model.safetensors", "pt") as stored:
        expected = {
            name: tuple(stored.get_slice(name).get_shape()) for name in stored.offset_keys()
        }
    assert {tensor.name: tensor.shape for tensor in made.tensors} == expected
    assert any(".experts.1." in name for name in expected)
    tied = {"lm_head.weight": "model.embed_tokens.weight"}
    assert made.tied == (tied if config.tie_word_embeddings else {})


HEADS = {"num_attention_heads": 2, "num_hidden_layers": 2, "hidden_size": 32, "vocab_size": 50}
PADDED = {
    "llama": ("llama", lambda: transformers.LlamaConfig(pad_token_id=3, **HEADS)),
    "llama without": ("llama", lambda: transformers.LlamaConfig(**HEADS)),
    "the last": ("llama", lambda: transformers.LlamaConfig(pad_token_id=-1, **HEADS)),
    "unused": ("llama", lambda: transformers.GPTNeoXConfig(pad_token_id=3, **HEADS)),
    "qwen2": ("llama", lambda: transformers.Qwen2Config(pad_token_id=3, **HEADS)),
    "another recipe": ("megatron", lambda: transformers.LlamaConfig(pad_token_id=3, **HEADS)),
    "gemma": ("gemma", lambda: transformers.GemmaConfig(head_dim=16, **HEADS)),
    "mixtral": ("mixtral", lambda: transformers.MixtralConfig(pad_token_id=1, **HEADS)),
    "bert": ("bert-hf", lambda: transformers.BertConfig(**HEADS)),
    # Two tensors have such a row.
    "roberta": ("bert-hf", lambda: transformers.RobertaConfig(**HEADS)),
}


@pytest.mark.parametrize("case", PADDED)
def test_rows_of_padding_are_those_of_transformers(tmp_path: Path, case: str) -> None:
    preset, build = PADDED[case]
    config = build()
    model = transformers.AutoModel.from_config(config)
    config.architectures = [type(model).__name__]
    config.save_pretrained(tmp_path)
    expected = {} if preset == "megatron" else _zero_rows(model.named_parameters())
    let = {"layers": 2} if preset == "megatron" else None
    plan = Plan(preset=preset, model=tmp_path / "config.json", let=let, seed=1)
    tensors = plan.resolve().tensors
    drawn = ((tensor.name, torch.tensor(tensor.prepare().draw())) for tensor in tensors)
    assert _zero_rows(drawn) == expected
    assert all((t.entry.zero_row is not None) == (t.name in expected) for t in tensors)
    # The plan that is written for the model says so, where there is one such row.
    written = seedbed("spec", tmp_path / "config.json")
    rows = {row for rows in _zero_rows(model.named_parameters()).values() for row in rows}
    assert re.findall(r"pad_token_id = (-?\d+)", written) == [str(row) for row in rows]


def _zero_rows(tensors: Iterable[tuple[str, torch.Tensor]]) -> dict[str, list[int]]:
    """The rows of zeros of matrices, by their names."""
    rows = {
        name: [row for row, values in enumerate(matrix) if not values.any()]
        for name, matrix in tensors
        if matrix.dim() == 2
    }
    return {name: found for name, found in rows.items() if found}


def test_models_whose_files_have_other_names_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    transformers.MixtralForCausalLM(MIXTRAL).config.save_pretrained(tmp_path)
    plan = Plan(preset="mixtral", model=tmp_path / "config.json", seed=1)
    # As where a release of transformers has no such function.
    monkeypatch.delattr("transformers.core_model_loading.revert_weight_conversion")
    with pytest.raises(ValueError, match=r"is of the type mixtral, whose tensors .* other names"):
        plan.resolve()
    # A file of such a model serves.
    monkeypatch.undo()
    transformers.MixtralForCausalLM(MIXTRAL).save_pretrained(tmp_path)
    names = [t.name for t in plan.from_toml(
        f"seed = 1\npreset = 'mixtral'\nmodel = '{tmp_path}/model.safetensors'"
    ).resolve().tensors]  # fmt: skip
    assert "model.layers.0.block_sparse_moe.experts.1.w2.weight" in names


def edited(folder: Path, config: Any, **keys: Any) -> Path:
    """A config.json with other keys; None removes one."""
    config.save_pretrained(folder)
    path = folder / "config.json"
    table = {**json.loads(path.read_text()), **keys}
    path.write_text(json.dumps({key: value for key, value in table.items() if value is not None}))
    return path


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        # Without it there would be no head, which loaders would then fill themselves.
        ({"architectures": None}, r'has no `architectures`, such as \["LlamaForCausalLM"\]'),
        ({"architectures": ["OfMyOwn"]}, r"has `architectures`. Received: \['OfMyOwn'\]"),
        ({"quantization_config": {"quant_method": "fp8"}}, "has `quantization_config`: remove it"),
        (
            {"model_type": "of_my_own", "auto_map": {"AutoConfig": "configuration.Config"}},
            "Code that comes with a model is not run here",
        ),
    ],
)
def test_configurations_whose_tensors_would_be_others(
    tmp_path: Path, keys: dict[str, Any], message: str
) -> None:
    path = edited(tmp_path, LLAMA, **keys)
    with pytest.raises(ValueError, match=message):
        Plan(preset="llama", model=path, seed=1).resolve()


def test_a_configuration_may_have_another_name(tmp_path: Path) -> None:
    # It is that file that is read, whatever config.json is beside it, and what is copied.
    edited(tmp_path, LLAMA).rename(tmp_path / "mine.json")
    edited(tmp_path, LLAMA, num_hidden_layers=7)
    (tmp_path / "m.toml").write_text('seed = 1\nmodel = "mine.json"\npreset = "llama"\n')
    seedbed("init", tmp_path / "m.toml", "-o", f"{tmp_path}/out/")
    written = tmp_path / "out" / "config.json"
    assert written.read_bytes() == (tmp_path / "mine.json").read_bytes()
    _, info = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path / "out", output_loading_info=True
    )
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]


def test_the_deviation_of_a_configuration_is_named(tmp_path: Path) -> None:
    path = edited(tmp_path, LLAMA, initializer_range=0.05)
    (finding,) = Plan(preset="llama", model=path).lint()
    assert finding.id == "model-std"
    assert "`let = { std = 0.05 }`" in finding.message
    assert Plan(preset="llama", model=path, let={"std": 0.05}).lint() == []


WHISPER = transformers.WhisperConfig(
    vocab_size=300, num_mel_bins=16, d_model=64, encoder_layers=1, decoder_layers=1,
    encoder_attention_heads=4, decoder_attention_heads=4, encoder_ffn_dim=128, decoder_ffn_dim=128,
    max_source_positions=32, max_target_positions=32, pad_token_id=0, bos_token_id=1,
    eos_token_id=2, decoder_start_token_id=1, architectures=["WhisperForConditionalGeneration"],
)  # fmt: skip
MAMBA = transformers.MambaConfig(
    vocab_size=300, hidden_size=64, num_hidden_layers=1, state_size=8,
    architectures=["MambaForCausalLM"],
)  # fmt: skip


@pytest.mark.parametrize(
    ("config", "preset", "formulas"),
    [
        (WHISPER, "bert-hf", ["encoder.embed_positions.weight"]),
        (MAMBA, "mamba-hf", ["A_log", "dt_proj.bias"]),
    ],
    ids=["whisper", "mamba"],
)
def test_formulas_are_left_to_the_model(
    tmp_path: Path, config: Any, preset: str, formulas: list[str]
) -> None:
    path = edited(tmp_path, config)
    with pytest.raises(ValueError, match=r"leave it to the model's own code by `omit = true`"):
        Plan(preset=preset, model=path, seed=1).resolve()
    spec = tmp_path / "m.toml"
    text = (
        f'seed = 42\nmodel = "config.json"\npreset = "{preset}"\n'
        f"rule = [{{ match = {json.dumps(formulas)}, omit = true }}]\n"
    )
    # As the page has it for Mamba.
    page = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")
    assert (f"```toml\n{text}```" in page) == (config is MAMBA)
    spec.write_text(text)
    seedbed("init", spec, "-o", f"{tmp_path}/out/")
    build = getattr(transformers, config.architectures[0])
    model, info = build.from_pretrained(tmp_path / "out", output_loading_info=True)
    assert not info["unexpected_keys"]
    assert {any(name.endswith(one) for one in formulas) for name in info["missing_keys"]} == {True}
    # What is in the file is as it was; what is not has the model's own formula.
    loaded = model.state_dict()
    with safe_open(tmp_path / "out" / "model.safetensors", "pt") as file:
        assert all(torch.equal(file.get_tensor(name), loaded[name]) for name in file.offset_keys())
    theirs = build(transformers.AutoConfig.from_pretrained(tmp_path / "out")).state_dict()
    fixed = [name for name in info["missing_keys"] if not name.endswith("dt_proj.bias")]
    assert fixed
    assert all(torch.equal(loaded[name], theirs[name]) for name in fixed)


def test_a_configuration_that_transformers_does_not_know(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "nothing-of-the-kind"}')
    with pytest.raises(ValueError, match=r"`model` cannot be used: .*nothing-of-the-kind"):
        Plan(preset="llama", model=tmp_path, seed=1).resolve()


@pytest.mark.parametrize(
    ("example", "config", "prefix"),
    [
        ("gpt2-xl", lambda: transformers.GPT2Config(n_layer=48, n_embd=1600, n_head=25), "trans"),
        (
            "llama-1b",
            lambda: transformers.LlamaConfig(
                num_hidden_layers=16,
                hidden_size=2048,
                intermediate_size=8192,
                num_attention_heads=32,
                num_key_value_heads=8,
                vocab_size=128256,
                tie_word_embeddings=True,
            ),
            "",
        ),
    ],
)
def test_examples_have_the_names_and_shapes_of_transformers(
    example: str, config: Any, prefix: str
) -> None:
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(config())
    made = Plan.from_toml(ROOT / "examples" / f"{example}.toml").resolve()
    own = {tensor.name: tensor.shape for tensor in made.tensors}
    theirs = {
        name.removeprefix("transformer.") if prefix else name: tuple(parameter.shape)
        for name, parameter in model.named_parameters()
    }
    assert own == theirs


def test_presets_draw_as_transformers_does() -> None:
    torch.manual_seed(0)
    model = transformers.LlamaForCausalLM(LLAMA)
    parameters = dict(model.named_parameters())
    made = Plan(preset="llama", seed=0).resolve(parameters)
    for tensor in made.tensors:
        values = parameters[tensor.name].detach().double()
        law = tensor.law()
        if law.kind == "constant":
            assert (values == law.mean).all()
        else:
            # Six standard errors.
            deviation = values.square().mean().sqrt().item()
            assert abs(deviation / (law.std or 0) - 1) < 6 / math.sqrt(2 * values.numel())


MODULE = """
import torch

class Block(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.up = torch.nn.Linear(64, 256)

class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = torch.nn.Embedding(100, 64)
        self.blocks = torch.nn.ModuleList(Block() for _ in range(3))
        self.head = torch.nn.Linear(64, 100, bias=False)
        self.head.weight = self.embed.weight
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

def build():
    return Model()

def wrapped():
    return torch.nn.Sequential(torch.compile(Model()))
"""


def test_a_torch_module_gives_its_names(tmp_path: Path) -> None:
    (tmp_path / "of_user.py").write_text(MODULE)

    def spec(function: str) -> str:
        command = [sys.executable, "-m", "seedbed", "spec", f"of_user:{function}"]
        ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=400)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    text = spec("build")
    assert "let = { layers = 3 }" in text
    made = Plan.from_toml(text.replace(TO_CHOOSE, "zeros")).resolve()
    assert made.tied == {"head.weight": "embed.weight"}
    assert {t.name: (t.shape, t.dtype.name) for t in made.tensors} == {
        "embed.weight": ((100, 64), "float32"),
        **{f"blocks.{n}.up.weight": ((256, 64), "float32") for n in range(3)},
        **{f"blocks.{n}.up.bias": ((256,), "float32") for n in range(3)},
        "steps": ((), "int64"),
    }
    assert '"0.blocks.{layer}.up.weight"' in spec("wrapped")
