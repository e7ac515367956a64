"""docs/command.md, how torch reads the file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from models import llama, seedbed, specification
from seedbed import Plan

PAGE = (Path(__file__).parents[2] / "docs" / "command.md").read_text(encoding="utf-8")


def test_torch_reads_the_file_as_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import transformers

    spec = specification(tmp_path, tied=False)
    seedbed("init", spec, "-o", tmp_path / "model.safetensors")
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    (block,) = (block for block in blocks if "safetensors.torch" in block)
    model = transformers.LlamaForCausalLM(llama(tied=False)).to(torch.bfloat16)
    names: dict[str, Any] = {"model": model}
    monkeypatch.chdir(tmp_path)
    # With the line that is only for who has a model.
    exec(block.replace("# model", "model"), names)
    for tensor in Plan.from_toml(spec).resolve().tensors:
        loaded = model.state_dict()[tensor.name]
        assert loaded.dtype == torch.bfloat16
        assert loaded.view(torch.uint8).numpy().tobytes() == tensor.prepare().draw().tobytes()
