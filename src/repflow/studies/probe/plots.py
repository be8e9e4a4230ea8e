"""Figures of a probe run for notebooks."""

from repflow.core import NotEnoughData, unknown
from repflow.drawing.choice import scene_of
from repflow.drawing.panel import ordered
from repflow.drawing.plotly import Figure, with_legend
from repflow.drawing.source import Source, in_scene, where
from repflow.studies.probe.figures import depth_curves
from repflow.studies.probe.frames import Probes


def probes(
    source: Source,
    *,
    task: str | None = None,
    context: int | None = None,
    position: str | None = None,
    target: str | None = None,
) -> Figure:
    """Probe accuracy against relative depth: peak and last block marked, control dotted, chance dashed.

    `position`: the place of the prompt that was read, as in `run.probes`; `target`: `position` or `value`.
    """
    found: Probes | None = source.parts.get("probe")
    if found is None:
        raise NotEnoughData("this run trained no probes; `repflow probe` makes a run that does")
    scene = scene_of(source, task, context, found.scenes)
    rows, summary = in_scene(found.sites, scene), in_scene(found.summary, scene)
    targets = ordered(rows["target"], ())
    wanted = targets[0] if target is None else target
    if wanted not in targets:
        raise unknown("target", wanted, targets)
    rows, summary = where(rows, target=wanted), where(summary, target=wanted)
    places = ordered(rows["position"], ())
    place = places[0] if position is None else position
    if place not in places:
        raise unknown("position", place, places)
    return with_legend(depth_curves(where(rows, position=place), where(summary, position=place), source.subjects), 420)
