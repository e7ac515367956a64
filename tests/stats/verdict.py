"""From statistics to a verdict: p-values, their correction, the level.

A row of the table is one hypothesis. Where it looks at k statistics its p is k times the smallest
of theirs, at most 1 (Bonferroni), so a right generator fails a row with probability below LEVEL.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy import special, stats

LEVEL = 1e-6


@dataclass(frozen=True)
class Result:
    """What a row found: in words, and the corrected p.

    Without a p the row was an enumeration, in which nothing is random: then `within` says whether
    what was found is within the bound named in `level`.
    """

    found: str
    p: float | None = None
    within: bool = True
    level: str = f"{LEVEL:g}"

    @property
    def is_good(self) -> bool:
        return self.within if self.p is None else self.p > LEVEL


def corrected(parts: Iterable[tuple[str, float]]) -> Result:
    """The worst of some statistics, each told in words with its own p."""
    parts = list(parts)
    found, p = min(parts, key=lambda part: part[1])
    if len(parts) > 1:
        found = f"{found}; worst of {len(parts)}"
    return Result(found, min(1.0, len(parts) * p))


def chi_square(counts: np.ndarray, expected: np.ndarray, what: str = "") -> tuple[str, float]:
    """Chi-square, two-sided: counts that are too even are as wrong as uneven ones."""
    assert expected.min() > 20, "too few are expected for the chi-square distribution to hold"
    assert abs(counts.sum() - expected.sum()) < 1e-6 * counts.sum()
    statistic = float(((counts - expected) ** 2 / expected).sum())
    freedom = len(counts) - 1
    p = 2 * min(stats.chi2.sf(statistic, freedom), stats.chi2.cdf(statistic, freedom))
    return f"{what}chi2 {statistic:.0f} of {freedom}", float(min(p, 1.0))


def standard(z: np.ndarray | float, what: str) -> tuple[str, float]:
    """The farthest of statistics that are standard normal, corrected for their number."""
    z = np.atleast_1d(z)
    farthest = float(np.abs(z).max())
    return f"{what} z {farthest:.2f}", min(1.0, z.size * 2 * float(special.ndtr(-farthest)))


def poisson(count: int, expected: float, what: str) -> tuple[str, float]:
    """A count of rare events, two-sided."""
    p = 2 * min(stats.poisson.cdf(count, expected), stats.poisson.sf(count - 1, expected))
    return f"{what}: {count} of {expected:.5g}", float(min(p, 1.0))


# In so many draws the deviations that an enumeration finds may move chi-square by so many of its
# standard deviations: far enough from the 4.75 of LEVEL that 3 runs in 1000 would fail for them.
UNSEEN_DRAWS, UNSEEN_SHIFT = 1e9, 2.0


def enumerated(shares: np.ndarray, expected: np.ndarray) -> Result:
    """Exact probabilities of cells against those they should have.

    In a sample of n, deviations raise the mean of chi-square by n * sum((share - p)^2 / p), here
    told in its standard deviations, sqrt(2 * cells), at n = UNSEEN_DRAWS.
    """
    deviations = shares / expected - 1
    square = float((expected * deviations**2).sum())
    shift = UNSEEN_DRAWS * square / math.sqrt(2 * len(expected))
    worst = float(np.abs(deviations).max())
    found = f"{len(expected)} cells off by {math.sqrt(square):.2g} rms, {worst:.2g} at most"
    found += f": {shift:.2g} sd"
    return Result(found, within=shift < UNSEEN_SHIFT, level="exact: 2 sd at 1e9")
