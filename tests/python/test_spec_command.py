"""`seedbed spec`: the names of models that exist, as plans."""

from __future__ import annotations

import json
import textwrap
import time
import tomllib
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

from command import run
from seedbed import Plan
from seedbed._plan.draft import TO_CHOOSE, draft
from seedbed._plan.sources import Source
from seedbed._spec.error import Place, SpecError

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
FLOAT32 = np.dtype("float32")


def gpt(layers: int, width: int = 4) -> dict[str, tuple[tuple[int, ...], Any]]:
    found: dict[str, tuple[tuple[int, ...], Any]] = {"wte.weight": ((9, width), BFLOAT16)}
    for layer in range(layers):
        found[f"h.{layer}.ln.weight"] = ((width,), BFLOAT16)
        found[f"h.{layer}.mlp.weight"] = ((width, 4 * width), BFLOAT16)
    return found


def filled(text: str) -> dict[str, tuple[tuple[int, ...], str]]:
    """The tensors of a draft whose rule was written."""
    plan = Plan.from_toml(text.replace(TO_CHOOSE, "zeros"))
    return {t.name: (t.shape, t.dtype.name) for t in plan.resolve().tensors}


def test_layers_are_one_line() -> None:
    text = draft(Source(gpt(12)), Place("x"))
    table = tomllib.loads(text)
    assert table["let"] == {"layers": 12}
    assert table["dtype"] == "bfloat16"
    assert table["tensors"] == {
        "wte.weight": [9, 4],
        "h.{layer}.ln.weight": [4],
        "h.{layer}.mlp.weight": [4, 16],
    }
    assert filled(text) == {name: (shape, "bfloat16") for name, (shape, _) in gpt(12).items()}


def test_layers_of_another_dtype_are_tables_that_need_no_variable() -> None:
    tensors = {"wte": ((9, 4), BFLOAT16), "wpe": ((9, 4), BFLOAT16), "ln": ((4,), BFLOAT16)}
    tensors |= {f"gate.{layer}": ((), FLOAT32) for layer in range(2)}
    text = draft(Source(tensors), Place("x"))
    assert "let" not in tomllib.loads(text)
    assert filled(text) == {name: (shape, dtype.name) for name, (shape, dtype) in tensors.items()}


def test_a_preset_may_stand_for_the_rule_of_a_draft() -> None:
    # As its text says: the line is deleted, and a preset named.
    lines = draft(Source(gpt(2)), Place("x")).splitlines()
    text = "\n".join(['preset = "llama"', *(line for line in lines if TO_CHOOSE not in line)])
    assert "rule = [\n]" in text
    assert len(Plan.from_toml(text).resolve().tensors) == 5


def test_a_draft_is_refused_until_its_rule_is_written() -> None:
    with pytest.raises(SpecError, match="`init`"):
        Plan.from_toml(draft(Source(gpt(2)), Place("x"))).resolve()


def test_ties_are_rules_and_other_dtypes_tables() -> None:
    tensors = gpt(3)
    tensors["lm_head.weight"] = tensors["wte.weight"]
    for layer in range(3):
        tensors[f"h.{layer}.gate"] = ((), FLOAT32)
    tensors["steps"] = ((1,), np.dtype("int64"))
    text = draft(Source(tensors, {"lm_head.weight": "wte.weight"}), Place("x"))
    plan = Plan.from_toml(text.replace(TO_CHOOSE, "zeros")).resolve()
    assert plan.tied == {"lm_head.weight": "wte.weight"}
    found = {t.name: t.dtype.name for t in plan.tensors}
    assert found["h.2.gate"] == "float32"
    assert found["steps"] == "int64"
    assert len(found) == len(tensors) - 1
    assert tomllib.loads(text)["tensor"][0]["repeat"] == {"layer": 3}


def test_what_has_gaps_or_other_shapes_stays_plain() -> None:
    tensors = {f"a.{n}.w": ((2,), FLOAT32) for n in (0, 1, 3)}
    tensors |= {f"b.{n}.w": ((n + 1,), FLOAT32) for n in range(3)}
    tensors |= {f"blocks.{n}.w": ((2,), FLOAT32) for n in range(4)}
    tensors |= {f"stages.{n}.w": ((2,), FLOAT32) for n in range(2)}
    text = draft(Source(tensors), Place("x"))
    table = tomllib.loads(text)
    assert set(table["tensors"]) == {
        *(f"a.{n}.w" for n in (0, 1, 3)),
        *(f"b.{n}.w" for n in range(3)),
        "blocks.{layer}.w",
        "stages.{stage}.w",
    }
    assert filled(text).keys() == tensors.keys()


NAMES = st.lists(
    st.sampled_from(["h", "blocks", "w", "0", "1", "2", "10", "experts", "size", "é", "sqrt"]),
    min_size=1,
    max_size=5,
).map(".".join)


@given(
    st.dictionaries(
        NAMES,
        st.tuples(
            st.sampled_from([(), (2,), (2, 3)]),
            st.sampled_from([FLOAT32, BFLOAT16, np.dtype("int64")]),
        ),
        min_size=1,
        max_size=30,
    )
)
def test_a_draft_has_the_tensors_of_its_source(tensors: dict[str, Any]) -> None:
    expected = {name: (shape, dtype.name) for name, (shape, dtype) in tensors.items()}
    assert filled(draft(Source(tensors), Place("x"))) == expected


def test_names_that_plans_cannot_say_are_refused() -> None:
    for name in ("a{b", "{layer}.w", ""):
        with pytest.raises(SpecError, match="`name`"):
            draft(Source({name: ((2,), FLOAT32)}), Place("x"))


def test_a_hundred_thousand_tensors_fold_in_bounded_time() -> None:
    tensors = {
        f"layers.{layer}.experts.{expert}.w": ((4, 4), BFLOAT16)
        for layer in range(100)
        for expert in range(1000)
    }
    started = time.process_time()
    text = draft(Source(tensors), Place("x"))
    # Seconds on any machine where it is not quadratic, and minutes elsewhere.
    assert time.process_time() - started < 60
    assert len(text.splitlines()) < 120


def test_names_of_many_numbers_stay_plain() -> None:
    # What folding takes grows with the square of their count.
    names = [".".join(["1"] * 20_000) + end for end in (".0", ".1")]
    text = draft(Source({name: ((2,), np.dtype("float32")) for name in names}), Place("test"))
    assert all(f'"{name}" = [2]' in text for name in names)


def test_the_command_reads_files_and_indexes(tmp_path: Path) -> None:
    tensors = {name: np.zeros(shape, dtype) for name, (shape, dtype) in gpt(3).items()}
    save_file(tensors, tmp_path / "model.safetensors")
    ended = run("spec", tmp_path / "model.safetensors")
    assert ended.returncode == 0, ended.stderr
    assert filled(ended.stdout).keys() == tensors.keys()
    assert 'layout = "torch"' in ended.stdout
    index = tmp_path / "model.safetensors.index.json"
    size = sum(tensor.nbytes for tensor in tensors.values())
    weight_map = dict.fromkeys(tensors, "model.safetensors")
    index.write_text(json.dumps({"metadata": {"total_size": size}, "weight_map": weight_map}))
    assert run("spec", index).stdout == ended.stdout
    missing = run("spec", tmp_path / "no such")
    assert missing.returncode == 2
    assert missing.stderr.startswith("seedbed: error: ")
    assert missing.stderr.count("\n") == 1


MODULE = """
import keras, jax, jax.numpy as jnp

def network():
    layers = [keras.Input((20_000,)), keras.layers.Dense(20_000, name="wide")]
    return keras.Sequential(layers, name="net")

def tree():
    return jax.eval_shape(lambda: {"a": {"kernel": jnp.zeros((10**5, 10**5))}, "b": jnp.ones(3)})

def nothing():
    return 3

def fails():
    raise RuntimeError("not today")
"""


def test_the_command_calls_functions(tmp_path: Path) -> None:
    (tmp_path / "of_user.py").write_text(textwrap.dedent(MODULE))
    network = run("spec", "of_user:network", cwd=tmp_path)
    assert network.returncode == 0, network.stderr
    assert filled(network.stdout) == {
        "net/wide/kernel": ((20_000, 20_000), "float32"),
        "net/wide/bias": ((20_000,), "float32"),
    }
    assert 'layout = "keras"' in network.stdout
    tree = run("spec", "of_user:tree", cwd=tmp_path)
    assert filled(tree.stdout) == {
        "a/kernel": ((10**5, 10**5), "float32"),
        "b": ((3,), "float32"),
    }
    for function, message in {
        "nothing": "must return a torch module",
        "fails": "RuntimeError: not today",
        "no_such": "AttributeError",
    }.items():
        wrong = run("spec", f"of_user:{function}", cwd=tmp_path)
        assert wrong.returncode == 2
        assert message in wrong.stderr
        assert wrong.stderr.count("\n") == 1
