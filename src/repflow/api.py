"""The public functions of the package: the commands, from Python."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from repflow.core import BadSetting
from repflow.engines import Progress
from repflow.report.run import Run
from repflow.studies.ablate.run import run_ablate
from repflow.studies.ablate.settings import ablate_settings
from repflow.studies.attribute.run import run_attribute
from repflow.studies.attribute.settings import attribute_settings
from repflow.studies.dynamics.run import run_dynamics
from repflow.studies.dynamics.settings import dynamics_settings
from repflow.studies.flow.run import run_flow
from repflow.studies.kit.settings import ZOO, flow_settings
from repflow.studies.probe.run import run_probe
from repflow.studies.probe.settings import probe_settings

if TYPE_CHECKING:
    import pandas as pd


def flow(subjects: str | Sequence[str] = ZOO, *, progress: Progress | None = None, **settings: Any) -> Run:
    """Measure how representations flow through the depth of models; the command `repflow flow` from Python.

    Args:
        subjects: specs: hub id, local directory, file.gguf, zoo:NAME or config:FAMILY[,key=value]...
        progress: told of the run's course; silent without it.
        settings: any setting of the command by its name with underscores, e.g. `task="kvpr"`, `context=[300, 1000]`,
            `examples=64`, `out="runs/one"`, `resume=True`. `repflow flow --help` lists them all.

    Returns the finished run. Raises a RepflowError for anything the caller can mend.
    """
    return run_flow(flow_settings(_named(subjects), settings), progress)


def probe(subjects: str | Sequence[str] = ZOO, *, progress: Progress | None = None, **settings: Any) -> Run:
    """Find where in depth a task's answer is linearly readable; the command `repflow probe` from Python.

    Args:
        subjects: specs: hub id, local directory, file.gguf, zoo:NAME or config:FAMILY[,key=value]...
        progress: told of the run's course; silent without it.
        settings: any setting of the command by its name with underscores, e.g. `task="mdqa"`, `context=[300, 1000]`,
            `places=["last", "even:4"]`, `out="runs/one"`. `repflow probe --help` lists them all.

    Returns the finished run: `.probes`, and `.table(name)` for probe_classes, probe_summary, answers and telling.
    Raises a RepflowError for anything the caller can mend.
    """
    return run_probe(probe_settings(_named(subjects), settings), progress)


def ablate(subjects: str | Sequence[str] = ZOO, *, progress: Progress | None = None, **settings: Any) -> Run:
    """Measure what a change inside a model does to its flow, loss and answers; `repflow ablate` from Python.

    Args:
        subjects: specs: hub id, local directory, file.gguf, zoo:NAME or config:FAMILY[,key=value]...
        progress: told of the run's course; silent without it.
        settings: any setting of the command by its name with underscores, e.g. `what=["norm_reset", "ssm_no_conv"]`,
            `windows=[16, 64]`, `each_block=True`, `out="runs/one"`. `repflow ablate --help` lists them all.

    Returns the finished run: `.table("ablations")` sets every change beside the model without it, and the changed
    subjects stand in `.layers`. Raises a RepflowError for anything the caller can mend.
    """
    return run_ablate(ablate_settings(_named(subjects), settings), progress)


def attribute(subjects: str | Sequence[str] = ZOO, *, progress: Progress | None = None, **settings: Any) -> Run:
    """Say how much of the likeness of tokens random weights show; the command `repflow attribute` from Python.

    Args:
        subjects: specs: hub id, local directory, file.gguf, zoo:NAME or config:FAMILY[,key=value]..., without @init.
        progress: told of the run's course; silent without it.
        settings: any setting of the command by its name with underscores, e.g. `schemes=["config", "permuted"]`,
            `seeds=3`, `out="runs/one"`. `repflow attribute --help` lists them all.

    Returns the finished run: `.table("shares")`, `.table("schemes")`, `.findings`, and `.layers` of every draw.
    Raises a RepflowError for anything the caller can mend.
    """
    return run_attribute(attribute_settings(_named(subjects), settings), progress)


def dynamics(subjects: str | Sequence[str] = ZOO, *, progress: Progress | None = None, **settings: Any) -> Run:
    """Measure how fast state-space blocks forget and how far back influence reaches; `repflow dynamics` from Python.

    Args:
        subjects: specs: hub id, local directory, file.gguf, zoo:NAME or config:FAMILY[,key=value]...
        progress: told of the run's course; silent without it.
        settings: any setting of the command by its name with underscores, e.g. `context=256`, `influence_tokens=4`,
            `max_distance=100`, `out="runs/one"`. `repflow dynamics --help` lists them all.

    Returns the finished run: `.table(name)` for transitions, influence, recency and bounds.
    Raises a RepflowError for anything the caller can mend.
    """
    return run_dynamics(dynamics_settings(_named(subjects), settings), progress)


def _named(subjects: str | Sequence[str]) -> tuple[str, ...]:
    named = (subjects,) if isinstance(subjects, str) else subjects
    if not isinstance(named, Sequence) or not all(isinstance(subject, str) for subject in named):
        raise BadSetting(f"subjects must be a list of names, got {subjects!r}")
    return tuple(named)


def open(directory: str | Path) -> Run:
    """Open a finished run directory. Raises BadFile when it is none, StoreConflict when it is unfinished."""
    return Run.load(directory)


def compare(
    a: Run, b: Run, *, metric: str | None = None, subject_a: str | None = None, subject_b: str | None = None
) -> "pd.DataFrame":
    """Rows that two runs share, their difference, and its paired interval where both read the same examples.

    With `subject_a` and `subject_b` two subjects are set side by side, of one run (`compare(run, run, ...)`) or of two.
    """
    from repflow.store import compare as compared

    return compared(a, b, metric=metric, subject_a=subject_a, subject_b=subject_b)
