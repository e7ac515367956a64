"""Plans in TOML, for the tests of what they mean and of what is refused."""

from __future__ import annotations

import pytest

from seedbed._spec.error import SpecError
from seedbed._spec.model import Specification, TensorSpec
from seedbed._spec.reader import parse_specification


def parse(text: str) -> Specification:
    return parse_specification(text.encode(), "m.toml")


def only(text: str) -> TensorSpec:
    [tensor] = parse(text).tensors
    return tensor


RULE = 'seed = 1\nrule = [{ match = "**", init = "zeros" }]\n'
W = "\n[tensors]\n'w' = [2, 3]\n"


def rule(text: str, tensors: str = W) -> str:
    return f"seed = 1\nrule = [{{ {text} }}]\n{tensors}"


def assert_refused(text: str, parts: list[str]) -> None:
    """The plan `text` is an error in one line, in which `parts` follow each other."""
    with pytest.raises(SpecError) as caught:
        parse(text)
    message = str(caught.value)
    assert message.startswith("m.toml: ")
    assert message.isprintable()
    assert len(message) < 900
    position = 0
    for part in parts:
        position = message.find(part, position)
        assert position >= 0, (part, message)
