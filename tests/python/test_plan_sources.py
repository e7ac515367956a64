"""Names and shapes that a plan takes from elsewhere."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

from seedbed import Plan
from seedbed._command.main import main
from seedbed._plan.sources import natural
from seedbed._spec.error import SpecError
from seedbed._spec.reader import read_specification

SHAPES = {
    "h.10.w": (4, 2),
    "h.2.w": (3, 2),
    "norm": (2,),
}


def write(folder: Path) -> dict[str, Any]:
    tensors = {name: np.zeros(shape, ml_dtypes.bfloat16) for name, shape in SHAPES.items()}
    tensors["steps"] = np.zeros(1, np.int64)
    save_file(tensors, folder / "model.safetensors")
    return tensors


def plan(model: Path | str, **more: Any) -> Plan:
    return Plan([("steps", "zeros"), ("**", {"normal": 1})], model=model, seed=1, **more)


def test_a_file_or_directory_gives_names_shapes_and_dtypes(tmp_path: Path) -> None:
    write(tmp_path)
    for model in (tmp_path, tmp_path / "model.safetensors"):
        made = plan(model).resolve()
        # In the order that people count in, not the file's.
        assert [(t.name, t.shape, t.dtype.name) for t in made.tensors] == [
            ("h.2.w", (3, 2), "bfloat16"),
            ("h.10.w", (4, 2), "bfloat16"),
            ("norm", (2,), "bfloat16"),
            ("steps", (1,), "int64"),
        ]
        assert made.model is None
    # The plan's dtype is for what is drawn.
    dtypes = [t.dtype.name for t in plan(tmp_path, dtype="float32").resolve().tensors]
    assert dtypes == ["float32", "float32", "float32", "int64"]


def test_an_index_gives_what_is_in_its_files(tmp_path: Path) -> None:
    tensors = write(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    weight_map = {}
    for number, (name, values) in enumerate(tensors.items(), 1):
        file = f"model-{number:05}-of-{len(tensors):05}.safetensors"
        save_file({name: values}, tmp_path / file)
        weight_map[name] = file
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": weight_map}))
    (tmp_path / "config.json").write_text("{}")
    for model in (tmp_path, index):
        made = plan(model).resolve()
        assert {t.name: t.shape for t in made.tensors} == {**SHAPES, "steps": (1,)}
        assert made.model == str(tmp_path / "config.json")


def test_the_path_is_relative_to_the_specification(tmp_path: Path) -> None:
    write(tmp_path)
    spec = tmp_path / "m.toml"
    spec.write_text(
        'seed = 1\nmodel = "model.safetensors"\nrule = [{ match = "**", init = "zeros" }]'
    )
    assert len(read_specification(str(spec)).tensors) == 4


def test_ties_of_a_checkpoint_are_kept(tmp_path: Path) -> None:
    values = {"embed.weight": np.zeros((4, 2), np.float32)}
    metadata = {"tied": json.dumps({"head.weight": "embed.weight", "x": "no.such"})}
    save_file(values, tmp_path / "m.safetensors", metadata)
    made = Plan([("embed.weight", "ones")], model=tmp_path / "m.safetensors", seed=1).resolve()
    assert [t.name for t in made.tensors] == ["embed.weight"]
    assert made.tied == {"head.weight": "embed.weight"}
    # A rule for the tied name has a tensor.
    rules: list[Any] = [("head.weight", "zeros"), ("embed.weight", "ones")]
    assert Plan(rules, model=tmp_path / "m.safetensors", seed=1).resolve().tied == made.tied


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("missing.safetensors", None, "`model` cannot be used: .*missing.safetensors"),
        ("m.safetensors", b"x" * 100, "`model` cannot be used: .*m.safetensors"),
        ("config.json", b"[]", "has no `model_type`"),
        ("config.json", b"{", "`model` cannot be used: .*config.json"),
        ("config.json", b"{}", "has no `model_type`"),
        ("config.json", b"[" * 100_000, "`model` cannot be used"),
        (".", None, "`model` cannot be used"),
    ],
)
def test_what_is_no_model(tmp_path: Path, name: str, data: bytes | None, message: str) -> None:
    if data is not None:
        (tmp_path / name).write_bytes(data)
    with pytest.raises(SpecError, match=message):
        plan(tmp_path / name).resolve()


def test_a_name_on_the_hub_is_no_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SpecError, match=r"`hf download owner/Name-1\.5 config\.json --local-dir"):
        plan("owner/Name-1.5").resolve()


@pytest.mark.parametrize(
    ("config", "preset", "let", "says"),
    [
        ('{"initializer_range": 0.05}', "llama", "", "{ std = 0.05 }"),
        ('{"init_std": 0.05}', "llama", "", "{ std = 0.05 }"),
        # The same, another recipe than transformers', one's own choice, and what is no number.
        ('{"initializer_range": 0.02}', "llama", "", None),
        ('{"initializer_range": 0.05}', "olmo2", "", None),
        ('{"initializer_range": 0.05}', "llama", "let = { std = 0.01 }", None),
        ('{"initializer_range": "x"}', "llama", "", None),
        ("[", "llama", "", None),
    ],
)
def test_a_deviation_other_than_the_configuration_has_is_named(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    config: str,
    preset: str,
    let: str,
    says: str | None,
) -> None:
    save_file({"w.weight": np.zeros((8, 8), np.float32)}, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(config)
    spec = tmp_path / "m.toml"
    spec.write_text(f'seed = 1\nmodel = "model.safetensors"\npreset = "{preset}"\n{let}\n')
    assert main(["init", str(spec), "--dry-run"]) == 0
    said = capsys.readouterr().err
    assert said == "" if says is None else f"`let = {says}` does so here" in said


def test_a_configuration_needs_transformers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As if it was not installed, whether it is or not.
    monkeypatch.setitem(sys.modules, "transformers", None)
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(SpecError, match=r"`model` needs transformers and torch .* file"):
        plan(tmp_path / "config.json").resolve()


def test_numbers_are_sorted_as_people_count() -> None:
    names = ["h.10.a", "h.2.a", "h.2", "a/1", "a/b", "h.x"]
    assert sorted(names, key=natural) == ["a/1", "a/b", "h.2", "h.2.a", "h.10.a", "h.x"]
