"""TOML: read with bounds, and written."""

from __future__ import annotations

import math
import re
import tomllib
from numbers import Integral, Real
from typing import Any, Final

from seedbed import initializers
from seedbed._escape import escape
from seedbed._spec.error import SpecError, one_line

# A file longer than this was not written as a specification; reading it whole would cost its size.
MAX_SPECIFICATION_BYTES: Final = 16 << 20

_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")


def load(data: bytes, path: str) -> dict[str, Any]:
    """Return what the TOML file `path` says that holds `data`.

    Raises:
        SpecError: It is not TOML, or too long.
    """
    if len(data) > MAX_SPECIFICATION_BYTES:
        raise SpecError(f"{path}: must be at most {MAX_SPECIFICATION_BYTES} bytes long")
    try:
        return tomllib.loads(data.decode())
    except UnicodeDecodeError as error:
        raise SpecError(f"{path}: is not TOML: byte {error.start} is not UTF-8") from error
    except RecursionError as error:
        raise SpecError(f"{path}: is not TOML that can be read: nested too deeply") from error
    except ValueError as error:
        raise SpecError(f"{path}: is not TOML: {one_line(error)}") from error


def dump(table: dict[str, Any]) -> str:
    """Return the keys of a plan as a TOML file.

    Raises:
        ValueError: A value has no form in TOML, as functions have none.
    """
    plain_table = {key: plain(value, strict=True) for key, value in table.items()}
    lines = []
    for key, value in plain_table.items():
        if key == "rule":
            rules = "".join(f"    {_inline(rule)},\n" for rule in value)
            lines.append(f"rule = [\n{rules}]\n")
        elif key not in ("tensors", "tensor"):
            lines.append(f"{_key(key)} = {_inline(value)}\n")
    if "tensors" in plain_table:
        lines.append("\n[tensors]\n")
        lines.extend(f"{_key(k)} = {_inline(v)}\n" for k, v in plain_table["tensors"].items())
    for tensor in plain_table.get("tensor", ()):
        lines.append("\n[[tensor]]\n")
        lines.extend(f"{_key(key)} = {_inline(value)}\n" for key, value in tensor.items())
    return "".join(lines)


def plain(value: Any, *, strict: bool = False) -> Any:
    """Return a value of a plan as strings, numbers, arrays and tables.

    Args:
        value: The value.
        strict: Whether to refuse what cannot be read back. If not, a function is its name.

    Raises:
        ValueError: It cannot, and `strict`.
    """
    if isinstance(value, dict):
        return {key: plain(inner, strict=strict) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner, strict=strict) for inner in value]
    if isinstance(value, bool | str):
        return value
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return float(value)
    if isinstance(value, type) and issubclass(value, initializers.Initializer):
        value = value()
    if hasattr(value, "get_config"):
        stored = initializers.serialize(value)
        empty = {key for key, inner in stored["config"].items() if inner is None}
        # TOML has no null; what is left out must be null again when it is read.
        defaults = initializers.deserialize({**stored, "config": {}}).get_config() if empty else {}
        if strict and any(defaults.get(key) is not None for key in empty):
            raise ValueError(f"TOML has no null. Received: {escape(repr(stored))}")
        config = {key: plain(v) for key, v in stored["config"].items() if key not in empty}
        return {"class_name": stored["class_name"], "config": config}
    if strict:
        raise ValueError(f"TOML has no form for {escape(repr(value))}")
    return getattr(value, "__qualname__", type(value).__name__)


def _inline(value: Any) -> str:
    if isinstance(value, dict):
        inside = ", ".join(f"{_key(key)} = {_inline(inner)}" for key, inner in value.items())
        return f"{{ {inside} }}" if inside else "{}"
    if isinstance(value, list):
        return f"[{', '.join(map(_inline, value))}]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and not math.isfinite(value):
        return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"
    return _string(value) if isinstance(value, str) else repr(value)


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else _string(key)


def _string(text: str) -> str:
    made = ""
    for character in text:
        code = ord(character)
        if character in '"\\':
            made += "\\" + character
        elif code < 0x20 or 0x7F <= code < 0xA0:
            made += f"\\u{code:04x}"
        elif 0xD800 <= code < 0xE000:
            raise ValueError("TOML has no form for half of a surrogate pair")
        else:
            made += character
    return f'"{made}"'
