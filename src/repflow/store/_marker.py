"""run.json: what makes a directory a run directory, and when it may be begun, resumed or overwritten."""

import json
from collections.abc import Set
from pathlib import Path
from typing import Any, Literal

from repflow._version import __version__
from repflow.core import BadFile, StoreConflict
from repflow.store._json import plain
from repflow.store._layout import FORMAT, RUN, SCHEMA_VERSION, content

Plan = Literal["new", "resume", "overwrite", "finished"]
_MOST_NAMED = 4


def read_marker(directory: Path) -> dict[str, Any]:
    """run.json of a run directory, finished or not.

    Raises BadFile for one that is absent, unreadable, not repflow's, or of a schema newer than this repflow reads.
    """
    path = directory / RUN
    try:
        marker = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise BadFile(f"{directory} has no {RUN}, so it is not a run directory; give the --out of a run") from None
    except OSError as error:
        raise BadFile(f"cannot read {path}: {error.strerror or error}") from error
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


def new_marker(status: str, command: str, settings: Any) -> dict[str, Any]:
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
    marker = read_marker(directory)
    if overwrite:
        return "overwrite"
    if not resume:
        finished = marker["status"] == "finished"
        state, use = ("a finished run", "return it") if finished else ("an unfinished run", "finish it")
        raise StoreConflict(f"{directory} holds {state}; use --resume to {use} or --overwrite to start anew")
    _check_same_run(directory, marker, settings, command, free)
    return "finished" if marker["status"] == "finished" else "resume"


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
