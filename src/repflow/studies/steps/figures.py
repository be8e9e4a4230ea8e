"""Figures of models in training: depth against step as a map, and the thirds of depth as curves."""

from typing import Any

import numpy as np
import pandas as pd

from repflow.drawing.curves import rounded
from repflow.drawing.heatmap import ESTIMATE, GAP, site_axis, told
from repflow.drawing.labels import escaped, interval
from repflow.drawing.plotly import LEGEND, Figure, Trace, axis, figure, trace
from repflow.drawing.source import Subject, values
from repflow.drawing.stretches import spread
from repflow.drawing.style import CIVIDIS
from repflow.studies.kit.thirds import THIRDS
from repflow.studies.steps.axis import Scale, StepAxis, map_grid, map_ticks


def step_map(rows: pd.DataFrame, scale: Scale, *, height: int = 300, bar: bool = False) -> Figure:
    """One subject's quantity, sites upwards, steps to the right as even columns with step 0 set apart.

    `rows` come from `map_rows`, of one subject, variant and policy. `bar` draws the colour bar.
    """
    names, steps, grid = map_grid(rows)
    columns = [GAP if step is None else str(step) for step in steps]
    at = np.array([[np.nan if cell is None else cell[0] for cell in row] for row in grid], dtype=float)
    ticks = map_ticks(steps, 6)
    return figure(
        height,
        [_map_trace(scale, [escaped(n) for n in names], columns, scale.place(at), grid, bar)],
        margin={"l": 40, "r": 10, "t": 6, "b": 46},
        xaxis=axis(
            "training step",
            type="category",
            showgrid=False,
            showline=False,
            tickmode="array",
            tickvals=[str(step) for step in ticks],
            ticktext=[f"{step:,}" for step in ticks],
            tickangle=0,
        ),
        yaxis=site_axis(names),
    )


def _map_trace(scale: Scale, y: list[str], x: list[str], z: np.ndarray, grid: list[list[Any]], bar: bool) -> Trace:
    low, high = scale.place(np.array([scale.low, scale.high]))
    ends = scale.ends
    return trace(
        "heatmap",
        x=x,
        y=y,
        z=[rounded(row) for row in z],
        customdata=[[told(cell) for cell in row] for row in grid],
        hovertemplate="<b>%{y}</b>, step <b>%{x}</b><br>%{customdata}<extra></extra>",
        hoverongaps=any(c is not None and not np.isfinite(c[0]) for row in grid for c in row),
        colorscale=[[i / (len(CIVIDIS) - 1), colour] for i, colour in enumerate(CIVIDIS)],
        zmin=float(low),
        zmax=float(high),
        showscale=bar,
        colorbar={"thickness": 12, "outlinewidth": 0, "tickvals": [float(low), float(high)], "ticktext": ends},
        xgap=0,
        ygap=0,
    )


def third_curves(rows: pd.DataFrame, subjects: tuple[Subject, ...], third: str, *, height: int = 300) -> Figure:
    """One third of depth against training step, a line a subject with its 95% band.

    `rows` are those of one scene, variant and policy, all thirds: every third shares their axes.
    """
    steps = StepAxis.over(rows["step"].tolist())
    here = rows[rows["third"] == third]
    traces: list[Trace] = []
    for place, subject in enumerate(subjects):
        traces += _third(subject, f"s{place}", here[here["subject"] == subject.label], steps)
    return figure(
        height,
        traces,
        margin={"l": 56, "r": 10, "t": 8, "b": 50},
        xaxis=axis(
            "training step (log, 0 apart)",
            tickmode="array",
            tickvals=[steps.place(step) for step in steps.ticks],
            ticktext=[f"{step:,}" for step in steps.ticks],
            range=list(steps.range),
            tickangle=0,
        ),
        yaxis=axis("inter-token cosine", range=reach(rows)),
    )


def all_thirds(rows: pd.DataFrame, subjects: tuple[Subject, ...]) -> Figure:
    """The three thirds side by side, with one legend; arguments as of `third_curves`."""
    figures = [third_curves(rows, subjects, third, height=400) for third in THIRDS]
    width = 1 / len(figures)
    layout: dict[str, Any] = {**figures[0]["layout"], "annotations": []}
    data: list[Trace] = []
    for place, (drawn, title) in enumerate(zip(figures, third_titles(), strict=True)):
        tail = str(place + 1) if place else ""
        domain = [(place + 0.04) * width, (place + 0.96) * width]
        layout[f"xaxis{tail}"] = {**drawn["layout"]["xaxis"], "domain": domain, "anchor": f"y{tail}"}
        layout[f"yaxis{tail}"] = {**drawn["layout"]["yaxis"], "anchor": f"x{tail}"}
        if place:
            layout[f"yaxis{tail}"] |= {"title": {"text": ""}, "showticklabels": False}
        data += [{**t, "xaxis": f"x{tail}", "yaxis": f"y{tail}"} | _quiet(place) for t in drawn["data"]]
        place_of = {
            "xref": "paper",
            "yref": "paper",
            "x": sum(domain) / 2,
            "y": 1,
            "xanchor": "center",
            "yanchor": "bottom",
        }
        layout["annotations"].append({"text": title, "showarrow": False, "font": {"size": 12.5}, **place_of})
    over = {"showlegend": True, "legend": {**LEGEND, "y": 1.08}, "margin": {**layout["margin"], "t": 60}}
    return {"data": data, "layout": {**layout, **over}}


def _quiet(place: int) -> dict[str, Any]:
    return {"showlegend": False} if place else {}


def third_titles() -> list[str]:
    return [f"{third} third" for third in THIRDS]


def reach(rows: pd.DataFrame) -> list[float]:
    """From 0, or what lies below, to a little over the highest value or interval."""
    known = rows[list(ESTIMATE)].to_numpy(dtype=float)
    known = known[np.isfinite(known)]
    low, high = (min(0.0, known.min()), max(known.max(), 0.05)) if known.size else (0.0, 1.0)
    spare = 0.04 * (high - low)
    return [float(low - spare), float(high + spare)]


def _third(subject: Subject, uid: str, rows: pd.DataFrame, steps: StepAxis) -> list[Trace]:
    if rows.empty:
        return []
    style = subject.style
    x = rounded([steps.place(step) for step in rows["step"]])
    low, value, high = (rounded(rows[column]) for column in ("ci_low", "value", "ci_high"))
    found = list(spread(uid, x, low, value, high, list(range(len(rows))), style.colour, style.band()))
    hollow = {"symbol": style.marker, "size": 5, "color": "#fff" if style.hollow else style.colour}
    line = trace(
        "scatter",
        uid=f"{uid}-line",
        name=escaped(subject.short),
        meta=[escaped(subject.label)],
        legendgroup=uid,
        x=x,
        y=value,
        customdata=[
            [f"{step:,}", interval(low, high), str(n)]
            for step, low, high, n in values(rows, "step", "ci_low", "ci_high", "sites")
        ],
        hovertemplate="<b>%{meta[0]}</b><br>step %{customdata[0]}<br>%{y:.4g}  %{customdata[1]}"
        "<br>mean of %{customdata[2]} sites<extra></extra>",
        mode="lines+markers",
        line={"color": style.colour, "dash": style.dash, "width": 2},
        marker={**hollow, "line": {"color": style.colour, "width": 1.5}},
    )
    return [*found, line]
