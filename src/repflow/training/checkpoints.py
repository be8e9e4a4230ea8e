"""Checkpoints of one training, named one by one, as the steps that they are of."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from repflow.core import BadSetting, StoreConflict, local_path
from repflow.engines import Progress
from repflow.models import SubjectSpec, check_source
from repflow.report.run import Run
from repflow.studies.kit.session import run_directory
from repflow.studies.kit.settings import FlowSettings, OutputSettings
from repflow.training.snapshots import measure_snapshots

_NUMBERED = re.compile(r"(?:checkpoint|step)[-_]?(\d+)")
_STATE = "trainer_state.json"
_GENERAL = ("checkpoints", "snapshots")
"""Folders that are not named for their training."""
_SHAPE = ("model_type", "num_hidden_layers", "num_layers", "n_layer", "hidden_size", "d_model", "n_embd", "vocab_size")
"""Keys of a config.json in which checkpoints of one training cannot differ."""


def measure_series(settings: FlowSettings, progress: Progress | bool = True) -> Run:
    """`repflow flow --series`: measure the subjects as the steps of one training; write and open the run directory.

    Raises as `steps_of_training` and `measure_snapshots` do, and StoreConflict for a directory in use.
    """
    if settings.output.shard:
        raise BadSetting("--shard is for models as they stand; with --series every step is kept when it is measured")
    steps = steps_of_training(settings.subjects)
    return measure_snapshots(
        steps,
        _free_directory(settings.output),
        settings.task,
        settings.measure,
        model=settings.model,
        overwrite=settings.output.overwrite,
        progress=progress,
    )


def steps_of_training(checkpoints: Sequence[str | Path]) -> dict[str, dict[int, str]]:
    """Checkpoints of one training by their steps, ascending, under the name of the folder that holds them.

    The step is the number in the folder's name (`checkpoint-500`, `step_500`), else `global_step` of its
    trainer_state.json; of a hub id it is that of the revision (`@revision=step500`). `measure_snapshots` takes the
    result.
    Raises BadSetting for a checkpoint without a step, two of one step, and checkpoints of several folders or models;
    BadFile or BadSpec for one that is not there.
    """
    found: dict[int, SubjectSpec] = {}
    for checkpoint in checkpoints:
        spec = SubjectSpec.parse(str(checkpoint))
        check_source(spec)
        step = _step(spec)
        if step in found:
            raise BadSetting(f"{found[step]} and {spec} are both of step {step}; give one of them")
        found[step] = spec
    if not found:
        raise BadSetting("needs at least one checkpoint")
    specs = list(found.values())
    _check_alike(specs)
    return {_name(specs[0]): {step: str(found[step]) for step in sorted(found)}}


def _step(spec: SubjectSpec) -> int:
    if spec.init or spec.ablations:
        raise BadSetting(f"{spec}: a series is of checkpoints as they are, without @init and @ablate")
    folder = local_path(spec.source)
    match = _NUMBERED.fullmatch(folder.name if spec.revision is None else spec.revision)
    step = int(match[1]) if match else _read(folder / _STATE).get("global_step")
    if not isinstance(step, int) or isinstance(step, bool) or step < 0:
        raise BadSetting(
            f"{spec} has no step, neither in its name (checkpoint-N, step_N) nor as global_step in a {_STATE}; "
            "leave it out, or rename it"
        )
    return step


def _check_alike(specs: Sequence[SubjectSpec]) -> None:
    """Raises BadSetting for checkpoints that cannot be of one training."""
    first = specs[0]
    for spec in specs[1:]:
        if _home(spec) != _home(first):
            raise BadSetting(f"{first} and {spec} lie in different folders; a series is of one training, in one folder")
        mine, others = (_read(local_path(each.source) / "config.json") for each in (first, spec))
        for name in _SHAPE:
            if mine.get(name) != others.get(name):
                raise BadSetting(
                    f"{first} and {spec} are different models: {name} is {mine.get(name)!r} and {others.get(name)!r}; "
                    "a series is of one training"
                )


def _home(spec: SubjectSpec) -> Path | str:
    """What holds the checkpoints."""
    return spec.source if spec.revision is not None else local_path(spec.source).parent


def _name(spec: SubjectSpec) -> str:
    home = _home(spec)
    if isinstance(home, str):
        return home
    return next((folder.name for folder in (home, *home.parents) if folder.name not in _GENERAL), "") or "training"


def _read(path: Path) -> dict[str, Any]:
    """A JSON object; an empty one where there is none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _free_directory(output: OutputSettings) -> Path:
    """Where the run goes. Raises StoreConflict where something is and nothing says what becomes of it."""
    if output.resume and output.overwrite:
        raise StoreConflict("--resume and --overwrite contradict each other; give one of them")
    directory = run_directory("flow", output)
    if directory.is_dir() and any(directory.iterdir()) and not (output.resume or output.overwrite):
        raise StoreConflict(f"{directory} is not empty; go on with --resume, replace the run in it with --overwrite")
    return directory
