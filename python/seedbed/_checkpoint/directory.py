"""Publish a sharded checkpoint: every file whole, the index last, nothing stale beside it.

What: `write_directory` writes the shards of a model, or one process' part of them; `finish` writes
the index when all are there.
Method: each shard takes its place by itself, under a name that exists only when it is whole. The
index follows when every shard has its exact header and length. So a directory with an index is
complete, and one without it does not load.
Consumes: room for the shards; memory as for one file.
Promises: files of another model are never mixed in: `write_directory` refuses a directory that has
any, or removes the index first and them at the end. What is resumed was compared, byte for byte,
unless asked otherwise. Killed at any point, the directory can be resumed.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from seedbed._checkpoint import compare
from seedbed._checkpoint.format import Layout
from seedbed._checkpoint.index import encode_index
from seedbed._checkpoint.json_members import JsonError
from seedbed._checkpoint.publish import WriteError, write_error
from seedbed._checkpoint.reader import read_header
from seedbed._checkpoint.shards import INDEX_NAME, SINGLE_NAME, share
from seedbed._checkpoint.store import Store
from seedbed._checkpoint.writer import CHUNK_BYTES, Tensor, stream

# What shows up as part of a checkpoint to one reader or another.
_ENDS = (".safetensors", ".safetensors.index.json")
_DIGEST = "specification_digest"


class Existing(enum.Enum):
    """What to do about a checkpoint that is there already."""

    REFUSE = enum.auto()
    # Keep what is right: having compared the values, or only headers and lengths.
    RESUME = enum.auto()
    RESUME_QUICKLY = enum.auto()
    OVERWRITE = enum.auto()

    @property
    def resumes(self) -> bool:
        return self in (Existing.RESUME, Existing.RESUME_QUICKLY)


@dataclass(frozen=True, slots=True)
class Planned:
    """A directory before it is written."""

    # By their names, in their order.
    shards: Mapping[str, Layout[Tensor]]
    # Of the specification, which tells its files from another's.
    digest: str
    # Small files that belong beside the shards.
    beside: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def names(self) -> set[str]:
        """Every file that readers of checkpoints look at."""
        return {*self.shards, *([INDEX_NAME] if len(self.shards) > 1 else [])}


@dataclass(slots=True)
class Outcome:
    """What a run did."""

    written: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    # Shards that other parts have yet to write.
    missing: list[str] = field(default_factory=list)


class _State(enum.Enum):
    ABSENT = enum.auto()
    # The right length and header.
    WHOLE = enum.auto()
    # Of the same specification, but not as this version writes it, or damaged.
    DIFFERENT = enum.auto()
    # Of something else.
    FOREIGN = enum.auto()


def write_directory(
    store: Store,
    planned: Planned,
    advance: Callable[[int], None] = lambda count: None,
    *,
    part: tuple[int, int] | None = None,
    existing: Existing = Existing.REFUSE,
    sync: bool = True,
    chunk_bytes: int = CHUNK_BYTES,
) -> Outcome:
    """Write the shards of `planned` to `store`, and the index when all are there.

    Args:
        store: The directory; it is made where it does not exist.
        planned: What to write.
        advance: Told, on the calling thread, of the bytes that are done with.
        part: (I, N): write only what is due to the I-th of N processes, which may run at once.
        existing: What to do where there is a checkpoint already.
        sync: Whether to wait for the disk.
        chunk_bytes: As for one file.

    Raises:
        WriteError: Something cannot be written, or must not be replaced.
        DrawError: A tensor cannot be drawn.
    """
    names = list(planned.shards)
    if part is not None:
        sizes = [layout.nbytes for layout in planned.shards.values()]
        names = [names[number] for number in share(sizes, *part)]
    outcome = Outcome()
    store.make()
    with store.claim(shared=part is not None):
        states = _states(store, planned)
        _require_replaceable(store, planned, states, names, part is not None, existing)
        everything = part is None and existing is not Existing.REFUSE
        store.sweep([*planned.names, *planned.beside], everything=everything)
        # First, so that what does not fit leaves the old model as it was.
        store.require_room(_room(store, planned, states, names, existing))
        if existing is Existing.OVERWRITE:
            _unpublish(store, planned)
        if names and len(planned.shards) == 1:
            _put_beside_first(store, planned, states, sync)
        for name in names:
            layout = planned.shards[name]
            whole = existing.resumes and states[name] is _State.WHOLE
            if whole and _is_right(store, name, layout, existing, advance):
                outcome.kept.append(name)
                continue
            # What is about to be replaced may be part of what an index promises: an earlier run's,
            # or that of parts of another model, which came at the same time.
            withdraws = existing.resumes or part is not None
            if withdraws:
                store.remove(INDEX_NAME)
            with store.replacement(name, layout.nbytes, sync=sync) as sink:
                stream(sink, store.path(name), layout, advance, chunk_bytes=chunk_bytes)
                if part is not None and existing is not Existing.OVERWRITE:
                    _require_not_foreign(store, name, planned)
                if existing is Existing.OVERWRITE and len(planned.shards) == 1:
                    # It loads as soon as it has its name, without an index that would come last.
                    _remove_stale(store, planned)
            if withdraws:
                store.remove(INDEX_NAME)
            outcome.written.append(name)
        outcome.missing = publish_index(
            store, planned, overwrite=existing is Existing.OVERWRITE, sync=sync
        )
        if part is None and outcome.missing:
            raise WriteError(
                f"{store.path(outcome.missing[0])}: was removed or replaced meanwhile; the index "
                f"was not written"
            )
    return outcome


def publish_index(
    store: Store, planned: Planned, *, overwrite: bool = False, sync: bool = True
) -> list[str]:
    """Write the index if every shard is there, and return the names of those that are not.

    Args:
        store: The directory.
        planned: What it should hold.
        overwrite: Whether to remove what belongs to another checkpoint.
        sync: Whether to wait for the disk.

    Raises:
        WriteError: A shard is not what it should be, or the index cannot be written.
    """
    missing = _missing(store, planned, overwrite=overwrite)
    if missing:
        return missing
    stale = _stale(store, planned)
    if stale and not overwrite:
        raise WriteError(f"{_belongs_to_another(store, stale)}; the index was not written")
    _remove_stale(store, planned)
    for name, data in planned.beside.items():
        _write(store, name, data, sync)
    if len(planned.shards) > 1:
        shards = {name: layout.tensors for name, layout in planned.shards.items()}
        _write(store, INDEX_NAME, encode_index(shards), sync)
        try:
            # A part of another model may have replaced a shard since they were looked at, or come
            # beside them.
            missing = _missing(store, planned, overwrite=overwrite)
            if stale := _stale(store, planned):
                raise WriteError(f"{_belongs_to_another(store, stale)}; the index was not written")
        except WriteError:
            store.remove(INDEX_NAME)
            raise
        if missing:
            store.remove(INDEX_NAME)
    return missing


def _missing(store: Store, planned: Planned, *, overwrite: bool) -> list[str]:
    """Return the shards that are yet to be written.

    Raises:
        WriteError: One is not what it should be, and nobody was asked to overwrite it.
    """
    missing = []
    for name, state in _states(store, planned).items():
        if state is _State.ABSENT or (overwrite and state is not _State.WHOLE):
            missing.append(name)
        elif state is not _State.WHOLE:
            raise WriteError(
                f"{store.path(name)}: is not what this specification and version of seedbed "
                f"write; the index was not written"
            )
    return missing


def _put_beside_first(
    store: Store, planned: Planned, states: Mapping[str, _State], sync: bool
) -> None:
    """Write the small files before the only shard, which loads as soon as it has its name."""
    differing = {n: data for n, data in planned.beside.items() if not _holds(store, n, data)}
    for name, state in states.items():
        if differing and state is not _State.WHOLE:
            # Neither may the file that it replaces be seen beside them.
            store.remove(name)
    for name, data in differing.items():
        _write(store, name, data, sync)


def _write(store: Store, name: str, data: bytes, sync: bool) -> None:
    """Write a small file, unless it is there already as it should be."""
    if _holds(store, name, data):
        return
    with store.replacement(name, len(data), sync=sync) as sink:
        left = memoryview(data)
        try:
            while left:
                left = left[sink(left) :]
        except OSError as error:
            raise write_error(store.path(name), error) from error


def _holds(store: Store, name: str, data: bytes) -> bool:
    """Whether the file `name` is there and has just these bytes."""
    if store.size(name) != len(data):
        return False
    with store.open(name) as file:
        return file.read(len(data)) == data


def _states(store: Store, planned: Planned) -> dict[str, _State]:
    """Return what the files of the shards are, from their lengths and headers."""
    try:
        listed = frozenset(store.names())
    except OSError as error:
        raise write_error(store.path(""), error) from error
    return {name: _state(store, name, planned, listed) for name in planned.shards}


def _state(store: Store, name: str, planned: Planned, listed: Collection[str] = ()) -> _State:
    """Return what the file `name` is; what is `listed` but no file is foreign."""
    layout = planned.shards[name]
    try:
        size = store.size(name)
        if size is None:
            return _State.FOREIGN if name in listed else _State.ABSENT
        with store.open(name) as file:
            header = file.read(len(layout.header))
            if header == layout.header:
                return _State.WHOLE if size == layout.nbytes else _State.DIFFERENT
            file.seek(0)
            digest = read_header(file, size)[0].metadata.get(_DIGEST)
            return _State.DIFFERENT if digest == planned.digest else _State.FOREIGN
    except JsonError:
        return _State.FOREIGN
    except OSError as error:
        raise write_error(store.path(name), error) from error


def _stale(store: Store, planned: Planned) -> list[str]:
    """Return what belongs to another checkpoint, by its name."""
    return sorted(
        name
        for name in store.names()
        if name.endswith(_ENDS) and not name.startswith(".") and name not in planned.names
    )


def _remove_stale(store: Store, planned: Planned) -> None:
    for name in _stale(store, planned):
        store.remove(name)


def _require_replaceable(
    store: Store,
    planned: Planned,
    states: Mapping[str, _State],
    own: Sequence[str],
    shared: bool,
    existing: Existing,
) -> None:
    """Refuse what must not be mixed in or replaced."""
    if existing is Existing.OVERWRITE:
        return
    stale = _stale(store, planned)
    stale += [name for name, state in states.items() if state is _State.FOREIGN]
    if stale:
        raise WriteError(
            f"{_belongs_to_another(store, stale)}. Choose another directory, or use --overwrite"
        )
    if existing.resumes:
        return
    # Other parts write theirs meanwhile.
    present = [
        name
        for name, state in states.items()
        if state is not _State.ABSENT and (name in own or not shared)
    ]
    if own and len(planned.shards) > 1 and store.size(INDEX_NAME) is not None:
        present.append(INDEX_NAME)
    if present:
        raise WriteError(
            f"{store.path(present[0])}: is there already{_and_more(present)}; use --resume to keep "
            f"what is right, or --overwrite"
        )
    for name, data in planned.beside.items():
        if store.size(name) is not None and not _holds(store, name, data):
            raise WriteError(f"{store.path(name)}: is there already and differs; use --overwrite")


def _require_not_foreign(store: Store, name: str, planned: Planned) -> None:
    """Refuse to replace what a part of another model has written meanwhile."""
    if _state(store, name, planned) is _State.FOREIGN:
        raise WriteError(f"{_belongs_to_another(store, [name])}. Choose another directory")


def _belongs_to_another(store: Store, names: Sequence[str]) -> str:
    return (
        f"{store.path(names[0])}: belongs to another checkpoint{_and_more(names)}; readers would "
        f"mix the two"
    )


def _and_more(names: Sequence[str]) -> str:
    return f" (and {len(names) - 1} more)" if len(names) > 1 else ""


def _unpublish(store: Store, planned: Planned) -> None:
    """Make the directory one that does not load, before anything in it changes."""
    for name in store.names():
        if name.endswith(".safetensors.index.json"):
            store.remove(name)
    if len(planned.shards) > 1:
        for name in store.names():
            if name == SINGLE_NAME:
                store.remove(name)


def _room(
    store: Store,
    planned: Planned,
    states: Mapping[str, _State],
    own: Sequence[str],
    existing: Existing,
) -> int:
    """Return the most bytes that writing needs beside what is there."""
    used = most = 0
    if existing is Existing.OVERWRITE and len(planned.shards) > 1:
        # `_unpublish` removes it.
        used -= store.size(SINGLE_NAME) or 0
    for name in own:
        if existing.resumes and states[name] is _State.WHOLE:
            continue
        nbytes = planned.shards[name].nbytes
        most = max(most, used + nbytes)
        used += nbytes - (store.size(name) or 0)
    return most


def _is_right(
    store: Store,
    name: str,
    layout: Layout[Tensor],
    existing: Existing,
    advance: Callable[[int], None],
) -> bool:
    """Whether the shard `name`, whose header is right, may stay."""
    nbytes = layout.nbytes - len(layout.header)
    if existing is Existing.RESUME_QUICKLY:
        advance(nbytes)
        return True
    done = 0

    def count(number: int) -> None:
        nonlocal done
        done += number
        advance(number)

    try:
        with store.open(name) as file:
            right = compare.same(file, layout, count)
    except OSError as error:
        raise write_error(store.path(name), error) from error
    if not right:
        # It is written again, and counted then.
        advance(-done)
    return right
