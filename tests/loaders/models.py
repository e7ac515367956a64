"""A small Llama, tied or not, and its directory as `seedbed init` writes it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import load_file

COMMAND = [sys.executable, "-m", "seedbed"]


def seedbed(*arguments: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [*COMMAND, *map(str, arguments)], capture_output=True, text=True, timeout=400
    )
    assert done.returncode == code, done.stderr
    return done


def llama(tied: bool, dtype: str = "bfloat16") -> Any:
    return transformers.LlamaConfig(
        num_hidden_layers=3,
        hidden_size=64,
        intermediate_size=128,
        num_attention_heads=4,
        num_key_value_heads=2,
        vocab_size=300,
        tie_word_embeddings=tied,
        architectures=["LlamaForCausalLM"],
        dtype=dtype,
    )


def specification(tmp_path: Path, *, tied: bool, dtype: str = "bfloat16") -> Path:
    """A specification whose names, shapes and ties come from a config.json."""
    llama(tied, dtype).save_pretrained(tmp_path / "source")
    path = tmp_path / "m.toml"
    path.write_text(
        f'seed = 1\ndtype = "{dtype}"\nmodel = "source/config.json"\npreset = "llama"\n'
    )
    return path


def stored(directory: Path) -> dict[str, torch.Tensor]:
    files = sorted(directory.glob("*.safetensors"))
    return {name: tensor for file in files for name, tensor in load_file(file).items()}
