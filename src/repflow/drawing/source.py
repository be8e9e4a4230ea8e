"""A run directory as the report reads it: missing frames, columns and facts are made up for here, once."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import pandas as pd

from repflow.core import LayerRow, PairRow, PathRow, local_path
from repflow.drawing.labels import short_labels
from repflow.drawing.style import Style, styles
from repflow.store import at_last_step, last_steps

POLICIES = ("no_sink", "all", "no_special")
"""The order in which token policies are offered; the first present is shown first."""


@runtime_checkable
class RunLike(Protocol):
    """What the report needs of a run: three frames, the facts of run.json, findings, and where it lies."""

    @property
    def layers(self) -> Any: ...

    @property
    def pairs(self) -> Any: ...

    @property
    def paths(self) -> Any: ...

    @property
    def info(self) -> Any: ...

    @property
    def findings(self) -> Any: ...

    @property
    def directory(self) -> Any: ...


@dataclass(frozen=True, slots=True)
class Subject:
    """One subject as drawn and named in the report."""

    label: str
    short: str
    kind: str
    facts: Mapping[str, Any]
    """Its entry in run.json, empty where there is none."""
    style: Style


@dataclass(frozen=True, slots=True)
class Scene:
    """One task at one context length."""

    task: str
    context: int

    @property
    def title(self) -> str:
        return f"{self.task}, {self.context:,} tokens" if self.context else self.task


class Rows(NamedTuple):
    """The three tables that every run has, every step of a training in them."""

    layers: pd.DataFrame
    pairs: pd.DataFrame
    paths: pd.DataFrame


Reader = Callable[["RunLike", Rows], Any]
"""What a study makes of a run's own tables; None for a run of which it has nothing to show."""


@dataclass(frozen=True)
class Source:
    """A run, normalised: every frame has its columns, subjects and scenes are in a fixed order.

    Of a subject measured in training the frames hold the last step.
    """

    layers: pd.DataFrame
    pairs: pd.DataFrame
    paths: pd.DataFrame
    info: Mapping[str, Any]
    findings: Sequence[Mapping[str, Any]]
    directory: Path
    subjects: tuple[Subject, ...]
    scenes: tuple[Scene, ...]
    policies: tuple[str, ...]
    parts: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """What each study reads of the run besides, by the study's name; those are absent that have nothing."""
    last: Mapping[str, int] = field(default_factory=dict[str, int])
    """The last step by subject, of a run of models in training."""


def read(run: RunLike, readers: Mapping[str, Reader], *, variants: bool = False) -> Source:
    """The run as a `Source`. Rows without a finite or missing value column are kept; nothing is computed.

    Subjects that are another of the run with a change in it are left out but for `variants`: a run may have dozens.
    """
    info = run.info if isinstance(run.info, Mapping) else {}
    hidden = set() if variants else _variants(info)
    given = _frame(run.layers, LayerRow), _frame(run.pairs, PairRow), _frame(run.paths, PathRow)
    whole = Rows(*(_without(frame, hidden) for frame in given))
    last = last_steps(*whole)
    layers, pairs, paths = (at_last_step(frame, last) for frame in whole)
    findings = [f for f in (run.findings or ()) if isinstance(f, Mapping)]
    parts = {name: part for name, reader in readers.items() if (part := reader(run, whole)) is not None}
    named = [frame for part in parts.values() for frame in getattr(part, "naming", ())]
    subjects = _subjects(info, hidden, layers, pairs, paths, *named)
    scenes = _scenes(info, layers, pairs, paths)
    policies = _policies(layers, pairs, paths)
    directory = local_path(run.directory)
    return Source(layers, pairs, paths, info, findings, directory, subjects, scenes, policies, parts, last)


def _variants(info: Mapping[str, Any]) -> set[str]:
    """The labels of the subjects that are another of the run with a change in it."""
    return {str(f["label"]) for f in entries(info, "subjects") if "label" in f and f.get("variant_of")}


def _without(frame: pd.DataFrame, hidden: set[str]) -> pd.DataFrame:
    """The rows that are of none of the subjects."""
    if not hidden:
        return frame
    columns = [c for c in ("subject", "subject_a", "subject_b") if c in frame]
    return frame[~frame[columns].isin(hidden).any(axis=1)]


def _frame(given: Any, record: type) -> pd.DataFrame:
    columns = [f.name for f in fields(record)]
    if given is None or len(given) == 0:
        return pd.DataFrame(columns=pd.Index(columns))
    return pd.DataFrame(given).reindex(columns=columns)


def _subjects(info: Mapping[str, Any], hidden: set[str], *frames: pd.DataFrame) -> tuple[Subject, ...]:
    facts = {str(f["label"]): f for f in entries(info, "subjects") if "label" in f and str(f["label"]) not in hidden}
    columns = ("subject", "subject_a", "subject_b")
    drawn = [str(label) for frame in frames for c in columns if c in frame for label in frame[c].dropna().unique()]
    labels = list(dict.fromkeys([*facts, *drawn]))
    kinds = [str(facts.get(label, {}).get("kind", "other")) for label in labels]
    looks = zip(labels, short_labels(labels), kinds, styles(kinds), strict=True)
    return tuple(Subject(label, short, kind, facts.get(label, {}), style) for label, short, kind, style in looks)


def _scenes(info: Mapping[str, Any], *frames: pd.DataFrame) -> tuple[Scene, ...]:
    seen = [
        Scene(str(task), int(context))
        for frame in frames
        for task, context in frame[["task", "context"]].dropna().drop_duplicates().itertuples(index=False)
    ]
    told = [Scene(str(t.get("name")), int(t.get("context") or 0)) for t in entries(info, "tasks")]
    known = set(seen)
    return tuple(dict.fromkeys([*(s for s in told if s in known), *seen]))


def _policies(*frames: pd.DataFrame) -> tuple[str, ...]:
    seen = {str(p) for frame in frames for p in frame["tokens"].dropna().unique()}
    return tuple([p for p in POLICIES if p in seen] + sorted(seen.difference(POLICIES)))


def entries(info: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    """The dicts listed under a key of run.json; empty when the key is absent or something else."""
    found = info.get(key)
    return [e for e in found if isinstance(e, Mapping)] if isinstance(found, list | tuple) else []


HF_SITE = "hf."
"""How sites of `--sites hf` begin; the last of a subject's is behind its final norm."""


def is_final(sites: pd.Series, depths: pd.Series) -> pd.Series:
    """Which sites stand behind the final norm: `final_norm`, or the last of Hugging Face's list."""
    return sites.eq("final_norm") | (sites.astype(str).str.startswith(HF_SITE) & depths.eq(1))


def values(frame: pd.DataFrame, *columns: str) -> Iterator[tuple[Any, ...]]:
    """The given columns of every row, as plain Python values."""
    return zip(*(frame[column].tolist() for column in columns), strict=True)


def of_scene(frame: pd.DataFrame, scene: Scene) -> pd.DataFrame:
    """The rows of one task at one context length."""
    return frame[(frame["task"] == scene.task) & (frame["context"] == scene.context)]


def where(frame: pd.DataFrame, **wanted: object) -> pd.DataFrame:
    """The rows whose columns have the given values."""
    for column, value in wanted.items():
        frame = frame[frame[column] == value]
    return frame


def in_scene(frame: pd.DataFrame, scene: Scene, **wanted: object) -> pd.DataFrame:
    """The same of one task at one context length."""
    return where(of_scene(frame, scene), **wanted)


def distinct_tasks(info: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The tasks of run.json, those that several subjects read alike named once."""
    found: dict[tuple[str, ...], Mapping[str, Any]] = {}
    for task in entries(info, "tasks"):
        found.setdefault(
            tuple(str(task.get(key)) for key in ("name", "context", "n_examples", "examples_sha256")), task
        )
    return list(found.values())
