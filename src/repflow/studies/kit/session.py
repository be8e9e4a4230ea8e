"""What every study does around its measuring: a run directory that is found, locked, resumed and read back."""

import time
from collections.abc import Callable, Mapping
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any

from repflow.core import Interrupted, local_path
from repflow.engines import Progress
from repflow.models import environment_facts
from repflow.store import Run, RunWriter
from repflow.studies.kit.record import Record
from repflow.studies.kit.settings import FREE, OutputSettings


def written(
    command: str,
    settings: Mapping[str, Any],
    output: OutputSettings,
    progress: Progress,
    measure: Callable[[RunWriter], None],
    free: frozenset[str] = FREE,
) -> Run:
    """Measure into the run directory, unless it holds this very run, finished; open it.

    `settings` are flat, as run.json keeps them; a resumed run may change those named in `free`.
    Raises StoreConflict for a directory that holds something else, Interrupted with the directory.
    """
    directory = run_directory(command, output)
    kept = {name: value for name, value in settings.items() if name not in ("out", "resume", "overwrite")}
    try:
        with RunWriter.create(
            directory, kept, command, resume=output.resume, overwrite=output.overwrite, free=free
        ) as writer:
            known = writer.finished
            if not known:
                measure(writer)
        run = Run.load(directory)
        if known:
            progress.note(f"{directory} holds this run, finished; nothing to measure")
        return run
    except KeyboardInterrupt as stop:
        raise Interrupted(f"interrupted; what is done stays in {directory}", str(directory)) from stop


def run_directory(command: str, output: OutputSettings) -> Path:
    """Where a run goes: what was asked for, else a new directory under runs/."""
    if output.out is not None:
        return output.out
    name = f"{command}-{datetime.now():%Y%m%d-%H%M%S}"
    names = (name if number == 1 else f"{name}-{number}" for number in count(1))
    return next(path for each in names if not (path := local_path(Path("runs") / each)).exists())


def run_info(record: Record, seed: int, started: float) -> dict[str, Any]:
    """What run.json says of a run besides its settings; `started` is the performance counter's reading then."""
    return {
        "subjects": record.subjects,
        "tasks": record.settled_tasks(),
        "versions": environment_facts(),
        "seed": seed,
        "timings": record.timings | {"total_s": round(time.perf_counter() - started, 3)},
        "warnings": record.warnings,
    }
