"""Figures of the course of a training for notebooks."""

from repflow.core import NotEnoughData, unknown
from repflow.drawing.choice import chosen, first, rows_of, scene_of, subject_of
from repflow.drawing.plotly import Figure
from repflow.drawing.source import Source, where
from repflow.studies.steps.axis import MAPS, Training, map_rows, scale_of
from repflow.studies.steps.figures import all_thirds, step_map


def training(
    source: Source,
    *,
    task: str | None = None,
    context: int | None = None,
    variant: str | None = None,
    tokens: str | None = None,
) -> Figure:
    """Inter-token cosine in the early, middle and late third of depth against training step."""
    found, scene = _training(source), scene_of(source, task, context)
    rows = rows_of(found.thirds.frame, scene)
    kind, policy = chosen(rows, variant, tokens)
    return all_thirds(where(rows, variant=kind, tokens=policy), source.subjects)


def training_map(
    source: Source,
    subject: str | None = None,
    *,
    metric: str = "inter_token_cosine",
    task: str | None = None,
    context: int | None = None,
    variant: str | None = None,
    tokens: str | None = None,
) -> Figure:
    """One subject's sites against training step, in the colours all subjects share.

    `metric`: inter_token_cosine, adjacent_cosine, cka (with the site before) or update_ratio.
    """
    if metric not in MAPS:
        raise unknown("metric", metric, MAPS)
    found, scene = _training(source), scene_of(source, task, context)
    rows = rows_of(map_rows(found, scene, metric), scene)
    kind = first(rows, "variant", variant)
    scale = scale_of(where(rows, variant=kind), metric)
    mine = rows_of(rows, scene, subject=subject_of(source, subject), variant=kind)
    return step_map(where(mine, tokens=first(mine, "tokens", tokens)), scale, height=420, bar=True)


def _training(source: Source) -> Training:
    if "steps" not in source.parts:
        raise NotEnoughData("this run measured models as they stand; a run in training has a row for every step")
    return source.parts["steps"]
