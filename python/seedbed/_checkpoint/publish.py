"""Put a file in its place only when it is whole.

What: `replacement` gives a new file to write to, which takes the place of a path on success.
Method: a temporary file in the target's directory, renamed over the target in one step. It is
brought to the disk before, and the directory after: else a loss of power can leave a file of the
right name and size that holds zeros. While it is written it is locked, which tells it from what a
killed process left (`sweep`).
Consumes: room on the disk for the new file beside the old one, which is checked first.
Promises: after a failure or an interruption the target is as it was and the temporary file is gone.
A symbolic link is followed; the permissions of a file that is replaced are kept; what is not a
regular file is never replaced.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import shutil
import stat
import time
from collections.abc import Callable, Collection, Iterator

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

# How much of the target's name the temporary one repeats. File systems limit names in bytes, to 255
# and some to 143; the rest of the temporary name has 15.
_NAME_BYTES = 100
_TEMPORARY = re.compile(r"\.(.*)\.[0-9a-f]{8}\.part", re.DOTALL)
# A temporary file that nothing has written to for so long belongs to no run, on any machine.
_STALE_SECONDS = 24 * 3600

# What takes bytes, and says how many of them: `os.write` of a file, or its like.
Sink = Callable[[memoryview], int]


class WriteError(Exception):
    """The checkpoint could not be written; names the file and, where known, the tensor."""


@contextlib.contextmanager
def replacement(path: str, nbytes: int, *, sync: bool = True) -> Iterator[Sink]:
    """Give what writes to a new file, which replaces `path` when the block ends without error.

    Args:
        path: What to replace; nothing needs to be there.
        nbytes: How long the file will be.
        sync: Whether to wait until the disk has it.

    Raises:
        WriteError: The file cannot be written or replaced, or the disk lacks the room.
    """
    target = os.path.realpath(path)
    mode = _require_replaceable(path, target)
    require_room(path, os.path.dirname(target), nbytes)
    temporary = _temporary_name(target)
    create = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    try:
        # The permissions that the process' umask gives any new file.
        file = os.open(temporary, create, 0o666)
        try:
            _lock(file, shared=False)
            if mode is not None and hasattr(os, "fchmod"):
                os.fchmod(file, mode)
            yield lambda data: os.write(file, data)
            if sync:
                os.fsync(file)
        finally:
            os.close(file)
        os.replace(temporary, target)
        if sync:
            sync_directory(os.path.dirname(target))
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


def sync_directory(path: str) -> None:
    """Have the disk know the names in the directory `path`, where the system can be asked to."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    try:
        directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    except PermissionError:
        # One may write to a directory that one may not read.
        return
    try:
        os.fsync(directory)
    except OSError as error:
        # Some network file systems have nothing to do here, and say so by refusing.
        if error.errno not in (errno.EINVAL, errno.EBADF, errno.ENOTSUP):
            raise
    finally:
        os.close(directory)


@contextlib.contextmanager
def claim(path: str, *, shared: bool) -> Iterator[None]:
    """Keep other processes of this machine from writing to the directory `path` meanwhile.

    Args:
        path: A directory; where it does not exist, nobody writes to it.
        shared: Whether others that say so too may.

    Raises:
        WriteError: Another process is at it.
    """
    if not hasattr(os, "O_DIRECTORY"):
        yield
        return
    try:
        directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        yield
        return
    try:
        if not _lock(directory, shared=shared):
            raise WriteError(f"{path}: cannot be written: another process is writing to it")
        yield
    finally:
        os.close(directory)


def sweep(path: str, names: Collection[str], *, everything: bool) -> None:
    """Remove from the directory `path` what killed runs left of the files `names`.

    Args:
        path: A directory.
        names: The files that they were to become.
        everything: Whether to remove young ones too: no other machine writes here.
    """
    beginnings = {_kept(name) for name in names}
    for found in os.listdir(path):
        match = _TEMPORARY.fullmatch(found)
        if match is None or match[1] not in beginnings:
            continue
        temporary = os.path.join(path, found)
        with contextlib.suppress(OSError):
            file = os.open(temporary, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
            try:
                old = time.time() - os.fstat(file).st_mtime > _STALE_SECONDS
                if (everything or old) and _lock(file, shared=False):
                    os.unlink(temporary)
            finally:
                os.close(file)


def _lock(file: int, *, shared: bool) -> bool:
    """Lock a file until it is closed; False if another process has it.

    Where the system has no locks nobody has them.
    """
    if fcntl is None:
        return True
    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def _kept(name: str) -> str:
    """Return what the name of a temporary file repeats of the target's `name`.

    It is cut by bytes, as file systems count, and where a character ends.
    """
    return name.encode(errors="ignore")[:_NAME_BYTES].decode(errors="ignore")


def _temporary_name(target: str) -> str:
    """Return a new hidden name beside `target`, like it but never longer than names may be."""
    directory, name = os.path.split(target)
    return os.path.join(directory, f".{_kept(name)}.{secrets.token_hex(4)}.part")


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


def require_room(path: str, directory: str, nbytes: int) -> None:
    """Fail before any work where the disk of `directory` cannot hold `nbytes` bytes more.

    Raises:
        WriteError: In the name of `path`.
    """
    try:
        disk = shutil.disk_usage(directory)
    except OSError as error:
        raise write_error(path, error) from error
    # Some network file systems know no sizes and report zeros.
    if disk.total > 0 and nbytes > disk.free:
        raise WriteError(
            f"{path}: cannot be written: it needs {nbytes} bytes, the disk has {disk.free} free"
        )
