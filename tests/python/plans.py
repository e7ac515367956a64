"""Plans in TOML, for the tests of what they mean and of what is refused."""

from __future__ import annotations

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
