"""Initializers of neural networks' weights: a stand-in for `keras.initializers` on NumPy.

    from seedbed import initializers

    initializers.HeNormal(seed=42)((4096, 4096), dtype="bfloat16")

Every name of `keras.initializers` is here, with the same arguments, configs and errors.
Beyond Keras, random initializers take `stream`, and every call `index` and `out`.
"""

from seedbed.initializers.constant_initializers import (
    STFT,
    Constant,
    Identity,
    Ones,
    Zeros,
)
from seedbed.initializers.initializer import Initializer
from seedbed.initializers.random_initializers import (
    GlorotNormal,
    GlorotUniform,
    HeNormal,
    HeUniform,
    LecunNormal,
    LecunUniform,
    Orthogonal,
    RandomNormal,
    RandomUniform,
    TruncatedNormal,
    VarianceScaling,
    compute_fans,
)
from seedbed.initializers.registry import deserialize, get, serialize

# Keras' other names for the same classes.
STFTInitializer = stft = STFT
IdentityInitializer = identity = Identity
OrthogonalInitializer = orthogonal = Orthogonal
constant = Constant
ones = Ones
zeros = Zeros
glorot_normal = GlorotNormal
glorot_uniform = GlorotUniform
he_normal = HeNormal
he_uniform = HeUniform
lecun_normal = LecunNormal
lecun_uniform = LecunUniform
random_normal = RandomNormal
random_uniform = RandomUniform
truncated_normal = TruncatedNormal
variance_scaling = VarianceScaling

__all__ = [
    "deserialize",
    "get",
    "serialize",
    "compute_fans",
    "Initializer",
    "Constant",
    "Identity",
    "IdentityInitializer",
    "Ones",
    "STFT",
    "STFTInitializer",
    "Zeros",
    "GlorotNormal",
    "GlorotUniform",
    "HeNormal",
    "HeUniform",
    "LecunNormal",
    "LecunUniform",
    "Orthogonal",
    "OrthogonalInitializer",
    "RandomNormal",
    "RandomUniform",
    "TruncatedNormal",
    "VarianceScaling",
    "constant",
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "identity",
    "lecun_normal",
    "lecun_uniform",
    "ones",
    "orthogonal",
    "random_normal",
    "random_uniform",
    "stft",
    "truncated_normal",
    "variance_scaling",
    "zeros",
]
