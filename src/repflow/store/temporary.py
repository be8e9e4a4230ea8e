"""Files on their way to their name. One whose writer was killed is told from one still being written, and deleted."""

import itertools
import os
import re
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from repflow.core.abandoned import is_abandoned, lock

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
            lock(stream.fileno())
        if path.exists():
            return path, stream
        # Taken for a dead one between its making and its marking.
        stream.close()


def remove_dead(folder: Path) -> None:
    """Delete the temporary files in `folder` that nobody writes any more. Raises OSError."""
    if folder.is_dir():
        for path in folder.iterdir():
            if is_temporary(path) and not path.is_dir() and is_abandoned(path):
                path.unlink(missing_ok=True)
