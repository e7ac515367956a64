"""Checkpoints in object stores, and wherever else fsspec reaches.

What: `RemoteDirectory` is a directory behind a URL such as `s3://bucket/model`.
Method: an object appears when its upload completes, whole. The upload is a transaction, which is
committed after the last byte or thrown away; closing a file without one would publish what an
exception cut short.
Consumes: the package fsspec, and that of the protocol; no temporary names, as there is no rename.
Promises: no object under its name that is not whole.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator
from typing import Any, BinaryIO, cast

from seedbed._checkpoint.publish import Sink, WriteError

_BLOCK_BYTES = 8 << 20


class RemoteDirectory:
    """What is behind a URL, with "/" as separator."""

    def __init__(self, url: str) -> None:
        try:
            from fsspec.core import url_to_fs
        except ImportError as error:
            raise OSError("the package fsspec is not installed; install seedbed[remote]") from error
        self._url = url
        try:
            self._files, self._path = url_to_fs(url)
        except (ImportError, ValueError) as error:
            # A protocol that is not known, or whose package is missing.
            raise OSError(str(error)) from error

    def is_directory(self) -> bool:
        with _as_os_errors():
            return bool(self._files.isdir(self._path))

    def path(self, name: str) -> str:
        return f"{self._url}/{name}"

    def names(self) -> list[str]:
        with _as_os_errors():
            self._files.invalidate_cache()
            try:
                found = self._files.ls(self._path, detail=True)
            except FileNotFoundError:
                return []
        return [
            entry["name"].rstrip("/").rpartition("/")[2]
            for entry in found
            if entry["type"] == "file"
        ]

    def size(self, name: str) -> int | None:
        with _as_os_errors():
            self._files.invalidate_cache()
            try:
                found = self._files.info(self._inside(name))
            except FileNotFoundError:
                return None
        return int(found["size"]) if found["type"] == "file" else None

    def open(self, name: str) -> BinaryIO:
        with _as_os_errors():
            return cast("BinaryIO", self._files.open(self._inside(name), "rb"))

    def make(self) -> None:
        with _as_write_errors(self._url):
            self._files.makedirs(self._path, exist_ok=True)

    def claim(self, *, shared: bool) -> contextlib.AbstractContextManager[None]:
        # No store has a lock that all protocols know.
        return contextlib.nullcontext()

    def sweep(self, names: Collection[str], *, everything: bool) -> None:
        """Nothing to do: what is not committed has no name."""

    def require_room(self, nbytes: int) -> None:
        """Nothing to do: nobody knows."""

    @contextlib.contextmanager
    def replacement(self, name: str, nbytes: int, *, sync: bool) -> Iterator[Sink]:
        path = self.path(name)
        with _as_write_errors(path):
            # In a transaction no file system publishes what is closed; some look at nothing else.
            transaction = self._files.transaction
            transaction.__enter__()
        try:
            with _as_write_errors(path):
                file = self._files.open(self._inside(name), "wb", block_size=_BLOCK_BYTES)
            yield _sink_of(file, path)
            with _as_write_errors(path):
                file.close()
        except BaseException as error:
            # What is being reported matters more than an upload that cannot be called off.
            with contextlib.suppress(Exception):
                transaction.__exit__(type(error), error, None)
            raise
        with _as_write_errors(path):
            transaction.__exit__(None, None, None)

    def remove(self, name: str) -> None:
        with _as_write_errors(self.path(name)), contextlib.suppress(FileNotFoundError):
            self._files.rm_file(self._inside(name))

    def _inside(self, name: str) -> str:
        return f"{self._path}/{name}"


def _sink_of(file: Any, path: str) -> Sink:
    def write(data: memoryview) -> int:
        try:
            file.write(data)
        except Exception as error:
            raise OSError(str(error) or type(error).__name__) from error
        return len(data)

    return write


@contextlib.contextmanager
def _as_os_errors() -> Iterator[None]:
    """Raise what clients of stores raise, each in its own manner, as OSError."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        raise OSError(str(error) or type(error).__name__) from error


@contextlib.contextmanager
def _as_write_errors(path: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        text = " ".join(str(error).split()) or type(error).__name__
        raise WriteError(f"{path}: cannot be written: {text}") from error
