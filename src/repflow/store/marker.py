"""run.json: what makes a directory a run directory, and when it may be begun, resumed or overwritten."""

import json
from collections.abc import Set
from pathlib import Path
from typing import Any, Literal

from repflow._version import __version__
from repflow.core import BadFile, StoreConflict
from repflow.store.info import check_info
from repflow.store.layout import CHECKPOINT, FORMAT, RUN, SCHEMA_VERSION, content, is_table_name, linked_folder
from repflow.store.parts import count_parts
from repflow.store.plain_json import plain
from repflow.store.seal import check_files, check_seal, regular_bytes

Plan = Literal["new", "resume", "overwrite", "finished"]
_MOST_NAMED = 4
_ATTEMPTS = 3


def read_marker(directory: Path) -> dict[str, Any]:
    """run.json of a run directory, finished or not.

    Raises BadFile for one that is absent, unreadable, damaged, not repflow's, or of a schema newer than this repflow
    reads.
    """
    marker = _own_marker(directory)
    check_seal(marker, directory / RUN)
    check_info(marker, directory / RUN)
    return marker


def finished_marker(directory: Path) -> dict[str, Any]:
    """run.json of a finished run whose other files are all as they were written.

    Raises as `read_marker` does, StoreConflict for an unfinished run, BadFile for a file that is not as it was written.
    """
    for attempt in reversed(range(_ATTEMPTS)):
        marker = read_marker(directory)
        if marker["status"] != "finished":
            raise StoreConflict(
                f"{directory} holds an unfinished {marker['command']} run "
                f"({count_parts(directory / CHECKPOINT)} checkpoint parts saved); give its command again with --resume "
                "to finish it"
            )
        try:
            check_files(directory, marker)
        except BadFile:
            # Another process may be replacing the run.
            if not attempt or read_marker(directory) == marker:
                raise
        else:
            return marker
    raise AssertionError


def _own_marker(directory: Path) -> dict[str, Any]:
    """run.json as it stands, perhaps damaged, but repflow's."""
    path = directory / RUN
    if not path.exists() and not path.is_symlink():
        raise BadFile(f"{directory} has no {RUN}, so it is not a run directory; give the --out of a run")
    try:
        marker = json.loads(regular_bytes(path))
    except (ValueError, RecursionError) as error:
        raise BadFile(f"{path} is not valid JSON ({error}); run the study again in another --out") from error
    if not isinstance(marker, dict) or marker.get("format") != FORMAT:
        raise BadFile(f"{path} was not written by repflow; give the --out of a run")
    _check_version(marker.get("schema_version"), path)
    lacking = [name for name in ("status", "command", "settings") if name not in marker]
    if lacking:
        raise BadFile(f"{path} lacks {', '.join(lacking)}; run the study again in another --out")
    return marker


def _check_version(version: Any, path: Path) -> None:
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise BadFile(f"{path} has schema_version {version!r}, needed a whole number from 1; the file is damaged")
    if version > SCHEMA_VERSION:
        raise BadFile(
            f"{path} has schema version {version}, this repflow {__version__} reads up to {SCHEMA_VERSION}; "
            "upgrade repflow"
        )


def listed_tables(directory: Path) -> list[str]:
    """The tables that the run.json of a directory lists, perhaps damaged; none where there is no list."""
    try:
        listed = _own_marker(directory).get("tables")
    except BadFile:
        return []
    return [name for name in listed if is_table_name(name)] if isinstance(listed, list) else []


def new_marker(status: str, command: str, settings: Any) -> dict[str, Any]:
    """run.json without what a study adds to it, and not sealed."""
    return {
        "format": FORMAT,
        "schema_version": SCHEMA_VERSION,
        "status": status,
        "command": command,
        "repflow_version": __version__,
        "settings": settings,
    }


def plan_for(
    directory: Path, settings: dict[str, Any], command: str, free: Set[str], *, resume: bool, overwrite: bool
) -> Plan:
    """What may be done with `directory`. Changes nothing.

    Raises StoreConflict for content that is no run, for a run when neither flag is given, for a resumed run of another
    command, other settings or (while unfinished) another version; BadFile for a run.json that cannot be read.
    """
    if directory.exists() and not directory.is_dir():
        raise StoreConflict(f"{directory} is a file, needed a directory; choose another --out")
    found = content(directory)
    if not found:
        return "new"
    if directory / RUN not in found:
        names = ", ".join(path.name for path in found[:_MOST_NAMED]) + (", ..." if len(found) > _MOST_NAMED else "")
        raise StoreConflict(f"{directory} holds other files ({names}) and no run; choose another --out")
    if overwrite:
        _own_marker(directory)
        return "overwrite"
    marker = read_marker(directory)
    if not resume:
        finished = marker["status"] == "finished"
        state, use = ("a finished run", "return it") if finished else ("an unfinished run", "finish it")
        raise StoreConflict(f"{directory} holds {state}; use --resume to {use} or --overwrite to start anew")
    _check_same_run(directory, marker, settings, command, free)
    if marker["status"] == "finished":
        return "finished"
    link = linked_folder(directory)
    if link is not None:
        raise StoreConflict(f"{link} is a link, needed the folder itself; put it in its place, or use --overwrite")
    return "resume"


def _check_same_run(
    directory: Path, marker: dict[str, Any], settings: dict[str, Any], command: str, free: Set[str]
) -> None:
    advice = "resume with its settings, use --overwrite to start anew, or choose another --out"
    if marker["command"] != command:
        raise StoreConflict(f"{directory} holds a {marker['command']!r} run, asked to resume {command!r}; {advice}")
    differing = differences(marker["settings"], plain(settings), free)
    if differing:
        raise StoreConflict(f"{directory} was begun with other settings: {'; '.join(differing)}; {advice}")
    version = marker.get("repflow_version")
    if marker["status"] != "finished" and version != __version__:
        raise StoreConflict(
            f"{directory} was begun by repflow {version}, this is {__version__}; finish it with that version or use "
            "--overwrite to start anew"
        )


def differences(old: dict[str, Any], new: dict[str, Any], free: Set[str]) -> list[str]:
    """`name: was X, now Y` for every setting that differs, those in `free` left out."""
    names = sorted((old.keys() | new.keys()) - free)
    return [
        f"{name}: was {_shown(old, name)}, now {_shown(new, name)}"
        for name in names
        if (name in old) != (name in new) or old.get(name) != new.get(name)
    ]


def _shown(settings: dict[str, Any], name: str) -> str:
    return json.dumps(settings[name], ensure_ascii=False) if name in settings else "not set"
