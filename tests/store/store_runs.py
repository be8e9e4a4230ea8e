"""Runs in the states a run directory can be in."""

from pathlib import Path
from typing import Any

from store_rows import layer_row, pair_row, path_row, run_info

from repflow.store import RunWriter

SETTINGS = {"context": 128, "metrics": ("cka", "norm"), "workers": 1}
LAYERS = [layer_row(value=0.25)]


def create(directory: Path, settings: dict[str, Any] | None = None, **flags: Any) -> RunWriter:
    return RunWriter.create(directory, SETTINGS if settings is None else settings, "flow", **flags)


def finish(writer: RunWriter) -> None:
    writer.finish(LAYERS, [pair_row()], [path_row()], run_info("m"))


def finished(directory: Path) -> Path:
    with create(directory) as writer:
        finish(writer)
    return directory


def unfinished(directory: Path) -> Path:
    with create(directory) as writer:
        writer.save_part("a", {}, {})
    return directory


def names(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}
