"""Statistics of a checkpoint's values, in one pass.

What: `measure` reads the tensors of a file on several threads and yields `Statistics` of each.
Method: runs of some megabytes, each read by the thread that measures it, converted to float32 (or
float64) in pieces that stay in a cache. Sums of a piece are in float64 from rows of 4096 float32
sums; pieces are joined by count, mean and sum of squared deviations (Chan, Golub and LeVeque 1979),
so that a mean far from 0 costs no digits.
Consumes: a buffer of 4 MiB and some scratch for each thread.
Promises: the result does not depend on the number of threads.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Final

import numpy as np

from seedbed._checkpoint.pieces import Bytes, Piece, Placed, batches, nbytes_of, pieces, read_at
from seedbed._checkpoint.reader import Stored

_BATCH_BYTES: Final = 4 << 20
# Elements at once: as float32 and as stored they fit the second-level cache.
_BLOCK: Final = 1 << 15
_ROW: Final = 1 << 12
# The first signs of a tensor, which tell one seed from another.
SIGNS: Final = 128
# Elements that a histogram is made of.
_SAMPLE: Final = 1 << 14
# Patterns of 16 bits.
_PATTERNS: Final = 1 << 16
# Elements whose patterns are counted at once: several times as many as there are patterns.
_SPAN: Final = 1 << 20

_ONES: Final[dict[int, Any]] = {4: np.ones(_ROW, np.float32), 8: np.ones(_ROW, np.float64)}

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

    def about(self, centre: float) -> float:
        """Return the mean squared deviation from `centre`."""
        return max(self.squares, 0.0) / self.count + (self.mean - centre) ** 2

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

    def histogram(self, bins: int) -> list[int]:
        """Return how many of the sampled values fall in each of `bins` parts of the range."""
        low, high = self.moments.low, self.moments.high
        if not self.sample or not low < high:
            return []
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
    to_floats = _converter(dtype)
    for start in range(0, raw.size, _BLOCK):
        block = to_floats(raw[start : start + _BLOCK])
        made.moments.add(_moments(block))
    row = tensor.shape[-1] if len(tensor.shape) > 1 else 0
    if row and made.moments.zeros >= row and raw.size % row == 0:
        rows = raw.reshape(-1, row)
        made.zero_rows = len(rows)
        if made.moments.zeros < raw.size:
            made.zero_rows -= int(np.count_nonzero(np.any(rows != 0, axis=1)))
    return made


def pattern_of(values: Floats) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return the upper 16 bits of values as float32, of which there are few enough to count."""
    if values.dtype.name == "bfloat16":
        return values.view(np.uint16).astype(np.int64)
    with np.errstate(over="ignore", invalid="ignore"):
        single = values.astype(np.float32, copy=False)
    return (single.view(np.uint32) >> 16).astype(np.int64)


def _converter(dtype: np.dtype[Any]) -> Callable[[Floats], Floats]:
    """Return what makes floats of a block, in memory that the next block uses again."""
    if dtype.name == "float32" or dtype.name == "float64":
        return lambda block: block
    if dtype.name == "bfloat16":
        words = np.empty(_BLOCK, np.uint32)

        def from_bfloat16(block: Floats) -> Floats:
            taken = words[: block.size]
            taken[:] = block.view(np.uint16)
            np.left_shift(taken, 16, out=taken)
            return taken.view(np.float32)

        return from_bfloat16
    if dtype.itemsize == 1 and dtype.kind not in "iub":
        # float8, whose values are few.
        table = np.arange(256, dtype=np.uint8).view(dtype).astype(np.float32)
        return lambda block: table[block.view(np.uint8)]
    if dtype.name == "float16":
        numbers = np.empty(_BLOCK, np.int32)

        def from_float16(block: Floats) -> Floats:
            # Sign, exponent and mantissa go where float32 has them; the factor mends the exponent,
            # subnormal numbers included. What was infinite comes out as 2**16 or more.
            taken = numbers[: block.size]
            taken[:] = block.view(np.int16)
            np.left_shift(taken, 13, out=taken)
            np.bitwise_and(taken, _HALF_MASK, out=taken)
            floats = taken.view(np.float32)
            np.multiply(floats, _HALF_FACTOR, out=floats)
            if floats.max() >= _HALF_END or floats.min() <= -_HALF_END:
                return block.astype(np.float32)
            return floats

        return from_float16
    return lambda block: block.astype(np.float64)


_HALF_MASK: Final = np.int32(-0x70002000)
_HALF_FACTOR: Final = np.float32(2.0**112)
_HALF_END: Final = 2.0**16


def _moments(block: Floats) -> Moments:
    made = Moments()
    low, high = float(block.min()), float(block.max())
    if not (math.isfinite(low) and math.isfinite(high)):
        # The least and greatest of what has a NaN is NaN.
        made.nan = int(np.count_nonzero(np.isnan(block)))
        made.inf = int(np.count_nonzero(np.isinf(block)))
        block = block[np.isfinite(block)]
        if not block.size:
            return made
        low, high = float(block.min()), float(block.max())
    made.low, made.high = low, high
    made.count = count = block.size
    made.zeros = count - int(np.count_nonzero(block != 0))
    with np.errstate(over="ignore", under="ignore"):
        total, squares = _sums(block)
        if not math.isfinite(squares) or (0 < squares / count < _TINY):
            # Squares beyond float32.
            block = block.astype(np.float64)
            total, squares = _sums(block)
        made.mean = mean = total / count
        made.squares = squares - mean * total
        if mean * mean * 64 > made.squares / count:
            # Far from 0: what is left after the mean would be what rounding left.
            away = block - block.dtype.type(mean)
            rest, squares = _sums(away)
            made.squares = squares - rest * rest / count
            made.mean = float(block.dtype.type(mean)) + rest / count
    return made


# Where squares of float32 lose digits.
_TINY: Final = 1e-30


def _sums(block: Floats) -> tuple[float, float]:
    """Return the sum and the sum of squares."""
    whole = block.size // _ROW * _ROW
    rows, rest = block[:whole].reshape(-1, _ROW), block[whole:]
    # Row by row: products of vectors this short are never given to other threads. A product with
    # ones is the fastest sum.
    ones = _ONES[block.dtype.itemsize]
    total = float(np.vecdot(rows, ones).sum(dtype=np.float64)) + float(rest.sum(dtype=np.float64))
    squares = float(np.vecdot(rows, rows).sum(dtype=np.float64)) + float(np.vecdot(rest, rest))
    return total, squares
