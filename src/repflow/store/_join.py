"""Several finished runs of the same task as one: five trainings, say, that each wrote a directory of its own."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from repflow.core import BadSetting, LayerRow, PairRow, PathRow
from repflow.store.marker import differences
from repflow.store.run import Run
from repflow.store.sense import making_sense
from repflow.store.writer import RunWriter

if TYPE_CHECKING:
    import pandas as pd

_KINDS = {"layers": LayerRow, "pairs": PairRow, "paths": PathRow}
_OWN = frozenset({"subjects", "every", "steps", "replicates_kept", "batch_tokens", "device", "shard"})
"""Settings in which runs that belong together may differ: whom they measured, when, and how fast."""
_NAMED = ("repflow", "torch", "transformers")


def join(directories: Sequence[str | Path], out: str | Path, *, overwrite: bool = False) -> Run:
    """Write the rows of finished runs into one run directory, run after run, and open it.

    The runs must be of one command and agree in what was read and measured: settings, seed, sources. One subject may be
    in several of them at different steps of its training. Replicates are kept if all runs have them.
    Raises BadSetting for runs that do not fit together, BadFile or StoreConflict for a directory that is no finished
    run and for an `out` that holds something else.
    """
    runs = [Run.load(directory) for directory in directories]
    if not runs:
        raise BadSetting("join needs the directories of one or more finished runs")
    with making_sense(*runs):
        return _joined(runs, out, overwrite=overwrite)


def _joined(runs: Sequence[Run], out: str | Path, *, overwrite: bool) -> Run:
    for run in runs[1:]:
        _check_alike(runs[0], run)
    _check_apart(runs)
    rows = {name: [row for run in runs for row in _rows(run, name)] for name in _KINDS}
    warnings = [line for run in runs for line in run.info.get("warnings") or ()]
    replicates = _replicates(runs, warnings)
    _warn_of_versions(runs, warnings)
    info = {
        "subjects": _subjects(runs),
        "tasks": [task for run in runs for task in run.info.get("tasks") or ()],
        "versions": runs[0].info.get("versions"),
        "seed": runs[0].info.get("seed"),
        "timings": _timings(runs),
        "warnings": list(dict.fromkeys(warnings)),
    }
    findings = [finding for run in runs for finding in run.findings]
    settings = {name: value for name, value in runs[0].settings.items() if name not in _OWN}
    settings["subjects"] = [subject["label"] for subject in info["subjects"]]
    with RunWriter.create(out, settings, runs[0].info["command"], overwrite=overwrite) as writer:
        writer.finish(rows["layers"], rows["pairs"], rows["paths"], info, findings, replicates=replicates)
    return Run.load(out)


def _check_alike(first: Run, run: Run) -> None:
    differing = differences(first.settings, run.settings, _OWN)
    for name in ("command", "seed"):
        if first.info.get(name) != run.info.get(name):
            differing.append(f"{name}: was {first.info.get(name)}, now {run.info.get(name)}")
    if _sources(first) != _sources(run):
        differing.append("the files or data sets behind the tasks")
    if differing:
        raise BadSetting(
            f"{run.directory} does not fit {first.directory}, they differ in {'; '.join(differing)}; join runs of the "
            "same task and measurements"
        )
    for each in (first, run):
        others = sorted({*(each.info.get("tables") or ())} - _KINDS.keys())
        if others:
            raise BadSetting(f"{each.directory} also holds {', '.join(others)}; only {', '.join(_KINDS)} can be joined")


def _sources(run: Run) -> list[Any]:
    """What the tasks were made from, each once."""
    found = [[task.get(name) for name in ("name", "context", "source")] for task in run.info.get("tasks") or ()]
    return sorted((each for i, each in enumerate(found) if each not in found[:i]), key=repr)


def _check_apart(runs: Sequence[Run]) -> None:
    """No two runs may hold the same rows."""
    owner: dict[tuple[Any, ...], Run] = {}
    for run in runs:
        keys = _measured(run)
        for key in keys:
            if key in owner:
                subject, task, context, step = key
                at = "" if step is None else f" at step {step}"
                raise BadSetting(
                    f"{owner[key].directory} and {run.directory} both hold {subject} on {task} at {context}{at}; "
                    "leave one out, or measure it again under another label"
                )
        owner |= dict.fromkeys(keys, run)


def _measured(run: Run) -> list[tuple[Any, ...]]:
    """(subject, task, context, step) of all rows, each once; rows of two subjects stand under both names as one."""
    a, b = run.pairs["subject_a"], run.pairs["subject_b"]
    pairs = run.pairs.assign(subject=a.where(a == b, a + " ~ " + b))
    return list(dict.fromkeys(key for frame in (run.layers, run.paths, pairs) for key in _keys(frame)))


def _keys(frame: "pd.DataFrame") -> Iterable[tuple[Any, ...]]:
    names = ["subject", "task", "context", "step"]
    distinct = frame[names].drop_duplicates()
    return zip(*(_values(distinct, name) for name in names), strict=True)


def _rows(run: Run, name: str) -> list[Any]:
    frame, kind = getattr(run, name), _KINDS[name]
    columns = [_values(frame, column) for column in kind.__dataclass_fields__]
    return [kind(*values) for values in zip(*columns, strict=True)]


def _values(frame: "pd.DataFrame", name: str) -> list[Any]:
    """A column as Python values; a missing whole number is None."""
    import pandas as pd

    return [None if value is pd.NA else value for value in frame[name].tolist()]


def _replicates(runs: Sequence[Run], warnings: list[str]) -> dict[str, np.ndarray]:
    without = [run for run in runs if not run.replicates]
    if without and len(without) < len(runs):
        names = ", ".join(run.directory.name for run in without)
        warnings.append(f"bootstrap replicates are left out, {names} kept none")
    if without:
        return {}
    names = sorted({name for run in runs for name in run.replicates})
    return {name: np.concatenate([run.replicates[name] for run in runs if name in run.replicates]) for name in names}


def _warn_of_versions(runs: Sequence[Run], warnings: list[str]) -> None:
    first = runs[0].info.get("versions") or {}
    for run in runs[1:]:
        versions = run.info.get("versions") or {}
        other = [f"{name} {versions.get(name)}" for name in _NAMED if versions.get(name) != first.get(name)]
        if other:
            warnings.append(f"{run.directory.name} was measured with {', '.join(other)}, unlike the first")


def _subjects(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """One entry a label: of a subject measured in several runs that of its last step, with all its steps."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for run in runs:
        for subject in run.subjects:
            found.setdefault(subject["label"], []).append(subject)
    return [_merged(entries) for entries in found.values()]


def _merged(entries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    if len(entries) == 1:
        return dict(entries[0])
    entries = sorted(entries, key=lambda entry: max(entry.get("steps") or [-1]))
    lists = ("steps", "weights_sha256_of_steps")
    return {**entries[-1], **{name: [item for entry in entries for item in entry.get(name) or ()] for name in lists}}


def _timings(runs: Sequence[Run]) -> dict[str, Any]:
    """Seconds by subject, and in all; of a subject in several runs their sum."""
    total: dict[str, Any] = {}
    for run in runs:
        for name, spent in (run.info.get("timings") or {}).items():
            if isinstance(spent, Mapping):
                known = total.setdefault(name, {})
                for what, seconds in spent.items():
                    known[what] = known.get(what, 0) + seconds
            else:
                total[name] = total.get(name, 0) + spent
    return total
