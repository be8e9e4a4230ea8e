"""Files on their way to their name. One whose writer was killed is told from one still being written, and deleted."""

import itertools
import os
import re
import sys
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

_NAME = re.compile(r"\.repflow-\d+-\d+\.tmp")
_counter = itertools.count()


def is_temporary(path: Path) -> bool:
    """Whether a writer made this, one at work or one that was stopped."""
    return _NAME.fullmatch(path.name) is not None


def new_temporary(folder: Path) -> tuple[Path, BinaryIO]:
    """A new file in `folder`, open for writing, and marked as being written until it is closed. Raises OSError."""
    while True:
        path = folder / f".repflow-{os.getpid()}-{next(_counter)}.tmp"
        stream = path.open("xb")
        with suppress(OSError):
            _hold(stream.fileno())
        if path.exists():
            return path, stream
        # Taken for a dead one between its making and its marking.
        stream.close()


def remove_dead(folder: Path) -> None:
    """Delete the temporary files in `folder` that nobody writes any more. Raises OSError."""
    if folder.is_dir():
        for path in folder.iterdir():
            if is_temporary(path) and _is_dead(path):
                path.unlink(missing_ok=True)


def _is_dead(path: Path) -> bool:
    """Not known to be dead counts as alive."""
    if sys.platform == "win32":
        return False
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        _hold(descriptor)
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)


def _hold(descriptor: int) -> None:
    """Lock a file; the lock goes with the process. Raises OSError for one that another holds."""
    if sys.platform != "win32":
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
