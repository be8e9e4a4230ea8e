"""One writer a run directory. The lock dies with its process, however the process dies."""

import errno
import os
import stat
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from repflow.core import StoreConflict
from repflow.store.atomic import writing_to
from repflow.store.layout import LOCK

_LONGEST = 32


class DirectoryLock:
    """An exclusive lock on a run directory, held from `acquire` to `release`."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor: int | None = descriptor

    @classmethod
    def acquire(cls, directory: Path) -> "DirectoryLock":
        """Raises StoreConflict, naming the process, when another writer holds the directory, and for a file of the
        lock's name that is no lock; OSError when it cannot.
        """
        path = directory / LOCK
        while True:
            descriptor = _opened(path)
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
            if _same_file(self._descriptor, self._path):
                self._path.unlink()
        os.close(self._descriptor)
        self._descriptor = None


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Hold an existing folder: within, no other process of repflow writes it. Raises StoreConflict or BadFile."""
    with writing_to(directory):
        lock = DirectoryLock.acquire(directory)
    try:
        yield
    finally:
        lock.release()


def _opened(path: Path) -> int:
    """A new lock file, or one that is there and was made by repflow. No link is followed, nothing is changed yet."""
    links, waiting = getattr(os, "O_NOFOLLOW", 0), getattr(os, "O_NONBLOCK", 0)
    while True:
        with suppress(FileExistsError):
            return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | links, 0o666)
        if path.is_symlink():
            raise StoreConflict(_no_lock(path))
        try:
            descriptor = os.open(path, os.O_RDWR | links | waiting)
        except FileNotFoundError:
            # Its holder has just let go.
            continue
        if _is_lock(descriptor):
            return descriptor
        os.close(descriptor)
        raise StoreConflict(_no_lock(path))


def _is_lock(descriptor: int) -> bool:
    """A plain file of one name that holds nothing but the number of a process."""
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1 or status.st_size > _LONGEST:
        return False
    text = os.read(descriptor, _LONGEST)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return not text or text.isdigit()


def _no_lock(path: Path) -> str:
    return f"{path} is no lock of repflow's but has its name; move it away, or choose another --out"


def _same_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
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
    text = os.pread(descriptor, _LONGEST, 0).decode("ascii", "replace").strip()
    return f"process {text}" if text.isdigit() else "another process"
