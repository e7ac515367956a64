"""Initializers that draw: normal, uniform, truncated normal, variance scaling, orthogonal.

Names, arguments, configs and errors are those of Keras 3.15. The values are drawn by the Rust core
from a named stream; what each stream promises is in `docs/streams.md`, and what it takes is for its
rules to say.
"""

import math
from abc import abstractmethod
from collections.abc import Iterable
from numbers import Real
from types import FunctionType
from typing import Any, ClassVar, Final

from seedbed import _core
from seedbed._draw import Draw, dtype_of
from seedbed._seeds import SupportsNext, make_default_seed
from seedbed._streams import rules_of
from seedbed._streams.rules import Rules
from seedbed.initializers import _serial
from seedbed.initializers._inside_keras import warn_if_called_by_keras
from seedbed.initializers.initializer import Initializer

# Where Keras cuts truncated normals, in standard deviations.
DEFAULT_CUT: Final = 2.0


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
        seed = rules_of(stream).initial_seed(seed)
        self._init_seed = seed
        if seed is None:
            seed = make_default_seed()
        elif isinstance(seed, dict):
            seed = _serial.deserialize_seed(seed)
        elif not isinstance(seed, int) and (
            isinstance(seed, type) or not isinstance(seed, SupportsNext)
        ):
            raise ValueError(
                "`seed` argument should be an instance of "
                "`keras.random.SeedGenerator()` or an integer. "
                f"Received: seed={_serial.text(seed)}"
            )
        self.seed = seed
        self.stream = stream

    def __call__(self, shape: Any, dtype: Any = None, *, index: Any = None, out: Any = None) -> Any:
        """The values of a tensor, or of a block of one.

        Args:
            shape: Shape of the whole tensor.
            dtype: float16, bfloat16, float32, float64, float8_e4m3fn or float8_e5m2. None is the
                dtype of `out` where given, else Keras' `floatx`, float32 unless set otherwise.
            index: Integers, slices and Ellipsis: return just this block of the tensor, bit for
                bit. Fans are those of the whole. A `SeedGenerator` is advanced by every call, so
                blocks of one tensor come from one `prepare`.
            out: A writable array of the block's shape and the dtype, to be filled and returned:
                NumPy's, a memory map, or anything that lends CPU memory by the buffer protocol
                or DLPack.

        Raises:
            ValueError: A bad shape, dtype, parameter or seed; an `out` that is read-only, of
                another shape or overlaps itself.
            IndexError: `index`, `input_axes` or `output_axes` reach outside the shape.
            TypeError: A parameter that is no number; an `out` of another dtype, or that lends no
                memory.
            OverflowError: A parameter for which values would be infinite.
        """
        warn_if_called_by_keras(1)
        dtype = dtype_of(out) if dtype is None and out is not None else dtype
        return self._prepare(rules_of(self.stream), shape, dtype).draw(index, out)

    def prepare(self, shape: Any, dtype: Any = None) -> Draw:
        """The tensor, ready to be drawn whole or in blocks. A `SeedGenerator` is advanced once.

        Args:
            shape: Shape of the whole tensor.
            dtype: As for a call.

        Raises:
            Those of a call, apart from what concerns `index` and `out`.
        """
        return self._prepare(rules_of(self.stream), shape, dtype)

    @abstractmethod
    def _prepare(self, rules: Rules, shape: Any, dtype: Any) -> Draw:
        """The draw by the rules of a stream."""

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
        rules_of(stream).check_parameter("mean", mean)
        rules_of(stream).check_parameter("stddev", stddev)
        self.mean = mean
        self.stddev = stddev
        super().__init__(seed=seed, stream=stream)

    def _prepare(self, rules: Rules, shape: Any, dtype: Any) -> Draw:
        return rules.normal(shape, dtype, self.seed, self.mean, self.stddev)

    def _own_config(self) -> dict[str, Any]:
        return {"mean": self.mean, "stddev": self.stddev}


class TruncatedNormal(RandomInitializer):
    """Draws from a normal distribution, redrawing what is too far from the mean.

    Args:
        mean: Mean.
        stddev: Standard deviation before the truncation.
        seed: An integer, a `SeedGenerator`, or None; see `HeNormal`.
        stream: The name of a stream, None for the default.
        cut: How far from the mean is too far, in standard deviations. It is part of the config
            only where it is not 2, the only one that Keras knows.

    Raises:
        TypeError: A parameter that is no number.
        ValueError: A `cut` that is not positive and finite.
    """

    def __init__(
        self,
        mean: Any = 0.0,
        stddev: Any = 0.05,
        seed: Any = None,
        *,
        stream: str | None = None,
        cut: Any = 2.0,
    ) -> None:
        rules_of(stream).check_parameter("mean", mean)
        rules_of(stream).check_parameter("stddev", stddev)
        if not isinstance(cut, Real) or isinstance(cut, bool):
            raise TypeError(f"`cut` must be a number. Received: cut={_serial.shown(cut)}")
        if not 0 < float(cut) < math.inf:
            raise ValueError(f"`cut` must be positive and finite. Received: cut={cut}")
        self.mean = mean
        self.stddev = stddev
        self.cut = float(cut)
        super().__init__(seed=seed, stream=stream)

    def _prepare(self, rules: Rules, shape: Any, dtype: Any) -> Draw:
        bounds = () if self.cut == DEFAULT_CUT else (-self.cut, self.cut)
        return rules.truncated_normal(shape, dtype, self.seed, self.mean, self.stddev, *bounds)

    def _own_config(self) -> dict[str, Any]:
        config = {"mean": self.mean, "stddev": self.stddev}
        return config if self.cut == DEFAULT_CUT else {**config, "cut": self.cut}


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
        rules_of(stream).check_parameter("minval", minval)
        rules_of(stream).check_parameter("maxval", maxval)
        self.minval = minval
        self.maxval = maxval
        super().__init__(seed=seed, stream=stream)

    def _prepare(self, rules: Rules, shape: Any, dtype: Any) -> Draw:
        return rules.uniform(shape, dtype, self.seed, self.minval, self.maxval)

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
        rules_of(stream).check_parameter("scale", scale)
        if isinstance(scale, list | tuple):
            raise TypeError(f"`scale` must be one number. Received: scale={_serial.shown(scale)}")
        if scale <= 0.0 or scale != scale:  # NaN is not positive either
            raise ValueError(f"Argument `scale` must be positive float. Received: scale={scale}")
        if not isinstance(mode, str) or mode not in _core.MODES:
            raise ValueError(
                f"Invalid `mode` argument: {_serial.text(mode)}. "
                f"Please use one of {set(_core.MODES)}"
            )
        distribution = distribution.lower() if isinstance(distribution, str) else distribution
        if distribution == "normal":
            distribution = "truncated_normal"
        if not isinstance(distribution, str) or distribution not in _core.DISTRIBUTIONS:
            raise ValueError(
                f"Invalid `distribution` argument: {_serial.text(distribution)}."
                f"Please use one of {set(_core.DISTRIBUTIONS)}"
            )
        self.scale = scale
        self.mode = mode
        self.distribution = distribution
        self.input_axes = input_axes
        self.output_axes = output_axes
        super().__init__(seed=seed, stream=stream)

    def _prepare(self, rules: Rules, shape: Any, dtype: Any) -> Draw:
        return rules.variance_scaling(
            shape,
            dtype,
            self.seed,
            self.scale,
            self.mode,
            self.distribution,
            self.input_axes,
            self.output_axes,
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

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "__init__" not in vars(cls):
            # A constructor of its own, so that Python's messages name the class that was called.
            shared = cls.__init__
            code, closure = shared.__code__, shared.__closure__
            own = FunctionType(code, shared.__globals__, "__init__", shared.__defaults__, closure)
            own.__kwdefaults__ = shared.__kwdefaults__
            own.__annotations__ = shared.__annotations__
            own.__qualname__ = f"{cls.__qualname__}.__init__"
            cls.__init__ = own  # type: ignore[method-assign]

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
        rules_of(stream).check_parameter("gain", gain)
        self.gain = gain
        super().__init__(seed=seed, stream=stream)

    def _prepare(self, rules: Rules, shape: Any, dtype: Any) -> Draw:
        return rules.orthogonal(shape, dtype, self.seed, self.gain)

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
