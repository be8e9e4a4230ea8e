"""Figures for papers of models in training: the thirds of depth as curves, and depth against step as maps."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure

from repflow.drawing.heatmap import GAP, site_text
from repflow.drawing.labels import plain, slug
from repflow.drawing.panel import VARIANTS, ordered
from repflow.drawing.source import POLICIES, Source, Subject, of_scene
from repflow.drawing.style import CIVIDIS, MATPLOTLIB_DASHES, MATPLOTLIB_MARKERS
from repflow.studies.kit.thirds import THIRDS
from repflow.studies.steps.axis import StepAxis, Training, map_grid, map_rows, map_ticks, scale_of
from repflow.studies.steps.figures import reach, third_titles


def training_figures(source: Source) -> Iterator[tuple[str, Figure]]:
    """Names and figures of the inter-token cosine over training; none for models as they stand."""
    training: Training | None = source.parts.get("steps")
    if training is None:
        return
    for scene in source.scenes:
        tail = f"{slug(scene.task)}-{scene.context}"
        curves = _headline(of_scene(training.thirds.frame, scene))
        sites = _headline(map_rows(training, scene, "inter_token_cosine"))
        if len(curves):
            yield f"training_thirds_{tail}", _thirds(source, curves)
        if len(sites):
            yield f"training_map_{tail}", _maps(source, sites)


def _headline(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of the first variant and token policy."""
    for column, wanted in (("variant", ("raw", *VARIANTS)), ("tokens", POLICIES)):
        frame = frame[frame[column] == next(iter(ordered(frame[column], wanted)), "")]
    return frame


def _thirds(source: Source, rows: pd.DataFrame) -> Figure:
    steps = StepAxis.over(rows["step"].tolist())
    drawn = [s for s in source.subjects if (rows["subject"] == s.label).any()]
    fig = Figure(figsize=(6.8, 2.5 + 0.16 * len(drawn)), layout="constrained")
    panels = fig.subplots(1, 3, sharey=True)
    handles = [
        [_curve(axes, subject, rows[(rows["subject"] == subject.label) & (rows["third"] == third)], steps)]
        for axes, third in zip(panels, THIRDS, strict=True)
        for subject in drawn
    ]
    for axes, title in zip(panels, third_titles(), strict=True):
        axes.set_title(title, fontsize=8)
        axes.set_xlabel("training step")
        axes.set_xticks([steps.place(step) for step in steps.ticks], [f"{step:,}" for step in steps.ticks])
        axes.set_xlim(*steps.range)
        axes.grid(axis="y", linewidth=0.6)
        axes.set_axisbelow(True)
    panels[0].set_ylabel("inter-token cosine")
    panels[0].set_ylim(*reach(rows))
    shown = [line for (line,) in handles[: len(drawn)]]
    names = [plain(s.short) for s in drawn]
    fig.legend(shown, names, loc="outside lower center", frameon=False, ncols=min(3, len(drawn)), handlelength=4.6)
    return fig


def _curve(axes: Axes, subject: Subject, rows: pd.DataFrame, steps: StepAxis):
    style = subject.style
    x = [steps.place(step) for step in rows["step"]]
    low, value, high = (rows[c].to_numpy(dtype=float) for c in ("ci_low", "value", "ci_high"))
    axes.fill_between(x, low, high, color=style.colour, alpha=0.18, linewidth=0)
    (line,) = axes.plot(
        x,
        value,
        color=style.colour,
        linestyle=MATPLOTLIB_DASHES[style.dash],
        linewidth=1.3,
        marker=MATPLOTLIB_MARKERS[style.marker],
        markersize=3.2,
        markeredgewidth=0.8,
        markerfacecolor="white" if style.hollow else style.colour,
    )
    return line


def _maps(source: Source, rows: pd.DataFrame) -> Figure:
    drawn = [s for s in source.subjects if (rows["subject"] == s.label).any()]
    across = min(3, len(drawn))
    down = -(-len(drawn) // across)
    fig = Figure(figsize=(2.0 * across + 0.8, 1.9 * down), layout="constrained")
    panels = fig.subplots(down, across, squeeze=False).ravel()
    scale = scale_of(rows, "inter_token_cosine")
    colours = ScalarMappable(
        Normalize(scale.low, scale.high), LinearSegmentedColormap.from_list("cividis10", list(CIVIDIS))
    )
    for axes, subject in zip(panels, drawn, strict=False):
        _map(axes, rows[rows["subject"] == subject.label], colours)
        axes.set_title(plain(subject.short), fontsize=8)
    for axes in panels[len(drawn) :]:
        axes.set_visible(False)
    fig.colorbar(colours, ax=panels.tolist(), shrink=0.85, label="inter-token cosine")
    fig.supxlabel("training step", fontsize=8)
    return fig


def _map(axes: Axes, rows: pd.DataFrame, colours: ScalarMappable) -> None:
    """Step 0 and the final norm stand apart."""
    sites, steps, found = map_grid(rows)
    grid = np.array([[np.nan if cell is None else cell[0] for cell in row] for row in found], dtype=float)
    axes.pcolormesh(np.ma.masked_invalid(grid), cmap=colours.cmap).set_clim(*colours.get_clim())
    shown = map_ticks(steps, 3)
    axes.set_xticks([steps.index(step) + 0.5 for step in shown], [f"{step:,}" for step in shown])
    blocks = [site for site in sites if site != GAP]
    places = sorted({*range(0, len(blocks), max(1, -(-len(blocks) // 7))), len(blocks) - 1})
    names = [blocks[place] for place in places]
    axes.set_yticks([sites.index(name) + 0.5 for name in names], [plain(site_text(name)) for name in names])
