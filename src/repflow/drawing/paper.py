"""The second pen: a figure as it is said for the page, drawn by matplotlib for a two-column paper."""
# matplotlib's stubs leave most arguments unknown:
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportArgumentType=false

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawn
from matplotlib.lines import Line2D

from repflow.drawing.paper_axes import categories_of, finish_axis, numbers
from repflow.drawing.paper_marks import draw_heatmap, draw_scatter, draw_shape, handle, said
from repflow.drawing.plotly import Figure, Trace
from repflow.drawing.style import GRID, INK

ONE_COLUMN, TWO_COLUMNS = 85.0, 178.0
"""Widths in millimetres."""
_INCH = 25.4
Frame = tuple[float, float, float, float]
"""Where several panels may stand: left, bottom, width and height, in parts of the figure."""
_LOOK: Any = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 7,
    "axes.edgecolor": "#777777",
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "axes.titlesize": 7,
    "grid.color": GRID,
    "pdf.fonttype": 42,
    "svg.hashsalt": "repflow",
    "savefig.dpi": 300,
    "text.usetex": False,
}


@contextmanager
def look() -> Iterator[None]:
    """Within, matplotlib draws and saves in repflow's look."""
    with mpl.rc_context(_LOOK):
        yield


def drawn(spec: Figure, width_mm: float = ONE_COLUMN, title: str = "") -> Drawn:
    """The figure for a paper; one of several panels side by side takes both columns.

    Raises ValueError for a kind of mark that this pen does not know.
    """
    layout = spec["layout"]
    pairs = list(dict.fromkeys((t.get("xaxis", "x"), t.get("yaxis", "y")) for t in spec["data"])) or [("x", "y")]
    several = len(pairs) > 1
    width = (TWO_COLUMNS if several and width_mm == ONE_COLUMN else width_mm) / _INCH
    tells_names = any(layout.get(_key(y), {}).get("type") == "category" for _, y in pairs)
    named = [] if tells_names else legend_of(spec["data"])
    columns = _columns(named, width)
    room = 0.16 * -(-len(named) // columns)
    fig = Drawn(figsize=(width, _height(spec, width, several) + room), layout=None if several else "constrained")
    frame = _frame(fig, room, _widest(layout, pairs))
    for x, y in pairs:
        axes = _panel(fig, layout, x, y, frame) if several else fig.subplots()
        _draw(axes, spec, x, y)
    for note in layout.get("annotations") or ():
        _annotate(fig, note, frame if several else None)
    if named:
        lines, names = zip(*named, strict=True)
        place = "lower center" if several else "outside lower center"
        fig.legend(lines, names, loc=place, frameon=False, ncols=columns, handlelength=4, fontsize=6.5)
    if title:
        fig.suptitle(said(title), fontsize=7.5)
    return fig


def _height(spec: Figure, width: float, several: bool) -> float:
    if several:
        return float(spec["layout"]["height"]) / 115
    if any(t["type"] == "heatmap" for t in spec["data"]):
        return width * 0.86
    return width * 0.72


def legend_of(traces: Sequence[Trace]) -> list[tuple[Line2D, str]]:
    """Lines and names, each once, in the order of their ranks."""
    shown = [t for t in traces if t.get("name") and t.get("showlegend", True) and t["type"] == "scatter"]
    shown.sort(key=lambda t: t.get("legendrank", 1000))
    found: dict[str, tuple[Line2D, str]] = {}
    for t in shown:
        found.setdefault(t.get("legendgroup", t["name"]) + t["name"], (handle(t), said(t["name"])))
    return list(found.values())


def _columns(named: Sequence[tuple[Line2D, str]], width: float) -> int:
    """As many as there is room for, of letters of about 0.055 inches behind a line of 0.6."""
    longest = max((len(name) for _, name in named), default=1)
    return max(1, min(len(named), int(width / (0.6 + 0.055 * longest))))


def _widest(layout: Mapping[str, Any], pairs: Sequence[tuple[str, str]]) -> float:
    """Inches that the names of categories on the left take."""
    names = [str(name) for _, y in pairs for name in layout.get(_key(y), {}).get("categoryarray", ())]
    return 0.048 * max(map(len, names), default=8)


def _frame(fig: Drawn, room: float, names: float) -> Frame:
    width, height = fig.get_size_inches()
    below, above, left = 0.42 + room, 0.3, 0.2 + names
    return left / width, below / height, 1 - (left + 0.15) / width, 1 - (below + above) / height


def _panel(fig: Drawn, layout: Mapping[str, Any], x: str, y: str, frame: Frame) -> Axes:
    across, upwards = (layout.get(_key(name), {}).get("domain", [0, 1]) for name in (x, y))
    left, bottom, width, height = frame
    place = (left + across[0] * width, bottom + upwards[0] * height)
    return fig.add_axes((*place, (across[1] - across[0]) * width, (upwards[1] - upwards[0]) * height))


def _key(name: str) -> str:
    """`x2` is said of the axis `xaxis2` of the layout."""
    return f"{name[0]}axis{name[1:]}"


def _draw(axes: Axes, spec: Figure, x: str, y: str) -> None:
    layout = spec["layout"]
    across, upwards = layout.get(_key(x), {}), layout.get(_key(y), {})
    traces = [t for t in spec["data"] if (t.get("xaxis", "x"), t.get("yaxis", "y")) == (x, y)]
    names = categories_of(across, traces, "x"), categories_of(upwards, traces, "y")
    edge: Trace | None = None
    for t in traces:
        if t["type"] == "heatmap":
            draw_heatmap(axes, t, *names)
        elif t["type"] == "scatter":
            at = numbers(t["x"], names[0]), numbers(t["y"], names[1])
            draw_scatter(axes, t, *at, below=None if edge is None else numbers(edge["y"], names[1]))
            edge = t
        else:
            raise ValueError(f"a trace of type {t['type']} has no drawing for paper")
    for shape in layout.get("shapes") or ():
        draw_shape(axes, shape)
    square = upwards.get("scaleanchor") is not None
    finish_axis(axes, "x", across, names[0])
    finish_axis(axes, "y", upwards, names[1])
    if square:
        axes.set_aspect("equal")


def _annotate(fig: Drawn, note: Mapping[str, Any], frame: Frame | None) -> None:
    """A text placed in parts of the drawing area, of the frame round several panels or of the one there is."""
    if note.get("xref") != "paper" or note.get("yref") != "paper":
        raise ValueError("a text that stands at data has no drawing for paper")
    ends = {"left": "left", "right": "right", "center": "center", "bottom": "bottom", "top": "top", "middle": "center"}
    look_of = {
        "ha": ends[note.get("xanchor", "center")],
        "va": ends[note.get("yanchor", "middle")],
        "fontsize": 7,
        "color": note.get("font", {}).get("color", INK),
    }
    if frame is None:
        fig.axes[0].text(note["x"], note["y"], said(note["text"]), transform=fig.axes[0].transAxes, **look_of)
        return
    left, bottom, width, height = frame
    fig.text(left + note["x"] * width, bottom + note["y"] * height + 0.005, said(note["text"]), **look_of)
