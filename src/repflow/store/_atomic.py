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

_ADVICE = {
    errno.ENOSPC: "the disk is full; free some space and run again with --resume, or choose another --out",
    errno.EDQUOT: "the disk quota is used up; free some space and run again with --resume, or choose another --out",
    errno.EACCES: "no permission to write there; choose another --out",
    errno.EPERM: "no permission to write there; choose another --out",
    errno.EROFS: "the file system is read-only; choose another --out",
    errno.ENOTDIR: "a part of the path is a file; choose another --out",
    errno.EEXIST: "a part of the path is a file; choose another --out",
    errno.ENAMETOOLONG: "the name is too long; choose a shorter --out",
}


@contextmanager
def writing_to(directory: Path) -> Iterator[None]:
    """Turn an OSError inside the block into a BadFile that names `directory` and says what to do."""
    try:
        yield
    except OSError as error:
        number = error.errno or 0
        reason = _ADVICE.get(number) or f"{error.strerror or error}; choose another --out"
        raise BadFile(f"cannot write the run directory {directory}: {reason}") from error


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
