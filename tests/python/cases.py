"""Every initializer with its defaults and with other arguments, for tests against Keras."""

from typing import Any

import numpy as np

# Class name, arguments of the constructor, a shape that the class takes.
CASES: list[tuple[str, dict[str, Any], tuple[int, ...]]] = [
    ("Zeros", {}, (3, 4)),
    ("Ones", {}, (3, 4)),
    ("Constant", {}, (3, 4)),
    ("Constant", {"value": -2.5}, (3, 4)),
    ("Constant", {"value": [[1, 2, 3, 4]]}, (3, 4)),
    ("Constant", {"value": np.array([[0.5], [1.5], [-3.0]], np.float16)}, (3, 4)),
    ("Constant", {"value": np.float32(0.1)}, (3, 4)),
    ("Identity", {}, (3, 4)),
    ("Identity", {"gain": 2.0}, (4, 3)),
    ("STFT", {}, (8, 1, 5)),
    (
        "STFT",
        {"side": "imag", "window": "hamming", "scaling": "spectrum", "periodic": True},
        (7, 1, 6),
    ),
    ("STFT", {"window": None, "scaling": None}, (4, 1, 3)),
    ("RandomNormal", {}, (3, 4)),
    ("RandomNormal", {"mean": 1.0, "stddev": 0.3, "seed": 5}, (3, 4)),
    ("RandomUniform", {}, (3, 4)),
    ("RandomUniform", {"minval": -1, "maxval": 2, "seed": 5}, (3, 4)),
    ("TruncatedNormal", {}, (3, 4)),
    ("TruncatedNormal", {"mean": -1.0, "stddev": 2, "seed": 5}, (3, 4)),
    ("VarianceScaling", {}, (3, 4)),
    (
        "VarianceScaling",
        {
            "scale": 0.3,
            "mode": "fan_out",
            "distribution": "Normal",
            "seed": 5,
            "input_axes": [0],
            "output_axes": [-1, 1],
        },
        (3, 4, 2),
    ),
    ("VarianceScaling", {"mode": "fan_avg", "distribution": "untruncated_normal"}, (3, 4)),
    ("VarianceScaling", {"distribution": "uniform", "seed": True}, (3, 4)),
    *(
        (name, kwargs, (3, 4))
        for name in (
            "GlorotNormal",
            "GlorotUniform",
            "HeNormal",
            "HeUniform",
            "LecunNormal",
            "LecunUniform",
        )
        for kwargs in ({}, {"seed": 5}, {"seed": 5, "input_axes": [1], "output_axes": [0]})
    ),
    ("Orthogonal", {}, (3, 4)),
    ("Orthogonal", {"gain": 0.5, "seed": 5}, (4, 2, 3)),
]

CLASSES = list(dict.fromkeys(name for name, _, _ in CASES))
RANDOM = [name for name in CLASSES if name not in ("Zeros", "Ones", "Constant", "Identity", "STFT")]


def label(value: object) -> str | None:
    """A short test id for the parts of a case."""
    return repr(value) if isinstance(value, dict) and len(repr(value)) < 60 else None
