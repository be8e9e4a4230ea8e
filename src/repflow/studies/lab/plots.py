"""Figures of a lab for notebooks."""

from repflow.core import NotEnoughData, unknown
from repflow.drawing.plotly import Figure, with_legend
from repflow.drawing.source import Source
from repflow.studies.lab.figures import course_lines, outcome_dots
from repflow.studies.lab.frames import Lab
from repflow.studies.lab.outcomes import ASKED_MOST, OUTCOMES


def lab_outcome(source: Source, *, outcome: str = ASKED_MOST) -> Figure:
    """One outcome of every group: its trainings, their mean and its interval. `outcome`: a name in outcomes.parquet."""
    lab = _lab(source)
    known = [name for name in OUTCOMES if (lab.summary["outcome"] == name).any()]
    if outcome not in known:
        raise unknown("outcome", outcome, known)
    return outcome_dots(lab, outcome, lab.groups)


def lab_training(source: Source, *, task: str = "kvpr", context: int = 256) -> Figure:
    """Answers right against training step, a line a group."""
    lab = _lab(source)
    if not ((lab.cells["task"] == task) & (lab.cells["context"] == context)).any():
        known = {f"{t} at {c}" for t, c in zip(lab.cells["task"], lab.cells["context"], strict=True)}
        raise unknown("task of this lab", f"{task} at {context}", known)
    groups = tuple(group for group in lab.groups if group.trained)
    return with_legend(course_lines(lab, task, context, groups))


def _lab(source: Source) -> Lab:
    if "lab" not in source.parts:
        raise NotEnoughData("this run is of models as they are; `repflow lab` trains a grid of them")
    return source.parts["lab"]
