"""A model from its specification to transformers, by two workers of Ray; verified and inspected.

What a user does, from the first command to the last, as one example.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import torch
import transformers

from models import llama, seedbed
from seedbed import Plan

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
SPEC = """seed = 42
dtype = "bfloat16"
model = "source/config.json"
let = { layers = 3 }
rule = [
    { match = "*norm.weight", init = "ones" },
    { match = "embed_tokens.weight", init = { truncated_normal = { stddev = 0.125, cut = 3 } } },
    { match = "{o_proj,down_proj}.weight", init = { normal = "0.02 / sqrt(2 * layers)" } },
    { match = "*_proj.weight", init = { normal = 0.02 } },
]
"""


def test_from_specification_to_transformers(tmp_path: Path) -> None:
    llama(tied=True).save_pretrained(tmp_path / "source")
    spec, out = tmp_path / "model.toml", tmp_path / "model"
    spec.write_text(SPEC)

    command = [sys.executable, EXAMPLES / "parts_ray.py", spec, f"{out}/"]
    written = subprocess.run(
        [*map(str, command), "--shards", "4", "--parts", "2"],
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert written.returncode == 0, written.stdout + written.stderr
    for part in (1, 2):
        assert f"part {part} of 2" in written.stdout
    assert sorted(path.name for path in out.iterdir()) == [
        "config.json",
        *(f"model-{number:05}-of-00004.safetensors" for number in range(1, 5)),
        "model.safetensors.index.json",
    ]

    seedbed("verify", spec, out)
    shown = seedbed("inspect", out, "--stats", "--lint", "--spec", spec)
    assert "model.layers.{0..2}.mlp.down_proj.weight" in shown
    assert "lm_head.weight" in shown
    report = json.loads(seedbed("inspect", out, "--stats", "--lint", "--spec", spec, "--json"))
    assert report["findings"] == []
    assert report["tied"] == {"lm_head.weight": "model.embed_tokens.weight"}
    (embedding,) = (t for t in report["tensors"] if t["name"] == "model.embed_tokens.weight")
    assert embedding["expected"]["cut"] == 3
    assert abs(embedding["stats"]["std"] / embedding["expected"]["std"] - 1) < 0.03  # n = 19200

    model, info = transformers.AutoModelForCausalLM.from_pretrained(
        out, dtype="auto", output_loading_info=True
    )
    assert {key: list(found) for key, found in info.items() if found} == {}
    assert model.lm_head.weight is model.model.embed_tokens.weight
    parameters = dict(model.named_parameters())
    made = Plan.from_toml(spec).resolve().tensors
    assert {tensor.name for tensor in made} == parameters.keys()
    for tensor in made:
        # NumPy and torch agree on bytes where they do not on bfloat16.
        values = tensor.prepare().draw()
        loaded = parameters[tensor.name].detach()
        assert loaded.dtype == torch.bfloat16
        assert loaded.view(torch.uint8).numpy().tobytes() == values.tobytes(), tensor.name

    token = torch.tensor([[1, 2, 3]])
    assert model(token).logits.isfinite().all()


def test_the_session_of_the_page(tmp_path: Path) -> None:
    # docs/command.md, from a config.json to transformers.
    text = (ROOT / "docs" / "command.md").read_text(encoding="utf-8")
    (session,) = (b for b in re.findall(r"```console\n(.*?)```", text, re.DOTALL) if "cat" in b)
    first, *commands = re.split(r"^\$ ", session, flags=re.MULTILINE)[1:]
    llama(tied=False).save_pretrained(tmp_path)
    shown, _, specification = first.partition("\n")
    assert shown == "cat model.toml"
    (tmp_path / "model.toml").write_text(specification)
    assert [command.split()[1] for command in commands] == ["init", "verify", "inspect", "-c"]
    for command in commands:
        python = command.replace("seedbed ", f"{sys.executable} -m seedbed ", 1)
        if command.startswith("python"):
            python = command.replace("python", sys.executable, 1)
        ended = subprocess.run(
            ["bash", "-c", python], cwd=tmp_path, capture_output=True, text=True, timeout=400
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
