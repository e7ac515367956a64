"""Read the specification of a model: a plan in a TOML file that says which tensors there are.

What: `read_specification` turns a TOML file into a `Specification`, a flat list of `TensorSpec`.
Method: the language of plans, of which a list of tensors with an initializer each is a part.
Promises: whatever the file contains, either a specification that can be written or a `SpecError`
that names its place.
"""

from __future__ import annotations

import hashlib

from seedbed._plan.document import read_document
from seedbed._plan.resolve import resolve
from seedbed._plan.sources import tensors_of
from seedbed._plan.toml import MAX_SPECIFICATION_BYTES, load
from seedbed._spec.error import SpecError, show
from seedbed._spec.model import Specification


def read_specification(path: str) -> Specification:
    """Read and check the specification in the file `path`.

    Raises:
        SpecError: Anything is wrong with it, or it cannot be read.
    """
    return parse_specification(read_bytes(path), path)


def parse_specification(data: bytes, path: str) -> Specification:
    """Check the specification `data` that came from the file `path`, which the errors name.

    Raises:
        SpecError: Anything is wrong with it.
    """
    document = read_document(load(data, path), path)
    if document.seed is None:
        document.place.fail("seed", "is missing")
    digest = hashlib.sha256(data).hexdigest()
    if document.model is not None:
        source = tensors_of(document)
        return resolve(document, source.lines, document.seed, digest, source)
    if not document.names_tensors:
        document.place.fail("tensor", "is missing; `tensors` or `model` would do as well")
    return resolve(document, document.lines(), document.seed, digest)


def read_bytes(path: str) -> bytes:
    """Return what a specification's file holds, at least as much as shows that it is too long.

    Raises:
        SpecError: It cannot be read.
    """
    try:
        with open(path, "rb") as file:
            return file.read(MAX_SPECIFICATION_BYTES + 1)
    except OSError as error:
        raise SpecError(f"{path}: cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise SpecError(f"{show(path)}: cannot be read: {error}") from error
