"""Statistics of a checkpoint's values, in one pass.

What: `measure` reads the tensors of a file on several threads and yields `Statistics` of each.
Method: runs of some megabytes, each read by the thread that measures it; the core sums them. Runs
are joined by count, mean and sum of squared deviations (Chan, Golub and LeVeque 1979), so that a
mean far from 0 costs no digits.
Consumes: a buffer of 4 MiB and some scratch for each thread.
Promises: the result does not depend on the number of threads.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, BinaryIO, Final

import numpy as np

from seedbed import _core
from seedbed._checkpoint.pieces import Bytes, Piece, Placed, batches, nbytes_of, pieces, read_at
from seedbed._checkpoint.reader import Stored

_BATCH_BYTES: Final = 4 << 20
# The dtypes that the core measures; others become float64 first, a block at a time.
_MEASURED: Final = frozenset(
    ("float16", "bfloat16", "float32", "float64", "float8_e4m3fn", "float8_e5m2")
)
_BLOCK: Final = 1 << 16
# The first signs of a tensor, which tell one seed from another.
SIGNS: Final = 128
# Elements that a histogram is made of.
_SAMPLE: Final = 1 << 14
# Patterns of 16 bits.
_PATTERNS: Final = 1 << 16
# Elements whose patterns are counted at once: several times as many as there are patterns.
_SPAN: Final = 1 << 20

Floats = np.ndarray[Any, np.dtype[Any]]


@dataclass(slots=True)
class Moments:
    """Count, mean and sum of squared deviations of the finite values, and what else was seen."""

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0
    low: float = math.inf
    high: float = -math.inf
    zeros: int = 0
    nan: int = 0
    inf: int = 0

    @property
    def std(self) -> float:
        return math.sqrt(max(self.squares, 0.0) / self.count) if self.count else math.nan

    def about(self, centre: float, unit: float) -> float:
        """Return the mean squared deviation from `centre` in units of `unit` squared.

        It is infinite where float64 has no number for it.
        """
        shift = (self.mean - centre) / unit
        return max(self.squares, 0.0) / self.count / unit / unit + shift * shift

    def without_zeros(self, count: int) -> Moments:
        """Return those of all values but so many that are 0."""
        left = self.count - count
        # Without them the mean is further from 0, which the squares about it make up for.
        squares = self.squares - self.mean**2 * self.count * count / left if left else 0.0
        mean = self.mean * self.count / left if left else 0.0
        return replace(self, count=left, mean=mean, squares=squares, zeros=self.zeros - count)

    def add(self, other: Moments) -> None:
        """Take in those of other values."""
        if other.count:
            count = self.count + other.count
            shift = other.mean - self.mean
            self.mean += shift * other.count / count
            self.squares += other.squares + shift * shift * self.count * other.count / count
            self.count = count
        self.low = min(self.low, other.low)
        self.high = max(self.high, other.high)
        self.zeros += other.zeros
        self.nan += other.nan
        self.inf += other.inf


@dataclass(slots=True)
class Statistics:
    """What one pass over a tensor shows."""

    moments: Moments = field(default_factory=Moments)
    # Rows along the last axis that are all zeros.
    zero_rows: int = 0
    # The signs of the first values, a bit each, and the bytes of the first values.
    signs: int = 0
    start: bytes = b""
    # Some of the values, evenly taken.
    sample: list[Floats] = field(default_factory=list)
    # How often each pattern of the upper 16 bits is there, where it was asked for.
    patterns: np.ndarray[Any, np.dtype[np.int64]] | None = None

    def add(self, other: Statistics) -> None:
        """Take in the piece that follows."""
        if not self.moments.count and not self.start:
            self.signs, self.start = other.signs, other.start
        self.moments.add(other.moments)
        self.zero_rows += other.zero_rows
        self.sample += other.sample
        if other.patterns is not None:
            self.patterns = (
                other.patterns if self.patterns is None else self.patterns + other.patterns
            )

    def without_zeros(self, count: int, rows: int) -> Statistics:
        """Return those of all values but so many that are 0, which are so many rows."""
        patterns = self.patterns
        if patterns is not None:
            patterns = patterns.copy()
            patterns[0] -= count
        moments = self.moments.without_zeros(count)
        zero_rows = self.zero_rows - rows
        return replace(self, moments=moments, zero_rows=zero_rows, patterns=patterns)

    def histogram(self, bins: int) -> list[int]:
        """Return how many of the sampled values fall in each of `bins` parts of the range."""
        low, high = self.moments.low, self.moments.high
        if not self.sample or not low < high:
            return []
        with np.errstate(invalid="ignore"):
            values = np.concatenate(self.sample).astype(np.float64)
        values = values[np.isfinite(values)]
        scaled = (values / 2 - low / 2) / (high / 2 - low / 2)
        places = np.clip(scaled * bins, 0, bins - 1).astype(np.int64)
        return [int(count) for count in np.bincount(places, minlength=bins)]


def measure(
    open_file: Callable[[], BinaryIO],
    tensors: Sequence[Stored],
    threads: int,
    advance: Callable[[int], None] = lambda count: None,
    *,
    deep: bool = False,
) -> Iterator[tuple[Stored, Statistics]]:
    """Yield each tensor of one file with its statistics, in the order of their bytes.

    Tensors of a dtype that NumPy has not are left out.

    Args:
        open_file: Opens the file; called once a thread.
        tensors: Some of the tensors of that file.
        threads: How many to work with.
        advance: Told of the bytes that are done with, on the calling thread.
        deep: Whether to count patterns.

    Raises:
        OSError: The file cannot be read.
    """
    known = [Placed(_Readable(t), t.offset) for t in tensors if t.dtype is not None]
    known.sort(key=lambda placed: placed.offset)
    cut = (piece for placed in known for piece in pieces(placed, _BATCH_BYTES))
    steps = {id(p): max(1, p.tensor.stored.elements // _SAMPLE) for p in known}
    own = threading.local()
    opened: list[BinaryIO] = []

    def work(batch: list[Piece[_Readable]]) -> list[Statistics]:
        if not hasattr(own, "file"):
            own.file = open_file()
            opened.append(own.file)
            own.buffer = np.empty(_BATCH_BYTES, np.uint8)
        stored = own.buffer[: nbytes_of(batch)]
        read_at(own.file, batch[0].offset, stored)
        found = []
        for piece in batch:
            begin = piece.offset - batch[0].offset
            memory = stored[begin : begin + piece.nbytes]
            found.append(_measure(piece, memory, steps[id(piece.placed)], deep))
        return found

    results: dict[int, Statistics] = {}
    finished = iter(known)
    waiting = next(finished, None)
    pending: deque[tuple[list[Piece[_Readable]], Future[list[Statistics]]]] = deque()
    with ThreadPoolExecutor(threads, "seedbed-statistics") as pool:
        try:

            def collect() -> Iterator[tuple[Stored, Statistics]]:
                nonlocal waiting
                batch, future = pending.popleft()
                for piece, statistics in zip(batch, future.result(), strict=True):
                    # Tensors before this one are complete.
                    while waiting is not None and waiting is not piece.placed:
                        yield waiting.tensor.stored, results.pop(id(waiting), Statistics())
                        waiting = next(finished, None)
                    results.setdefault(id(piece.placed), Statistics()).add(statistics)
                advance(nbytes_of(batch))

            for batch in batches(cut, _BATCH_BYTES):
                pending.append((batch, pool.submit(work, batch)))
                if len(pending) > 2 * threads:
                    yield from collect()
            while pending:
                yield from collect()
        finally:
            for _, future in pending:
                future.cancel()
            pool.shutdown()
            for file in opened:
                file.close()
    while waiting is not None:
        yield waiting.tensor.stored, results.pop(id(waiting), Statistics())
        waiting = next(finished, None)


class _Readable:
    """A stored tensor whose dtype NumPy has."""

    __slots__ = ("dtype", "stored")

    def __init__(self, stored: Stored) -> None:
        assert stored.dtype is not None
        self.stored = stored
        self.dtype: np.dtype[Any] = stored.dtype

    @property
    def name(self) -> str:
        return self.stored.name

    @property
    def shape(self) -> tuple[int, ...]:
        return self.stored.shape

    @property
    def nbytes(self) -> int:
        return self.stored.nbytes


def _measure(piece: Piece[_Readable], memory: Bytes, step: int, deep: bool) -> Statistics:
    tensor = piece.placed.tensor
    dtype = tensor.dtype
    # Booleans as numbers; every byte but 0 counts as the format says nothing of others.
    raw = memory.view(np.uint8 if dtype == np.bool_ else dtype)
    made = Statistics()
    if piece.first == 0:
        made.start = memory[: SIGNS * dtype.itemsize].tobytes()
        with np.errstate(invalid="ignore"):
            negative = raw[:SIGNS].astype(np.float64) < 0
        made.signs = int.from_bytes(np.packbits(negative).tobytes(), "big")
    # Floats of the whole piece that follow each other at `step`, counted from the tensor's start.
    with np.errstate(over="ignore", invalid="ignore"):
        made.sample.append(raw[-piece.first % step :: step].astype(np.float32, copy=True))
    if deep and raw.dtype.kind not in "iub":
        made.patterns = np.zeros(_PATTERNS, np.int64)
        for start in range(0, raw.size, _SPAN):
            made.patterns += np.bincount(
                pattern_of(raw[start : start + _SPAN]), minlength=_PATTERNS
            )
    made.moments = _moments(raw, memory)
    row = tensor.shape[-1] if len(tensor.shape) > 1 else 0
    if row and made.moments.zeros >= row and raw.size % row == 0:
        rows = raw.reshape(-1, row)
        made.zero_rows = len(rows)
        if made.moments.zeros < raw.size:
            with np.errstate(invalid="ignore"):
                made.zero_rows -= int(np.count_nonzero(np.any(rows != 0, axis=1)))
    return made


def pattern_of(values: Floats) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return the upper 16 bits of values as float32, of which there are few enough to count."""
    if values.dtype.name == "bfloat16":
        return values.view(np.uint16).astype(np.int64)
    with np.errstate(over="ignore", invalid="ignore"):
        single = values.astype(np.float32, copy=False)
    return (single.view(np.uint32) >> 16).astype(np.int64)


def _moments(raw: Floats, memory: Bytes) -> Moments:
    """Return those of the values `raw`, which `memory` holds."""
    if raw.dtype.name in _MEASURED:
        return Moments(*_core.moments(memory, raw.dtype.name))
    made = Moments()
    for start in range(0, raw.size, _BLOCK):
        block = raw[start : start + _BLOCK].astype(np.float64)
        made.add(Moments(*_core.moments(block.view(np.uint8), "float64")))
    return made
