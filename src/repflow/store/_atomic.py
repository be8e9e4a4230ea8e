"""Writing files whole or not at all, and turning what the system says into one clear line."""

import errno
import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from repflow.core import BadFile
from repflow.store._layout import TEMP_PREFIX, TEMP_SUFFIX

_counter = itertools.count()

_REASONS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EACCES: "no permission to write there",
    errno.EPERM: "no permission to write there",
    errno.EROFS: "the file system is read-only",
    errno.ENOTDIR: "a part of the path is a file",
    errno.EEXIST: "a part of the path is a file",
    errno.EISDIR: "it is a folder",
    errno.ENAMETOOLONG: "the name is too long",
}
_FULL = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def writing_to(directory: Path) -> Iterator[None]:
    """Turn an OSError inside the block into a BadFile that names `directory` and says what to do."""
    try:
        yield
    except OSError as error:
        told = _told(error, "run again with --resume", "choose another --out")
        raise BadFile(f"cannot write the run directory {directory}: {told}") from error


def write_file(path: Path, data: bytes) -> None:
    """Write a file whole or not at all, and the folders above it. Raises BadFile that says why and what to do."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes_atomic(path, data)
    except OSError as error:
        raise BadFile(f"cannot write {path}: {_told(error, 'try again', 'choose another place')}") from error


def _told(error: OSError, again: str, elsewhere: str) -> str:
    reason = _REASONS.get(error.errno or 0) or error.strerror or str(error)
    return (
        f"{reason}; free some space and {again}, or {elsewhere}" if error.errno in _FULL else f"{reason}; {elsewhere}"
    )


def write_bytes_atomic(path: Path, data: bytes) -> None:
    """Write `data` to `path` so that a reader, or a crash, sees the old file or the new one and nothing between.

    The bytes reach the disk before the name does. Raises OSError; no temporary file is left then.
    """
    temporary = path.with_name(f"{TEMP_PREFIX}{os.getpid()}-{next(_counter)}{TEMP_SUFFIX}")
    try:
        with temporary.open("xb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Make a rename durable where the system can do it; some file systems refuse, and then it is best effort."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
