"""How much a run draws: the short form, which every `make test` runs, or the long one.

The environment variable SEEDBED_STATS chooses, `short` where it is not set. Seeds are fixed, so
either form gives the same figures on every machine.
"""

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class Sizes:
    """Numbers of draws.

    `cells`: for chi-square over cells. `cells_two_sigma_f32`: the same for the float32 truncated
    normal, the sampler with the fewest bits to spare. `numbers`: for chi-square over the numbers
    of a narrow dtype. `tails`: for counts of far values. `streams`: of each of 64 streams that
    are correlated with each other. `lags`: of each pair that is a power of two apart.
    `matrices`, `large_matrices`: orthogonal ones.
    """

    cells: int
    cells_two_sigma_f32: int
    numbers: int
    tails: int
    streams: int
    lags: int
    matrices: int
    large_matrices: int


ALL = {
    "short": Sizes(
        cells=20_000_000,
        cells_two_sigma_f32=20_000_000,
        numbers=20_000_000,
        tails=20_000_000,
        streams=1 << 17,
        lags=1 << 20,
        matrices=20_000,
        large_matrices=300,
    ),
    "long": Sizes(
        cells=200_000_000,
        cells_two_sigma_f32=1_000_000_000,
        numbers=200_000_000,
        tails=1_000_000_000,
        streams=1 << 20,
        lags=1 << 23,
        matrices=200_000,
        large_matrices=3_000,
    ),
}

FORM = os.environ.get("SEEDBED_STATS") or "short"
SIZES = ALL[FORM]
