"""Figures of an attribution run for notebooks."""

from repflow.core import NotEnoughData
from repflow.drawing.choice import chosen, rows_of, scene_of, subject_of
from repflow.drawing.plotly import Figure
from repflow.drawing.source import Source
from repflow.studies.attribute.figures import scheme_curves
from repflow.studies.attribute.frames import Attribution, of_cell


def attribution(
    source: Source,
    subject: str | None = None,
    *,
    task: str | None = None,
    context: int | None = None,
    variant: str | None = None,
    tokens: str | None = None,
) -> Figure:
    """One subject's trained weights against weights drawn anew, over relative depth: a line a scheme."""
    found: Attribution | None = source.parts.get("attribute")
    if found is None:
        raise NotEnoughData("this run drew no weights anew; `repflow attribute` makes a run that does")
    scene, name = scene_of(source, task, context), subject_of(source, subject)
    rows = rows_of(source.layers, scene, metric="inter_token_cosine", subject=name)
    cell = (scene.task, scene.context, *chosen(rows, variant, tokens))
    drawn = of_cell(found.schemes, cell, subject=name)
    return scheme_curves(of_cell(rows, cell), drawn, found.names, height=420, legend=True)
