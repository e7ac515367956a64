"""A row that is zeros: that of a padding token."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from command import run
from seedbed import Plan, initializers

SHAPE = (9, 5)
NORMAL = {"normal": 0.02}


def plan(init: object, **keys: object) -> Plan:
    return Plan([{"match": "embed.weight", "init": init, **keys}], seed=1)


def seedbed(*arguments: str | Path, code: int = 0) -> str:
    done = run(*arguments)
    assert done.returncode == code, done.stderr
    return done.stdout


def drawn(made: Plan, dtype: str = "float32") -> np.ndarray:
    [tensor] = made.resolve({"embed.weight": SHAPE}).tensors
    return tensor.prepare().draw().astype(dtype)


@pytest.mark.parametrize("row", [0, 3, 8, -1, "size / d1 - 2"])
@pytest.mark.parametrize(
    "init", [NORMAL, "ones", "orthogonal", {"normal": {"stddev": 0.02, "seed": 4}}]
)
def test_all_other_rows_are_as_without_it(row: int | str, init: object) -> None:
    expected = drawn(plan(init))
    expected[7 if isinstance(row, str) else row] = 0
    assert np.array_equal(drawn(plan(init, zero_row=row)), expected)


axis = st.slices(SHAPE[0]) | st.integers(-SHAPE[0], SHAPE[0] - 1)
other = st.slices(SHAPE[1]) | st.integers(-SHAPE[1], SHAPE[1] - 1)


@given(index=st.tuples(axis) | st.tuples(axis, other) | st.tuples(st.just(...), other))
def test_blocks_are_those_of_the_whole(index: tuple[object, ...]) -> None:
    [tensor] = plan(NORMAL, zero_row=3).resolve({"embed.weight": SHAPE}).tensors
    draw = tensor.prepare()
    whole = draw.draw()
    assert not whole[3].any()
    assert whole[2].all()
    assert np.array_equal(draw.draw(index), whole[index])


def test_python_and_the_command_make_the_same(tmp_path: Path) -> None:
    [tensor] = plan(NORMAL, zero_row=3).resolve({"embed.weight": SHAPE}).tensors
    (tmp_path / "m.toml").write_text(
        'seed = 1\n[[tensor]]\nname = "embed.weight"\nshape = [9, 5]\ninit = { normal = 0.02 }\n'
        "zero_row = 3\n"
    )
    seedbed("init", tmp_path / "m.toml", "-o", tmp_path / "m.safetensors")
    stored = load_file(tmp_path / "m.safetensors")["embed.weight"]
    assert np.array_equal(stored, tensor.initializer()(tensor.shape, tensor.dtype))
    assert not stored[3].any()


def test_plans_with_another_row_are_others() -> None:
    digests = {plan(NORMAL, zero_row=row).resolve({"embed.weight": SHAPE}).digest for row in (0, 1)}
    assert len(digests) == 2


@pytest.mark.parametrize(
    ("keys", "shape", "message"),
    [
        ({"zero_row": 9}, SHAPE, r"`zero_row` must be a row of \[9, 5\]. Received: 9"),
        ({"zero_row": -10}, SHAPE, "`zero_row` must be an integer >= -9"),
        ({"zero_row": 0.5}, SHAPE, "`zero_row` must be an integer"),
        ({"zero_row": 0}, (), r"`zero_row` must be a row of \[\]"),
        ({"zero_row": 0}, (0, 5), r"`zero_row` must be a row of \[0, 5\]"),
        ({"zero_row": True}, SHAPE, "`zero_row` must be a number"),
        ({"zero_row": "pad"}, SHAPE, "`pad`, which is no variable"),
        ({"zero_row": 0, "blocks": {"sizes": [4, 5]}}, SHAPE, "`blocks` exclude each other"),
        ({"zero_row": 0, "init": None, "tie": "x"}, SHAPE, "`zero_row` needs `init`"),
    ],
)
def test_what_is_refused(keys: dict[str, object], shape: tuple[int, ...], message: str) -> None:
    rule = {"match": "embed.weight", "init": NORMAL, **keys}
    with pytest.raises(ValueError, match=message):
        Plan([{k: v for k, v in rule.items() if v is not None}], seed=1).resolve(
            {"embed.weight": shape}
        )


@pytest.mark.parametrize(
    ("preset", "name", "let", "row"),
    [
        ("llama", "model.embed_tokens.weight", {}, None),
        ("llama", "model.embed_tokens.weight", {"pad_token_id": 2}, 2),
        ("llama", "model.layers.0.mlp.down_proj.weight", {}, None),
        ("mixtral", "model.embed_tokens.weight", {"pad_token_id": -1}, 8),
        ("gemma", "model.embed_tokens.weight", {}, 0),
        ("bert-hf", "bert.embeddings.word_embeddings.weight", {}, 0),
        ("bert-hf", "bert.embeddings.position_embeddings.weight", {}, None),
        ("bert-hf", "bert.embeddings.word_embeddings.weight", {"pad_token_id": 1}, 1),
    ],
)
def test_presets_with_padding(preset: str, name: str, let: dict[str, int], row: int | None) -> None:
    tensors = {name: SHAPE, "embed_tokens.weight": SHAPE, "word_embeddings.weight": SHAPE}
    made = Plan(preset=preset, let=let, seed=1).resolve(tensors).tensors[0]
    assert made.entry.zero_row == row
    zeros = np.flatnonzero(~made.prepare().draw().any(axis=1))
    assert zeros.tolist() == ([] if row is None else [row])


# Few and long rows: without it the deviation would be 0.87 of what is expected.
WIDE = """
seed = 1
dtype = "bfloat16"
rule = [{ match = "**", init = { normal = 0.02 }, zero_row = 1 }]
[tensors]
"embed.weight" = [4, 50000]
"embed2.weight" = [4, 3, 20000]
"""


def test_values_with_such_a_row_are_right(tmp_path: Path) -> None:
    spec, path = tmp_path / "m.toml", tmp_path / "m.safetensors"
    spec.write_text(WIDE)
    seedbed("init", spec, "-o", path)
    seedbed("verify", spec, path)
    document = json.loads(seedbed("inspect", path, "--spec", spec, "--deep", "--json"))
    assert document["findings"] == []
    assert [tensor["zero_row"] for tensor in document["tensors"]] == [1, 1]
    made = json.loads(seedbed("init", spec, "--dry-run", "--json"))["tensors"][0]
    assert (made["initializer"], made["zero_row"]) == ("RandomNormal", 1)


def test_a_row_that_should_be_zeros_and_is_not(tmp_path: Path) -> None:
    spec, path = tmp_path / "m.toml", tmp_path / "m.safetensors"
    spec.write_text(WIDE.replace(", zero_row = 1", ""))
    seedbed("init", spec, "-o", path)
    spec.write_text(WIDE)
    printed = seedbed("inspect", path, "--spec", spec, "--lint", "--json", code=1)
    findings = {f["tensor"]: f["id"] for f in json.loads(printed)["findings"]}
    assert findings == {"embed.weight": "zero-rows", "embed2.weight": "zero-rows"}
    assert "row 1 is not all zeros" in printed
    seedbed("verify", spec, path, code=1)


def test_the_deviation_of_what_is_left_is_compared(tmp_path: Path) -> None:
    spec, path = tmp_path / "m.toml", tmp_path / "m.safetensors"
    spec.write_text(WIDE.replace("bfloat16", "float32"))
    seedbed("init", spec, "-o", path)
    tensors = load_file(path)
    # A tenth too large, which the row of zeros would hide.
    save_file({name: 1.1 * values for name, values in tensors.items()}, path)
    printed = seedbed("inspect", path, "--spec", spec, "--lint", "--json", code=1)
    assert {f["id"] for f in json.loads(printed)["findings"]} == {"std"}


def test_the_initializer_says_what_it_is() -> None:
    [tensor] = plan(NORMAL, zero_row=3).resolve({"embed.weight": SHAPE}).tensors
    assert tensor.init_name == "RandomNormal, row 3 zero"
    config = tensor.initializer().get_config()
    assert config["row"] == 3
    inner = initializers.deserialize(config["initializer"])
    assert np.array_equal(inner(SHAPE)[2], tensor.prepare().draw()[2])
