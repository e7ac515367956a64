"""huggingface_hub: the same plan of shards, and a model loaded from a directory."""

from __future__ import annotations

import random
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
import torch
import transformers
from huggingface_hub.serialization._base import (
    parse_size_to_int,
    split_state_dict_into_shards_factory,
)

from models import llama, seedbed, specification, stored
from seedbed._checkpoint.shards import by_size, file_names, parse_size


class Sized:
    def __init__(self, name: str, nbytes: int) -> None:
        self.name = name
        self.nbytes = nbytes
        self.shape = (nbytes,)
        self.dtype = np.dtype(np.uint8)


def test_shards_are_those_of_the_hub() -> None:
    rng = random.Random(0)
    for _ in range(2000):
        sizes = {
            f"t{i}": rng.choice([0, 1, 5, 50, 99, 100, 101, 500]) for i in range(rng.randint(1, 30))
        }
        theirs = split_state_dict_into_shards_factory(
            sizes,
            get_storage_size=lambda size: size,
            filename_pattern="model{suffix}.safetensors",
            max_shard_size=100,
        ).filename_to_tensors
        shards = by_size([Sized(name, size) for name, size in sizes.items()], 100)
        ours = {
            name: [tensor.name for tensor in shard]
            for name, shard in zip(file_names(len(shards)), shards, strict=True)
        }
        assert ours == theirs


@pytest.mark.parametrize("text", ["5GB", "5gb", "1.5 GB", "2TB", "5MB", "3KB"])
def test_sizes_are_those_of_the_hub(text: str) -> None:
    assert parse_size(text) == parse_size_to_int(text)


@pytest.mark.parametrize("shards", [1, 3])
def test_the_hub_loads_a_directory(tmp_path: Path, shards: int) -> None:
    spec, out = specification(tmp_path, tied=False, dtype="float32"), tmp_path / "out"
    seedbed("init", spec, "-o", f"{out}/", "--shards", shards)
    model = transformers.AutoModelForCausalLM.from_config(llama(tied=False, dtype="float32"))
    # Before version 1 the hub is strict with each shard by itself, and refuses any of several.
    strict = shards == 1 or int(huggingface_hub.__version__.partition(".")[0]) >= 1
    result = huggingface_hub.load_torch_model(model, out, strict=strict)
    assert not result.missing_keys
    assert not result.unexpected_keys
    loaded = model.state_dict()
    tensors = stored(out)
    assert tensors.keys() == loaded.keys()
    assert all(torch.equal(tensors[name], loaded[name]) for name in tensors)
