"""The names inside a run directory, and which of them repflow may delete."""

import json
import re
from collections.abc import Iterable
from pathlib import Path

from repflow.store.temporary import is_temporary, remove_dead

FORMAT = "repflow run"
SCHEMA_VERSION = 1

RUN = "run.json"
FINDINGS = "findings.json"
REPLICATES = "replicates.safetensors"
CHECKPOINT = "checkpoint"
FEATURES = "features"
FIGURES = "figures"
REPORT = "report.html"
LOCK = ".repflow.lock"
PART_SUFFIX = ".part"
FIGURE_LIST = "figures.json"
"""In the folder of figures: the names of the files that repflow wrote there."""
SHIPPED = {"zoo:training": Path(__file__).parents[1] / "models" / "zoo" / "training"}
"""Runs that come with the package, by name: how the flow of the zoo's models came about in their training."""
TABLES = ("layers", "pairs", "paths")
"""What every run has."""


def name_of(directory: Path) -> str:
    """What a run is called on the command line: its directory, or the name of one that comes with the package."""
    return next((name for name, path in SHIPPED.items() if path == directory), str(directory))


def is_table_name(name: object) -> bool:
    return isinstance(name, str) and re.fullmatch(r"[a-z][a-z0-9_]*", name) is not None


def table_path(directory: Path, name: str) -> Path:
    return directory / f"{name}.parquet"


def content(directory: Path) -> list[Path]:
    """What a directory holds, sorted, apart from the lock and temporary files; empty when it is absent."""
    if not directory.is_dir():
        return []
    return sorted(path for path in directory.iterdir() if path.name != LOCK and not is_temporary(path))


def linked_folder(directory: Path) -> Path | None:
    """A folder of the run that is a link: what is deleted there would be somebody else's."""
    return next((directory / name for name in (CHECKPOINT, FEATURES) if (directory / name).is_symlink()), None)


def remove_temporaries(directory: Path) -> None:
    """Delete what stopped writers left behind in the run and its folders."""
    for folder in (directory, *(directory / name for name in (CHECKPOINT, FEATURES, FIGURES))):
        if folder == directory or not folder.is_symlink():
            remove_dead(folder)


def remove_parts(directory: Path) -> None:
    """Delete the checkpoint: its parts, then the folder unless it holds something else. A link is deleted itself."""
    folder = directory / CHECKPOINT
    if folder.is_symlink():
        folder.unlink()
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        if path.name.endswith(PART_SUFFIX) or is_temporary(path):
            path.unlink(missing_ok=True)
    if not any(folder.iterdir()):
        folder.rmdir()


def remove_results(directory: Path, tables: Iterable[str]) -> None:
    """Delete the tables named, and whatever else a finished run holds but run.json and the checkpoint.

    Other files stay. A link is deleted itself, never what it leads to.
    """
    for path in (
        *(directory / name for name in (FINDINGS, REPLICATES, REPORT)),
        *(table_path(directory, t) for t in tables),
    ):
        if path.is_symlink() or not path.is_dir():
            path.unlink(missing_ok=True)
    figures = directory / FIGURES
    if figures.is_symlink():
        figures.unlink()
    elif figures.is_dir():
        _remove_figures(figures)


def _remove_figures(folder: Path) -> None:
    """Delete the files that are listed as ours, then the folder unless it holds something else."""
    ours = {*_listed_figures(folder / FIGURE_LIST), FIGURE_LIST}
    for path in folder.iterdir():
        if not path.is_dir() and (path.name in ours or is_temporary(path)):
            path.unlink(missing_ok=True)
    if not any(folder.iterdir()):
        folder.rmdir()


def _listed_figures(path: Path) -> list[str]:
    """The names in a list, perhaps damaged."""
    try:
        listed = json.loads(path.read_bytes()) if path.is_file() and not path.is_symlink() else []
    except (OSError, ValueError, RecursionError):
        return []
    return [name for name in listed if isinstance(name, str)] if isinstance(listed, list) else []
