"""What a figure of a notebook shows: the scene, subject, variant and policy that are asked for, or the run's first."""

from collections.abc import Sequence

import pandas as pd

from repflow.core import NotEnoughData, unknown
from repflow.drawing.panel import VARIANTS, ordered
from repflow.drawing.source import POLICIES, Scene, Source, in_scene


def scene_of(source: Source, task: str | None, context: int | None, scenes: Sequence[Scene] | None = None) -> Scene:
    """The first scene that fits. Raises UnknownName or NotEnoughData, which name what there is."""
    scenes = source.scenes if scenes is None else scenes
    tasks = {scene.task for scene in scenes}
    if task is not None and task not in tasks:
        raise unknown("task", task, tasks)
    fits = [s for s in scenes if task in (None, s.task) and context in (None, s.context)]
    if not fits:
        held = ", ".join(f"{s.task} at {s.context}" for s in scenes) or "no rows"
        raise NotEnoughData(f"nothing to draw for task {task!r}, context {context}; this run holds {held}")
    return fits[0]


def subject_of(source: Source, given: str | None) -> str:
    """The label of a subject, named by its label or its short name."""
    labels = {s.short: s.label for s in source.subjects} | {s.label: s.label for s in source.subjects}
    if given is None:
        return source.subjects[0].label
    if given not in labels:
        raise unknown("subject", given, [s.label for s in source.subjects])
    return labels[given]


def rows_of(frame: pd.DataFrame, scene: Scene, **wanted: str) -> pd.DataFrame:
    """The rows of a scene with these values. Raises NotEnoughData for none."""
    rows = in_scene(frame, scene, **wanted)
    if not len(rows):
        named = ", ".join(f"{k} {v}" for k, v in wanted.items()) or "path metrics"
        raise NotEnoughData(f"the run has no rows for {named} on {scene.task} at context {scene.context}")
    return rows


def first(rows: pd.DataFrame, column: str, given: str | None) -> str:
    """The wanted value of a column, or the first in the page's order; an error names what there is."""
    names = ordered(rows[column], ("raw", *VARIANTS) if column == "variant" else POLICIES)
    if given is None and names:
        return names[0]
    if given not in names:
        raise unknown(column, str(given), names)
    return str(given)


def chosen(rows: pd.DataFrame, variant: str | None, tokens: str | None) -> tuple[str, str]:
    """Variant and policy, the policy among those of the variant."""
    kind = first(rows, "variant", variant)
    return kind, first(rows[rows["variant"] == kind], "tokens", tokens)
