"""Figures for papers of a probe run: accuracy over depth, readable against said, site by place of the prompt."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, PercentFormatter

from repflow.drawing.heatmap import GAP, site_text, spaced
from repflow.drawing.labels import plain, slug
from repflow.drawing.matplotlib import along_depth, draw_over_depth
from repflow.drawing.source import Source, Subject, in_scene, is_final, values, where
from repflow.drawing.style import CIVIDIS, INK, MUTED
from repflow.studies.probe.figures import place_columns, place_text
from repflow.studies.probe.frames import Probes
from repflow.studies.probe.verdicts import ABOVE

CHANCE = Line2D([], [], color=MUTED, linestyle=(0, (6, 4)), linewidth=0.9)
CONTROL = Line2D([], [], color=INK, linestyle=":", linewidth=0.9)
_TOLD = (
    (Line2D([], [], color=INK, linestyle="-", marker="o", ms=3.2), "readable at the peak"),
    (Line2D([], [], color=INK, linestyle="--", linewidth=1), "readable after the last block"),
    (Line2D([], [], color=INK, linestyle=":", marker="o", ms=3.2, mfc="white"), "said"),
)


def probe_figures(source: Source) -> Iterator[tuple[str, Figure]]:
    """Names and figures of a run's probes: by task and context, the curves by place of the prompt too."""
    probes: Probes | None = source.parts.get("probe")
    if probes is None:
        return
    for scene in probes.scenes:
        tail = f"{slug(scene.task)}-{scene.context}"
        sites, summary, telling = (in_scene(f, scene) for f in (probes.sites, probes.summary, probes.telling))
        for position in probes.positions:
            at = {"position": position}
            rows, ends = where(sites, **at), where(summary, **at)
            if len(rows):
                yield f"probes_{position}_{tail}", _depth(source, rows, ends)
            told = where(telling, **at).dropna(subset=["gold_class"])
            if len(told):
                yield f"telling_{position}_{tail}", _telling(source, told)
        if len(probes.positions) > 1:
            yield f"probe_places_{tail}", _places(source, sites)


def _drawn(source: Source, rows: pd.DataFrame) -> list[Subject]:
    return [subject for subject in source.subjects if (rows["subject"] == subject.label).any()]


def _depth(source: Source, rows: pd.DataFrame, summary: pd.DataFrame) -> Figure:
    drawn = _drawn(source, rows)
    fig = Figure(figsize=(4.6, 3.1 + 0.16 * len(drawn)), layout="constrained")
    axes = fig.subplots()
    handles = [_curve(axes, subject, where(rows, subject=subject.label)) for subject in drawn]
    for subject in drawn:
        for _, row in where(summary, subject=subject.label, verdict=ABOVE).iterrows():
            for x, y, symbol in ((row["peak_depth"], row["peak"], "o"), (1, row["last"], "s")):
                axes.plot([x], [y], symbol, ms=9, mfc="none", mec=subject.style.colour, mew=0.9)
    along_depth(axes, "probe accuracy")
    _shares(axes, float(rows["chance"].iloc[0]))
    named = [*zip(handles, (_name(s, summary) for s in drawn), strict=True), (CHANCE, "chance")]
    if rows["control"].notna().any():
        named.append((CONTROL, "control (permuted labels)"))
    _legend(fig, named)
    return fig


def _name(subject: Subject, summary: pd.DataFrame) -> str:
    """The subject, and whether its curve has no peak."""
    none = len(where(summary, subject=subject.label, verdict=ABOVE)) == 0
    return plain(subject.short) + (" (no site above chance)" if none else "")


def _curve(axes: Axes, subject: Subject, rows: pd.DataFrame) -> Line2D:
    rows = rows.sort_values("site_index", kind="stable")
    blocks = rows[~is_final(rows["site"], rows["depth"])]
    axes.plot(blocks["depth"], blocks["control"], ":", color=subject.style.colour, linewidth=0.9)
    return draw_over_depth(axes, subject, rows.rename(columns={"accuracy": "value"}))


def _shares(axes: Axes, chance: float, low: float = -0.02) -> None:
    """Shares of 1 upwards, chance across."""
    axes.axhline(chance, color=CHANCE.get_color(), linestyle=CHANCE.get_linestyle(), linewidth=0.9, zorder=1)
    axes.set_ylim(low, 1.03)
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.grid(axis="y", linewidth=0.6)
    axes.set_axisbelow(True)


def _legend(fig: Figure, named: Sequence[tuple[Line2D, str]]) -> None:
    handles, names = zip(*named, strict=True)
    columns = 2 if max(map(len, names)) < 32 else 1
    fig.legend(handles, names, loc="outside lower center", frameon=False, ncols=columns, handlelength=4.6)


def _telling(source: Source, rows: pd.DataFrame) -> Figure:
    drawn = _drawn(source, rows)
    fig, panels = _panels(len(drawn), 2.1, 2.0, 0.5, sharey=True)
    for axes, subject in zip(panels, drawn, strict=False):
        _told(axes, subject, where(rows, subject=subject.label))
        _shares(axes, 0.0, -0.33)
        axes.set_title(plain(subject.short), fontsize=8)
        axes.set_xlabel("place of the gold")
    panels[0].set_ylabel("share above chance")
    _legend(fig, [*_TOLD, (CHANCE, "chance")])
    return fig


def _told(axes: Axes, subject: Subject, rows: pd.DataFrame) -> None:
    peak, last = (where(rows, at=at).sort_values("gold_class", kind="stable") for at in ("peak", "last"))
    colour = subject.style.colour
    read, said = ("probe_above", peak, colour, "-", colour), ("answered", last, INK, ":", "white")
    for column, found, line, dash, face in (read, said) if len(peak) else (said,):
        place = found["gold_class"] + 1
        axes.fill_between(place, found[f"{column}_low"], found[f"{column}_high"], color=line, alpha=0.16, linewidth=0)
        axes.plot(place, found[column], dash, color=line, marker="o", ms=3.2, mfc=face, linewidth=1.3)
    if len(peak):
        axes.plot(last["gold_class"] + 1, last["probe_above"], "--", color=colour, linewidth=1)
    else:
        axes.text(0.5, 0.6, "no site is\nabove chance", transform=axes.transAxes, ha="center", color=MUTED)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))


def _places(source: Source, rows: pd.DataFrame) -> Figure:
    drawn = _drawn(source, rows)
    fig, panels = _panels(len(drawn), 0.9 + 0.24 * rows["position"].nunique(), 1.9, 0.2)
    colours = ScalarMappable(Normalize(0, 1), LinearSegmentedColormap.from_list("cividis10", list(CIVIDIS)))
    for axes, subject in zip(panels, drawn, strict=False):
        _map(axes, where(rows, subject=subject.label), colours)
        axes.set_title(plain(subject.short), fontsize=8)
    panels[0].set_ylabel("site")
    fig.colorbar(colours, ax=panels, shrink=0.85, label="probe accuracy", format=PercentFormatter(1, decimals=0))
    fig.supxlabel("place in the prompt", fontsize=8)
    return fig


def _map(axes: Axes, rows: pd.DataFrame, colours: ScalarMappable) -> None:
    """Sites upwards, places to the right; the final norm stands apart, and the places without a share do."""
    sites = rows.sort_values("site_index", kind="stable").drop_duplicates("site")
    names = spaced(sites["site"].tolist(), bool(is_final(sites["site"], sites["depth"]).any()))
    columns, shares = place_columns(rows), dict(values(rows, "position", "share"))
    found = {(s, p): value for s, p, value in values(rows, "site", "position", "accuracy")}
    grid = np.array([[found.get((site, p), np.nan) for p in columns] for site in names], dtype=float)
    axes.pcolormesh(np.ma.masked_invalid(grid), cmap=colours.cmap).set_clim(0, 1)
    shown = [place for place in columns if place != GAP]
    axes.set_xticks([columns.index(p) + 0.5 for p in shown], [place_text(p, shares[p]) for p in shown], rotation=90)
    blocks = [name for name in names if name != GAP]
    some = sorted({*range(0, len(blocks), max(1, -(-len(blocks) // 7))), len(blocks) - 1})
    ticks = [blocks[i] for i in some]
    axes.set_yticks([names.index(name) + 0.5 for name in ticks], [plain(site_text(name)) for name in ticks])


def _panels(count: int, width: float, height: float, more: float, sharey: bool = False) -> tuple[Figure, list[Axes]]:
    """Up to three panels across, those without a use hidden."""
    across = min(3, count)
    down = -(-count // across)
    fig = Figure(figsize=(width * across + 0.7, height * down + more), layout="constrained")
    panels = fig.subplots(down, across, squeeze=False, sharey=sharey).ravel().tolist()
    for axes in panels[count:]:
        axes.set_visible(False)
    return fig, panels
