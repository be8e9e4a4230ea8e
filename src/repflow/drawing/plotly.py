"""The look every plotly figure shares.

Figures are made as plain dicts, plotly's JSON: the report embeds them as they are, `run.plot` wraps them in
`plotly.graph_objects.Figure`, whose checks cost a hundred times what making them does.
"""

from collections.abc import Sequence
from typing import Any

from repflow.drawing.style import GRID, INK, MUTED

Figure = dict[str, Any]
"""A plotly figure as `data` and `layout`."""
Trace = dict[str, Any]


FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
FINAL_X = 1.12
"""Where the final norm stands: past the last block, apart from it."""


def figure(height: int, data: Sequence[Trace] = (), **layout: Any) -> Figure:
    """A figure in the report's style."""
    base: dict[str, Any] = {
        "height": height,
        "autosize": True,
        "paper_bgcolor": "#fff",
        "plot_bgcolor": "#fff",
        "font": {"family": FONT, "size": 12.5, "color": INK},
        "margin": {"l": 62, "r": 16, "t": 12, "b": 52},
        "hovermode": "closest",
        "hoverlabel": {
            "bgcolor": "#fff",
            "bordercolor": "#9aa1a9",
            "font": {"size": 12, "color": INK},
            "align": "left",
        },
        "showlegend": False,
    }
    return {"data": list(data), "layout": {**base, **layout}}


def trace(kind: str, **attributes: Any) -> Trace:
    """One trace; attributes that are None are left to plotly."""
    return {"type": kind, **{name: value for name, value in attributes.items() if value is not None}}


def axis(title: str, **more: Any) -> dict[str, Any]:
    """A plain axis: light grid, thin line, muted ticks."""
    base: dict[str, Any] = {
        "title": {"text": title, "font": {"size": 12.5}, "standoff": 8},
        "gridcolor": GRID,
        "zeroline": False,
        "showline": True,
        "linecolor": "#9aa1a9",
        "ticks": "outside",
        "ticklen": 4,
        "tickcolor": "#9aa1a9",
        "tickfont": {"size": 11.5, "color": MUTED},
        "automargin": True,
    }
    return {**base, **more}


def depth_axis(with_final: bool) -> dict[str, Any]:
    """Relative depth 0..1, and a place of its own for the final norm."""
    values, texts = [0, 0.25, 0.5, 0.75, 1], ["0", "0.25", "0.5", "0.75", "1"]
    if with_final:
        values, texts = [*values, FINAL_X], [*texts, "final<br>norm"]
    end = FINAL_X + 0.05 if with_final else 1.03
    return axis("relative depth", tickmode="array", tickvals=values, ticktext=texts, range=[-0.03, end], tickangle=0)


LEGEND: dict[str, Any] = {
    "orientation": "h",
    "yanchor": "bottom",
    "y": 1.01,
    "xanchor": "left",
    "x": 0,
    "font": {"size": 12},
    "itemwidth": 40,
}


def with_legend(spec: Figure, height: int | None = None) -> Figure:
    """The same figure with a legend above it."""
    layout = spec["layout"]
    more = {"showlegend": True, "legend": LEGEND, "margin": layout["margin"] | {"t": 40}}
    return {"data": spec["data"], "layout": layout | more | ({} if height is None else {"height": height})}
