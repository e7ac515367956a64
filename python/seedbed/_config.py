"""What this installation is and does here, for bug reports."""

from typing import Any, Literal, overload

from seedbed import _core
from seedbed._streams import get_stream, streams


@overload
def show_config(mode: Literal["stdout"] = "stdout") -> None: ...
@overload
def show_config(mode: Literal["dicts"]) -> dict[str, Any]: ...
def show_config(mode: str = "stdout") -> dict[str, Any] | None:
    """Shows version, build, instruction sets, threads, streams and the versions beneath.

    Args:
        mode: "stdout" prints; "dicts" returns the same as a dictionary.

    Raises:
        ValueError: `mode` is neither.
    """
    if mode not in ("stdout", "dicts"):
        raise ValueError(f"`mode` must be 'stdout' or 'dicts'. Received: mode={mode!r}")
    import platform  # not wanted by anyone who only imports seedbed

    config: dict[str, Any] = {
        "seedbed": _core.__version__,
        "build": _core.build_info(),
        "instruction set": {"used": _core.isa(), "available": _core.available_isas()},
        "threads": _core.get_num_threads(),
        "streams": {"used": get_stream(), "available": streams()},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: _version(name) for name in ("numpy", "ml_dtypes", "keras")},
    }
    if mode == "dicts":
        return config
    for key, value in config.items():
        if isinstance(value, dict):
            value = ", ".join(f"{name} {_text(entry)}" for name, entry in value.items())
        print(f"{key + ':':<17} {value}")
    return None


def _text(value: Any) -> str:
    return "/".join(value) if isinstance(value, list) else str(value)


def _version(package: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
