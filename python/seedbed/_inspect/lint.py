"""Whether the values of a checkpoint are as they should be.

What: `lint` turns statistics into findings, with what a specification expects or, without one, for
what is wrong whatever was meant.
Method: the limits of `limits`; what one rule made is also tested as one, which finds what no tensor
has the values to show. Tensors of a group that fail alike are one finding.
Promises: a false alarm has the probability that `limits` states.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from seedbed._checkpoint.finding import Finding, Level
from seedbed._checkpoint.reader import Stored
from seedbed._inspect import limits
from seedbed._inspect.faults import Context, explain
from seedbed._inspect.fold import fold, numbers_in
from seedbed._inspect.statistics import SIGNS, Statistics
from seedbed._law import Law
from seedbed._spec.model import TensorSpec

# The fewest values of which equal ones cannot be chance, in any dtype that is fine enough.
_FEW: Final = 32
# Cuts that people make.
_CUTS: Final = (2.0, 3.0)
_EMBEDDINGS: Final = ("embed", "wte", "wpe", "shared")


@dataclass(frozen=True, slots=True)
class Measured:
    """A tensor with its statistics, and what is expected of it."""

    stored: Stored
    statistics: Statistics
    expected: TensorSpec | None = None
    law: Law | None = None

    @property
    def name(self) -> str:
        return self.stored.name

    @property
    def is_drawn(self) -> bool:
        """Whether its values are random, as far as that is known."""
        if self.law is not None:
            return self.law.kind != "other" and self.law.std != 0
        moments = self.statistics.moments
        return moments.low < moments.high and self.dtype.kind not in "iub"

    @property
    def dtype(self) -> np.dtype[np.generic]:
        assert self.stored.dtype is not None
        return self.stored.dtype


@dataclass(frozen=True, slots=True)
class _Failure:
    """What one tensor fails; those of a group that fail alike are told together."""

    id: str
    level: Level
    tensor: Measured
    # Goes on after the tensor's name; takes how many tensors it stands for.
    say: Callable[[Sequence[Measured]], str]
    measured: float | None = None
    expected: float | None = None
    allowed: tuple[float | None, float | None] | None = None


def lint(tensors: Sequence[Measured], *, deep: bool = False) -> list[Finding]:
    """Return what is wrong with `tensors`, with the distribution as a whole where `deep`."""
    layers = _layers(tensors)
    failures: list[_Failure] = []
    tensors = [_without_zero_row(tensor, failures) for tensor in tensors]
    for tensor in tensors:
        failures += _of_any(tensor)
        if tensor.law is not None and not tensor.statistics.moments.nan:
            failures += _of_law(tensor, tensor.law, layers, deep)
    failed = {failure.tensor.name for failure in failures if failure.id in ("std", "mean")}
    failures += _of_rules([t for t in tensors if t.name not in failed])
    failures += _of_pairs(tensors)
    return _told(failures)


def _without_zero_row(tensor: Measured, failures: list[_Failure]) -> Measured:
    """Leave out the row that is to be zeros; a tensor that has none fails."""
    row = None if tensor.expected is None else tensor.expected.entry.zero_row
    if row is None or tensor.law is None:
        return tensor
    shape, statistics = tensor.stored.shape, tensor.statistics
    count = math.prod(shape[1:])
    rows = math.prod(shape[1:-1]) if len(shape) > 1 else 0
    if statistics.moments.zeros < count or statistics.zero_rows < rows:
        words = f"row {row} is not all zeros, expected for padding"
        failures.append(_Failure("zero-rows", "error", tensor, _constantly(words)))
        return tensor
    return replace(tensor, statistics=statistics.without_zeros(count, rows))


def _told(failures: Sequence[_Failure]) -> list[Finding]:
    """Return findings, one for the tensors of a group that fail alike."""
    findings = []
    for group in fold(
        failures,
        lambda failure: failure.tensor.name,
        lambda failure: (failure.id, failure.level, failure.tensor.stored.shape),
    ):
        first = group.members[0]
        members = [failure.tensor for failure in group.members]
        findings.append(
            Finding(
                first.id,
                first.level,
                f"{group.name}: {first.say(members)}",
                group.name,
                first.measured,
                first.expected,
                first.allowed,
                sum(member.stored.elements for member in members),
            )
        )
    return findings


def _of_any(tensor: Measured) -> list[_Failure]:
    """What is wrong whatever was meant."""
    moments, law = tensor.statistics.moments, tensor.law
    failures = []
    for kind, word, count in (("nan", "NaN", moments.nan), ("inf", "infinite", moments.inf)):
        if count:
            words = f"has {count} {word} values"
            failures.append(_Failure(kind, "error", tensor, _constantly(words), float(count), 0.0))
    rows = tensor.statistics.zero_rows
    if rows and tensor.is_drawn and (law is None or law.kind != "constant"):
        all_rows = math.prod(tensor.stored.shape[:-1])
        words = f"{rows} of {all_rows} rows are all zeros"
        level: Level = "warning"
        if any(word in tensor.name.lower() for word in _EMBEDDINGS):
            level, words = "note", f"{words}, for padding?"
        failures.append(_Failure("zero-rows", level, tensor, _constantly(words), float(rows), 0.0))
    return failures


def _of_law(tensor: Measured, law: Law, layers: dict[str, int], deep: bool) -> list[_Failure]:
    """What is not as expected."""
    moments = tensor.statistics.moments
    count = moments.count
    if count == 0 or law.mean is None or law.std is None or moments.inf:
        return []
    failures = _of_bounds(tensor, law)
    if law.std == 0:
        return failures
    sigma, mean = law.std, law.mean
    if moments.low == moments.high and count >= _FEW:
        words = (
            f"every value is {moments.low:.6g}, expected {law.kind} ones of deviation {sigma:.4g}"
        )
        failures.append(_Failure("constant", "error", tensor, _constantly(words)))
        return failures
    if limits.is_coarse(sigma, tensor.dtype):
        zeros = 100 * moments.zeros / count
        words = (
            f"{tensor.dtype.name} is too coarse for a deviation of {sigma:.3g}; "
            f"{zeros:.0f}% of the values are 0"
        )
        return [_Failure("coarse", "warning", tensor, _constantly(words), sigma)]
    if law.kind == "orthogonal":
        allowed = limits.orthogonal_limits(count, tensor.dtype)
        return failures + _of_deviation(tensor, law, allowed, layers)
    if law.kind not in limits.BOUNDED_KINDS:
        return failures
    failures += _of_deviation(tensor, law, limits.variance_limits(count, tensor.dtype), layers)
    # Where the deviation is too large the mean is as far off as that allows: it says nothing more.
    spread = max(sigma, moments.std) if failures else sigma
    off = limits.mean_limit(count) * spread
    if abs(moments.mean - mean) > off:
        words = f"mean {moments.mean:.4g}, expected {mean:.4g} +- {off:.2g}"
        failures.append(
            _Failure(
                "mean",
                "error",
                tensor,
                _constantly(words),
                moments.mean,
                mean,
                (mean - off, mean + off),
            )
        )
    if law.kind == "normal":
        failures += _of_extremes(tensor, law, wrong=any(f.id == "std" for f in failures))
    if (
        deep
        and tensor.statistics.patterns is not None
        and not any(failure.id in ("std", "mean", "cut") for failure in failures)
    ):
        distance = limits.distribution_distance(tensor.statistics.patterns, law, tensor.dtype)
        allowed_distance = limits.distribution_limit(count)
        if distance > allowed_distance:
            words = (
                f"the values are not distributed as {law.kind}: the distribution functions are "
                f"{distance:.4f} apart, {allowed_distance:.4f} at most by chance"
            )
            failures.append(
                _Failure(
                    "distribution",
                    "error",
                    tensor,
                    _constantly(words),
                    distance,
                    0.0,
                    (None, allowed_distance),
                )
            )
    return failures


def _of_bounds(tensor: Measured, law: Law) -> list[_Failure]:
    if law.low is None or law.high is None or law.kind == "orthogonal":
        return []
    moments = tensor.statistics.moments
    if tensor.dtype.kind in "iub":
        low, high = law.low, law.high
    else:
        low, high = (limits.rounded(bound, tensor.dtype) for bound in (law.low, law.high))
    if moments.low >= low and moments.high <= high:
        return []
    worst = moments.low if low - moments.low > moments.high - high else moments.high
    if law.kind == "constant":
        words = f"has the value {worst:.6g}, expected {law.low:.6g} everywhere"
    else:
        words = f"has the value {worst:.6g}, outside of {low:.6g} to {high:.6g}"
    return [_Failure("bounds", "error", tensor, _constantly(words), worst, law.mean, (low, high))]


def _of_extremes(tensor: Measured, law: Law, *, wrong: bool) -> list[_Failure]:
    """What the greatest value of a normal law shows, whose deviation may be `wrong` anyway."""
    assert law.std is not None
    assert law.mean is not None
    moments = tensor.statistics.moments
    furthest = max(moments.high - law.mean, law.mean - moments.low) / law.std
    most = limits.extreme_limit(moments.count)
    # Where all values are too large the greatest one is, too: it says nothing more.
    scale = max(1.0, moments.std / law.std) if wrong else 1.0
    if furthest > most * scale:
        words = f"a value is {furthest:.1f} deviations from the mean, at most {most:.1f} expected"
        allowed = (None, most)
        return [_Failure("extreme", "error", tensor, _constantly(words), furthest, None, allowed)]
    for cut in _CUTS:
        # A bound that was rounded is a little further out.
        if limits.surely_exceeded(moments.count, cut) and furthest <= cut * (1 + 2**-7):
            words = (
                f"no value is beyond {cut:g} deviations, expected a normal law "
                f"(cut at {furthest:.2f}, or uniform?)"
            )
            allowed_least = (cut, None)
            return [
                _Failure("cut", "error", tensor, _constantly(words), furthest, None, allowed_least)
            ]
    return []


def _of_deviation(
    tensor: Measured,
    law: Law,
    allowed: tuple[float | None, float],
    layers: dict[str, int],
) -> list[_Failure]:
    """What is wrong with the deviation, with the mistakes that would explain it."""
    assert law.std is not None
    assert law.mean is not None
    sigma = law.std
    r = tensor.statistics.moments.about(law.mean, sigma)
    low, high = allowed

    def fits(ratio: float) -> bool:
        square = ratio * ratio
        return (low is None or square >= low) and square <= high

    if fits(math.sqrt(r)):
        return []

    known = explain(math.sqrt(r), fits, _context(tensor, sigma, layers))
    why = " or ".join(f"{f.formula}{': ' + f.hint if f.hint else ''}" for f in known)
    what = "RMS" if law.kind == "orthogonal" else "std"

    def say(some: Sequence[Measured]) -> str:
        ratio = math.sqrt(_pooled(some))
        where = f" in {len(some)} tensors" if len(some) > 1 else ""
        explained = f" = {why}" if why else ""
        return (
            f"{what} {ratio * sigma:.3g}{where}, expected {sigma:.3g} "
            f"(ratio {ratio:.3g}{explained})"
        )

    bounds = (None if low is None else sigma * math.sqrt(low), sigma * math.sqrt(high))
    return [_Failure("std", "error", tensor, say, sigma * math.sqrt(r), sigma, bounds)]


def _pooled(tensors: Sequence[Measured]) -> float:
    """Return r of several tensors together."""
    total = weight = 0.0
    for tensor in tensors:
        law = tensor.law
        assert law is not None
        assert law.mean is not None
        assert law.std is not None
        count = tensor.statistics.moments.count
        total += tensor.statistics.moments.about(law.mean, law.std) * count
        weight += count
    return total / weight


def _context(tensor: Measured, sigma: float, layers: dict[str, int]) -> Context:
    fans = (1, 1)
    if tensor.expected is not None and len(tensor.stored.shape) > 0:
        fans = tensor.expected.fans
    kind, _ = numbers_in(tensor.name)
    return Context(sigma, fans[0], fans[1], tensor.stored.shape, layers.get(kind, 1))


def _layers(tensors: Iterable[Measured]) -> dict[str, int]:
    """Return how many layers tensors of each kind are in, by the first number of their names."""
    numbers: dict[str, set[int]] = {}
    for tensor in tensors:
        kind, found = numbers_in(tensor.name)
        if found:
            numbers.setdefault(kind, set()).add(found[0])
    return {kind: len(found) for kind, found in numbers.items()}


def _of_rules(tensors: Sequence[Measured]) -> list[_Failure]:
    """What all tensors of a rule show together."""
    rules: dict[tuple[object, np.dtype[np.generic]], list[Measured]] = {}
    for tensor in tensors:
        law, spec = tensor.law, tensor.expected
        if law is None or spec is None or law.kind not in limits.BOUNDED_KINDS or law.std is None:
            continue
        moments = tensor.statistics.moments
        if moments.count and not moments.inf and not limits.is_coarse(law.std, tensor.dtype):
            key = (spec.rule, None) if spec.rule is not None else (None, id(spec.entry))
            rules.setdefault((key, tensor.dtype), []).append(tensor)
    failures = []
    for (_, dtype), members in rules.items():
        if len(members) < 2:
            continue
        count = sum(member.statistics.moments.count for member in members)
        low, high = limits.variance_limits(count, dtype)
        r = _pooled(members)
        if (low is not None and r < low) or r > high:
            failures.append(_pooled_failure("std", members, math.sqrt(r), 1.0, "std"))
        mean = sum(_standard_mean(m) * m.statistics.moments.count for m in members) / count
        if abs(mean) > limits.mean_limit(count):
            failures.append(_pooled_failure("mean", members, mean, 0.0, "mean"))
    return failures


def _standard_mean(tensor: Measured) -> float:
    law = tensor.law
    assert law is not None
    assert law.mean is not None
    assert law.std is not None
    return (tensor.statistics.moments.mean - law.mean) / law.std


def _pooled_failure(
    kind: str, members: Sequence[Measured], measured: float, expected: float, word: str
) -> _Failure:
    words = (
        f"and {len(members) - 1} more tensors of one rule: {word} of all, in units of what is "
        f"expected, is {measured:.4f}, not {expected:g}"
    )
    return _Failure(f"pooled-{kind}", "error", members[0], _constantly(words), measured, expected)


def _of_pairs(tensors: Sequence[Measured]) -> list[_Failure]:
    """Tensors that have each other's numbers."""
    failures = []
    seen: dict[tuple[object, ...], Measured] = {}
    signs: dict[int, Measured] = {}
    for tensor in tensors:
        moments = tensor.statistics.moments
        if moments.count < _FEW or not tensor.is_drawn or moments.low == moments.high:
            continue
        level: Level = "warning" if _has_own_seed(tensor) else "error"
        key = (
            tensor.stored.code,
            tensor.stored.elements,
            tensor.statistics.start,
            moments.mean,
            moments.squares,
        )
        other = seen.setdefault(key, tensor)
        if other is not tensor:
            words = f"has the values of {other.name}"
            failures.append(_Failure("identical", level, tensor, _constantly(words)))
            continue
        if moments.count < SIGNS or not _is_symmetric(tensor):
            continue
        twin = signs.setdefault(tensor.statistics.signs, tensor)
        if twin is not tensor:
            words = f"has the random numbers of {twin.name} (one seed for both?)"
            failures.append(_Failure("same-numbers", level, tensor, _constantly(words)))
    return failures


def _constantly(words: str) -> Callable[[Sequence[Measured]], str]:
    return lambda some: words if len(some) == 1 else f"{words} ({len(some)} tensors)"


def _has_own_seed(tensor: Measured) -> bool:
    """Whether the specification itself gives the tensor a seed, which others may have too."""
    return tensor.expected is not None and tensor.expected.entry.keyed is None


def _is_symmetric(tensor: Measured) -> bool:
    """Whether the signs of the first values are as if a coin was tossed."""
    if tensor.law is not None:
        if not tensor.law.symmetric or tensor.law.std is None:
            return False
        return not limits.is_coarse(tensor.law.std, tensor.dtype)
    # Without a specification: signs of which 32 to 96 are negative are unequal for other tensors.
    return 32 <= tensor.statistics.signs.bit_count() <= SIGNS - 32
