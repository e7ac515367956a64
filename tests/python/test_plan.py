"""`seedbed.Plan`: the same language from Python, and back to TOML."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import seedbed
from seedbed import Plan, initializers
from seedbed._plan.toml import dump
from seedbed._spec.error import SpecError
from seedbed.random import fold_in

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.toml"))
NAMES = {"h.0.ln_1.weight": (8,), "h.0.c_proj.weight": (8, 8), "h.1.c_proj.weight": (8, 8)}
RULES: list[Any] = [
    ("ln_*.weight", "ones"),
    ("c_proj.weight", {"normal": "0.02 / sqrt(2 * layers)"}),
]


def test_rules_in_python_are_those_of_toml() -> None:
    plan = Plan(RULES, let={"layers": 2}, seed=7, dtype="bfloat16")
    text = """
    seed = 7
    dtype = "bfloat16"
    let = { layers = 2 }
    rule = [
        { match = "ln_*.weight", init = "ones" },
        { match = "c_proj.weight", init = { normal = "0.02 / sqrt(2 * layers)" } },
    ]
    """
    other = Plan.from_toml(text)
    assert plan.to_toml() == other.to_toml()
    for one, two in zip(plan.resolve(NAMES).tensors, other.resolve(NAMES).tensors, strict=True):
        assert one.dtype == two.dtype == ml_dtypes.bfloat16
        assert one.initializer().get_config() == two.initializer().get_config()
        assert one.prepare().draw().tobytes() == two.prepare().draw().tobytes()


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_examples_go_to_toml_and_back(path: Path) -> None:
    plan = Plan.from_toml(path)
    text = plan.to_toml()
    again = Plan.from_toml(text)
    assert again.to_toml() == text
    ours, theirs = plan.resolve().tensors, again.resolve().tensors
    assert [(t.name, t.shape, t.dtype, t.rule, t.law()) for t in ours] == [
        (t.name, t.shape, t.dtype, t.rule, t.law()) for t in theirs
    ]
    for one, two in zip(ours, theirs, strict=True):
        assert one.initializer().get_config() == two.initializer().get_config()
    assert plan.resolve().digest != again.resolve().digest


def test_a_path_may_be_text(tmp_path: Path) -> None:
    path = tmp_path / "m.toml"
    path.write_text(Plan(RULES, let={"layers": 2}, seed=1).to_toml())
    assert Plan.from_toml(str(path)).to_toml() == Plan.from_toml(path).to_toml()
    with pytest.raises(SpecError, match=r"missing\.toml: cannot be read"):
        Plan.from_toml(tmp_path / "missing.toml")


@pytest.mark.parametrize(
    "init",
    [
        initializers.RandomNormal(stddev=0.5),
        keras.initializers.RandomNormal(stddev=0.5),
        {"normal": np.float32(0.5)},
        {"class_name": "RandomNormal", "config": {"stddev": "1 / 2"}},
        lambda name, shape, variables: initializers.RandomNormal(stddev=0.5),
        lambda name, shape, variables: {"normal": "1 / 2"},
        lambda name, shape, variables: {"class_name": "RandomNormal", "config": {"stddev": 0.5}},
    ],
)
def test_what_an_initializer_may_be(init: Any) -> None:
    [tensor] = Plan([("**", init)], seed=3).resolve({"a": (2, 3)}).tensors
    expected = initializers.RandomNormal(stddev=0.5, seed=fold_in(3, "a"))((2, 3))
    assert tensor.prepare().draw().tobytes() == expected.tobytes()


def test_a_class_may_be_an_initializer() -> None:
    [tensor] = Plan([("**", initializers.Ones)], seed=3).resolve({"a": (2, 3)}).tensors
    assert tensor.init_name == "Ones"


def test_functions_see_name_shape_and_variables() -> None:
    seen = []

    def init(name: str, shape: tuple[int, ...], variables: dict[str, float]) -> Any:
        seen.append((name, shape, variables))
        return initializers.Constant(variables["layer"])

    plan = Plan([("h.{layer}.w", init)], seed=1)
    tensors = plan.resolve({"h.3.w": (2,), "h.4.w": (2,)}).tensors
    assert seen == [("h.3.w", (2,), {"layer": 3.0}), ("h.4.w", (2,), {"layer": 4.0})]
    assert [tensor.law().mean for tensor in tensors] == [3.0, 4.0]
    with pytest.raises(ValueError, match="TOML has no form for <function"):
        plan.to_toml()


def test_what_a_function_raises_names_its_place() -> None:
    def init(name: str, shape: tuple[int, ...], variables: dict[str, float]) -> Any:
        raise KeyError("nothing")

    with pytest.raises(SpecError, match=r"rule 1 \(`\*`\): tensor `w`: `init`: 'nothing'"):
        Plan([("*", init)], seed=1).resolve({"w": (1,)})
    for nothing in (None, 3):
        with pytest.raises(SpecError, match="`init` must be"):
            Plan([("*", lambda *_, made=nothing: made)], seed=1).resolve({"w": (1,)})


def test_an_own_seed_wins_and_generators_are_refused() -> None:
    [tensor] = Plan([("*", initializers.HeNormal(seed=5))], seed=1).resolve({"w": (2, 2)}).tensors
    assert tensor.initializer().get_config()["seed"] == 5
    generator = initializers.HeNormal(seed=seedbed.random.SeedGenerator(1))
    with pytest.raises(SpecError, match="`init` must have an integer for its seed, or none"):
        Plan([("*", generator)], seed=1).resolve({"w": (2, 2)})


def test_the_seed_may_come_with_the_tensors() -> None:
    plan = Plan([("*", "he_normal")])
    assert plan.seed is None
    with pytest.raises(ValueError, match="`seed` must be given"):
        plan.resolve({"w": (2, 2)})
    [tensor] = plan.resolve({"w": (2, 2)}, seed=4).tensors
    assert tensor.prepare().seed == fold_in(4, "w")
    # Neither draws.
    assert plan.table({"w": (2, 2)}).rows
    assert plan.lint({"w": (2, 2)}) == []


def test_tensors_may_be_what_has_a_shape_and_a_dtype() -> None:
    arrays = {"a": np.zeros((2, 3), np.float16), "b": (4,), "c": [5]}
    made = Plan([("*", "ones")], seed=1).resolve(arrays).tensors
    assert [(t.shape, t.dtype.name) for t in made] == [
        ((2, 3), "float16"),
        ((4,), "float32"),
        ((5,), "float32"),
    ]
    # The plan's own dtype wins over what is there, and a rule's over that.
    both: list[Any] = [{"match": "a", "init": "ones", "dtype": "float64"}, ("*", "ones")]
    made = Plan(both, seed=1, dtype=np.float16).resolve(arrays).tensors
    assert [t.dtype.name for t in made] == ["float64", "float16", "float16"]


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ([("a", (1,))], "`tensors` must be shapes by name"),
        ({3: (1,)}, "`name` must be a string"),
        ({"": (1,)}, "`name` must be a non-empty string"),
        ({"a\n": (1,)}, "control characters"),
        ({"__metadata__": (1,)}, "reserved"),
        ({"a": ("x",)}, r"`shape\[0\]` must be an integer >= 0"),
        ({"a": (-1,)}, r"`shape\[0\]` must be an integer >= 0"),
        ({"a": (2**62,)}, "larger than"),
        ({"a": (1,) * 65}, "at most 64 dimensions"),
        ({}, "`tensors` must be one or more"),
        (None, "the plan names none"),
    ],
)
def test_bad_tensors_are_refused(tensors: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Plan([("*", "zeros")], seed=1).resolve(tensors)


@pytest.mark.parametrize("rules", [[3], [("a",)], ["ab" * 3], [("a", "ones", 3)]])
def test_bad_rules_are_refused(rules: Any) -> None:
    with pytest.raises(ValueError, match="`rules` must be pairs"):
        Plan(rules)


def test_tensors_of_a_plan_in_python() -> None:
    plan = Plan([("**", "zeros")], let={"layers": 2}, tensors={"{layer}.w": (2, 3)}, seed=1)
    assert [t.name for t in plan.resolve().tensors] == ["0.w", "1.w"]
    assert "[tensors]\n" in plan.to_toml()


def test_the_digest_says_what_decides_the_values() -> None:
    def digest(seed: int = 1, stddev: float = 0.5, **more: Any) -> str:
        plan = Plan([("*", {"normal": stddev})], **more)
        return plan.resolve({"w": (2, 3)}, seed=seed).digest

    assert digest() == digest()
    assert len({digest(), digest(2), digest(stddev=0.4), digest(dtype="float16")}) == 4


def test_the_table_says_what_each_rule_makes() -> None:
    plan = Plan(
        [("ln_*.weight", "ones"), ("h.{layer}.*.weight", {"normal": "0.5 / (layer + 1)"})],
        forward={"logits": "1 / 4"},
        seed=1,
    )
    table = plan.table(NAMES)
    norms, matrices = table.rows
    assert (norms.rule, norms.initializer, norms.names) == (1, "Ones", ["h.0.ln_1.weight"])
    assert (matrices.stds, matrices.parameters) == ((0.25, 0.5), 128)
    assert table.forward == {"logits": 0.25}
    lines = str(table).splitlines()
    assert lines[0].split() == [
        "rule", "match", "tensors", "parameters", "initializer", "std", "range",
    ]  # fmt: skip
    assert lines[2].split() == [
        "2", "h.{layer}.*.weight", "2", "128", "RandomNormal", "0.25", "..", "0.5",
    ]  # fmt: skip
    assert lines[-1] == "forward: logits x 0.25"
    assert repr(plan) == "<Plan of 2 rules>"


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
LEAVES = st.booleans() | st.integers(-(2**63), 2**63 - 1) | TEXT | st.floats(allow_nan=False)
VALUES = st.recursive(
    LEAVES, lambda v: st.lists(v, max_size=3) | st.dictionaries(TEXT, v, max_size=3), max_leaves=8
)


@given(st.dictionaries(TEXT.filter(lambda key: key not in ("rule", "tensor", "tensors")), VALUES))
def test_whatever_is_written_is_read_back(table: dict[str, Any]) -> None:
    import tomllib

    assert json.dumps(tomllib.loads(dump(table))) == json.dumps(table)


def test_what_toml_cannot_say_is_refused() -> None:
    with pytest.raises(ValueError, match="TOML has no null"):
        Plan([("*", initializers.STFT(window=None))]).to_toml()
    plan = Plan([("*", initializers.STFT())])
    assert Plan.from_toml(plan.to_toml()).to_toml() == plan.to_toml()


def test_importing_seedbed_does_not_import_plans() -> None:
    code = (
        "import sys, seedbed; assert not any('_plan' in m or m == 'tomllib' for m in sys.modules);"
        "from seedbed import Plan; assert seedbed.Plan is Plan; assert 'Plan' in seedbed.__all__"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    with pytest.raises(AttributeError, match="no attribute 'Plans'"):
        _ = seedbed.Plans
