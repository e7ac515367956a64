"""Names and shapes that a plan takes from elsewhere: `model = ...`.

What: `tensors_of` reads them from a safetensors file, an index, a directory of them, or the
config.json of a model, in this order where a directory has several.
Method: of checkpoints the headers are read. A config.json is handed to transformers, which builds
the model on the device "meta", where it has no values.
Promises: no value is read and no weight is allocated; names are those of the files that
transformers would write, or a `SpecError` says that they are not known.
"""

from __future__ import annotations

import functools
import json
import math
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from seedbed._dtypes import standardize
from seedbed._plan.axes import TORCH
from seedbed._plan.document import Document
from seedbed._plan.names import Named
from seedbed._spec.error import Place, SpecError, one_line

CONFIG_NAME: Final = "config.json"
_MAX_CONFIG_BYTES: Final = 16 << 20
# "owner/name", as models are called on Hugging Face's hub.
_HUB_NAME: Final = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)


@dataclass(slots=True)
class Source:
    """A model's tensors.

    Attributes:
        tensors: The shape and dtype of each by its name, in the model's order.
        tied: Names that share another tensor, and the names of those.
        zero_rows: The row of each that the model keeps at zeros, None where that is not known.
        config: The path of the model's config.json, None where there is none.
        dtype: The dtype of the plan, None for the tensors' own.
        std: The deviation that the model's config.json names, None where it names none.
        fixed: Parameters that the model fills itself and does not train, such as sinusoids.
        layout: What is usual for the axes where such tensors come from.
    """

    tensors: dict[str, tuple[tuple[int, ...], np.dtype[Any] | None]]
    tied: dict[str, str] = field(default_factory=dict)
    zero_rows: dict[str, int] | None = None
    config: str | None = None
    dtype: np.dtype[Any] | None = None
    std: float | None = None
    fixed: frozenset[str] = frozenset()
    layout: str = TORCH

    @property
    def lines(self) -> Iterator[Named]:
        """The tensors, for `resolve`."""
        for name, (shape, dtype) in self.tensors.items():
            # A plan's dtype is for numbers that are drawn, not for positions and counters.
            is_planned = self.dtype is not None and (dtype is None or is_drawn(dtype))
            yield Named(name, shape, None if is_planned else dtype)


@functools.cache
def is_drawn(dtype: np.dtype[Any]) -> bool:
    """Whether tensors of this dtype hold numbers that initializers draw."""
    return dtype.kind == "f" or "float" in dtype.name


def tensors_of(document: Document) -> Source:
    """Return the tensors of the model that a plan names.

    Raises:
        SpecError: They cannot be known.
    """
    assert document.model is not None
    path = os.path.join(os.path.dirname(document.path), document.model)
    source = source_at(path, document.place)
    source.dtype = document.dtype
    return source


def source_at(path: str, place: Place) -> Source:
    """Return the tensors of the checkpoint or config.json at `path`.

    Args:
        path: A safetensors file, an index, a directory or a config.json.
        place: Where it was named, for errors; the key there is `model`.

    Raises:
        SpecError: They cannot be known.
    """
    if os.path.basename(path).endswith(".json") and not path.endswith(".index.json"):
        return _of_config(path, place)
    return _of_checkpoint(path, place)


def _of_checkpoint(path: str, place: Place) -> Source:
    from seedbed._checkpoint.reader import ReadError, open_checkpoint

    folder = path if os.path.isdir(path) else os.path.dirname(path)
    config: str | None = os.path.join(folder, CONFIG_NAME)
    if config is None or not os.path.isfile(config):
        config = None
    if config is not None and os.path.isdir(path) and not _has_checkpoint(path):
        return _of_config(config, place)
    try:
        checkpoint = open_checkpoint(path)
    except ReadError as error:
        hint = "" if os.path.lexists(path) else _of_hub(path)
        place.fail("model", f"cannot be used: {one_line(error)}{hint}")
    found: dict[str, tuple[tuple[int, ...], np.dtype[Any] | None]] = {}
    parts = _Parts()
    for tensor in sorted(checkpoint.tensors, key=lambda tensor: natural(tensor.name, parts)):
        dtype = tensor.dtype
        if dtype is None:
            place.fail("model", f"has a tensor of dtype {tensor.code}", tensor.name)
        found[tensor.name] = (tensor.shape, dtype)
    tied = {name: other for name, other in checkpoint.tied.items() if other in found}
    for name, other in tied.items():
        found.setdefault(name, found[other])
    std = None if config is None else _std(_table_of(config))
    return Source(found, tied, config=config, std=std)


def _of_hub(path: str) -> str:
    """What to do where the name of a model on the hub may be meant."""
    if not _HUB_NAME.fullmatch(path):
        return ""
    return (
        ". It must be a path; nothing is downloaded here: "
        f"`hf download {path} config.json --local-dir .` does that"
    )


def _table_of(path: str) -> dict[str, Any]:
    """A config.json, empty where it cannot be read: names and shapes do not depend on it."""
    try:
        config = _loaded(path)
    except (OSError, ValueError, RecursionError):
        return {}
    return config if isinstance(config, dict) else {}


def _loaded(path: str) -> Any:
    with open(path, "rb") as file:
        return json.loads(file.read(_MAX_CONFIG_BYTES + 1))


def _std(config: dict[str, Any]) -> float | None:
    std = config.get("initializer_range", config.get("init_std"))
    return float(std) if isinstance(std, int | float) and 0 < std < math.inf else None


def _has_checkpoint(folder: str) -> bool:
    return any(name.endswith((".safetensors", ".index.json")) for name in os.listdir(folder))


class _Parts(dict[str, tuple[int, int, str]]):
    """What sorts each segment of names; the segments of many names are few."""

    def __missing__(self, part: str) -> tuple[int, int, str]:
        is_number = part.isascii() and part.isdigit()
        made = self[part] = (0, int(part[:300]), "") if is_number else (1, 0, part)
        return made


def natural(name: str, parts: _Parts | None = None) -> list[tuple[int, int, str]]:
    """A key that sorts "h.2" before "h.10".

    Args:
        name: The name.
        parts: Where to keep what sorts its segments, for the next name.
    """
    known = _Parts() if parts is None else parts
    return [known[part] for part in name.replace("/", ".").split(".")]


def _of_config(path: str, place: Place) -> Source:
    try:
        config = _loaded(path)
    except (OSError, ValueError, RecursionError) as error:
        place.fail("model", f"cannot be used: {path}: {one_line(error)}")
    if not isinstance(config, dict) or "model_type" not in config:
        place.fail("model", f"must be the config.json of a model; {path} has no `model_type`")
    if config.get("quantization_config"):
        place.fail(
            "model",
            f"must be that of a model whose weights are numbers of `dtype`; {path} has "
            "`quantization_config`: remove it, since loaders would take initial values for "
            "quantized ones",
        )
    try:
        import torch
        import transformers
    except ImportError as error:
        place.fail(
            "model",
            f"needs transformers and torch to read {path}: {error}. A published model's "
            "safetensors file or index serves as well and needs neither",
        )
    try:
        source = _by_transformers(transformers, torch, path, config, place)
    except SpecError:
        raise
    except Exception as error:
        # transformers raises what it likes.
        hint = ""
        if "auto_map" in config:
            hint = (
                ". Code that comes with a model is not run here; give the index or a file of a "
                "published checkpoint, or the output of `seedbed spec MODULE:FUNCTION`"
            )
        place.fail("model", f"cannot be used: {path}: {one_line(error).rstrip('.')}{hint}")
    if not isinstance(source, Source):
        place.fail(
            "model",
            f"is of the type {source}, whose tensors transformers stores under other names than "
            "it has in memory; give the index or a file of a published checkpoint",
        )
    source.config = path
    return source


def _by_transformers(
    transformers: Any, torch: Any, path: str, table: dict[str, Any], place: Place
) -> Source | str:
    """The tensors of a model that transformers knows, or the type of one whose files differ."""
    config = transformers.AutoConfig.from_pretrained(path, local_files_only=True)
    names = table.get("architectures")
    if not names:
        place.fail(
            "model",
            f"needs the model's class, which says what head it has; {path} has no `architectures`, "
            'such as ["LlamaForCausalLM"]',
        )
    kinds = (getattr(transformers, str(name), None) for name in names)
    builds = (getattr(kind, "_from_config", None) for kind in kinds)
    build = next((build for build in builds if build is not None), None)
    if build is None:
        place.fail(
            "model",
            f"needs a class that transformers {transformers.__version__} has; {path} has "
            "`architectures`",
            names,
        )
    # Read before the model sets it to its own.
    dtype = getattr(config, "dtype", None)
    with torch.device("meta"):
        model = build(config)
    state = stored = model.state_dict(keep_vars=True)
    if _is_converted(config.model_type, type(model).__name__):
        stored = _as_stored(model, state)
        if stored is None:
            return str(config.model_type)
    found: dict[str, tuple[tuple[int, ...], np.dtype[Any] | None]] = {}
    tied: dict[str, str] = {}
    # Of names for one tensor the model's first is written, in whatever order they are stored.
    first = {id(tensor): name for name, tensor in reversed(state.items()) if name in stored}
    for name, tensor in stored.items():
        own = str(tensor.dtype).removeprefix("torch.")
        if tensor.is_floating_point() and dtype is not None:
            own = str(dtype).removeprefix("torch.")
        found[name] = (tuple(tensor.shape), standardize(own))
        if first.setdefault(id(tensor), name) != name:
            tied[name] = first[id(tensor)]
    fixed = frozenset(
        name
        for name, tensor in stored.items()
        if isinstance(tensor, torch.nn.Parameter) and not tensor.requires_grad
    )
    rows = zero_rows_of(model, stored)
    return Source(found, tied, rows, std=_std(config.to_dict()), fixed=fixed)


def zero_rows_of(model: Any, tensors: dict[str, Any]) -> dict[str, int]:
    """Return the rows that a torch module keeps at zeros, by the tensors that have one."""
    rows = {
        id(module.weight): module.padding_idx
        for module in model.modules()
        if getattr(module, "padding_idx", None) is not None and hasattr(module, "weight")
    }
    return {name: rows[id(one)] for name, one in tensors.items() if id(one) in rows}


def _is_converted(model_type: str, class_name: str) -> bool:
    """Whether transformers renames or reshapes the tensors of a model when it stores them."""
    try:
        from transformers.conversion_mapping import get_checkpoint_conversion_mapping
    except ImportError:
        # Before version 5 nothing was converted.
        return False
    return any(get_checkpoint_conversion_mapping(key) for key in (model_type, class_name))


def _as_stored(model: Any, state: dict[str, Any]) -> dict[str, Any] | None:
    """The tensors as transformers stores them, such as each expert by itself; None if unknown.

    What `save_pretrained` does to them is no public function, and works without values.
    """
    try:
        from transformers.core_model_loading import revert_weight_conversion

        stored: dict[str, Any] = revert_weight_conversion(model, state)
    except Exception:
        # One that is gone, or that some model's operations fail in.
        return None
    return stored if all(hasattr(tensor, "shape") for tensor in stored.values()) else None
