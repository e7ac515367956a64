"""Initializers that draw: normal, uniform, truncated normal, variance scaling, orthogonal.

Names, arguments, configs and errors are those of Keras 3.15. The values are drawn by the Rust core
from a named stream; what each stream promises is in `docs/streams.md`. A call crosses into Rust
once: everything here is in the service of saying little on the way.
"""

import math
from collections.abc import Iterable
from typing import Any, ClassVar

import numpy as np

from seedbed import _core, _keras_numpy
from seedbed._dtypes import standardize
from seedbed._seeds import SeedGenerator, SupportsNext, make_default_seed, resolve_seed
from seedbed._streams import check_stream, get_stream
from seedbed.initializers import _serial
from seedbed.initializers.initializer import Initializer

# Where Keras cuts truncated normals, in standard deviations.
_LOWER, _UPPER = -2.0, 2.0


class RandomInitializer(Initializer):
    """What initializers that draw have in common: a seed and a stream.

    Args:
        seed: An integer in 0 .. 2**64-1, which repeats its values at every call; a
            `SeedGenerator` of seedbed or Keras, which is advanced by every call; or None, which
            draws an integer here, once, from Python's `random`. The config keeps None.
        stream: The name of the stream, None for the default at the time of the call. It is part
            of the config only when given.

    Raises:
        ValueError: `seed` is none of these, or `stream` is unknown.
    """

    def __init__(self, seed: Any = None, *, stream: str | None = None) -> None:
        # Keras takes Python's integers only, and the numpy stream is Keras to the letter.
        if isinstance(seed, np.integer) and (stream or get_stream()) != "numpy":
            seed = int(seed)
        self._init_seed = seed
        if seed is None:
            seed = make_default_seed()
        elif isinstance(seed, dict):
            seed = _serial.deserialize_seed(seed)
        elif isinstance(seed, type) or not isinstance(seed, int | SeedGenerator | SupportsNext):
            raise ValueError(
                "`seed` argument should be an instance of "
                "`keras.random.SeedGenerator()` or an integer. "
                f"Received: seed={_serial.text(seed)}"
            )
        self.seed = seed
        self.stream = None if stream is None else check_stream(stream)

    def get_config(self) -> dict[str, Any]:
        config = {"seed": _serial.serialize_seed(self._init_seed), **self._own_config()}
        if self.stream is not None:
            config["stream"] = self.stream
        return config

    def _own_config(self) -> dict[str, Any]:
        """The arguments of the constructor besides `seed` and `stream`."""
        return {}


class RandomNormal(RandomInitializer):
    """Draws from a normal distribution.

    Args:
        mean: Mean.
        stddev: Standard deviation.
        seed: An integer, a `SeedGenerator`, or None; see `HeNormal`.
        stream: The name of a stream, None for the default.
    """

    def __init__(
        self,
        mean: Any = 0.0,
        stddev: Any = 0.05,
        seed: Any = None,
        *,
        stream: str | None = None,
    ) -> None:
        self.mean = mean
        self.stddev = stddev
        super().__init__(seed=seed, stream=stream)

    def __call__(self, shape: Any, dtype: Any = None, *, index: Any = None, out: Any = None) -> Any:
        """The values; the arguments are those of `VarianceScaling`."""
        stream = self.stream or get_stream()
        if stream == "numpy":
            return _keras_numpy.normal(shape, self.mean, self.stddev, dtype, self.seed, index, out)
        dtype = standardize(dtype)
        seed, draw = resolve_seed(self.seed)
        return _core.fill_normal(
            shape, self.mean, self.stddev, dtype, seed, draw, stream, index, out
        )

    def _own_config(self) -> dict[str, Any]:
        return {"mean": self.mean, "stddev": self.stddev}


class TruncatedNormal(RandomInitializer):
    """Draws from a normal distribution, redrawing what is beyond two standard deviations.

    Args:
        mean: Mean.
        stddev: Standard deviation before the truncation.
        seed: An integer, a `SeedGenerator`, or None; see `HeNormal`.
        stream: The name of a stream, None for the default.
    """

    def __init__(
        self,
        mean: Any = 0.0,
        stddev: Any = 0.05,
        seed: Any = None,
        *,
        stream: str | None = None,
    ) -> None:
        self.mean = mean
        self.stddev = stddev
        super().__init__(seed=seed, stream=stream)

    def __call__(self, shape: Any, dtype: Any = None, *, index: Any = None, out: Any = None) -> Any:
        """The values; the arguments are those of `VarianceScaling`."""
        stream = self.stream or get_stream()
        if stream == "numpy":
            return _keras_numpy.truncated_normal(
                shape, self.mean, self.stddev, dtype, self.seed, index, out
            )
        dtype = standardize(dtype)
        seed, draw = resolve_seed(self.seed)
        return _core.fill_truncated_normal(
            shape, self.mean, self.stddev, _LOWER, _UPPER, dtype, seed, draw, stream, index, out
        )

    def _own_config(self) -> dict[str, Any]:
        return {"mean": self.mean, "stddev": self.stddev}


class RandomUniform(RandomInitializer):
    """Draws from a uniform distribution.

    Args:
        minval: Lower bound, included.
        maxval: Upper bound, excluded.
        seed: An integer, a `SeedGenerator`, or None; see `HeNormal`.
        stream: The name of a stream, None for the default.
    """

    def __init__(
        self,
        minval: Any = -0.05,
        maxval: Any = 0.05,
        seed: Any = None,
        *,
        stream: str | None = None,
    ) -> None:
        self.minval = minval
        self.maxval = maxval
        super().__init__(seed=seed, stream=stream)

    def __call__(self, shape: Any, dtype: Any = None, *, index: Any = None, out: Any = None) -> Any:
        """The values; the arguments are those of `VarianceScaling`."""
        stream = self.stream or get_stream()
        if stream == "numpy":
            return _keras_numpy.uniform(
                shape, self.minval, self.maxval, dtype, self.seed, index, out, checked=False
            )
        dtype = standardize(dtype)
        seed, draw = resolve_seed(self.seed)
        return _core.fill_uniform(
            shape, self.minval, self.maxval, dtype, seed, draw, stream, index, out
        )

    def _own_config(self) -> dict[str, Any]:
        return {"minval": self.minval, "maxval": self.maxval}


class VarianceScaling(RandomInitializer):
    """Draws with a variance of `scale / n`, where `n` is what the tensor's units connect to.

    `n` is the number of input units (mode "fan_in"), of output units ("fan_out"), or their
    average ("fan_avg"), at least 1. Truncated normals have this variance after the truncation;
    uniforms are drawn from [-limit, limit), `limit = sqrt(3 * scale / n)`.

    Args:
        scale: Factor of the variance.
        mode: "fan_in", "fan_out" or "fan_avg".
        distribution: "truncated_normal", "untruncated_normal" or "uniform", in any case;
            "normal" is short for "truncated_normal".
        seed: An integer, a `SeedGenerator`, or None; see `HeNormal`.
        input_axes: The axes that count as input, used if `output_axes` is given as well.
        output_axes: The axes that count as output.
        stream: The name of a stream, None for the default.

    Raises:
        ValueError: A scale that is not positive, or an unknown mode or distribution.
    """

    def __init__(
        self,
        scale: Any = 1.0,
        mode: str = "fan_in",
        distribution: str = "truncated_normal",
        seed: Any = None,
        input_axes: Iterable[int] | None = None,
        output_axes: Iterable[int] | None = None,
        *,
        stream: str | None = None,
    ) -> None:
        if scale <= 0.0 or scale != scale:  # NaN is not positive either
            raise ValueError(f"Argument `scale` must be positive float. Received: scale={scale}")
        allowed_modes = {"fan_in", "fan_out", "fan_avg"}
        if mode not in allowed_modes:
            raise ValueError(f"Invalid `mode` argument: {mode}. Please use one of {allowed_modes}")
        distribution = distribution.lower()
        if distribution == "normal":
            distribution = "truncated_normal"
        allowed_distributions = {"uniform", "truncated_normal", "untruncated_normal"}
        if distribution not in allowed_distributions:
            raise ValueError(
                f"Invalid `distribution` argument: {distribution}."
                f"Please use one of {allowed_distributions}"
            )
        self.scale = scale
        self.mode = mode
        self.distribution = distribution
        self.input_axes = input_axes
        self.output_axes = output_axes
        super().__init__(seed=seed, stream=stream)

    def __call__(self, shape: Any, dtype: Any = None, *, index: Any = None, out: Any = None) -> Any:
        """The values of a tensor, or of a block of one.

        Args:
            shape: Shape of the whole tensor.
            dtype: float16, bfloat16, float32, float64, float8_e4m3fn or float8_e5m2.
            index: Integers, slices and Ellipsis: return just this block of the tensor, bit for
                bit. Fans are those of the whole.
            out: A writable array of the block's shape and the dtype, to be filled and returned:
                NumPy's, a memory map, or anything that lends CPU memory by the buffer protocol
                or DLPack.

        Raises:
            ValueError: A bad shape, dtype or seed; an `out` that is read-only, of another shape
                or overlaps itself.
            IndexError: `index`, `input_axes` or `output_axes` reach outside the shape.
            TypeError: An `out` of another dtype, or that lends no memory.
        """
        stream = self.stream or get_stream()
        if stream == "numpy":
            return _keras_numpy.variance_scaling(
                shape,
                self.scale,
                self.mode,
                self.distribution,
                self.input_axes,
                self.output_axes,
                dtype,
                self.seed,
                index,
                out,
            )
        dtype = standardize(dtype)
        seed, draw = resolve_seed(self.seed)
        return _core.fill_variance_scaling(
            shape,
            self.scale,
            self.mode,
            self.distribution,
            self.input_axes,
            self.output_axes,
            dtype,
            seed,
            draw,
            stream,
            index,
            out,
        )

    def _own_config(self) -> dict[str, Any]:
        return {
            "scale": self.scale,
            "mode": self.mode,
            "distribution": self.distribution,
            "input_axes": self.input_axes,
            "output_axes": self.output_axes,
        }


class _Scheme(VarianceScaling):
    """Variance scaling with a scale, mode and distribution that have a name."""

    _SCALE: ClassVar[float]
    _MODE: ClassVar[str]
    _DISTRIBUTION: ClassVar[str]

    def __init__(
        self,
        seed: Any = None,
        input_axes: Iterable[int] | None = None,
        output_axes: Iterable[int] | None = None,
        *,
        stream: str | None = None,
    ) -> None:
        super().__init__(
            scale=self._SCALE,
            mode=self._MODE,
            distribution=self._DISTRIBUTION,
            seed=seed,
            input_axes=input_axes,
            output_axes=output_axes,
            stream=stream,
        )

    def _own_config(self) -> dict[str, Any]:
        return {"input_axes": self.input_axes, "output_axes": self.output_axes}


class GlorotUniform(_Scheme):
    """Uniform in [-limit, limit), `limit = sqrt(6 / (fan_in + fan_out))`.

    Also called Xavier uniform. Arguments: see `HeNormal`.

    Reference: Glorot and Bengio, 2010, http://proceedings.mlr.press/v9/glorot10a.html
    """

    _SCALE, _MODE, _DISTRIBUTION = 1.0, "fan_avg", "uniform"


class GlorotNormal(_Scheme):
    """Truncated normal with `stddev = sqrt(2 / (fan_in + fan_out))`.

    Also called Xavier normal. Arguments: see `HeNormal`.

    Reference: Glorot and Bengio, 2010, http://proceedings.mlr.press/v9/glorot10a.html
    """

    _SCALE, _MODE, _DISTRIBUTION = 1.0, "fan_avg", "truncated_normal"


class LecunNormal(_Scheme):
    """Truncated normal with `stddev = sqrt(1 / fan_in)`. Arguments: see `HeNormal`.

    Reference: Klambauer et al., 2017, https://arxiv.org/abs/1706.02515
    """

    _SCALE, _MODE, _DISTRIBUTION = 1.0, "fan_in", "truncated_normal"


class LecunUniform(_Scheme):
    """Uniform in [-limit, limit), `limit = sqrt(3 / fan_in)`. Arguments: see `HeNormal`.

    Reference: Klambauer et al., 2017, https://arxiv.org/abs/1706.02515
    """

    _SCALE, _MODE, _DISTRIBUTION = 1.0, "fan_in", "uniform"


class HeNormal(_Scheme):
    """Truncated normal with `stddev = sqrt(2 / fan_in)`.

    Args:
        seed: An integer in 0 .. 2**64-1, which repeats its values at every call; a
            `SeedGenerator` of seedbed or Keras, which every call advances; or None, which draws
            an integer in the constructor, from Python's `random`.
        input_axes: The axes that count as input, used if `output_axes` is given as well.
        output_axes: The axes that count as output.
        stream: The name of a stream, None for the default at the time of the call.

    Reference: He et al., 2015, https://arxiv.org/abs/1502.01852
    """

    _SCALE, _MODE, _DISTRIBUTION = 2.0, "fan_in", "truncated_normal"


class HeUniform(_Scheme):
    """Uniform in [-limit, limit), `limit = sqrt(6 / fan_in)`. Arguments: see `HeNormal`.

    Reference: He et al., 2015, https://arxiv.org/abs/1502.01852
    """

    _SCALE, _MODE, _DISTRIBUTION = 2.0, "fan_in", "uniform"


class Orthogonal(RandomInitializer):
    """Draws orthogonal matrices, uniformly.

    A tensor of higher rank is the matrix with all axes but the last flattened into one. With
    fewer rows than columns the rows are orthonormal, otherwise the columns are.

    Args:
        gain: Factor of the matrix.
        seed: An integer, a `SeedGenerator`, or None; see `HeNormal`.
        stream: The name of a stream, None for the default.

    Reference: Saxe et al., 2014, https://openreview.net/forum?id=_wzZwKpTDF_9C
    """

    def __init__(self, gain: Any = 1.0, seed: Any = None, *, stream: str | None = None) -> None:
        self.gain = gain
        super().__init__(seed=seed, stream=stream)

    def __call__(self, shape: Any, dtype: Any = None, *, index: Any = None, out: Any = None) -> Any:
        """The values; the arguments are those of `VarianceScaling`.

        Raises:
            ValueError: Also for a shape of rank below 2 or a gain that is not finite.
            TypeError: Also for a gain that is not a number.
        """
        if len(shape) < 2:
            raise ValueError(
                "The tensor to initialize must be "
                "at least two-dimensional. Received: "
                f"shape={shape} of rank {len(shape)}."
            )
        try:
            finite = math.isfinite(self.gain)
        except TypeError:
            raise TypeError(
                "`gain` must be a number. Received: "
                f"gain={_serial.text(self.gain)} (of type {type(self.gain)})"
            ) from None
        if not finite:
            raise ValueError(f"`gain` must be finite. Received: gain={self.gain}")
        stream = self.stream or get_stream()
        if stream == "numpy":
            return _keras_numpy.orthogonal(shape, self.gain, dtype, self.seed, index, out)
        dtype = standardize(dtype)
        seed, draw = resolve_seed(self.seed)
        return _core.fill_orthogonal(shape, self.gain, dtype, seed, draw, stream, index, out)

    def _own_config(self) -> dict[str, Any]:
        return {"gain": self.gain}


def compute_fans(
    shape: Any,
    input_axes: Iterable[int] | None = None,
    output_axes: Iterable[int] | None = None,
) -> tuple[int, int]:
    """The number of input and output units of a weight tensor, by Keras' rules; exact to 2**53.

    Args:
        shape: Shape of the tensor.
        input_axes: The axes that count as input, used if `output_axes` is given as well.
        output_axes: The axes that count as output.

    Raises:
        ValueError: A bad shape.
        IndexError: An axis outside the shape.
    """
    return _core.compute_fans(shape, input_axes, output_axes)
