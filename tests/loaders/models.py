"""A small Llama, tied or not, and its directory as `seedbed init` writes it."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import load_file

from seedbed._command.main import main


def seedbed(*arguments: object, code: int = 0) -> str:
    """What the command prints, run in this process, which has imported transformers already."""
    printed, said = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(said):
        ended = main([str(argument) for argument in arguments])
    assert ended == code, said.getvalue()
    return printed.getvalue()


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
