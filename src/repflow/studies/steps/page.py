"""Panels of models in training: thirds of depth against step, depth against step, and a table of changes."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pandas as pd

from repflow.core.quantities import Quantity
from repflow.drawing.panel import FIRST, VARIANTS, Cell, Panel, Section, View, joined_panels, ordered
from repflow.drawing.source import POLICIES, Scene, Source, of_scene
from repflow.studies.kit.thirds import THIRDS, changes
from repflow.studies.steps.axis import MAPS, Training, map_rows, scale_of
from repflow.studies.steps.figures import step_map, third_curves, third_titles
from repflow.studies.steps.table import thirds_table
from repflow.studies.steps.texts import curves_said, map_said, table_said


def sections(source: Source) -> list[Section]:
    """The section on the course of training; none for models as they stand."""
    drawn = joined_panels(training_panels(source, scene) for scene in source.scenes)
    if not drawn:
        return []
    return [Section("training", "During training", "During training", drawn, by_scene=True, about=_ABOUT)]


def training_panels(source: Source, scene: Scene) -> list[Panel]:
    """What the steps of one scene show, in reading order; empty for models as they stand."""
    if "steps" not in source.parts:
        return []
    found = [*_thirds(source, source.parts["steps"], scene), _maps(source, source.parts["steps"], scene)]
    return [panel for panel in found if panel.views]


def _thirds(source: Source, training: Training, scene: Scene) -> Iterator[Panel]:
    curves = of_scene(training.thirds.frame, scene)
    moved = of_scene(changes(training.thirds), scene) if len(curves) else curves
    shorts = {s.label: s.short for s in source.subjects}
    lines: list[View] = []
    tables: list[View] = []
    for variant, tokens in _choices(curves):
        rows, lasting = (frame[_is(frame, variant, tokens)] for frame in (curves, moved))
        drawn = tuple(third_curves(rows, source.subjects, third) for third in THIRDS)
        lines.append(View(tokens, variant, drawn, said=curves_said(lasting, shorts), **_chosen(scene, variant)))
        table = thirds_table(lasting, source.subjects)
        tables.append(View(tokens, variant, table=table, said=table_said(lasting, shorts), **_chosen(scene, variant)))
    texts = _LINES if training.thirds.replicates is not None else replace(_LINES, reading=_LINES.reading + _BANDLESS)
    cells = tuple(Cell(title, title) for title in third_titles())
    yield Panel("thirds", _LINES.title, texts, tuple(lines), cells, "grid", keys=True)
    yield Panel("thirds_table", _TABLE.title, _TABLE, tuple(tables), layout="table")


def _maps(source: Source, training: Training, scene: Scene) -> Panel:
    shorts = {s.label: s.short for s in source.subjects}
    views: list[View] = []
    seen: set[str] = set()
    for metric, name in MAPS.items():
        frame = map_rows(training, scene, metric)
        seen.update(frame["subject"])
        variants = frame["variant"].nunique()
        for variant, tokens in _choices(frame, FIRST.get(metric, "")):
            rows = frame[_is(frame, variant, tokens)]
            scale = scale_of(frame[frame["variant"] == variant], metric)
            drawn = tuple(
                step_map(mine, scale) if len(mine := rows[rows["subject"] == s.label]) else None
                for s in source.subjects
            )
            choice = f"{name}, {variant}" if variants > 1 else name
            chosen = _chosen(scene, variant if variants > 1 else "", name)
            views.append(View(tokens, choice, drawn, said=map_said(rows, shorts), ramp=scale.ends, **chosen))
    kept = [place for place, s in enumerate(source.subjects) if s.label in seen]
    views = [replace(view, figures=tuple(view.figures[place] for place in kept)) for view in views]
    cells = tuple(Cell(source.subjects[place].short, source.subjects[place].label) for place in kept)
    return Panel("maps", _MAPS.title, _MAPS, tuple(views), cells, "grid")


def _chosen(scene: Scene, variant: str, own: str = "") -> dict[str, Any]:
    """What the bar chooses of a view, and what the panel does."""
    return {"scene": scene, "variant": variant, "own": own}


def _choices(frame: pd.DataFrame, first: str = "raw") -> Iterator[tuple[str, str]]:
    for variant in ordered(frame["variant"], (first, *VARIANTS)):
        for tokens in ordered(frame[frame["variant"] == variant]["tokens"], POLICIES):
            yield variant, tokens


def _is(frame: pd.DataFrame, variant: str, tokens: str) -> pd.Series:
    return (frame["variant"] == variant) & (frame["tokens"] == tokens)


_ABOUT = "thirds of depth and every site, by training step"
_LINES = Quantity(
    "",
    "When and where tokens become alike",
    "",
    "Inter-token cosine, mean over the blocks of the early, middle and late third of depth, at every measured step.",
    "A curve that leaves its value at step 0 shows when tokens become more (or less) alike in that third; compare "
    "across the three panels for where in depth, across lines for which model. Bands: 95% intervals over units.",
    "",
)
_BANDLESS = " This run kept no bootstrap replicates, which a mean over sites needs: no bands are drawn."
_TABLE = Quantity(
    "",
    "Change over training, by third of depth",
    "",
    "The same means at the first and the last step, and the first measured step by which more than half of the way "
    "from one to the other was done.",
    "The interval of the change is paired, all steps being weighted by the same draws of examples; “no clear change” "
    "where it holds 0. No correction for looking at many thirds.",
    "",
)
_MAPS = Quantity(
    "",
    "Depth against training step",
    "",
    "One quantity at every site (upwards) and measured step (to the right, in even columns; step 0 is initialisation "
    "and stands apart).",
    "Find the column where a row changes colour: that is when; the rows that do are where. One colour scale for all "
    "models.",
    "",
)
