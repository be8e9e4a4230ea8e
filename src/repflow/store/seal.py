"""Checksums of a run: run.json lists its other files with size and sha256, and carries a sha256 of what it says itself.

A run written before there were checksums has neither `files` nor `sha256`, and opens unchecked. One without the other
is damaged: no single flipped bit takes both away.
"""

import hashlib
import json
import os
import stat
import time
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from repflow.core import BadFile
from repflow.store.layout import RUN

FILES, SEAL = "files", "sha256"
ADVICE = "restore it from a copy, or run the study again with --overwrite"
_SETTLED_NS = 2 * 10**9
"""A file changed so lately may change again within the same tick of the file system's clock, and is hashed again."""

_Stamp = tuple[int, ...]
_hashed: dict[Path, tuple[_Stamp, str]] = {}
"""What this process has hashed: the file as it was, and its sha256."""


def entry(data: bytes) -> dict[str, Any]:
    """What run.json says of a file with this content."""
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def entry_of(path: Path) -> dict[str, Any]:
    """What run.json says of a file that may not fit into memory. Raises OSError."""
    with path.open("rb") as stream:
        return {"bytes": os.fstat(stream.fileno()).st_size, "sha256": hashlib.file_digest(stream, "sha256").hexdigest()}


def sealed(marker: Mapping[str, Any]) -> dict[str, Any]:
    """`marker`, in JSON types, with the sha256 of what it says."""
    content = {name: value for name, value in marker.items() if name != SEAL}
    return content | {SEAL: _digest(content)}


def check_seal(marker: Mapping[str, Any], path: Path) -> None:
    """Raises BadFile for a run.json that says something else than was written."""
    if is_sealed(marker) and sealed(marker)[SEAL] != marker.get(SEAL):
        raise BadFile(f"{path} is damaged: what it says does not fit its sha256; {ADVICE}")


def is_sealed(marker: Mapping[str, Any]) -> bool:
    """Whether the run has checksums."""
    return FILES in marker or SEAL in marker


def check_files(directory: Path, marker: Mapping[str, Any]) -> None:
    """Raises BadFile for a listed file that is absent or not as it was written; one never hashed here is hashed."""
    named = [(directory / name, listed) for name, listed in _listed(directory, marker).items()]
    files = [(path, listed, _status(path)) for path, listed in named]
    for path, listed, status in files:
        _check_size(path, status.st_size, listed)
    for path, listed, status in files:
        stamp = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        if _hashed.get(path) == (stamp, listed["sha256"]):
            continue
        try:
            found = entry_of(path)["sha256"]
        except OSError as error:
            raise BadFile(f"cannot read {path}: {error.strerror or error}") from error
        _check_hash(path, found, listed)
        if time.time_ns() - max(status.st_mtime_ns, status.st_ctime_ns) > _SETTLED_NS:
            _hashed[path] = stamp, found


def checked_bytes(directory: Path, name: str, marker: Mapping[str, Any]) -> bytes | None:
    """The content of a file of the run, just as it was written; None for one that the run does not have.

    Raises BadFile for a file that is absent though it is listed, or not as it was written.
    """
    path = directory / name
    if not is_sealed(marker):
        return regular_bytes(path) if path.exists() or path.is_symlink() else None
    listed = _listed(directory, marker).get(name)
    if listed is None:
        return None
    data = regular_bytes(path)
    _check_size(path, len(data), listed)
    _check_hash(path, hashlib.sha256(data).hexdigest(), listed)
    return data


def regular_bytes(path: Path) -> bytes:
    """The content of a file. Raises BadFile for one that is absent, no plain file or not readable."""
    _status(path)
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadFile(f"cannot read {path}: {error.strerror or error}") from error


def _status(path: Path) -> os.stat_result:
    try:
        status = path.stat()
    except FileNotFoundError:
        raise BadFile(f"{path} is absent, the run is incomplete; {ADVICE}") from None
    except OSError as error:
        raise BadFile(f"cannot read {path}: {error.strerror or error}") from error
    if not stat.S_ISREG(status.st_mode):
        what = "a folder" if stat.S_ISDIR(status.st_mode) else "no plain file"
        raise BadFile(f"{path} is {what}, needed a file of the run; {ADVICE}")
    return status


def _check_size(path: Path, size: int, listed: Mapping[str, Any]) -> None:
    if size != listed["bytes"]:
        raise BadFile(f"{path} is damaged: {size:,} bytes, {listed['bytes']:,} were written; {ADVICE}")


def _check_hash(path: Path, found: str, listed: Mapping[str, Any]) -> None:
    if found != listed["sha256"]:
        raise BadFile(f"{path} is damaged or was changed: its sha256 is not the one in {RUN}; {ADVICE}")


def _listed(directory: Path, marker: Mapping[str, Any]) -> dict[str, Any]:
    """Name -> size and sha256. Raises BadFile for a list that is none; the names lie inside the directory."""
    listed = marker.get(FILES, {})
    if not isinstance(listed, dict) or not all(_is_inside(name) and _is_entry(each) for name, each in listed.items()):
        raise BadFile(f"{directory / RUN} has a broken list of files; {ADVICE}")
    return listed


def _is_inside(name: str) -> bool:
    path = PurePosixPath(name)
    return bool(name) and not path.is_absolute() and ".." not in path.parts and "\0" not in name


def _is_entry(listed: Any) -> bool:
    return isinstance(listed, dict) and type(listed.get("bytes")) is int and isinstance(listed.get("sha256"), str)


def _digest(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
