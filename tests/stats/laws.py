"""The distributions that samplers promise, and the samplers' draws, chunk by chunk."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy import special

import reference_philox as reference
import seedbed

# What is drawn at a time, and what is computed from it, is some megabytes.
CHUNK = 1 << 18
# Longer than any run, and past 2^32: an array of which only blocks are ever made.
LENGTH = 1 << 42
SEED = 20_260_101

# Gives values number `first` to `first + count` of a sequence.
Source = Callable[[int, int], np.ndarray]


@dataclass(frozen=True)
class Law:
    """A distribution with unit parameters.

    `bounds` are those of a truncated normal in standard deviations; None is no bound.
    """

    name: str
    bounds: tuple[float, float] | None = None

    def cdf(self, x: np.ndarray) -> np.ndarray:
        """The distribution function."""
        if self.name == "uniform":
            return np.clip(x, 0.0, 1.0)
        if self.bounds is None:
            return special.ndtr(x)
        low, high = special.ndtr(self.bounds)
        return np.clip((special.ndtr(x) - low) / (high - low), 0.0, 1.0)

    def quantile(self, p: np.ndarray) -> np.ndarray:
        """The inverse of the distribution function."""
        if self.name == "uniform":
            return p
        low, high = (0.0, 1.0) if self.bounds is None else special.ndtr(self.bounds)
        return special.ndtri(low + p * (high - low))

    def support(self, dtype: str) -> tuple[float, float]:
        """The first and last number that a dtype has for it."""
        numbers = reference.Format.of(reference.DTYPES[dtype])
        if self.name == "uniform":
            return reference.uniform_support(numbers, 0.0, 1.0)
        if self.bounds is None:
            return -numbers.largest, numbers.largest
        return reference.truncated_support(numbers, 0.0, 1.0, *self.bounds)

    def standardised(self, values: np.ndarray) -> np.ndarray:
        """Values in float64 with mean 0 and variance 1."""
        x = values.astype(np.float64)
        if self.name == "uniform":
            x -= 0.5
        x /= self._spread()
        return x

    def sizes(self, x: np.ndarray) -> np.ndarray:
        """Absolute values of standardised ones, themselves with mean 0 and variance 1."""
        mean = 0.25 if self.name == "uniform" else 2 * self._mass_moment()
        mean /= self._spread()
        return (np.abs(x) - mean) / np.sqrt(1 - mean**2)

    def _mass_moment(self) -> float:
        """The integral of x times the density over the positive half, of a symmetric normal."""
        high = np.inf if self.bounds is None else self.bounds[1]
        return float(
            (1 - np.exp(-(high**2) / 2)) / np.sqrt(2 * np.pi) / (1 - 2 * special.ndtr(-high))
        )

    def _spread(self) -> float:
        """The standard deviation."""
        if self.name == "uniform":
            return 12.0**-0.5
        if self.bounds is None:
            return 1.0
        low, high = self.bounds
        assert low == -high
        density = np.exp(-(high**2) / 2) / np.sqrt(2 * np.pi)
        return float(np.sqrt(1 - 2 * high * density / (1 - 2 * special.ndtr(-high))))


LAWS = {
    law.name: law
    for law in (
        Law("uniform"),
        Law("normal"),
        Law("two_sigma", (-2.0, 2.0)),
        Law("interval", (-0.5, 3.0)),
    )
}


def drawn(law: Law, dtype: str, seed: int | seedbed.random.SeedGenerator | None = None) -> Source:
    """seedbed's values of a law; a generator of seeds is advanced by one call.

    Without a seed each law and dtype has its own, so that their rows are independent.
    """
    if seed is None:
        seed = seedbed.random.fold_in(SEED, law.name, dtype)
    kind = reference.DTYPES[dtype]
    buffer = np.empty(CHUNK, kind)
    if law.name == "interval":

        def fill(block: tuple[slice], out: np.ndarray) -> np.ndarray:
            lower, upper = law.bounds
            return seedbed.random.truncated_normal(
                (LENGTH,),
                dtype=kind,
                seed=seed,
                lower=lower,
                upper=upper,
                stream="philox",
                index=block,
                out=out,
            )

    else:
        name, unit = {
            "uniform": ("RandomUniform", (0.0, 1.0)),
            "normal": ("RandomNormal", (0.0, 1.0)),
            "two_sigma": ("TruncatedNormal", (0.0, 1.0)),
        }[law.name]
        initializer = getattr(seedbed.initializers, name)(*unit, seed=seed, stream="philox")
        fill = initializer.prepare((LENGTH,), kind).draw

    def source(first: int, count: int) -> np.ndarray:
        return fill((slice(first, first + count),), buffer[:count])

    return source


def chunks(source: Source, count: int) -> Iterator[np.ndarray]:
    """The first `count` values; each chunk is valid until the next is asked for."""
    for first in range(0, count, CHUNK):
        yield source(first, min(CHUNK, count - first))
