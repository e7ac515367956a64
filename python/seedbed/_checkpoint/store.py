"""Where checkpoints lie: what a directory must be able to do, local ones, and which a path means.

What: `Store` is what reading and publishing need of a place; `LocalDirectory` is a directory of
this machine, `remote` has the objects that fsspec reaches.
Consumes: nothing but descriptors while something is open.
Promises: what is read is a regular file or an object, never a device or a pipe.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Collection, Iterator
from typing import BinaryIO, Protocol

from seedbed._checkpoint import publish
from seedbed._checkpoint.publish import Sink, write_error

# "s3://bucket/model", not the drive of "C:\\model".
_URL = re.compile(r"([a-z][a-z0-9+.-]+)://", re.IGNORECASE)


class Store(Protocol):
    """A directory, or what stands for one in an object store."""

    def path(self, name: str) -> str:
        """What to call the file `name` in messages."""

    def names(self) -> list[str]:
        """The names of the files in it; none where it does not exist."""

    def size(self, name: str) -> int | None:
        """The length of the file `name`, None where there is no such file."""

    def open(self, name: str) -> BinaryIO:
        """Open the file `name` for reading."""

    def make(self) -> None:
        """Make the directory, where it has to be made."""

    def claim(self, *, shared: bool) -> contextlib.AbstractContextManager[None]:
        """Keep others out meanwhile, as far as that can be known, or those that do not share."""

    def sweep(self, names: Collection[str], *, everything: bool) -> None:
        """Remove what killed runs left of the files `names`."""

    def require_room(self, nbytes: int) -> None:
        """Raise WriteError where so many bytes more do not fit."""

    def replacement(
        self, name: str, nbytes: int, *, sync: bool
    ) -> contextlib.AbstractContextManager[Sink]:
        """Give what writes to a new file, which is `name` when the block ends without error."""

    def remove(self, name: str) -> None:
        """Remove the file `name`."""


class LocalDirectory:
    """A directory of this machine."""

    def __init__(self, path: str) -> None:
        self._path = path

    def path(self, name: str) -> str:
        return os.path.join(self._path, name)

    def names(self) -> list[str]:
        try:
            return os.listdir(self._path or os.curdir)
        except FileNotFoundError:
            return []

    def size(self, name: str) -> int | None:
        try:
            # Opened, not looked up: a network file system then asks the server.
            found = os.stat(self.path(name))
        except FileNotFoundError:
            return None
        return found.st_size if stat.S_ISREG(found.st_mode) else None

    def open(self, name: str) -> BinaryIO:
        # Without a wait, should it be a pipe by now.
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        file = os.open(self.path(name), flags)
        if not stat.S_ISREG(os.fstat(file).st_mode):
            os.close(file)
            raise OSError("it is not a regular file")
        return os.fdopen(file, "rb", buffering=0)

    def make(self) -> None:
        try:
            os.makedirs(self._path or os.curdir, exist_ok=True)
        except OSError as error:
            raise write_error(self._path, error) from error

    def claim(self, *, shared: bool) -> contextlib.AbstractContextManager[None]:
        return publish.claim(self._path or os.curdir, shared=shared)

    def sweep(self, names: Collection[str], *, everything: bool) -> None:
        publish.sweep(self._path or os.curdir, names, everything=everything)

    def require_room(self, nbytes: int) -> None:
        publish.require_room(self._path, self._path or os.curdir, nbytes)

    def replacement(
        self, name: str, nbytes: int, *, sync: bool
    ) -> contextlib.AbstractContextManager[Sink]:
        return publish.replacement(self.path(name), nbytes, sync=sync)

    def remove(self, name: str) -> None:
        try:
            os.unlink(self.path(name))
        except FileNotFoundError:
            pass
        except OSError as error:
            raise write_error(self.path(name), error) from error


def is_url(path: str) -> bool:
    """Whether `path` is reached by fsspec."""
    match = _URL.match(path)
    return match is not None and match[1].lower() != "file"


def local_path(path: str) -> str:
    """Return `path` without "file://"."""
    match = _URL.match(path)
    return path[match.end() :] if match and match[1].lower() == "file" else path


def directory_of(path: str) -> Store:
    """Return the directory `path`, which need not exist.

    Raises:
        OSError: It is reached by fsspec, which is missing or does not know it.
    """
    if is_url(path):
        from seedbed._checkpoint.remote import RemoteDirectory

        return RemoteDirectory(path.rstrip("/"))
    return LocalDirectory(local_path(path))


def locate(path: str) -> tuple[Store, str | None]:
    """Return the directory that holds the file `path`, and its name; None if it is a directory.

    Raises:
        OSError: Nothing is there, or it cannot be reached.
    """
    if "\0" in path:
        raise OSError("its name has a NUL character")
    if is_url(path):
        from seedbed._checkpoint.remote import RemoteDirectory

        whole = RemoteDirectory(path.rstrip("/"))
        if whole.is_directory():
            return whole, None
        parent, _, name = path.rpartition("/")
        return RemoteDirectory(parent), name
    path = local_path(path)
    if stat.S_ISDIR(os.stat(path).st_mode):
        return LocalDirectory(path), None
    directory, name = os.path.split(path)
    return LocalDirectory(directory), name


@contextlib.contextmanager
def file_replacement(path: str, nbytes: int, *, sync: bool) -> Iterator[Sink]:
    """Give what writes to a new file that replaces the file or object `path`."""
    if is_url(path):
        parent, _, name = path.rpartition("/")
        with directory_of(parent).replacement(name, nbytes, sync=sync) as sink:
            yield sink
    else:
        with publish.replacement(local_path(path), nbytes, sync=sync) as sink:
            yield sink


def reason(error: OSError) -> str:
    """Return why the system refused, without the path that the message names anyway."""
    return error.strerror or str(error)
