"""The folder of feature files in a run directory. What is in them is the business of `repflow.studies.probe.linear`."""

import json
from pathlib import Path

from repflow.store.layout import FEATURES
from repflow.store.temporary import is_temporary

FEATURES_FORMAT = "repflow features"
"""What the facts beside a feature file begin with, and what tells it from a stranger's."""


def features_folder(directory: Path) -> Path:
    return directory / FEATURES


def feature_names(directory: Path) -> list[str]:
    """The feature files of a run and the facts beside them, by their names in the run directory."""
    return [f"{FEATURES}/{path.name}" for path in _own(features_folder(directory)) if path.is_file()]


def remove_features(directory: Path) -> None:
    """Delete the feature files and the facts beside them, then the folder unless it holds something else.

    A link in place of the folder is deleted itself.
    """
    folder = features_folder(directory)
    if folder.is_symlink():
        folder.unlink()
    if not folder.is_dir():
        return
    for path in [*_own(folder), *filter(is_temporary, folder.iterdir())]:
        path.unlink(missing_ok=True)
    if not any(folder.iterdir()):
        folder.rmdir()


def _own(folder: Path) -> list[Path]:
    """Each feature file before its facts, so that what is left of a deletion cut short is known by the facts."""
    facts = [path for path in sorted(folder.glob("*.json")) if _is_facts(path)]
    return [file for path in facts for file in (path.with_suffix(".npy"), path)]


def _is_facts(path: Path) -> bool:
    try:
        told = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(told, dict) and told.get("format") == FEATURES_FORMAT
