"""Figures for papers of a run's flow: likeness over depth, CKA between sites, paths."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from repflow.core.quantities import quantity
from repflow.drawing.curves import curve_rows
from repflow.drawing.heatmap import cka_rows, ordered_sites, site_text
from repflow.drawing.labels import plain, slug
from repflow.drawing.matplotlib import along_depth, draw_over_depth
from repflow.drawing.panel import VARIANTS, ordered
from repflow.drawing.source import POLICIES, Scene, Source, Subject, of_scene, values
from repflow.drawing.style import BELOW_ZERO, CIVIDIS, MATPLOTLIB_MARKERS
from repflow.studies.flow.paths import column_title, path_columns, path_rows


def flow_figures(source: Source) -> Iterator[tuple[str, Figure]]:
    """Names and figures, scene by scene."""
    for scene in source.scenes:
        tail = f"{slug(scene.task)}-{scene.context}"
        for metric in ("inter_token_cosine", "adjacent_cosine"):
            rows = _headline(of_scene(source.layers, scene), metric)
            if len(rows):
                yield f"{metric}_{tail}", _curve(source, scene, metric, rows.iloc[0])
        for number, subject in enumerate(source.subjects):
            rows = _own_cka(source, scene, subject)
            if len(rows):
                yield f"cka_{number}-{slug(subject.short)}_{tail}", _cka(rows, subject)
        tokens = ordered(of_scene(source.paths, scene)["tokens"], POLICIES)
        if tokens:
            yield f"paths_{tail}", _paths(source, scene, tokens[0])


def _headline(frame: pd.DataFrame, metric: str) -> pd.DataFrame:
    """The rows of a metric under its first variant and token policy."""
    for column, wanted in (("metric", (metric,)), ("variant", ("raw", *VARIANTS)), ("tokens", POLICIES)):
        names = ordered(frame[column], wanted)
        frame = frame[frame[column] == (metric if column == "metric" else (names or [""])[0])]
    return frame


def _curve(source: Source, scene: Scene, metric: str, like: pd.Series) -> Figure:
    fig = Figure(figsize=(4.6, 2.9 + 0.16 * len(source.subjects)), layout="constrained")
    axes = fig.subplots()
    handles, names = [], []
    for subject in source.subjects:
        rows = curve_rows(source, scene, metric, like["variant"], like["tokens"], subject.label)
        if len(rows):
            handles.append(draw_over_depth(axes, subject, rows))
            names.append(plain(subject.short))
    along_depth(axes, quantity(metric).axis)
    columns = 2 if max(map(len, names)) < 26 else 1
    fig.legend(handles, names, loc="outside lower center", frameon=False, ncols=columns, handlelength=4.6)
    return fig


def _own_cka(source: Source, scene: Scene, subject: Subject) -> pd.DataFrame:
    frame = of_scene(source.pairs, scene)
    own = frame[(frame["subject_a"] == subject.label) & (frame["subject_b"] == subject.label)]
    rows = _headline(own[own["variant"].isin(["token", "example"])], "cka")
    if not len(rows):
        return rows
    first = rows.iloc[0]
    return cka_rows(source, scene, subject.label, subject.label, "cka", first["variant"], first["tokens"])


def _cka(rows: pd.DataFrame, subject: Subject) -> Figure:
    sites, last = ordered_sites(rows, "a")
    place = {site: i for i, site in enumerate(sites)}
    grid = np.full((len(sites), len(sites)), np.nan)
    for a, b, value in values(rows, "site_a", "site_b", "value"):
        grid[place[a], place[b]] = value
    colours = LinearSegmentedColormap.from_list("cividis10", list(CIVIDIS)).with_extremes(under=BELOW_ZERO)
    fig = Figure(figsize=(3.2, 2.9))
    axes = fig.subplots()
    edges = np.arange(len(sites) + 1.0)
    if last and len(sites) > 1:
        edges, grid = np.append(edges, edges[-1] + 1), _with_gap(grid)
    image = axes.pcolormesh(edges, edges, np.ma.masked_invalid(grid), cmap=colours, vmin=0, vmax=1, rasterized=False)
    axes.set_aspect("equal")
    shown = sorted({*range(0, len(sites), max(1, -(-len(sites) // 7))), len(sites) - 1})
    centres = [i + 0.5 + (len(edges) > len(sites) + 1 and i == len(sites) - 1) for i in shown]
    names = [plain(site_text(sites[i])) for i in shown]
    axes.set_xticks(centres, names)
    axes.set_yticks(centres, names)
    axes.set_title(plain(subject.short), fontsize=8)
    fig.colorbar(image, ax=axes, shrink=0.85, label="CKA", extend="min" if (grid < 0).any() else "neither")
    return fig


def _with_gap(grid: np.ndarray) -> np.ndarray:
    """The grid with an empty row and column before the last, which set the final norm apart."""
    return np.insert(np.insert(grid, -1, np.nan, axis=0), -1, np.nan, axis=1)


def _paths(source: Source, scene: Scene, tokens: str) -> Figure:
    rows = path_rows(source, scene, tokens)
    columns = path_columns(rows, "rms")
    drawn = [s for s in source.subjects if (rows["subject"] == s.label).any()]
    across = min(3, max(1, len(columns)))
    down = -(-max(1, len(columns)) // across)
    fig = Figure(figsize=(6.8, down * (0.55 + 0.22 * len(drawn)) + 0.2), layout="constrained")
    panels = fig.subplots(down, across, sharey=True, squeeze=False).ravel()
    for axes, (metric, variant) in zip(panels, columns, strict=False):
        found = rows[(rows["metric"] == metric) & (rows["variant"] == variant)]
        for line, subject in enumerate(drawn):
            mine = found[found["subject"] == subject.label]
            if len(mine):
                _dot(axes, subject, mine.iloc[0], line)
        axes.set_title(column_title(metric, variant), fontsize=8)
        axes.locator_params(axis="x", nbins=4)
        axes.grid(axis="x", linewidth=0.6)
        axes.set_yticks(range(len(drawn)), [plain(s.short) for s in drawn])
    for axes in panels[len(columns) :]:
        axes.set_visible(False)
    panels[0].set_ylim(len(drawn) - 0.4, -0.6)
    return fig


def _dot(axes: Axes, subject: Subject, row: pd.Series, line: int) -> None:
    value, low, high = (float(row[c]) for c in ("value", "ci_low", "ci_high"))
    spread = np.nan_to_num([[value - low], [high - value]])
    face = "white" if subject.style.hollow else subject.style.colour
    axes.errorbar(
        [value],
        [line],
        xerr=spread,
        fmt=MATPLOTLIB_MARKERS[subject.style.marker],
        markersize=4,
        capsize=2,
        color=subject.style.colour,
        markerfacecolor=face,
    )
