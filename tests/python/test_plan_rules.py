"""The rule language: what a plan in TOML means."""

from __future__ import annotations

import math
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from numpy.testing import assert_array_equal

from plans import W, only, parse, rule
from seedbed import Plan, initializers
from seedbed._spec.model import Specification, TensorSpec
from seedbed._spec.reader import parse_specification
from seedbed.random import fold_in


def std(tensor: TensorSpec) -> float:
    deviation = tensor.law().std
    assert deviation is not None
    return deviation


PLAN = """
seed = 3
dtype = "bfloat16"
let = { layers = 2, width = 8, half = "width / 2" }
rule = [
    { match = "ln_*.weight", init = "ones", dtype = "float32" },
    { match = ["*.bias", "*_bias"], init = "zeros" },
    { match = "h.{layer}.*.weight", init = { normal = "0.5 / (layer + 1)" } },
    { match = "lm_head.weight", tie = "wte.weight" },
    { match = "*.mask", omit = true },
    { match = "**", init = { uniform = { minval = "-half", maxval = "half" } } },
]
[tensors]
"wte.weight" = [5, "width"]
"h.{layer}.{q,k}.{weight,bias}" = ["width", "half"]
"ln_f.weight" = ["width"]
"h.0.mask" = [1]
"lm_head.weight" = [5, "width"]
"""


def test_a_plan_means_what_it_says() -> None:
    specification = parse(PLAN)
    tensors = {tensor.name: tensor for tensor in specification.tensors}
    assert list(tensors) == [
        "wte.weight",
        *(f"h.{n}.{m}.{k}" for n in (0, 1) for m in ("q", "k") for k in ("weight", "bias")),
        "ln_f.weight",
    ]
    assert specification.tied == {"lm_head.weight": "wte.weight"}
    assert {name: tensor.rule for name, tensor in tensors.items()} == {
        "wte.weight": 6,
        "ln_f.weight": 1,
        **{f"h.{n}.{m}.weight": 3 for n in (0, 1) for m in "qk"},
        **{f"h.{n}.{m}.bias": 2 for n in (0, 1) for m in "qk"},
    }
    assert tensors["ln_f.weight"].dtype == np.float32
    assert tensors["h.0.q.weight"].dtype == ml_dtypes.bfloat16
    assert tensors["h.0.q.weight"].shape == (8, 4)
    assert (std(tensors["h.0.q.weight"]), std(tensors["h.1.q.weight"])) == (0.5, 0.25)
    law = tensors["wte.weight"].law()
    assert (law.kind, law.low, law.high) == ("uniform", -4.0, 4.0)
    # The same line of Python gives the same bytes, whatever the rules.
    key = fold_in(3, "h.1.k.weight")
    expected = initializers.RandomNormal(stddev=0.25, seed=key)((8, 4), dtype="bfloat16")
    assert tensors["h.1.k.weight"].prepare().draw().tobytes() == expected.tobytes()


def test_tables_of_rules_are_the_same_as_arrays() -> None:
    head = "seed = 1\n"
    array = 'rule = [{ match = "a", init = "ones" }, { match = "**", init = "he_normal" }]\n'
    tables = '[[rule]]\nmatch = "a"\ninit = "ones"\n[[rule]]\nmatch = "**"\ninit = "he_normal"\n'
    tensors = '[tensors]\n"a" = [2, 2]\n"b" = [2, 2]\n'
    one, two = parse(head + array + tensors), parse(head + tables + tensors)
    assert [(t.name, t.rule, t.init_name) for t in one.tensors] == [
        (t.name, t.rule, t.init_name) for t in two.tensors
    ]


def test_tables_of_tensors_may_leave_their_initializer_to_rules() -> None:
    text = """
    seed = 1
    rule = [{ match = "{layer}.w", init = { constant = "layer" } }]
    [[tensor]]
    name = "{i}.w"
    repeat = { i = 3 }
    shape = [1]
    [[tensor]]
    name = "0.own"
    shape = [1]
    init = "ones"
    """
    tensors = parse(text).tensors
    assert [(t.name, t.rule, t.law().mean) for t in tensors] == [
        ("0.w", 1, 0.0),
        ("1.w", 1, 1.0),
        ("2.w", 1, 2.0),
        ("0.own", None, 1.0),
    ]


def test_tables_of_tensors_may_have_expressions_over_what_repeats() -> None:
    text = """
    seed = 1
    let = { layers = 4 }
    [[tensor]]
    name = "{layer}.w"
    repeat = { layer = 3 }
    shape = [1]
    init = { normal = "1 / (layer + 1) / layers" }
    [[tensor]]
    name = "w"
    shape = ["layers"]
    init = { constant = "fan_in" }
    """
    tensors = parse(text).tensors
    assert [std(tensor) for tensor in tensors[:3]] == [0.25, 0.125, 1 / 3 / 4]
    assert (tensors[3].shape, tensors[3].law().mean) == ((4,), 4.0)


def test_shapes_may_differ_by_the_numbers_in_names() -> None:
    text = """
    seed = 1
    let = { layers = 3 }
    rule = [{ match = "**", init = "zeros" }]
    [tensors]
    "{layer}.w" = ["layer + 1", 2]
    """
    assert [tensor.shape for tensor in parse(text).tensors] == [(1, 2), (2, 2), (3, 2)]


def test_a_placeholder_that_comes_twice_is_one() -> None:
    text = """
    seed = 1
    let = { layers = 2 }
    rule = [{ match = "**", init = "zeros" }]
    [tensors]
    "{layer}.{a,b}.{layer}" = [1]
    """
    assert [t.name for t in parse(text).tensors] == ["0.a.0", "0.b.0", "1.a.1", "1.b.1"]


@pytest.mark.parametrize(
    ("init", "expected"),
    [
        ("{ normal = 0.5 }", initializers.RandomNormal(stddev=0.5)),
        ("{ random_normal = { mean = 1, stddev = 2 } }", initializers.RandomNormal(1.0, 2.0)),
        ("{ truncated_normal = 0.5 }", initializers.TruncatedNormal(stddev=0.5)),
        (
            "{ truncated_normal = { stddev = 0.5, cut = '1 + 2' } }",
            initializers.TruncatedNormal(stddev=0.5, cut=3),
        ),
        ("{ uniform = 0.5 }", initializers.RandomUniform(-0.5, 0.5)),
        ("{ uniform = '1 / 2' }", initializers.RandomUniform(-0.5, 0.5)),
        ("{ RandomUniform = { minval = 0, maxval = 1 } }", initializers.RandomUniform(0, 1)),
        ("{ constant = 7 }", initializers.Constant(7)),
        ("{ constant = { value = '3 + 4' } }", initializers.Constant(7.0)),
        ("{ orthogonal = 0.5 }", initializers.Orthogonal(0.5)),
        ("{ identity = 2 }", initializers.Identity(2)),
        ("{ variance_scaling = 2 }", initializers.VarianceScaling(2)),
        ("{ he_normal = {} }", initializers.HeNormal()),
        (
            "{ class_name = 'RandomNormal', config = { stddev = 'sqrt(4)' } }",
            initializers.RandomNormal(stddev=2.0),
        ),
    ],
)
def test_the_ways_to_write_an_initializer(init: str, expected: initializers.Initializer) -> None:
    # In the layout of Keras, which the classes have by themselves.
    made = only(
        f"seed = 1\nlayout = 'keras'\nrule = [{{ match = 'w', init = {init} }}]\n"
        "[tensors]\n'w' = [2, 3]"
    ).initializer()
    assert type(made) is type(expected)
    config, other = made.get_config(), expected.get_config()
    assert {**config, "seed": None} == {**other, "seed": None}


FANS = [
    # What the layout says.
    ((512, 128), "", (128, 512)),
    ((512, 128), 'layout = "keras"', (512, 128)),
    ((16, 8, 3, 3), "", (72, 144)),
    ((3, 3, 8, 16), 'layout = "keras"', (72, 144)),
    # Experts: Mixtral, Qwen and Granite; Llama 4 and gpt-oss.
    ((8, 512, 128), "batch_axes = [0]", (128, 512)),
    ((8, 128, 512), 'batch_axes = [0], layout = "keras"', (128, 512)),
    ((8, 4, 512, 128), "batch_axes = [0, 1]", (128, 512)),
    # Attention of Keras: queries [d, heads, dk], output [heads, dk, d].
    ((128, 8, 64), "input_axes = [0], output_axes = [1, 2]", (128, 512)),
    ((8, 64, 128), "input_axes = [0, 1], output_axes = [-1]", (512, 128)),
    # Depthwise.
    ((256, 1, 4), "groups = 256", (4, 4)),
    ((256, 1, 4), "groups = 'd0'", (4, 4)),
    ((64, 8, 3), "groups = 2", (24, 96)),
    # What is in none of the three counts for both, as in JAX.
    ((3, 8, 16), "input_axes = [1], output_axes = [2]", (24, 48)),
    ((7,), "", (7, 7)),
    # A stack of vectors, each of which is its own fan.
    ((5, 7), "batch_axes = [0]", (7, 7)),
    ((), "", (1, 1)),
]


@pytest.mark.parametrize(("shape", "keys", "fans"), FANS, ids=[f"{s} {k}" for s, k, _ in FANS])
@pytest.mark.parametrize("init", ["he_normal", "glorot_uniform", "lecun_uniform"])
def test_fans(shape: tuple[int, ...], keys: str, fans: tuple[int, int], init: str) -> None:
    more = f", {keys}" if keys else ""
    tensor = only(
        f'seed = 1\nrule = [{{ match = "w", init = "{init}"{more} }}]\n[tensors]\nw = {list(shape)}'
    )
    assert tensor.fans == fans
    units = sum(fans) / 2 if "glorot" in init else fans[0]
    scale = 2.0 if "he" in init else 1.0
    assert std(tensor) == pytest.approx(math.sqrt(scale / max(1, units)), rel=1e-12)
    # The draw has these fans too, and so has what is drawn.
    if not tensor.shape:
        return
    many = [
        only(
            f'seed = {seed}\nrule = [{{ match = "w", init = "{init}"{more} }}]\n'
            f"[tensors]\nw = {list(shape)}"
        )
        .prepare()
        .draw()
        for seed in range(20 if math.prod(shape) < 1000 else 1)
    ]
    values = np.concatenate([one.reshape(-1) for one in many])
    # Seven standard errors of a normal sample's deviation, which is more than those of the others.
    allowed = 7 / math.sqrt(2 * values.size)
    assert abs(values.std() / std(tensor) - 1) < allowed


def test_fans_in_expressions_are_those_of_the_rule() -> None:
    init = "{ normal = '(fan_in + 10 * fan_out + 100 * fan_avg) / size + rank + d1' }"
    text = f"seed = 1\nrule = [{{ match = 'w', init = {init} }}]\n[tensors]\nw = [4, 2]"
    assert std(only(text)) == (2 + 40 + 300) / 8 + 2 + 2


FUSED = """
seed = 5
dtype = "{dtype}"
let = {{ heads = 4, kv = 2, dk = 3 }}
rule = [
    {{ match = "qkv.weight", init = "{init}", blocks = {{ axis = {axis}, {sizes}{of} }} }},
    {{ match = "{{q,k,v}}.weight", init = "{init}", optional = true }},
]
[tensors]
"""
SIZES = 'sizes = ["heads * dk", "kv * dk", "kv * dk"]'
OF = ', of = ["q.weight", "k.weight", "v.weight"]'


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("init", ["he_normal", "glorot_uniform", "orthogonal"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_fused_tensors_are_their_parts_side_by_side(axis: int, init: str, dtype: str) -> None:
    def shape(size: int) -> list[int]:
        return [size, 9] if axis == 0 else [9, size]

    head = FUSED.format(axis=axis, init=init, of=OF, dtype=dtype, sizes=SIZES)
    fused = only(head + f'"a.0.qkv.weight" = {shape(24)}')
    parts = parse(
        head.replace('match = "qkv.weight"', 'optional = true, match = "qkv.weight"')
        + (f'"a.0.q.weight" = {shape(12)}\n"a.0.{{k,v}}.weight" = {shape(6)}')
    ).tensors
    whole = np.concatenate([part.prepare().draw() for part in parts], axis=axis)
    draw = fused.prepare()
    assert_array_equal(draw.draw(), whole)
    assert (draw.draw().dtype, draw.shape) == (whole.dtype, whole.shape)
    for index in (
        (slice(3, 20, 3), slice(1, 9)),
        (slice(None, None, -1), slice(7, None, -2)),
        (slice(5, 5), slice(None)),
        (8, slice(None)),
        (slice(None), 8),
        (4, 5),
        (Ellipsis, slice(2, 8)),
    ):
        assert_array_equal(draw.draw(index), whole[index])
        out = np.zeros(whole.shape, whole.dtype)[index]
        if out.ndim:
            assert draw.draw(index, out) is out
            assert_array_equal(out, whole[index])
    # The law is that of the parts, where it is one.
    assert fused.law().mean == 0
    assert fused.initializer()(fused.shape, dtype).tobytes() == whole.tobytes()


def test_parts_without_names_have_values_of_their_own() -> None:
    head = FUSED.format(axis=0, init="he_normal", of="", dtype="float32", sizes=SIZES)
    values = only(head + '"a.qkv.weight" = [24, 9]').prepare().draw()
    expected = [
        initializers.HeNormal(fold_in(5, "a.qkv.weight", number), [1], [0])((size, 9))
        for number, size in enumerate((12, 6, 6))
    ]
    assert_array_equal(values, np.concatenate(expected))


def test_names_of_parts_may_hold_the_variables_of_the_pattern() -> None:
    rule = (
        "{ match = 're:(?P<n>[0-9]+)/qk', init = { normal = 1 }, "
        "blocks = { sizes = [1, 1], of = ['x{n}.q', 'x{n}.k'] } }"
    )
    values = only(f"seed = 1\nrule = [{rule}]\n[tensors]\n'7/qk' = [2, 3]").prepare().draw()
    expected = initializers.RandomNormal(stddev=1, seed=fold_in(1, "x7.k"))((1, 3))
    assert_array_equal(values[1:], expected)


def test_blocks_of_unlike_laws_have_the_moments_of_all() -> None:
    rule = "{ match = 'w', init = { normal = '1 / d0' }, blocks = { sizes = [1, 3] } }"
    law = only(f"seed = 1\nrule = [{rule}]\n[tensors]\nw = [4, 2]").law()
    assert law.kind == "other"
    assert law.mean == 0
    assert law.std == pytest.approx(math.sqrt((1 + 3 / 9) / 4))


def test_ties_follow_chains_to_what_is_written() -> None:
    text = """
    seed = 1
    rule = [
        { match = "a", tie = "b" },
        { match = "b", tie = "c" },
        { match = "c", init = "ones" },
    ]
    [tensors]
    "{a,b,c}" = [2]
    """
    made = parse(text)
    assert [t.name for t in made.tensors] == ["c"]
    assert made.tied == {"a": "c", "b": "c"}
    assert made.metadata()["tied"] == '{"a": "c", "b": "c"}'


def test_the_resolved_rules_are_in_the_metadata() -> None:
    text = "seed = 1\npreset = 'gpt2'\nlet = { layers = 2 }\n[tensors]\n'c_proj.weight' = [2, 2]"
    plan = parse(text).metadata()["plan"]
    assert '"let":{"layers":2,"std":0.02}' in plan
    assert '{"match":"c_proj.weight","init":{"normal":"std / sqrt(2 * layers)"}}' in plan
    # A list of tensors has no rules, and its metadata are what they were.
    assert "plan" not in parse("seed=1\n[[tensor]]\nname='w'\nshape=[1]\ninit='ones'").metadata()


def test_a_preset_follows_the_rules_of_the_plan() -> None:
    text = """
    seed = 1
    preset = "gpt2"
    let = { layers = 2, std = 0.5 }
    rule = [{ match = "wpe.weight", init = { normal = 0.01 } }]
    [tensors]
    "w{t,p}e.weight" = [4, 2]
    "c_proj.weight" = [4, 2]
    """
    wte, wpe, out = parse(text).tensors
    assert (std(wpe), wpe.rule) == (0.01, 1)
    assert (std(wte), wte.rule) == (0.5, 5)
    assert std(out) == 0.25


def test_optional_rules_may_match_nothing() -> None:
    assert (
        only(
            "seed = 1\nrule = [{ match = 'x', init = 'ones', optional = true }, "
            "{ match = 'w', init = 'ones' }]" + W
        ).rule
        == 2
    )


def test_layout_at_the_top_is_for_tables_of_tensors_too() -> None:
    table = "[[tensor]]\nname = 'w'\nshape = [2, 3]\ninit = 'he_normal'"
    assert only(f"seed = 1\n{table}").fans == (2, 3)
    assert only(f"seed = 1\nlayout = 'torch'\n{table}").fans == (3, 2)
    assert only(f"seed = 1\n{table}\nlayout = 'torch'").fans == (3, 2)


def test_axes_of_an_initializer_win() -> None:
    init = "{ he_normal = { input_axes = [0], output_axes = [1] } }"
    assert only(rule(f"match = 'w', init = {init}")).fans == (2, 3)


def test_rules_that_make_the_same_share_what_is_prepared() -> None:
    text = "seed = 1\nlet = { layers = 3 }\nrule = [{ match = '**', init = 'zeros' }]\n"
    first, second, third = parse(f"{text}[tensors]\n'{{layer}}' = [4]").tensors
    assert first.prepare() is second.prepare() is third.prepare()


def long_form(path: Path) -> Specification:
    return parse_specification(path.read_bytes(), str(path))


ROOT = Path(__file__).parents[2]


def test_gpt2_xl_is_what_it_is_by_hand() -> None:
    plan = long_form(ROOT / "examples" / "gpt2-xl.toml")
    by_hand = {t.name: t for t in long_form(ROOT / "tests/vectors/gpt2_xl_by_hand.toml").tensors}
    assert len((ROOT / "examples" / "gpt2-xl.toml").read_text().splitlines()) == 23
    assert len(plan.tensors) == len(by_hand) == 580
    for tensor in plan.tensors:
        other = by_hand[tensor.name]
        assert (tensor.shape, tensor.dtype) == (other.shape, other.dtype)
        one, two = tensor.initializer(), other.initializer()
        assert (type(one), one.get_config()) == (type(two), two.get_config())
    for name in ("wpe.weight", "h.47.mlp.c_proj.weight", "h.3.attn.c_attn.bias"):
        [tensor] = [t for t in plan.tensors if t.name == name]
        assert tensor.prepare().draw().tobytes() == by_hand[name].prepare().draw().tobytes()


def test_llama_1b_is_what_torchtitan_says() -> None:
    plan = long_form(ROOT / "examples" / "llama-1b.toml")
    assert len((ROOT / "examples" / "llama-1b.toml").read_text().splitlines()) == 20
    assert plan.elements == 1_235_814_400
    assert len(plan.tensors) == 146
    assert plan.tied == {"lm_head.weight": "model.embed_tokens.weight"}
    by_hand = {
        "model.embed_tokens.weight": ((128256, 2048), 1 / math.sqrt(2048)),
        "model.norm.weight": ((2048,), None),
    }
    for n in range(16):
        name = f"model.layers.{n}"
        deep = 0.02 / math.sqrt(2 * (n + 1))
        by_hand |= {
            f"{name}.input_layernorm.weight": ((2048,), None),
            f"{name}.post_attention_layernorm.weight": ((2048,), None),
            f"{name}.self_attn.q_proj.weight": ((2048, 2048), 0.02),
            f"{name}.self_attn.k_proj.weight": ((512, 2048), 0.02),
            f"{name}.self_attn.v_proj.weight": ((512, 2048), 0.02),
            f"{name}.self_attn.o_proj.weight": ((2048, 2048), deep),
            f"{name}.mlp.gate_proj.weight": ((8192, 2048), 0.02),
            f"{name}.mlp.up_proj.weight": ((8192, 2048), deep),
            f"{name}.mlp.down_proj.weight": ((2048, 8192), deep),
        }
    assert {t.name for t in plan.tensors} == set(by_hand)
    for tensor in plan.tensors:
        shape, stddev = by_hand[tensor.name]
        config = tensor.initializer().get_config()
        assert tensor.shape == shape
        assert config.get("stddev") == stddev, tensor.name
        assert config.get("cut") == (3.0 if "embed" in tensor.name else None)


def test_many_names_and_rules_are_resolved_quickly() -> None:
    names = {
        f"h.{n}.{m}.{k}": (16, 16)
        for n in range(2000)
        for m in ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj", "ln_1")
        for k in ("weight", "bias")
    }
    rules = [
        {"match": f"x{n}_proj.weight", "init": "he_normal", "optional": True} for n in range(24)
    ]
    rules += [
        {"match": f"blk.{{l}}.y{n}.*", "init": {"normal": "1 / l"}, "optional": True}
        for n in range(24)
    ]
    plan = Plan([*rules, ("ln_*.weight", "ones"), ("**", {"normal": 0.02})], seed=1)
    made = plan.resolve(names)
    assert len(made.tensors) == 20_000
    # Two entries are all that they are made of.
    assert len({id(tensor.entry) for tensor in made.tensors}) == 2
