"""One writer a run directory. The lock dies with its process, however the process dies."""

import errno
import os
import sys
import warnings
from contextlib import suppress
from pathlib import Path

from repflow.core import StoreConflict
from repflow.store._layout import LOCK


class DirectoryLock:
    """An exclusive lock on a run directory, held from `acquire` to `release`."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor: int | None = descriptor

    @classmethod
    def acquire(cls, directory: Path) -> "DirectoryLock":
        """Raises StoreConflict, naming the process, when another writer holds the directory; OSError when it cannot."""
        path = directory / LOCK
        while True:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                _lock(descriptor, path)
                if _same_file(descriptor, path):
                    os.ftruncate(descriptor, 0)
                    os.write(descriptor, str(os.getpid()).encode())
                    return cls(path, descriptor)
            except BaseException:
                os.close(descriptor)
                raise
            # The holder deleted the file between our opening and locking it; the lock we got guards nothing.
            os.close(descriptor)

    def release(self) -> None:
        """Delete the lock file and let go. A second call does nothing."""
        if self._descriptor is None:
            return
        with suppress(OSError):
            self._path.unlink(missing_ok=True)
        os.close(self._descriptor)
        self._descriptor = None


def _same_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _lock(descriptor: int, path: Path) -> None:
    if sys.platform == "win32":
        return
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = _holder(descriptor)
        raise StoreConflict(
            f"{path.parent} is being written by {holder}; wait for it to end, stop it, or choose another --out"
        ) from None
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP):
            raise
        warnings.warn(f"the file system of {path.parent} has no locks; keep other writers away from it", stacklevel=4)


def _holder(descriptor: int) -> str:
    text = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
    return f"process {text}" if text.isdigit() else "another process"
