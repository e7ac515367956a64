"""What looks like a mistake in a plan, before a value is drawn.

What: `lint` looks at what a plan makes of a model's tensors; `lint_values` at the part of it that
needs no plan, for whoever has a `Specification` alone.
Method: each check is a function of one kind of tensor: those that differ by the numbers in their
names only are one, and are counted. A plan with a preset is compared with what the preset itself
would make of each tensor.
Promises: findings in the order of the tensors; no value is drawn.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from seedbed import initializers
from seedbed._checkpoint.finding import Finding, Level
from seedbed._inspect.faults import Context, explain
from seedbed._inspect.limits import is_coarse, least_step
from seedbed._law import Law, normal_within
from seedbed._plan.document import Document
from seedbed._plan.entries import Tensor, make_entry
from seedbed._plan.patterns import MAX_LENGTH, REGULAR, Match, Pattern
from seedbed._plan.resolve import special
from seedbed._plan.rules import Rule
from seedbed._spec.error import SpecError, shortened
from seedbed._spec.model import Specification, TensorSpec

# Deviations that no recipe has.
_MAX_STD: Final = 10.0
# A cut that takes away less than 2 in 10^9 is meant in other units.
_MAX_CUT: Final = 6.0

# Ratios of deviations that differ by rounding alone.
_SAME: Final = 1e-6
_DIGITS: Final = re.compile(r"(?<![0-9])[0-9]+(?![0-9])")
_WILDCARDS: Final = re.compile(r"\*|\?|\[[^]]*\]|\{\w*\}")
_NORM: Final = [Pattern("*norm*.weight"), Pattern("ln_*.weight"), Pattern("*{Norm,norm}*.scale")]
_BIAS: Final = Pattern("*bias")
_EMBEDDING: Final = [
    Pattern("{wte,wpe,embed_tokens,word_embeddings,embeddings,embed_in,shared}.weight"),
    Pattern("{tok_embeddings,position_embeddings,embed_positions}.weight"),
]
_HEAD: Final = Pattern("/{lm_head,embed_out,output}.weight")
_EXPERTS: Final = re.compile(r"(?:^|[./_])experts?(?:[./_]|$)")
_RANDOM: Final = ("normal", "uniform", "truncated_normal", "orthogonal")


@dataclass(slots=True)
class _Kind:
    """Tensors of one rule that differ by the numbers in their names only."""

    first: TensorSpec
    rule: Rule | None
    count: int = 1

    @property
    def where(self) -> str:
        """What they are called, for people."""
        if self.count == 1:
            return f"`{shortened(self.first.name)}`"
        return f"`{shortened(_DIGITS.sub('*', self.first.name))}` ({self.count} tensors)"


def lint(document: Document, specification: Specification) -> list[Finding]:
    """Return what looks like a mistake in a plan and what it makes."""
    kinds = _kinds(document, specification)
    found = [
        finding
        for kind in kinds
        for finding in (*_of_values(kind), *_of_rules(document, kind, kind.first.law()))
    ]
    return [*found, *_shadows(document, kinds), *_ties(document, specification)]


def lint_values(specification: Specification) -> list[Finding]:
    """Return what of it needs no plan: values that no dtype or no recipe has."""
    return [finding for kind in _kinds(None, specification) for finding in _of_values(kind)]


def _of_values(kind: _Kind) -> Iterator[Finding]:
    law = kind.first.law()
    yield from _coarse(kind, law)
    yield from _deviation(kind, law)
    yield from _cut(kind, law)


def _of_rules(document: Document, kind: _Kind, law: Law) -> Iterator[Finding]:
    yield from _fan(document, kind)
    yield from _norm(kind, law)
    yield from _bias(kind, law)
    yield from _special(kind)
    yield from _preset(document, kind, law)


def _kinds(document: Document | None, specification: Specification) -> list[_Kind]:
    kinds: dict[object, _Kind] = {}
    for tensor in specification.tensors:
        # An entry has one law; layers may have an entry each.
        key = (tensor.rule, _DIGITS.sub("*", tensor.name), tensor.shape, tensor.dtype)
        if kind := kinds.get(key):
            kind.count += 1
            continue
        rule = None if document is None or tensor.rule is None else document.rules[tensor.rule - 1]
        kinds[key] = _Kind(tensor, rule)
    return list(kinds.values())


def _finding(id: str, level: Level, kind: _Kind, message: str, **numbers: Any) -> Finding:
    by = "" if kind.rule is None else f", by rule {kind.rule.number} (`{kind.rule.shown}`)"
    return Finding(id, level, f"{kind.where}{by}: {message}", kind.first.name, **numbers)


def _coarse(kind: _Kind, law: Law) -> Iterator[Finding]:
    """A dtype whose smallest steps are too large for the deviation."""
    dtype = kind.first.dtype
    is_float = dtype.kind == "f" or "float" in dtype.name
    if law.kind not in _RANDOM or not law.std or not is_float or not is_coarse(law.std, dtype):
        return
    least = least_step(dtype)
    # What is nearer to 0 than half a step becomes 0.
    zeros = 100 * normal_within(least / 2 / law.std)
    yield _finding(
        "coarse",
        "warning",
        kind,
        f"{dtype} is too coarse for a std of {law.std:.3g}: its least number is {least:.3g}, about "
        f"{zeros:.2g}% of the values become 0, and the variance is not kept",
        measured=law.std,
    )


def _deviation(kind: _Kind, law: Law) -> Iterator[Finding]:
    """A deviation of nothing, or of more than any recipe has."""
    drawn = isinstance(
        kind.first.entry.template,
        initializers.RandomNormal | initializers.TruncatedNormal | initializers.RandomUniform,
    )
    if drawn and law.kind == "constant":
        yield _finding("zero-std", "warning", kind, f"every value is {law.mean:.6g}", measured=0.0)
    if law.std is not None and law.std > _MAX_STD:
        message = f"std {law.std:.6g} is more than any recipe has"
        yield _finding("large-std", "warning", kind, message, measured=law.std, expected=_MAX_STD)


def _cut(kind: _Kind, law: Law) -> Iterator[Finding]:
    """Bounds that no value reaches, as absolute ones given as deviations are."""
    if law.cut is not None and law.cut > _MAX_CUT:
        yield _finding(
            "cut",
            "warning",
            kind,
            f"cut at {law.cut:.6g} deviations, where no value is: `cut` is in units of stddev",
            measured=law.cut,
            expected=_MAX_CUT,
        )


def _fan(document: Document, kind: _Kind) -> Iterator[Finding]:
    """A fan that means nothing."""
    if kind.rule is not None and kind.rule.preset is not None:
        return
    tensor, rank = kind.first, len(kind.first.shape)
    recipe = None if kind.rule is None else kind.rule.recipe
    used = recipe is not None and any(name.startswith("fan_") for name in recipe.init.names)
    if not used and not isinstance(tensor.entry.template, initializers.VarianceScaling):
        return
    if rank < 2:
        yield _finding("fan-vector", "warning", kind, f"a fan of a tensor of rank {rank}")
    elif _fits(_EMBEDDING, tensor.name):
        yield _finding("fan-embedding", "warning", kind, "a fan of an embedding, which has none")
    batch = () if recipe is None or recipe.axes is None else recipe.axes.batch
    experts = document.let.get("experts")
    stacked = experts is not None and rank > 2 and tensor.shape[0] == experts
    if rank > 2 and not batch and (stacked or _EXPERTS.search(tensor.name)):
        yield _finding(
            "fan-experts",
            "warning",
            kind,
            f"the fans {tensor.fans[0]} and {tensor.fans[1]} count the experts; give the rule "
            "`batch_axes = [0]`",
        )


def _norm(kind: _Kind, law: Law) -> Iterator[Finding]:
    """Scales of norms that are drawn."""
    own = kind.rule is None or kind.rule.preset is None
    if own and law.kind in _RANDOM and _fits(_NORM, kind.first.name):
        yield _finding("random-norm", "warning", kind, f"the scale of a norm is {law.kind}")


def _bias(kind: _Kind, law: Law) -> Iterator[Finding]:
    """Biases that are drawn."""
    own = kind.rule is None or kind.rule.preset is None
    is_vector = len(kind.first.shape) < 2
    if own and is_vector and law.kind in _RANDOM and _BIAS.match(kind.first.name):
        yield _finding("random-bias", "warning", kind, f"a bias is {law.kind}")


def _special(kind: _Kind) -> Iterator[Finding]:
    """Tensors that have a formula of their own, and something else here."""
    if reason := special(kind.first.name):
        message = f"{reason} have a formula of their own, which no initializer makes"
        yield _finding("special", "warning", kind, message)


def _preset(document: Document, kind: _Kind, law: Law) -> Iterator[Finding]:
    """What one's own rule has otherwise than the preset, where that looks like a mistake."""
    rule, tensor = kind.rule, kind.first
    if rule is None or rule.preset is not None or rule.recipe is None:
        return
    found = _of_preset(document, tensor.name)
    if found is None or found[0].recipe is None:
        return
    other, match = found
    assert other.recipe is not None
    variables = {key: float(value) for key, value in match.variables.items()}
    described = Tensor(tensor.name, tensor.shape, tensor.dtype, variables)
    stream = tensor.specification.stream
    try:
        made = make_entry(other.recipe, described, document.let, other, None, stream, other.place)
    except SpecError:
        # The preset cannot make it, which is why it has a rule of its own.
        return
    expected = made.law
    if (expected.kind, expected.mean, law.kind, law.mean) == ("constant", 0.0, "constant", 1.0):
        yield _finding(
            "ones-norm",
            "warning",
            kind,
            f"is 1; in models of preset `{other.preset}` it acts as 1 + w and starts at 0",
        )
    if not expected.std or not law.std:
        return
    ratio = law.std / expected.std
    if abs(ratio - 1) <= _SAME:
        return
    layers = round(document.let.get("layers", kind.count))
    context = Context(expected.std, *tensor.fans, tensor.shape, layers)
    faults = explain(ratio, lambda rest: abs(rest - 1) <= _SAME, context)
    depth = {"layers", "layer"}
    if faults:
        why = " or ".join(f"{fault.formula}: {fault.hint}".rstrip(": ") for fault in faults)
    elif other.recipe.init.names & depth and not rule.recipe.init.names & depth:
        why = "no depth scale"
    else:
        return
    yield _finding(
        "preset-std",
        "warning",
        kind,
        f"std {law.std:.6g}; preset `{other.preset}` has {expected.std:.6g} (ratio {ratio:.4g}, "
        f"{why})",
        measured=law.std,
        expected=expected.std,
    )


def _of_preset(document: Document, name: str) -> tuple[Rule, Match] | None:
    """The preset's rule for a name."""
    for rule in document.rules:
        if rule.preset is not None and (match := rule.match(name)):
            return rule, match
    return None


def _shadows(document: Document, kinds: list[_Kind]) -> Iterator[Finding]:
    """Rules that come too late for a name that they are more exact for."""
    own = [rule for rule in document.rules if rule.preset is None]
    seen: set[tuple[int, int]] = set()
    for kind in kinds:
        if kind.rule is None or kind.rule.preset is not None:
            continue
        for later in own[kind.rule.number :]:
            pair = (kind.rule.number, later.number)
            if pair in seen or _exactness(later) <= _exactness(kind.rule):
                continue
            if later.match(kind.first.name):
                seen.add(pair)
                yield _finding(
                    "shadow",
                    "warning",
                    kind,
                    f"rule {later.number} (`{later.shown}`) is more exact and comes too late",
                )


def _exactness(rule: Rule) -> int:
    """How many characters of a name the least exact pattern of a rule fixes."""
    texts = [pattern.text for pattern in rule.patterns]
    return min(
        MAX_LENGTH if text.startswith(REGULAR) else len(_WILDCARDS.sub("", text)) for text in texts
    )


def _ties(document: Document, specification: Specification) -> Iterator[Finding]:
    """Tensors that are shared, and are not the same or are written twice."""
    written = {tensor.name: tensor for tensor in specification.tensors}
    for name, target in specification.tied.items():
        rule = next((rule for rule in document.rules if rule.match(name)), None)
        dtype = rule.dtype if rule is not None else None
        if dtype is not None and dtype != written[target].dtype:
            yield Finding(
                "tie-dtype",
                "warning",
                f"`{shortened(name)}`: is {dtype} by its rule, and shares `{shortened(target)}`, "
                f"which is {written[target].dtype}",
                name,
            )
    if specification.model is None or not _config_ties(specification.model):
        return
    head = next((name for name in written if _HEAD.match(name)), None)
    embedding = next((name for name in written if _fits(_EMBEDDING[:1], name)), None)
    if head is not None and embedding is not None:
        yield Finding(
            "untied-head",
            "warning",
            f"`{shortened(head)}`: is written, and so is `{shortened(embedding)}`, though the "
            "model's configuration says that they are one; add a rule with `tie`",
            head,
        )


def _config_ties(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            config = json.load(file)
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(config, dict) and config.get("tie_word_embeddings") is True


def _fits(patterns: list[Pattern], name: str) -> bool:
    return any(pattern.match(name) for pattern in patterns)
