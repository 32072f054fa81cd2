"""The files of a resource directory: which count, and which have changed.

Counted are regular files that end in `.yaml`, `.yml` or `.json`, at any depth, in the order of their paths. Names that
begin with a dot are left out, files and directories: so are editors' swap files, and the `..data` directory through
which Kubernetes mounts a ConfigMap. Symbolic links are followed, those of a ConfigMap among them; a link that leads
back into a directory on its own path is left out. A path that is itself a file stands for that file alone.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISDIR, S_ISREG

from tidegate.store.documents import MAX_FILE_BYTES
from tidegate.store.entries import SUFFIXES

MAX_DEPTH = 32
"""Directories in each other. A link to a parent would go on for ever otherwise."""
MAX_FILES = 20_000
"""More are a mistake (a home directory): looking at them twice a minute would cost more than the agent."""


class StoreError(Exception):
    """A resource directory cannot be read at all."""


@dataclass(frozen=True, slots=True)
class Signature:
    """What a file looks like from outside; None of it changes without a change of the file, nearly."""

    device: int
    inode: int
    size: int
    modified_ns: int
    changed_ns: int
    """Of the inode: a file written and dated back within a tick shows here."""


@dataclass(frozen=True, slots=True)
class Tree:
    """A resource directory as it looked at one moment."""

    files: Mapping[str, Signature]
    """By path below the root, in order; a root that is a file stands there by its own name."""
    directories: tuple[Path, ...] = ()
    """The root and all below it that count."""


def scan(root: Path) -> Tree:
    """The files that count, and the directories they may stand in.

    Raises:
        StoreError: `root` or a directory below it cannot be read, or there are too many files.
    """
    files: dict[str, Signature] = {}
    directories: list[Path] = []
    try:
        status = root.stat()
        if S_ISREG(status.st_mode):
            return Tree({root.name: _signature(status)}, (root.parent,))
        for directory, name, signature in _walk(root, "", frozenset(((status.st_dev, status.st_ino),))):
            if signature is None:
                directories.append(directory)
            else:
                files[name] = signature
            if len(files) > MAX_FILES:
                raise StoreError(f"cannot read {root}: it holds more than {MAX_FILES} files")
    except OSError as error:
        raise StoreError(f"cannot read {error.filename or root}: {error.strerror}") from error
    return Tree(dict(sorted(files.items())), tuple(directories))


def content(root: Path, name: str) -> bytes | None:
    """A file's bytes, at most one more than a file may have; None if it is gone.

    Raises:
        StoreError: It cannot be read.
    """
    path = root / name if root.is_dir() else root
    try:
        with path.open("rb") as file:
            return file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError(f"cannot read the file: {error.strerror}") from error


def _walk(
    directory: Path, prefix: str, above: frozenset[tuple[int, int]]
) -> Iterator[tuple[Path, str, Signature | None]]:
    """Every directory, with None, and behind it every file in it."""
    yield directory, prefix, None
    with os.scandir(directory) as listing:
        entries = [entry for entry in listing if not entry.name.startswith(".")]
    for entry in entries:
        name = f"{prefix}{entry.name}"
        try:
            status = entry.stat()
        except FileNotFoundError:  # a dangling link, or gone since
            continue
        identity = (status.st_dev, status.st_ino)
        if S_ISREG(status.st_mode) and name.endswith(SUFFIXES):
            yield directory, name, _signature(status)
        elif S_ISDIR(status.st_mode) and identity not in above and len(above) < MAX_DEPTH:
            yield from _walk(directory / entry.name, f"{name}/", above | {identity})


def _signature(status: os.stat_result) -> Signature:
    return Signature(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
