"""Patterns over names: what fits, where it begins, what its variables are."""

from __future__ import annotations

import contextlib
import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seedbed._plan.patterns import MAX_ALTERNATIVES, Pattern, PatternError, expand


def fits(pattern: str, name: str) -> bool:
    return Pattern(pattern).match(name) is not None


@pytest.mark.parametrize(
    ("pattern", "fitting", "not_fitting"),
    [
        (
            "c_proj.weight",
            ["c_proj.weight", "h.0.attn.c_proj.weight", "h/0/c_proj/weight"],
            ["xc_proj.weight", "c_proj.weight.x", "c_proj_weight", "C_proj.weight"],
        ),
        ("/h.*.w", ["h.0.w", "h/0/w"], ["a.h.0.w", "h.0.1.w", "h.w"]),
        ("*.bias", ["a.bias", "a.b.bias", "a/bias"], ["bias", "a.xbias", "a.bias.b"]),
        ("*bias", ["bias", "a.bias", "a.xbias"], ["bias.a"]),
        ("ln_*.weight", ["ln_1.weight", "h.0.ln_f.weight"], ["ln_.1.weight", "xln_1.weight"]),
        ("ln_?", ["ln_1"], ["ln_", "ln_12", "ln_."]),
        ("h.[0-3].w", ["h.0.w", "h.3.w"], ["h.4.w", "h.03.w", "h...w"]),
        ("h.[!0-3].w", ["h.4.w", "h.x.w"], ["h.0.w", "h...w"]),
        ("[+-9]x", ["/+x", "-x", "1x"], ["..x"]),
        ("a[]]b", ["a]b"], ["ab"]),
        ("a[!]]b", ["axb"], ["a]b"]),
        ("**", ["", "a", "a.b"], []),
        ("h.**.w", ["h.0.w", "h.0.1.w", "x.h.0.w"], ["h.w", "h.0.w.x"]),
        ("h**w", ["hw", "h.w", "h.0.w", "h0.1w"], ["h0.1wx"]),
        ("{wte,wpe}.weight", ["wte.weight", "x.wpe.weight"], ["wxe.weight"]),
        ("a{,_b}.w", ["a.w", "a_b.w"], ["a_.w"]),
        ("{a.b,c}.w", ["a.b.w", "c.w", "x/a/b/w"], ["a.w"]),
        ("h.{layer}.w", ["h.0.w", "h.12.w"], ["h.x.w", "h.1x.w", "h..w", "h.-1.w"]),
        ("h{layer}.w", ["h12.w"], ["hx2.w"]),
        ("*a*a*b", ["aab", "xaxaxb", "aaab"], ["ab", "a.a.b"]),
        ("a*b.c*d", ["ab.cd", "axbxb.cxd"], ["ab.c.d"]),
        # A part that the first star could take too early.
        ("*{abc,b}*c", ["abc", "bc"], ["ab"]),
        ("a**b*c", ["a.b.bxc", "a.bb.bxc"], ["a.b.c"]),
        (r"re:h\.\d+\.w", ["h.0.w"], ["x.h.0.w", "h.0.wx", "h/0/w"]),
    ],
)
def test_what_fits(pattern: str, fitting: list[str], not_fitting: list[str]) -> None:
    assert [name for name in fitting if not fits(pattern, name)] == []
    assert [name for name in not_fitting if fits(pattern, name)] == []


@pytest.mark.parametrize(
    ("pattern", "name", "variables", "start"),
    [
        ("h.{layer}.w", "h.7.w", {"layer": 7}, 0),
        ("h.{layer}.w", "model.h.012.w", {"layer": 12}, 6),
        ("l{a}.e{b}.*", "x/l1/e22/y", {"a": 1, "b": 22}, 2),
        ("{layer}.**.{expert}.w", "x.3.a.4.b.5.w", {"layer": 3, "expert": 5}, 2),
        ("c_proj.weight", "h.0.c_proj.weight", {}, 4),
        ("/h.w", "h.w", {}, 0),
        (r"re:(?P<x>.*)\.(?P<layer>\d+)\.(a|b)(?P<none>z)?", "h.3.a", {"layer": 3}, 0),
    ],
)
def test_variables_and_where_it_begins(
    pattern: str, name: str, variables: dict[str, int], start: int
) -> None:
    match = Pattern(pattern).match(name)
    assert match is not None
    assert (match.variables, match.start) == (variables, start)


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("", "must not be empty"),
        ("x" * 1001, "at most 1000 characters"),
        ("a{b", "brace without its partner"),
        ("a}b", "brace without its partner"),
        ("{a{b,c}}", "brace without its partner"),
        ("{}", "neither alternatives with a comma nor a variable"),
        ("{1}", "neither alternatives with a comma nor a variable"),
        ("{a.b}", "neither alternatives with a comma nor a variable"),
        ("{a*,b}", "wildcard in braces"),
        ("{a?,b}", "wildcard in braces"),
        ("{[a],b}", "wildcard in braces"),
        ("{x}.{x}", "a variable twice"),
        ("a[b", "bracket without its partner"),
        ("a[]", "bracket without its partner"),
        ("[b-a]", "the range b-a, which is empty"),
        ("a\0b", "control characters"),
        ("{a,b}" * 10, "more than 1000 combinations"),
        ("re:(", "is no regular expression"),
        ("re:(?P<a>x)(?P<a>y)", "is no regular expression"),
        ("re:" + "(" * 400, "is no regular expression"),
    ],
)
def test_what_is_no_pattern_says_why(pattern: str, message: str) -> None:
    with pytest.raises(PatternError, match=message):
        Pattern(pattern)


@given(st.text(max_size=40), st.text(max_size=40))
def test_any_text_is_a_pattern_or_an_error(pattern: str, name: str) -> None:
    with contextlib.suppress(PatternError):
        Pattern(pattern).match(name)


def slow(pattern: str) -> re.Pattern[str]:
    """The pattern as one regular expression that may try everything."""
    made = ""
    for part in re.split(r"(\*\*|\*|\?|\{[^}]*\})", pattern.replace("/", ".")):
        if part == "**":
            made += ".*"
        elif part == "*":
            made += "[^.]*"
        elif part == "?":
            made += "[^.]"
        elif part.startswith("{"):
            made += f"(?:{'|'.join(part[1:-1].split(','))})"
        else:
            made += re.escape(part)
    return re.compile(rf"(?:.*\.)?{made}", re.DOTALL)


PARTS = st.lists(st.sampled_from(["*", "**", "?", "a", "b", ".", "{a,b}", "{ab,b}"]), max_size=8)


@settings(max_examples=1000)
@given(PARTS.filter(bool), st.text("ab.", max_size=12))
def test_what_fits_is_what_fits_a_regular_expression(parts: list[str], name: str) -> None:
    pattern = "".join(parts)
    assert fits(pattern, name) == (slow(pattern).fullmatch(name) is not None)


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("*a" * 100 + "*b", "a" * 4000),
        ("**a" * 100 + "**b", "a" * 4000),
        ("**a*b" * 50, "ab." * 1300),
        ("*?*?*?*?*?*?*?*?*?*?x", "a" * 4000),
    ],
)
def test_hostile_patterns_take_no_time(pattern: str, name: str) -> None:
    started = time.process_time()
    assert Pattern(pattern).match(name) is None
    # Seconds, where trying every place of every star would take years.
    assert time.process_time() - started < 10


def test_alternatives_are_limited_exactly() -> None:
    alternatives = ",".join(map(str, range(MAX_ALTERNATIVES // 10)))
    few = ",".join("abcdefghij")
    assert len(Pattern(f"{{{alternatives}}}.{{{few}}}").forms) == MAX_ALTERNATIVES


def test_templates_of_names_are_taken_apart() -> None:
    assert expand("h.{layer}.ln_{1,2}.w") == [["h."], ["{layer}"], [".ln_"], ["1", "2"], [".w"]]
