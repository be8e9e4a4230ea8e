"""The names inside a run directory, and which of them repflow may delete."""

import re
from pathlib import Path

FORMAT = "repflow run"
SCHEMA_VERSION = 1

RUN = "run.json"
FINDINGS = "findings.json"
REPLICATES = "replicates.safetensors"
CHECKPOINT = "checkpoint"
FIGURES = "figures"
REPORT = "report.html"
LOCK = ".repflow.lock"
TEMP_PREFIX = ".repflow-"
TEMP_SUFFIX = ".tmp"
PART_SUFFIX = ".part"
FIGURE_NAME = re.compile(
    r"(inter_token_cosine|adjacent_cosine|paths|training_(thirds|map)|cka_\d+-[\w.-]+|probe_places|"
    r"(probes|telling)_(last|gold|mean|even\.\d+of\d+))_[A-Za-z0-9.-]+-\d+\.(pdf|png|svg)"
    r"|probe_table\.(csv|tex)"
)
"""The names `repflow.report.write_figures` gives: QUANTITY_TASK-CONTEXT.FORMAT, and the table of a probe run."""
SHIPPED = {"zoo:training": Path(__file__).parents[1] / "models" / "zoo" / "training"}
"""Runs that come with the package, by name: how the flow of the zoo's models came about in their training."""
TABLES = ("layers", "pairs", "paths", "probes")


def name_of(directory: Path) -> str:
    """What a run is called on the command line: its directory, or the name of one that comes with the package."""
    return next((name for name, path in SHIPPED.items() if path == directory), str(directory))


def table_path(directory: Path, name: str) -> Path:
    return directory / f"{name}.parquet"


def is_temporary(path: Path) -> bool:
    """A file that a stopped writer left behind."""
    return path.name.startswith(TEMP_PREFIX) and path.name.endswith(TEMP_SUFFIX)


def content(directory: Path) -> list[Path]:
    """What a directory holds, sorted, apart from the lock and temporary files; empty when it is absent."""
    if not directory.is_dir():
        return []
    return sorted(path for path in directory.iterdir() if path.name != LOCK and not is_temporary(path))


def remove_temporaries(directory: Path) -> None:
    for folder in (directory, directory / CHECKPOINT):
        if folder.is_dir():
            for path in folder.iterdir():
                if is_temporary(path):
                    path.unlink(missing_ok=True)


def remove_parts(directory: Path) -> None:
    """Delete the checkpoint: its parts, then the folder unless it holds something else."""
    folder = directory / CHECKPOINT
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        if path.name.endswith(PART_SUFFIX) or is_temporary(path):
            path.unlink(missing_ok=True)
    if folder.is_symlink():
        folder.unlink()
    elif not any(folder.iterdir()):
        folder.rmdir()


def remove_results(directory: Path) -> None:
    """Delete everything a finished run holds but run.json and the checkpoint. Other files stay."""
    for name in (FINDINGS, REPLICATES, REPORT):
        (directory / name).unlink(missing_ok=True)
    for path in directory.glob("*.parquet"):
        if path.stem in TABLES or _is_our_table(path):
            path.unlink(missing_ok=True)
    figures = directory / FIGURES
    if figures.is_symlink():
        figures.unlink()
    elif figures.is_dir():
        _remove_figures(figures)


def _remove_figures(folder: Path) -> None:
    """Delete the files that `write_figures` makes, then the folder unless it holds something else."""
    for path in folder.iterdir():
        if path.is_file() and (FIGURE_NAME.fullmatch(path.name) or is_temporary(path)):
            path.unlink(missing_ok=True)
    if not any(folder.iterdir()):
        folder.rmdir()


def _is_our_table(path: Path) -> bool:
    from repflow.store._tables import table_version

    return table_version(path) is not None
