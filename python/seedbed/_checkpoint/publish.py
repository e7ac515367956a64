"""Put a file in its place only when it is whole.

What: `replacement` gives a new file to write to, which takes the place of a path on success.
Method: a temporary file in the target's directory, renamed over the target in one step.
Consumes: room on the disk for the new file beside the old one, which is checked first.
Promises: after a failure or an interruption the target is as it was and the temporary file is gone.
A symbolic link is followed; the permissions of a file that is replaced are kept; what is not a
regular file is never replaced.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import stat
from collections.abc import Iterator

# How much of the target's name the temporary one repeats. File systems limit names in bytes, to 255
# and some to 143; the rest of the temporary name has 15.
_NAME_BYTES = 100


class WriteError(Exception):
    """The checkpoint could not be written; names the file and, where known, the tensor."""


@contextlib.contextmanager
def replacement(path: str, nbytes: int) -> Iterator[int]:
    """Give the descriptor of a new file, which replaces `path` when the block ends without error.

    Args:
        path: What to replace; nothing needs to be there.
        nbytes: How long the file will be.

    Raises:
        WriteError: The file cannot be written or replaced, or the disk lacks the room.
    """
    target = os.path.realpath(path)
    mode = _require_replaceable(path, target)
    _require_room(path, target, nbytes)
    temporary = _temporary_name(target)
    create = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    try:
        # The permissions that the process' umask gives any new file.
        file = os.open(temporary, create, 0o666)
        try:
            if mode is not None and hasattr(os, "fchmod"):
                os.fchmod(file, mode)
            yield file
        finally:
            os.close(file)
        os.replace(temporary, target)
    except BaseException as error:
        # The failure being reported matters more than a file that is gone or cannot be removed.
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        if isinstance(error, OSError):
            raise write_error(path, error) from error
        raise


def write_error(path: str, error: OSError, tensor: str | None = None) -> WriteError:
    """Return what to raise when the system refuses to write `tensor` to `path`."""
    where = "" if tensor is None else f" tensor `{tensor}`:"
    return WriteError(f"{path}:{where} cannot be written: {error.strerror or error}")


def _temporary_name(target: str) -> str:
    """Return a new hidden name beside `target`, like it but never too long where `target` is not.

    The name is cut by bytes, as file systems count, and where a character ends.
    """
    directory, name = os.path.split(target)
    kept = name.encode(errors="ignore")[:_NAME_BYTES].decode(errors="ignore")
    return os.path.join(directory, f".{kept}.{secrets.token_hex(4)}.part")


def _require_replaceable(path: str, target: str) -> int | None:
    """Return the permissions of the file at `target`, None if there is none.

    Raises:
        WriteError: Something is there that must not or cannot be replaced.
    """
    try:
        found = os.stat(target)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise write_error(path, error) from error
    if not stat.S_ISREG(found.st_mode):
        kind = "a directory" if stat.S_ISDIR(found.st_mode) else "not a regular file"
        raise WriteError(f"{path}: cannot be written: it is {kind}")
    if not os.access(target, os.W_OK):
        raise WriteError(f"{path}: cannot be written: it is read-only")
    return stat.S_IMODE(found.st_mode)


def _require_room(path: str, target: str, nbytes: int) -> None:
    """Fail before any work where the disk cannot hold `nbytes` bytes beside what it holds now."""
    try:
        disk = shutil.disk_usage(os.path.dirname(target))
    except OSError as error:
        raise write_error(path, error) from error
    # Some network file systems know no sizes and report zeros.
    if disk.total > 0 and nbytes > disk.free:
        raise WriteError(
            f"{path}: cannot be written: it needs {nbytes} bytes, the disk has {disk.free} free"
        )
