"""Figures of a dynamics run for notebooks."""

from repflow.core import NotEnoughData
from repflow.drawing.choice import scene_of
from repflow.drawing.plotly import Figure, with_legend
from repflow.drawing.source import Source, in_scene
from repflow.studies.dynamics.figures import influence_curves
from repflow.studies.dynamics.frames import Dynamics


def influence(source: Source, *, task: str | None = None, context: int | None = None, share: bool = False) -> Figure:
    """Influence of earlier tokens against their distance; `share`: its share of the squared influence of all."""
    found: Dynamics | None = source.parts.get("dynamics")
    if found is None or found.influence.empty:
        raise NotEnoughData("this run measured no influence; `repflow dynamics` makes a run that does")
    rows = in_scene(found.influence, scene_of(source, task, context, found.scenes))
    return with_legend(influence_curves(rows, source.subjects, share))
