"""What `keras.initializers` has, on seedbed: each class that draws is a subclass of Keras' own.

    from seedbed.keras import initializers  # instead of: from keras import initializers

Being Keras' classes, they have their fans set, are cloned, stored and found as Keras' are. Beyond
those they take `stream`, integers of 64 bits as seeds, and generators of `seedbed.random`; a call
takes `layout`. What draws nothing is Keras' own.

They are stored as `seedbed>HeNormal` with Keras' class name and Keras' keys. A program that has
imported `seedbed.keras` gets them back; one that has not gets Keras' class of that name.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final

import keras
from keras.initializers import (
    STFT,
    Constant,
    Identity,
    IdentityInitializer,
    Initializer,
    Ones,
    STFTInitializer,
    Zeros,
    constant,
    identity,
    ones,
    serialize,
    stft,
    zeros,
)

from seedbed._generator import SeedGenerator
from seedbed._streams import rules_of
from seedbed.keras._call import AS_KERAS, LAWS, Law, call, check_stream
from seedbed.keras._private import NAMES, RandomInitializer

_register: Final = keras.saving.register_keras_serializable("seedbed")
_register(SeedGenerator)


class _Drawn:
    """What stands before Keras' class: `stream`, and the call.

    Args:
        stream: The name of a stream; "keras" for the numbers that Keras draws itself on the active
            backend; None for seedbed's default at the time of the call. It is part of the config
            only when given.

    The other arguments are those of Keras' class.

    Raises:
        ValueError: `stream` is unknown, or as Keras.
    """

    _law: ClassVar[Law]

    def __init__(self, *args: Any, stream: str | None = None, **kwargs: Any) -> None:
        check_stream(stream)
        self.stream = stream
        super().__init__(*args, **kwargs)

    def __call__(self, shape: Any, dtype: Any = None, layout: Any = None) -> Any:
        """The values of a tensor.

        Args:
            shape: Shape of the tensor.
            dtype: dtype of the tensor; None is `keras.config.floatx()`.
            layout: A `keras.distribution.TensorLayout` or a sharding of JAX.

        Returns:
            A tensor of Keras' backend.

        Raises:
            ValueError: As Keras; what the stream refuses, where `stream` was given; a `layout`
                that does not fit.
        """
        stream = self.stream
        return call(self, self._law, shape, dtype, layout, stream, stream is not None)

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor: Keras' keys, and `stream` only when given."""
        config: dict[str, Any] = super().get_config()  # type: ignore[misc]
        return config if self.stream is None else {**config, "stream": self.stream}


class _Seeded(RandomInitializer):
    """What stands behind Keras' class, before the base that takes the seed."""

    def __init__(self, seed: Any = None) -> None:
        rules = rules_of(None if self.stream == AS_KERAS else self.stream)
        seed = rules.initial_seed(seed)
        if isinstance(seed, SeedGenerator):  # which Keras does not know
            self._init_seed = self.seed = seed
        else:
            super().__init__(seed)


@_register
class RandomNormal(_Drawn, keras.initializers.RandomNormal, _Seeded):
    """Draws from a normal distribution.

    As `keras.initializers.RandomNormal`.
    """

    _law = LAWS[keras.initializers.RandomNormal]


@_register
class RandomUniform(_Drawn, keras.initializers.RandomUniform, _Seeded):
    """Draws from a uniform distribution.

    As `keras.initializers.RandomUniform`.
    """

    _law = LAWS[keras.initializers.RandomUniform]


@_register
class TruncatedNormal(_Drawn, keras.initializers.TruncatedNormal, _Seeded):
    """Draws from a normal distribution, cut at two standard deviations.

    As `keras.initializers.TruncatedNormal`.
    """

    _law = LAWS[keras.initializers.TruncatedNormal]


@_register
class VarianceScaling(_Drawn, keras.initializers.VarianceScaling, _Seeded):
    """Draws with a variance that suits the number of units.

    As `keras.initializers.VarianceScaling`.
    """

    _law = LAWS[keras.initializers.VarianceScaling]


@_register
class Orthogonal(_Drawn, keras.initializers.Orthogonal, _Seeded):
    """Makes orthogonal matrices.

    As `keras.initializers.Orthogonal`.
    """

    _law = LAWS[keras.initializers.Orthogonal]


@_register
class GlorotUniform(VarianceScaling, keras.initializers.GlorotUniform):
    """Uniform, with variance 2 / (fan_in + fan_out).

    As `keras.initializers.GlorotUniform`.
    """


@_register
class GlorotNormal(VarianceScaling, keras.initializers.GlorotNormal):
    """Truncated normal, with variance 2 / (fan_in + fan_out).

    As `keras.initializers.GlorotNormal`.
    """


@_register
class HeUniform(VarianceScaling, keras.initializers.HeUniform):
    """Uniform, with variance 2 / fan_in.

    As `keras.initializers.HeUniform`.
    """


@_register
class HeNormal(VarianceScaling, keras.initializers.HeNormal):
    """Truncated normal, with variance 2 / fan_in.

    As `keras.initializers.HeNormal`.
    """


@_register
class LecunUniform(VarianceScaling, keras.initializers.LecunUniform):
    """Uniform, with variance 1 / fan_in.

    As `keras.initializers.LecunUniform`.
    """


@_register
class LecunNormal(VarianceScaling, keras.initializers.LecunNormal):
    """Truncated normal, with variance 1 / fan_in.

    As `keras.initializers.LecunNormal`.
    """


# Keras' other names for the same classes.
OrthogonalInitializer = orthogonal = Orthogonal
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

# What Keras finds by name, with the classes that draw replaced by those of this module.
_BY_NAME: Final[dict[str, Any]] = {name: globals()[kind.__name__] for name, kind in NAMES.items()}


def deserialize(config: Any, custom_objects: dict[str, Any] | None = None) -> Any:
    """The initializer that a stored form, or a name, describes, as `keras.initializers`.

    Where the form names Keras' class, the class of this module is returned.

    Args:
        config: What `serialize` returned, here or in Keras, or a name.
        custom_objects: Classes and functions by the names that configs call them.

    Raises:
        ValueError: A name that is not known, or a dict that describes no initializer.
        TypeError: A config that the class cannot take, or a class that was not registered.
    """
    return keras.saving.deserialize_keras_object(
        config, module_objects=_BY_NAME, custom_objects=custom_objects
    )


def get(identifier: Any) -> Any:
    """The initializer that `identifier` stands for, as `keras.initializers.get`.

    Args:
        identifier: A name, a stored form, a class, an instance or any other callable, a tensor, or
            None. Names and forms give the classes of this module.

    Raises:
        ValueError: `identifier` is none of these.
        TypeError: A config that the class cannot take.
    """
    if isinstance(identifier, str):
        identifier = {"class_name": identifier, "config": {}}
    return keras.initializers.get(
        deserialize(identifier) if isinstance(identifier, dict) else identifier
    )


__all__ = [
    "deserialize",
    "get",
    "serialize",
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
