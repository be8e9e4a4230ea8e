"""Marks on paper: lines, bands, dots, error bars and maps as the page has them."""
# matplotlib's stubs leave most arguments unknown:
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportArgumentType=false

import html
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.lines import Line2D

from repflow.drawing.labels import plain
from repflow.drawing.plotly import Trace
from repflow.drawing.style import MATPLOTLIB_DASHES, MATPLOTLIB_MARKERS, MUTED

_THINNER = 0.6
"""What a pixel of the page is on paper, in points."""


def said(text: object) -> str:
    """A text of the page without its HTML, which matplotlib sets literally."""
    found = re.sub(r"<br\s*/?>", "\n", str(text))
    return "\n".join(plain(html.unescape(re.sub(r"<[^>]+>", "", line))) for line in found.split("\n"))


def colour(text: str) -> Any:
    """A colour of the page: a name, #rrggbb or rgba(...)."""
    found = re.fullmatch(r"rgba?\(([^)]*)\)", text.replace(" ", ""))
    if not found:
        return text
    parts = [float(part) for part in found[1].split(",")]
    return (*(part / 255 for part in parts[:3]), *(parts[3:] or [1.0]))


def _dash(name: str) -> Any:
    if re.fullmatch(r"[\d.]+px(,[\d.]+px)*", name):
        return (0, tuple(float(part.removesuffix("px")) * _THINNER for part in name.split(",")))
    return MATPLOTLIB_DASHES[name]


def _line_look(t: Trace) -> dict[str, Any]:
    line = t.get("line", {})
    if "lines" not in t.get("mode", "lines") or line.get("width", 2) == 0:
        return {"linestyle": "none"}
    look = {"linestyle": _dash(line.get("dash", "solid")), "linewidth": line.get("width", 2) * _THINNER}
    return look | ({"color": colour(line["color"])} if "color" in line else {})


def _marker_look(t: Trace) -> dict[str, Any]:
    mark = t.get("marker", {})
    if "markers" not in t.get("mode", "lines"):
        return {}
    symbol = str(mark.get("symbol", "circle"))
    hollow = symbol.endswith("-open")
    edge = mark.get("line", {})
    face = mark.get("color", MUTED)
    return {
        "marker": MATPLOTLIB_MARKERS[symbol.removesuffix("-open")],
        "markersize": mark.get("size", 6) * _THINNER,
        "markerfacecolor": "none" if hollow else colour(face),
        "markeredgecolor": colour(face if hollow else edge.get("color", face)),
        "markeredgewidth": edge.get("width", 1) * _THINNER,
    }


def handle(t: Trace) -> Line2D:
    """A trace as it stands in a legend."""
    return Line2D([], [], **_line_look(t), **_marker_look(t))


def draw_scatter(axes: Axes, t: Trace, x: np.ndarray, y: np.ndarray, below: np.ndarray | None) -> None:
    """A line, dots, error bars, or the band between this line and the one before it."""
    if t.get("fill"):
        if t["fill"] != "tonexty" or below is None:
            raise ValueError(f"a fill {t['fill']} has no drawing for paper")
        axes.fill_between(x, below, y, color=colour(t["fillcolor"]), linewidth=0)
    for name, direction in (("error_y", "yerr"), ("error_x", "xerr")):
        if name in t:
            _bars(axes, t[name], direction, x, y)
    axes.plot(x, y, alpha=t.get("opacity"), **_line_look(t), **_marker_look(t))


def _bars(axes: Axes, error: Mapping[str, Any], direction: str, x: np.ndarray, y: np.ndarray) -> None:
    up, down = (np.array([v or 0.0 for v in error[name]], dtype=float) for name in ("array", "arrayminus"))
    width = error.get("thickness", 2) * _THINNER
    look: dict[str, Any] = {"ecolor": colour(error["color"]), "elinewidth": width, "capthick": width}
    axes.errorbar(x, y, **{direction: np.abs([down, up])}, fmt="none", capsize=error.get("width", 4) * 0.5, **look)


def draw_heatmap(axes: Axes, t: Trace, across: Sequence[str] | None, upwards: Sequence[str] | None) -> None:
    """Coloured cells between categories, with their colour bar; blank ones stay white."""
    if across is None or upwards is None:
        raise ValueError("a map between numbers has no drawing for paper")
    grid = np.full((len(upwards), len(across)), np.nan)
    place = {name: i for i, name in enumerate(upwards)}, {name: i for i, name in enumerate(across)}
    for row, line in zip(t["y"], t["z"], strict=True):
        for column, value in zip(t["x"], line, strict=True):
            grid[place[0][str(row)], place[1][str(column)]] = np.nan if value is None else value
    shades = LinearSegmentedColormap.from_list("page", _rising(t["colorscale"]))
    edges = np.arange(len(across) + 1) - 0.5, np.arange(len(upwards) + 1) - 0.5
    image = axes.pcolormesh(*edges, np.ma.masked_invalid(grid), cmap=shades, vmin=t["zmin"], vmax=t["zmax"])
    bar = t.get("colorbar", {})
    drawn = axes.figure.colorbar(image, ax=axes, shrink=0.85, pad=0.02, aspect=24)
    drawn.outline.set_visible(False)
    values = bar.get("tickvals") or [0, 0.25, 0.5, 0.75, 1]
    drawn.set_ticks(list(values), labels=[said(text) for text in bar.get("ticktext") or values])
    drawn.ax.tick_params(labelsize=6.5, length=2, width=0.6)
    for i, line in enumerate(t.get("text") or ()):
        for j, sign in enumerate(line):
            if sign:
                at = place[1][str(t["x"][j])], place[0][str(t["y"][i])]
                axes.text(*at, sign, ha="center", va="center", fontsize=4.5, color=MUTED)


def _rising(scale: Sequence[Sequence[Any]]) -> list[tuple[float, str]]:
    """A colour scale whose places rise, as matplotlib wants: the second of two at one place a little further on."""
    found: list[tuple[float, str]] = []
    for at, shade in scale:
        place = float(at)
        if found and place <= found[-1][0] and place < 1:
            place = found[-1][0] + 1e-6
        found.append((place, shade))
    return found


def draw_shape(axes: Axes, shape: Mapping[str, Any]) -> None:
    """A straight line across the drawing."""
    if shape["type"] != "line":
        raise ValueError(f"a shape of type {shape['type']} has no drawing for paper")
    line = shape["line"]
    look: dict[str, Any] = {"linestyle": _dash(line.get("dash", "solid")), "linewidth": line.get("width", 1) * _THINNER}
    ends = [shape["x0"], shape["x1"]], [shape["y0"], shape["y1"]]
    axes.plot(*ends, color=colour(line["color"]), scalex=False, scaley=False, **look)
