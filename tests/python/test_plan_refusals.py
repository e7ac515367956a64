"""What is refused of a plan, and with which words."""

from __future__ import annotations

import pytest

from plans import RULE, W, assert_refused, rule

REFUSED = [
    # The keys of a plan.
    ("seed = 1\nrule = 3" + W, ["`rule` must be an array of tables"]),
    ("seed = 1\nrule = []" + W, ["`rule` must be one or more rules"]),
    ("seed = 1\nrule = [3]" + W, ["rule 1: `rule` must be a table. Received: 3"]),
    (RULE, ["`tensor` is missing; `tensors` or `model`"]),
    (RULE + "tensors = 3", ["`tensors` must be a table of name = shape"]),
    (RULE + "model = 3", ["`model` must be the path"]),
    (RULE + "model = 'x'" + W, ["`model` and `tensors` exclude each other"]),
    (RULE + "model = 'missing.json'", ["`model` cannot be used", "missing.json"]),
    (RULE + "preset = 'gpt3'" + W, ["`preset` must be one of bert,", "Received: 'gpt3'"]),
    (RULE + "layout = 'tf'" + W, ["`layout` must be one of torch, keras"]),
    (RULE + "forward = 3" + W, ["`forward` must be a table"]),
    (RULE + "forward = { a = 'b' }" + W, ["`forward.a` has `b`, which is no variable"]),
    (RULE + "let = 3" + W, ["`let` must be a table"]),
    (RULE + "let = { x = true }" + W, ["`let.x` must be a number"]),
    (RULE + "let = { x = inf }" + W, ["`let.x` must be a finite number"]),
    (RULE + "let = { x = 1" + "0" * 400 + " }" + W, ["`let.x` must be a finite number"]),
    (RULE + "let = { x = '1 +' }" + W, ["`let.x` is no expression: it ends too early"]),
    (RULE + "let = { x = 'y', y = 1 }" + W, ["`let.x` has `y`, which is no variable"]),
    (RULE + 'let = { "a b" = 1 }' + W, ["`let.a b` must be named like a variable"]),
    (RULE + "let = { fan_in = 1 }" + W, ["`let.fan_in` has another meaning already"]),
    (RULE + "let = { d0 = 1 }" + W, ["`let.d0` has another meaning already"]),
    (RULE + "let = { sqrt = 1 }" + W, ["`let.sqrt` has another meaning already"]),
    (RULE + "let = { layrs = 1 }" + W, ["`let.layrs` is not used"]),
    # The keys of a rule.
    (rule('init = "zeros"'), ["rule 1: `match` is missing"]),
    (rule('match = [], init = "zeros"'), ["`match` must be a pattern, or an array"]),
    (rule('match = [3], init = "zeros"'), ["`match` must be a pattern, or an array"]),
    (rule('match = "{", init = "zeros"'), ["rule 1 (`{`): `match` has a brace without"]),
    (rule('match = "w", int = "zeros"'), ["rule 1 (`w`): `int` is not a key", "optional, lr"]),
    (rule('match = "w"'), ["`init` is missing"]),
    (rule('match = "w", init = "zeros", tie = "x"'), ["`init` and `tie` exclude each other"]),
    (rule('match = "w", tie = "x", omit = true'), ["`init` and `omit` exclude each other"]),
    (rule('match = "w", omit = 1'), ["`omit` must be true or false"]),
    (rule('match = "w", init = "zeros", optional = 1'), ["`optional` must be true or false"]),
    (rule('match = "w", tie = 3'), ["`tie` must be the name of a tensor"]),
    (rule('match = "w", tie = "x", layout = "keras"'), ["`layout` needs `init`"]),
    (rule('match = "w", init = "zeros", dtype = "int4"'), ["`dtype` must be one of"]),
    (rule('match = "w", init = "zeros", layout = 1'), ["`layout` must be one of"]),
    (rule('match = "w", init = "he_normal", batch_axes = 0'), ["`batch_axes` must be an array"]),
    (rule('match = "w", init = "he_normal", batch_axes = [1.5]'), ["`batch_axes` must be an ar"]),
    (rule('match = "w", init = "he_normal", input_axes = [0]'), ["`output_axes` is missing"]),
    (rule('match = "w", init = "he_normal", output_axes = [0]'), ["`input_axes` is missing"]),
    (
        rule('match = "w", init = "he_normal", batch_axes = [2]'),
        ["rule 1 (`w`): tensor `w`: `batch_axes` must be axes of a tensor of rank 2, not 2"],
    ),
    (
        rule('match = "w", init = "he_normal", batch_axes = [0, -2]'),
        ["`batch_axes` has axis -2 twice"],
    ),
    (
        rule('match = "w", init = "he_normal", input_axes = [0], output_axes = [0]'),
        ["`input_axes` has axis 0, which has another part already"],
    ),
    (rule('match = "w", init = "he_normal", groups = 0'), ["`groups` must be an integer >= 1"]),
    (rule('match = "w", init = "he_normal", groups = 1.5'), ["`groups` must be an integer >= 1"]),
    (rule('match = "w", init = "he_normal", groups = 4'), ["`groups` must divide fan_out"]),
    (rule('match = "w", init = "he_normal", groups = "x"'), ["`groups` has `x`, which is no vari"]),
    (rule('match = "w", init = "he_normal", blocks = 1'), ["`blocks` must be a table"]),
    (rule('match = "w", init = "he_normal", blocks = {}'), ["`blocks.sizes` must be an array"]),
    (rule('match = "w", init = "he_normal", blocks = { a = 1 }'), ["`blocks.a` is not a key"]),
    (
        rule('match = "w", init = "he_normal", blocks = { sizes = [1] }'),
        ["`blocks.sizes` must sum to 2, the length of axis 0. Received: [1]"],
    ),
    (
        rule('match = "w", init = "he_normal", blocks = { sizes = [1, "1/2", "1/2"] }'),
        ["`blocks.sizes[1]` must be an integer >= 0. Received: \"0.5, from '1/2'\""],
    ),
    (
        rule('match = "w", init = "he_normal", blocks = { axis = 2, sizes = [2] }'),
        ["`blocks.axis` must be an axis of [2, 3]"],
    ),
    (
        rule('match = "w", init = "he_normal", blocks = { axis = true, sizes = [2] }'),
        ["`blocks.axis` must be an integer"],
    ),
    (
        rule('match = "w", init = "he_normal", blocks = { sizes = [2], of = ["a", "b"] }'),
        ["`blocks.of` must be an array of 1 names"],
    ),
    # Initializers.
    (rule('match = "w", init = "hee_normal"'), ["`init`", "Did you mean `he_normal`?"]),
    (rule('match = "w", init = { hee_normal = 1 }'), ["`init`", "Did you mean `he_normal`?"]),
    (rule('match = "w", init = { he_normal = 1 }'), ["`init.he_normal` has no first number"]),
    (rule('match = "w", init = { normal = [1] }'), ["`init.normal` must be a number"]),
    (rule('match = "w", init = { normal = "0.02 /" }'), ["`init.normal` is no expression"]),
    (
        rule('match = "w", init = { normal = "1 / layers" }'),
        ["rule 1 (`w`): `init` has `layers`, which is no variable", "are none", "fan_in"],
    ),
    (
        rule('match = ["{a}.w", "w"], init = { normal = "a" }'),
        ["`init` has `a`, which is no variable; those of `let` and of `w` are none"],
    ),
    (rule('match = "w", init = { normal = "1 / (d0 - 2)" }'), ["`init.config.stddev` divides by"]),
    (rule('match = "w", init = { normal = "d5" }'), ["`init.config.stddev` has `d5`"]),
    (rule('match = "w", init = { normal = "-1" }'), ["tensor `w`: `init`", "stddev"]),
    (rule('match = "w", init = { normal = "1e9 ** 9" }', "\n[tensors]\nw = [1]"), ["`init`"]),
    (rule('match = "w", init = { truncated_normal = { cut = 0 } }'), ["`cut` must be positive"]),
    (
        rule('match = "w", init = "orthogonal"', "\n[tensors]\nw = [2, 3, 4]"),
        ["`init` makes a matrix of the last axis", 'layout = "keras"'],
    ),
    # Names with two meanings.
    (
        "seed = 1\nlet = { layer = 1 }\nrule = [{ match = '{layer}', init = { normal = 'layer' } }]"
        + W,
        ["`match` binds {layer}, which has another meaning already"],
    ),
    (rule('match = "{size}", init = "zeros"'), ["`match` binds {size}, which has another"]),
    # Which rule takes which tensor.
    (
        rule('match = "x", init = "zeros"'),
        ["m.toml: `rule` must match every tensor; none matches `w`"],
    ),
    (
        rule('match = "x", init = "zeros"', "let={ns=20}\n[tensors]\n'{n}.w'=[1]\n'x'=[1]"),
        ["none matches `0.w`, `1.w`,", "`9.w` and 10 more (write rules for them, or name a `pres"],
    ),
    (
        rule('match = "x", init = "zeros"', "\n[tensors]\n'a.A_log'=[1]\n'x'=[1]"),
        ["none matches `a.A_log` (Mamba's logarithms", "makes yet; ", "code by `omit = true`)"],
    ),
    (
        "seed = 1\nrule = [{ match = 'w', init = 'zeros' }, { match = 'x', init = 'zeros' }]" + W,
        ["rule 2 (`x`): `match` matches nothing"],
    ),
    (
        "seed = 1\nrule = [{ match = '*', init = 'zeros' }, { match = 'w', init = 'zeros' }]" + W,
        ["rule 2 (`w`): `match` is left with nothing: rule 1 takes all that it matches"],
    ),
    (
        "seed = 1\nrule = [{ match = 'a', init = 'zeros' }, { match = 'b', init = 'zeros' }, "
        "{ match = '?', init = 'zeros' }]\n[tensors]\n'{a,b}' = [1]",
        ["rule 3 (`?`): `match` is left with nothing: rules 1, 2 take all"],
    ),
    (rule('match = "**", init = "zeros"', f"[tensors]\n{'x' * 5000} = [1]"), ["at most 4096"]),
    # Ties.
    (rule('match = "w", tie = "x"'), ["tensor `w`: `tie` names `x`, which is none of the tensors"]),
    (rule('match = "w", tie = "w"'), ["`tie` goes in a ring: `w` -> `w`"]),
    (
        "seed = 1\nrule = [{ match = 'a', tie = 'b' }, { match = 'b', tie = 'a' }]\n"
        "[tensors]\n'{a,b}' = [1]",
        ["tensor `a`: `tie` goes in a ring: `a` -> `b` -> `a`"],
    ),
    (
        "seed = 1\nrule = [{ match = 'a', tie = 'b' }, { match = 'b', init = 'ones' }]\n"
        "[tensors]\na = [1]\nb = [2]",
        ["tensor `a`: `tie` needs tensors of one shape; `b` has [2]. Received: [1]"],
    ),
    (
        "seed = 1\nrule = [{ match = 'a', tie = 'b' }, { match = 'b', omit = true }]\n"
        "[tensors]\n'{a,b}' = [1]",
        ["tensor `a`: `tie` names `b`, which is left out"],
    ),
    # Lines of tensors.
    (RULE + "[tensors]\n'' = [1]", ["tensors (``): `name` must be a non-empty"]),
    (RULE + "[tensors]\n'__metadata__' = [1]", ["`name` is reserved"]),
    (RULE + '[tensors]\n"a\\u0007" = [1]', ["`name` must not have control characters"]),
    (RULE + "[tensors]\n'w' = 3", ["tensors (`w`): `shape` must be an array of integers"]),
    (RULE + "[tensors]\n'w' = [2.0]", ["`shape[0]` must be an integer >= 0. Received: 2.0"]),
    (RULE + "[tensors]\n'w' = ['5 / 2']", ["`shape[0]` must be an integer >= 0"]),
    (RULE + "[tensors]\n'w' = ['1 - 2']", ["`shape[0]` must be an integer >= 0"]),
    (RULE + "[tensors]\n'w' = ['9e18']", ["`shape[0]` must be at most 9007199254740992"]),
    (RULE + "[tensors]\n'w' = ['widht']", ["`shape[0]` has `widht`, which is no variable"]),
    (RULE + "[tensors]\n'{' = [1]", ["`tensors` has a brace without its partner"]),
    (RULE + "[tensors]\n'{1}' = [1]", ["`tensors` has {1}, which is neither"]),
    (RULE + "[tensors]\n'{layer}' = [1]", ["{layer}, whose count `layers` `let` lacks"]),
    (RULE + "let = { layers = 0 }\n[tensors]\n'{layer}' = [1]", ["`let.layers` must be an int"]),
    (RULE + "let = { layers = 1.5 }\n[tensors]\n'{layer}' = [1]", ["`let.layers` must be an i"]),
    (RULE + "let = { layers = 1e7 }\n[tensors]\n'{layer}' = [1]", ["more than 1000000 tensors"]),
    (
        RULE + "let = { layers = 2, layer = 1 }\n[tensors]\n'{layer}' = ['layer']",
        ["has {layer}, which `let` has too"],
    ),
    (
        RULE + "[tensors]\n'{a,b}' = [1]\n'b' = [1]",
        ["tensors (`b`): `name` must be unique; `{a,b}` has it too. Received: 'b'"],
    ),
    (RULE + "[tensors]\n'{a,a}' = [1]", ["must be unique; this line makes it twice"]),
    (
        RULE + "[[tensor]]\nname = 'w'\nshape = [1]" + W,
        ["`name` must be unique; tensor 1 has it too"],
    ),
]


@pytest.mark.parametrize(("text", "parts"), REFUSED, ids=[parts[0] for _, parts in REFUSED])
def test_what_is_refused_and_how(text: str, parts: list[str]) -> None:
    assert_refused(text, parts)
