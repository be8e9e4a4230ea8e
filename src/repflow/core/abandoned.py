"""Telling what a killed process left behind from what another is still at work on: a lock dies with its process."""

import os
import sys
from contextlib import suppress
from pathlib import Path


def hold(path: Path) -> int | None:
    """Mark a file or folder as being worked on until the descriptor returned is closed, or the process ends.

    None where the file system has no locks.
    """
    with suppress(OSError):
        descriptor = _opened(path)
        try:
            lock(descriptor)
            return descriptor
        except OSError:
            os.close(descriptor)
    return None


def is_abandoned(path: Path) -> bool:
    """Whether nobody works on a file or folder any more. What is not known, a link, and Windows count as work."""
    if sys.platform == "win32":
        return False
    descriptor = hold(path)
    if descriptor is None:
        return False
    os.close(descriptor)
    return True


def lock(descriptor: int) -> None:
    """Lock an open file. Raises OSError for one that another process holds."""
    if sys.platform != "win32":
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _opened(path: Path) -> int:
    """Folders cannot be opened for writing, and files on a network only then be locked."""
    mode = os.O_RDONLY if path.is_dir() else os.O_RDWR
    return os.open(path, mode | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
