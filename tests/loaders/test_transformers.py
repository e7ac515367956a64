"""transformers and accelerate load what `seedbed init` writes: nothing is missing or left over."""

from __future__ import annotations

import json
from pathlib import Path

import accelerate
import pytest
import torch
import transformers
from safetensors.torch import load_file

from models import llama, seedbed, specification, stored

SHARDS = [[], ["--max-shard-size", "60KB"], ["--shards", "4"]]


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("shards", SHARDS)
def test_transformers(tmp_path: Path, tied: bool, shards: list[str]) -> None:
    spec, out = specification(tmp_path, tied=tied), tmp_path / "out"
    seedbed("init", spec, "-o", f"{out}/", *shards)
    model, info = transformers.AutoModelForCausalLM.from_pretrained(
        out, dtype="auto", output_loading_info=True
    )
    assert not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert model.dtype == torch.bfloat16
    head, embedding = model.lm_head.weight, model.model.embed_tokens.weight
    assert (head.data_ptr() == embedding.data_ptr()) == tied
    tensors = stored(out)
    assert ("lm_head.weight" in tensors) != tied
    loaded = model.state_dict()
    assert tensors.keys() == loaded.keys() - ({"lm_head.weight"} if tied else set())
    assert all(torch.equal(tensors[name], loaded[name]) for name in tensors)


@pytest.mark.parametrize("shards", SHARDS)
def test_save_pretrained_makes_the_same_shards(tmp_path: Path, shards: list[str]) -> None:
    spec, out, again = specification(tmp_path, tied=True), tmp_path / "out", tmp_path / "again"
    seedbed("init", spec, "-o", f"{out}/", "--max-shard-size", "60KB")
    model = transformers.AutoModelForCausalLM.from_pretrained(out, dtype="auto")
    model.save_pretrained(again, max_shard_size="60KB")
    name = "model.safetensors.index.json"
    ours, theirs = (json.loads((d / name).read_text()) for d in (out, again))
    assert ours["metadata"] == theirs["metadata"]
    assert ours["weight_map"].keys() == theirs["weight_map"].keys()
    # Byte for byte but for which tensor is where, which depends on the order of the names.
    text = (again / name).read_text()
    assert text == json.dumps(theirs, indent=2, sort_keys=True) + "\n"
    seedbed("verify", spec, again, code=0)


def test_accelerate(tmp_path: Path) -> None:
    spec, out = specification(tmp_path, tied=True, dtype="float32"), tmp_path / "out"
    seedbed("init", spec, "-o", f"{out}/", "--shards", 3)
    with accelerate.init_empty_weights():
        model = transformers.AutoModelForCausalLM.from_config(llama(tied=True, dtype="float32"))
    model.tie_weights()
    accelerate.load_checkpoint_in_model(model, str(out), device_map={"": "cpu"}, strict=True)
    tensors = stored(out)
    loaded = model.state_dict()
    assert all(torch.equal(tensors[name], loaded[name]) for name in tensors)


def test_a_single_file_loads_everywhere(tmp_path: Path) -> None:
    # `format` is what accelerate asks for.
    spec = specification(tmp_path, tied=True, dtype="float32")
    seedbed("init", spec, "-o", tmp_path / "model.safetensors")
    model = transformers.AutoModelForCausalLM.from_config(llama(tied=True, dtype="float32"))
    accelerate.load_checkpoint_in_model(model, str(tmp_path / "model.safetensors"))
    tensors = load_file(tmp_path / "model.safetensors")
    assert all(torch.equal(tensors[name], model.state_dict()[name]) for name in tensors)


def test_distributed_checkpoints_read_the_directory(tmp_path: Path) -> None:
    import torch.distributed.checkpoint as dcp
    from torch.distributed.checkpoint import HuggingFaceStorageReader

    spec, out = specification(tmp_path, tied=True), tmp_path / "out"
    seedbed("init", spec, "-o", f"{out}/", "--shards", 3)
    tensors = stored(out)
    read = {name: torch.zeros_like(tensor) for name, tensor in tensors.items()}
    dcp.load(read, storage_reader=HuggingFaceStorageReader(str(out)), no_dist=True)
    assert all(torch.equal(tensors[name], read[name]) for name in tensors)
