"""Streams that must have nothing to do with each other: neighbouring seeds, calls, children, lags.

64 streams are correlated with each other, values and their sizes (absolute values, whose products
are closer to normal than those of squares): element by element, and with each stream moved by 1 to
4 elements, which finds one that begins where another goes on. Power: the level's threshold is 6.7
for the 36832 correlations of a row, so one of r is found more often than not from
r = 6.7 / sqrt(n): 1.9 % in the short form's n = 2^17, 0.7 % in the long form's 2^20. For lags of
2^k it is 5.7 / sqrt(n): 0.6 % of 2^20, 0.2 % of 2^23.
"""

from collections.abc import Callable, Iterator

import numpy as np
import pytest

import bad_generators as bad
import seedbed
from laws import LAWS, SEED, Law, Source, drawn
from sizes import SIZES
from verdict import Result, corrected, standard

STREAMS = 64
SHIFTS = 5
PIECE = 1 << 15


def products(law: Law, sources: list[Source], count: int) -> Result:
    """All correlations of streams, as standard normal statistics."""
    sums = np.zeros((2, SHIFTS, STREAMS, STREAMS))
    pairs = np.zeros(SHIFTS)
    for first in range(0, count, PIECE):
        x = np.stack([law.standardised(source(first, PIECE)) for source in sources])
        for sum_of, y in zip(sums, (x, law.sizes(x)), strict=True):
            for shift in range(SHIFTS):
                sum_of[shift] += y[:, : PIECE - shift] @ y[:, shift:].T
        pairs += PIECE - np.arange(SHIFTS)
    z = sums / np.sqrt(pairs)[:, None, None]
    # In place each pair counts once, and no stream with itself.
    in_place = z[:, 0][:, *np.triu_indices(STREAMS, 1)]
    moved = z[:, 1:]
    return corrected(
        [
            standard(in_place[0], f"n = {count}, values"),
            standard(in_place[1], f"n = {count}, sizes"),
            standard(moved[0], f"n = {count}, moved values"),
            standard(moved[1], f"n = {count}, moved sizes"),
        ]
    )


def neighbouring_seeds(law: Law, dtype: str) -> Iterator[Source]:
    for i in range(STREAMS):
        yield drawn(law, dtype, SEED + i)


def seeds_a_bit_apart(law: Law, dtype: str) -> Iterator[Source]:
    """No bit set, and each of 63."""
    yield drawn(law, dtype, 0)
    for bit in range(STREAMS - 1):
        yield drawn(law, dtype, 1 << bit)


def neighbouring_calls(law: Law, dtype: str) -> Iterator[Source]:
    generator = seedbed.random.SeedGenerator(SEED)
    for _ in range(STREAMS):
        yield drawn(law, dtype, generator)


def seeds_by_calls(law: Law, dtype: str) -> Iterator[Source]:
    """8 calls of each of 8 neighbouring seeds."""
    for i in range(8):
        generator = seedbed.random.SeedGenerator(SEED + i)
        for _ in range(8):
            yield drawn(law, dtype, generator)


def children(law: Law, dtype: str) -> Iterator[Source]:
    """8 children by `fold_in` of each of 8 neighbouring seeds."""
    for i in range(8):
        for child in range(8):
            yield drawn(law, dtype, seedbed.random.fold_in(SEED + i, child))


def named_children(law: Law, dtype: str) -> Iterator[Source]:
    """Children of one seed as a model's layers are named."""
    for layer in range(16):
        for part in ("query", "key", "value", "output"):
            yield drawn(law, dtype, seedbed.random.fold_in(SEED, "layer", layer, part))


@pytest.mark.parametrize(("name", "dtype"), [("normal", "float32"), ("uniform", "float64")])
@pytest.mark.parametrize(
    "streams",
    [
        neighbouring_seeds,
        seeds_a_bit_apart,
        neighbouring_calls,
        seeds_by_calls,
        children,
        named_children,
    ],
)
def test_streams(judge, streams: Callable[..., Iterator[Source]], name: str, dtype: str) -> None:
    law = LAWS[name]
    sources = list(streams(law, dtype))
    told = streams.__name__.replace("_", " ")
    judge(f"{name} {dtype}, {told}", products(law, sources, SIZES.streams))


def test_seeds_control(judge_control) -> None:
    """Seeds that say where in one sequence a stream begins."""
    whole = drawn(LAWS["normal"], "float32")
    sources = [
        lambda first, count, seed=seed: whole(first + seed, count).copy() for seed in range(STREAMS)
    ]
    judge_control("seeds as offsets", products(LAWS["normal"], sources, PIECE))


def test_calls_control(judge_control) -> None:
    """The number of the call added to the seed."""
    sources = [
        drawn(LAWS["normal"], "float32", SEED + i + call) for i in range(8) for call in range(8)
    ]
    judge_control("seed + call", products(LAWS["normal"], sources, PIECE))


def test_children_control(judge_control) -> None:
    """The number of the child exclusive-ored into the seed."""
    sources = [
        drawn(LAWS["normal"], "float32", (SEED + i) ^ child) for i in range(8) for child in range(8)
    ]
    judge_control("seed ^ child", products(LAWS["normal"], sources, PIECE))


# --- Lags ----------------------------------------------------------------------------------------

LAGS = [1 << k for k in range(41)]


def lags(source: Source, law: Law, count: int) -> Result:
    """Correlations of values 2^k apart, k up to 40, and of their sizes."""
    sums = np.zeros((2, len(LAGS)))
    for first in range(0, count, PIECE):
        x = law.standardised(source(first, PIECE))
        x_size = law.sizes(x)
        for i, lag in enumerate(LAGS):
            y = law.standardised(source(first + lag, PIECE))
            sums[0, i] += x @ y
            sums[1, i] += x_size @ law.sizes(y)
    z = sums / np.sqrt(count)
    return corrected(
        [standard(z[0], f"n = {count}, values"), standard(z[1], f"n = {count}, sizes")]
    )


@pytest.mark.parametrize(
    ("name", "dtype"),
    [("uniform", "float64"), ("normal", "float32"), ("two_sigma", "float32")],
)
def test_lags(judge, name: str, dtype: str) -> None:
    law = LAWS[name]
    judge(f"{name} {dtype}, lags 2^k", lags(drawn(law, dtype), law, SIZES.lags))


def test_lags_control(judge_control) -> None:
    """A hundredth of the value 1024 before."""
    law = LAWS["normal"]
    source = bad.echo(drawn(law, "float32"), 1024, 0.01)
    judge_control("echo of 1 % at lag 2^10", lags(source, law, SIZES.lags))
