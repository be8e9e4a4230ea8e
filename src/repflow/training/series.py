"""A run directory that fills step by step, and the tables of all steps at the end."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from repflow.core import LayerRow, PairRow, PathRow, RepflowError, StoreConflict, SubjectFacts, values_of
from repflow.engines import Clock, Forgetful, Progress, Reader
from repflow.metrics import Rooms
from repflow.models import environment_facts
from repflow.models.facts import weights_sha256
from repflow.store import RunWriter
from repflow.studies.flow.measure import measure
from repflow.studies.kit.progress import Silent
from repflow.studies.kit.record import Reading, Record, Tables, Where, with_units
from repflow.studies.kit.settings import FlowSettings

COMMAND = "train-flow"
_THIRDS_OF = "inter_token_cosine"
_ROWS = {"layers": LayerRow, "pairs": PairRow, "paths": PathRow}


@dataclass
class Series:
    """The rows of one or more subjects, each measured at several steps.

    Nobody holds the directory between two steps: a training stopped there can be resumed from the same process.
    """

    directory: Path
    settings: dict[str, Any]
    command: str
    seed: int
    keep_replicates: bool | Literal["read"] = True
    """`read`: of the lines that the report, `show` and `compare` read alone."""
    _reads: dict[str, str] = field(default_factory=dict[str, str])
    """A digest of the examples that each claimed subject reads."""
    _lost: dict[tuple[str, int], str] = field(default_factory=dict[tuple[str, int], str])
    """Why steps were not measured, also where that could not be written down."""

    def begin(self, *, overwrite: bool) -> bool:
        """Take the directory, or go on with what stands in it unfinished; False when it holds this run, finished.

        With `overwrite` a finished or another run is replaced. Raises StoreConflict or BadFile.
        """
        try:
            writer = self._writer()
        except StoreConflict:
            if not overwrite:
                raise
            writer = self._writer(overwrite=True)
        if writer.finished and overwrite:
            writer = self._writer(overwrite=True)
        with writer:
            if not writer.finished:
                writer.save_part("begun", {}, {})
            return not writer.finished

    def claim(self, label: str, tasks: Sequence[Mapping[str, Any]], *, overwrite: bool) -> None:
        """Note which examples the subject reads; steps that were measured on others do not count.

        Raises StoreConflict, unless they are to be overwritten, where there may be such steps.
        """
        reads = [task["examples_sha256"] for task in tasks]
        with self._writer() as writer:
            known = writer.read_part(f"{label}/reads")
            if known is not None and known[1]["reads"] != reads and not overwrite:
                raise StoreConflict(
                    f"{self.directory}: {label} was measured on other examples than these; give the same ones again, "
                    "overwrite=True to start anew, or another out"
                )
            writer.save_part(f"{label}/reads", {}, {"reads": reads})
        self._reads[label] = hashlib.sha256(" ".join(reads).encode()).hexdigest()[:12]

    def keep(self, label: str, step: int, record: Record, facts: SubjectFacts, seconds: Mapping[str, float]) -> None:
        """Keep one step's rows. On return they survive a crash. Raises BadFile when the disk refuses."""
        meta = {name: values_of(getattr(record.tables, name), kind) for name, kind in _ROWS.items()}
        units = [[*where, known] for where, known in record.units.items()]
        facts_of_step = {"facts": asdict(facts), "warnings": record.warnings, "seconds": dict(seconds), "units": units}
        arrays = record.tables.replicates() if self.keep_replicates else {}
        with self._writer() as writer:
            writer.save_part(self._key(label, step), arrays, meta | facts_of_step)

    def lose(self, label: str, step: int, reason: str) -> None:
        """Note why a step was not measured."""
        self._lost[label, step] = reason
        try:
            with self._writer() as writer:
                writer.save_part(self._key(label, step), {}, {"lost": reason})
        except RepflowError:
            # A full disk may be what was the matter; in memory the reason stays.
            pass

    def known(self, label: str, steps: Sequence[int]) -> list[int]:
        """Those of the steps that are measured, or known to be lost."""
        with self._writer() as writer:
            return [step for step in steps if writer.read_part(self._key(label, step)) is not None]

    def weights(self, label: str, step: int) -> str | None:
        """The hash of the weights that a step was measured with; None for a step that was not."""
        with self._writer() as writer:
            part = writer.read_part(self._key(label, step))
        return None if part is None or "lost" in part[1] else part[1]["facts"]["weights_sha256"]

    def finish(self, steps: Mapping[str, Sequence[int]], tasks: Sequence[Any], warnings: Sequence[str]) -> None:
        """Write the tables of these steps of every subject, ascending, and run.json; the parts are gone then."""
        found = _Gathered(list(warnings))
        with self._writer() as writer:
            for label, of_subject in steps.items():
                found.take(label, {step: self._part(writer, label, step) for step in sorted(of_subject)})
            info = {
                "subjects": found.subjects,
                "tasks": [with_units(task, found.units) for task in tasks],
                "versions": environment_facts(),
                "seed": self.seed,
                "timings": found.timings | {"total_s": round(found.seconds, 3)},
                "warnings": list(dict.fromkeys(found.warnings)),
            }
            rows, drawn = found.rows, found.replicates()
            if self.keep_replicates == "read":
                drawn = {name: thinned(rows[name], array) for name, array in drawn.items()}
            writer.finish(rows["layers"], rows["pairs"], rows["paths"], info, replicates=drawn)

    def _part(self, writer: RunWriter, label: str, step: int) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        # A step that was lost may have rows of a training that came to nothing.
        part = None if (label, step) in self._lost else writer.read_part(self._key(label, step))
        return part or ({}, {"lost": self._lost.get((label, step), "what was kept of it is gone")})

    def _key(self, label: str, step: int) -> str:
        return f"{label}/{self._reads[label]}/{step:09d}"

    def _writer(self, *, overwrite: bool = False) -> RunWriter:
        return RunWriter.create(self.directory, self.settings, self.command, resume=not overwrite, overwrite=overwrite)


def measure_step(
    series: Series,
    reader: Reader,
    facts: SubjectFacts,
    readings: Sequence[Reading],
    settings: FlowSettings,
    step: int,
    progress: Progress | None = None,
) -> Tables:
    """Measure a model as it is now, keep the rows as those of `step`, and return them."""
    facts = replace(facts, weights_sha256=weights_sha256(reader.model))
    # Room of its own: what the metrics work in must not stay on the device while the model trains.
    reader = replace(reader, rooms=Rooms())
    record, clock = Record(), Clock()
    for reading in readings:
        clock += measure("", reader, facts, reading, settings, Forgetful(), progress or Silent(), record, step)
    series.keep(facts.label, step, record, facts, asdict(clock))
    return record.tables


@dataclass
class _Gathered:
    """What a finished series holds, subject by subject."""

    warnings: list[str]
    rows: dict[str, list[Any]] = field(default_factory=lambda: {name: [] for name in _ROWS})
    drawn: dict[str, list[np.ndarray]] = field(default_factory=dict[str, list[np.ndarray]])
    subjects: list[dict[str, Any]] = field(default_factory=list)
    timings: dict[str, dict[str, float]] = field(default_factory=dict[str, dict[str, float]])
    units: dict[Where, dict[str, Any]] = field(default_factory=dict)
    """As measured at each subject's last step."""

    @property
    def seconds(self) -> float:
        """Spent on measuring."""
        return sum(sum(spent.values()) for spent in self.timings.values())

    def take(self, label: str, parts: Mapping[int, tuple[dict[str, np.ndarray], dict[str, Any]]]) -> None:
        """One subject's parts by step."""
        measured = {step: part for step, part in parts.items() if "lost" not in part[1]}
        for arrays, meta in measured.values():
            for name, kind in _ROWS.items():
                self.rows[name] += [kind(*values) for values in meta[name]]
            for name, array in arrays.items():
                self.drawn.setdefault(name, []).append(array)
        self.warnings += _told({step: meta["warnings"] for step, (_, meta) in measured.items()})
        lost = {step: meta["lost"] for step, (_, meta) in parts.items() if "lost" in meta}
        self.warnings += [f"{label}, step {step}: not measured, {reason}" for step, reason in lost.items()]
        if measured:
            self._facts(label, {step: meta for step, (_, meta) in measured.items()})

    def _facts(self, label: str, metas: Mapping[int, dict[str, Any]]) -> None:
        """The subject as it was at its last step, with the weights of them all."""
        last = metas[max(metas)]["facts"]
        weights = [meta["facts"]["weights_sha256"] for meta in metas.values()]
        self.subjects.append(last | {"steps": list(metas), "weights_sha256_of_steps": weights})
        self.units |= {Where(*where): known for *where, known in metas[max(metas)].get("units", ())}
        names = metas[max(metas)]["seconds"]
        self.timings[label] = {
            f"{name}_s": round(sum(meta["seconds"][name] for meta in metas.values()), 3) for name in names
        }

    def replicates(self) -> dict[str, np.ndarray]:
        return {name: np.concatenate(arrays) for name, arrays in self.drawn.items()}


def thinned(rows: Sequence[LayerRow | PathRow], replicates: np.ndarray) -> np.ndarray:
    """Replicates [rows, B], NaN in lines that nothing reads.

    Read are the lines of a subject's last step, which `compare` takes, and likeness in the blocks at every step, from
    which the thirds of depth have their intervals.
    """
    last: dict[str, int] = {}
    for row in rows:
        last[row.subject] = max(last.get(row.subject, 0), row.step or 0)
    read = [row.step == last[row.subject] or _of_a_third(row) for row in rows]
    return np.where(np.array(read)[:, None], replicates, np.nan)


def _of_a_third(row: LayerRow | PathRow) -> bool:
    return isinstance(row, LayerRow) and row.metric == _THIRDS_OF and row.site.startswith("block.")


def _told(warnings: Mapping[int, Sequence[str]]) -> list[str]:
    """Each warning once, with the steps it was given at unless that was at all of them."""
    at: dict[str, list[int]] = {}
    for step, lines in warnings.items():
        for line in lines:
            at.setdefault(line, []).append(step)
    everywhere = len(warnings)
    return [
        line if len(steps) == everywhere else f"{line} (at step {', '.join(map(str, steps))})"
        for line, steps in at.items()
    ]
