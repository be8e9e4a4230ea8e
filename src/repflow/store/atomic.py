"""Writing files whole or not at all, and turning what the system says into one clear line."""

import errno
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from repflow.core import BadFile
from repflow.store.temporary import new_temporary, remove_dead

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


def write_file(path: Path, data: bytes, *, elsewhere: str = "choose another place", make_folders: bool = True) -> None:
    """Write a file whole or not at all, and the folders above it. Raises BadFile that says why and what to do.

    What killed writers left in the folder goes. A link is replaced, what it leads to stays as it is; a device or a pipe
    (`/dev/stdout`) is written to.
    """
    try:
        if _is_stream(path):
            with path.open("wb") as stream:
                stream.write(data)
            return
        if make_folders:
            path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(OSError):
            remove_dead(path.parent)
        write_bytes_atomic(path, data)
    except OSError as error:
        raise BadFile(f"cannot write {path}: {_told(error, 'try again', elsewhere)}") from error


def _is_stream(path: Path) -> bool:
    """What can be written to but not replaced. `/dev/stdout` may lead to a plain file."""
    if path.is_relative_to("/dev") or path.is_relative_to("/proc"):
        return True
    with suppress(OSError):
        mode = path.stat().st_mode
        return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))
    return False


def _told(error: OSError, again: str, elsewhere: str) -> str:
    reason = _REASONS.get(error.errno or 0) or error.strerror or str(error)
    return (
        f"{reason}; free some space and {again}, or {elsewhere}" if error.errno in _FULL else f"{reason}; {elsewhere}"
    )


def write_bytes_atomic(path: Path, data: bytes) -> None:
    """Write `data` to `path` so that a reader, or a crash, sees the old file or the new one and nothing between.

    The bytes reach the disk before the name does. Raises OSError; no temporary file is left then.
    """
    with replacing(path) as stream:
        stream.write(data)


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A stream whose content becomes the file `path` at the end of the block, or nothing does. Raises OSError."""
    temporary, stream = new_temporary(path.parent)
    try:
        with stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
            # Until it is closed nobody takes it for dead; Windows does not rename an open file.
            if sys.platform != "win32":
                os.replace(temporary, path)
        if sys.platform == "win32":
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
