"""Panels: what the report shows of one scene, each with its choices of variant and token policy."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from repflow.report._curves import curves
from repflow.report._heatmaps import cka_heatmap, cka_rows, offset_heatmap
from repflow.report._pathplots import path_dots, path_rows
from repflow.report._source import POLICIES, Scene, Source, Subject, of_scene
from repflow.report._tables import PathTable, path_table
from repflow.report._texts import Quantity, quantity

VARIANTS = ("rms", "raw", "unit", "standardised", "median", "mean", "max", "centred", "uncentred", "token", "example")
"""The order in which variants are offered; the first present is shown first."""
FIRST = {"inter_token_cosine": "raw", "adjacent_cosine": "raw"}


@dataclass(frozen=True)
class View:
    """One state of a panel's switches: a figure a cell (None where that cell has no rows), or a table."""

    tokens: str
    choice: str
    figures: tuple[go.Figure | None, ...] = ()
    table: PathTable | None = None


@dataclass(frozen=True, slots=True)
class Cell:
    """The frame of one figure: its caption, and its full names for the tooltip."""

    caption: str
    full: str


@dataclass(frozen=True)
class Panel:
    """A titled block of figures that share one set of switches."""

    key: str
    title: str
    texts: Quantity
    views: tuple[View, ...]
    cells: tuple[Cell, ...] = (Cell("", ""),)
    layout: str = "wide"
    """`wide`, `half`, `grid` or `table`."""
    scale: bool = False
    """True where the shared 0..1 colour scale belongs above the cells."""
    folded: bool = False

    @property
    def choices(self) -> list[str]:
        return list(dict.fromkeys(view.choice for view in self.views))


def panels(source: Source, scene: Scene) -> list[Panel]:
    """Every panel of one scene that has rows, in reading order."""
    makers = (_curve_panels, _offset_panel, _cka_panel, _cross_panel, _path_panel)
    return [panel for make in makers for panel in make(source, scene) if panel.views]


def ordered(found: Iterable[Any], wanted: Sequence[str]) -> list[str]:
    """The given names, those of `wanted` first and in its order."""
    names = list(dict.fromkeys(str(name) for name in found))
    return [n for n in wanted if n in names] + [n for n in names if n not in wanted]


_CURVES = (
    ("inter_token_cosine", ("inter_token_cosine",), "wide"),
    ("adjacent_cosine", ("adjacent_cosine",), "half"),
    ("update", ("update_ratio", "update_cosine"), "half"),
    ("norm", ("norm",), "half"),
    ("participation_ratio", ("participation_ratio", "renyi2_entropy"), "half"),
    ("sequence_curvature", ("sequence_curvature",), "half"),
    ("dropped_share", ("dropped_share",), "half"),
)


def _curve_panels(source: Source, scene: Scene) -> Iterator[Panel]:
    for key, metrics, layout in _CURVES:
        views = tuple(
            view for metric in metrics for view in _curve_views(source, scene, metric, len(metrics) > 1, layout)
        )
        if views:
            first = quantity(metrics[0])
            yield Panel(key, first.title, first, views, layout=layout)


def _curve_views(source: Source, scene: Scene, metric: str, named: bool, layout: str) -> Iterator[View]:
    frame = of_scene(source.layers, scene)
    frame = frame[frame["metric"] == metric]
    texts, wide = quantity(metric), layout == "wide"
    wanted = [FIRST.get(metric, ""), *VARIANTS]
    for variant in ordered(frame["variant"], wanted):
        for tokens in ordered(frame[frame["variant"] == variant]["tokens"], POLICIES):
            height = 400 if wide else 310
            plain = variant in ("", "value", "nan", "None")
            choice = ", ".join([texts.title.lower()] * named + [variant] * (not plain)) or "value"
            drawn = curves(source, scene, texts, variant, tokens, height=height, legend=wide)
            yield View(tokens, choice, (drawn,))


def _offset_panel(source: Source, scene: Scene) -> Iterator[Panel]:
    frame = of_scene(source.layers, scene)
    frame = frame[frame["metric"] == "offset_cosine"]
    drawn = _present(source, frame["subject"])
    views = tuple(
        View(
            tokens,
            "value",
            tuple(
                offset_heatmap(source, scene, s.label, tokens)
                if len(frame[(frame["subject"] == s.label) & (frame["tokens"] == tokens)])
                else None
                for s in drawn
            ),
        )
        for tokens in ordered(frame["tokens"], POLICIES)
    )
    texts = quantity("offset_cosine")
    yield Panel("offset_profile", texts.title, texts, views, tuple(map(_cell, drawn)), "grid", scale=True)


def _cka_panel(source: Source, scene: Scene) -> Iterator[Panel]:
    frame = of_scene(source.pairs, scene)
    frame = frame[(frame["metric"] == "cka") & (frame["subject_a"] == frame["subject_b"])]
    drawn = _present(source, frame["subject_a"])
    pairs = [(s, s) for s in drawn]
    views = _cka_views(frame, lambda v, t: tuple(_heat(source, scene, a, b, "cka", v, t) for a, b in pairs))
    texts = quantity("cka")
    yield Panel("cka", texts.title, texts, views, tuple(map(_cell, drawn)), "grid", scale=True)


def _cross_panel(source: Source, scene: Scene) -> Iterator[Panel]:
    frame = of_scene(source.pairs, scene)
    frame = frame[(frame["subject_a"] != frame["subject_b"]) & frame["metric"].isin(["cka", "cka_calibrated"])]
    met = {frozenset(pair) for pair in frame[["subject_a", "subject_b"]].drop_duplicates().itertuples(index=False)}
    pairs = [(a, b) for a, b in combinations(source.subjects, 2) if frozenset((a.label, b.label)) in met]
    metrics = [m for m in ("cka", "cka_calibrated") if (frame["metric"] == m).any()]
    places = [(a, b, m) for a, b in pairs for m in metrics]
    views = _cka_views(frame, lambda v, t: tuple(_heat(source, scene, a, b, m, v, t) for a, b, m in places))
    cells = tuple(
        Cell(f"{a.short} ↑ × {b.short} → " + ("calibrated" if m != "cka" else "raw"), f"{a.label} × {b.label}")
        for a, b, m in places
    )
    yield Panel(
        "cross_cka", "CKA between models", quantity("cka_calibrated"), views, cells, "grid", True, len(places) > 12
    )


def _cka_views(frame: pd.DataFrame, draw: Callable[[str, str], tuple[go.Figure | None, ...]]) -> tuple[View, ...]:
    views: list[View] = []
    for variant in ordered(frame["variant"], VARIANTS):
        for tokens in ordered(frame[frame["variant"] == variant]["tokens"], POLICIES):
            views.append(View(tokens, variant, draw(variant, tokens)))
    return tuple(views)


def _heat(
    source: Source, scene: Scene, a: Subject, b: Subject, metric: str, variant: str, tokens: str
) -> go.Figure | None:
    rows = cka_rows(source, scene, a.label, b.label, metric, variant, tokens)
    return cka_heatmap(rows, "" if a is b else a.short, "" if a is b else b.short) if len(rows) else None


def _path_panel(source: Source, scene: Scene) -> Iterator[Panel]:
    frame = of_scene(source.paths, scene)
    scaled = [v for v in ordered(frame["variant"], ("rms", "raw", "unit")) if v in ("rms", "raw", "unit")]
    for layout, title in (("table", "Path metrics"), ("wide", "Path metrics, drawn")):
        views = tuple(
            _path_view(source, scene, variant, tokens, layout)
            for variant in scaled or ["rms"]
            for tokens in ordered(frame["tokens"], POLICIES)
            if len(path_rows(source, scene, tokens))
        )
        yield Panel(f"paths_{layout}", title, _PATHS, views, layout=layout)


_PATHS = Quantity(
    "paths",
    "Path metrics",
    "",
    "How a token's state travels from the embedding to the last block, the final norm left out.",
    "Compare models in the rms variant, which divides by the path's own scale: raw values grow with the norms.",
    "",
)


def _path_view(source: Source, scene: Scene, variant: str, tokens: str, layout: str) -> View:
    if layout == "table":
        return View(tokens, variant, table=path_table(source, scene, variant, tokens))
    return View(tokens, variant, (path_dots(source, scene, variant, tokens),))


def _present(source: Source, labels: pd.Series) -> list[Subject]:
    found = set(labels)
    return [s for s in source.subjects if s.label in found]


def _cell(subject: Subject) -> Cell:
    return Cell(subject.short, subject.label)
