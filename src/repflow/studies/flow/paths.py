"""Path metrics as dots with intervals: one small panel a metric, one line a subject."""

from typing import Any

import numpy as np
import pandas as pd

from repflow.core.quantities import PATH_METRICS, PROFILE_METRICS, quantity
from repflow.drawing.curves import rounded
from repflow.drawing.labels import escaped, estimate
from repflow.drawing.plotly import Figure, Trace, axis, figure, trace
from repflow.drawing.source import Scene, Source, Subject, of_scene

_HOVER = "<b>%{meta[0]}</b><br>%{customdata}<extra></extra>"


def path_rows(source: Source, scene: Scene, tokens: str) -> pd.DataFrame:
    """The path rows of one scene under one token policy."""
    frame = of_scene(source.paths, scene)
    return frame[frame["tokens"] == tokens]


def path_columns(rows: pd.DataFrame, variant: str) -> list[tuple[str, str]]:
    """(metric, variant) in reading order: the scaled path metrics, then the profile metrics, then any other."""
    present = set(map(tuple, rows[["metric", "variant"]].drop_duplicates().to_numpy().tolist()))
    scaled = [(m, v) for m in PATH_METRICS if (m, v := _variant_of(m, variant)) in present]
    profile = [(m, v) for m in PROFILE_METRICS for v in ("cka", "adjacent_cosine") if (m, v) in present]
    known = {*PATH_METRICS, *PROFILE_METRICS}
    others = sorted((m, v) for m, v in present if m not in known)
    unscaled = sorted((m, v) for m, v in present if m in PATH_METRICS and v not in ("raw", "rms", "unit", variant))
    return [*scaled, *unscaled, *profile, *others]


def _variant_of(metric: str, variant: str) -> str:
    """Dividing a path by one number leaves its angles and ratios: these are kept as raw alone."""
    return "raw" if variant == "rms" and metric in ("tortuosity", "depth_curvature") else variant


def column_title(metric: str, variant: str) -> str:
    """A column's heading: the profile metrics say over which profile."""
    over = {"cka": ", CKA", "adjacent_cosine": ", adjacent cosine"}
    return quantity(metric).title + (over.get(variant, "") if metric in PROFILE_METRICS else "")


def path_dots(source: Source, scene: Scene, variant: str, tokens: str) -> Figure:
    """Every path metric of one scale variant, subjects from top to bottom in the run's order."""
    rows = path_rows(source, scene, tokens)
    columns = path_columns(rows, variant)
    drawn = [s for s in source.subjects if (rows["subject"] == s.label).any()]
    names = [escaped(s.short) for s in reversed(drawn)]
    boxes, height = _boxes(len(columns), len(drawn))
    traces: list[Trace] = []
    layout: dict[str, Any] = {"annotations": []}
    for place, ((metric, kind), (across, upwards)) in enumerate(zip(columns, boxes, strict=True)):
        tail = str(place + 1) if place else ""
        found = rows[(rows["metric"] == metric) & (rows["variant"] == kind)]
        for number, subject in enumerate(drawn):
            mine = found[found["subject"] == subject.label]
            if len(mine):
                traces.append(_dot(subject, f"s{number}", mine.iloc[0], tail))
        layout[f"xaxis{tail}"] = axis("", range=_padded(found), nticks=5, domain=across, anchor=f"y{tail}")
        layout[f"yaxis{tail}"] = _names_axis(names, upwards, f"x{tail}", shown=place % _ACROSS == 0)
        layout["annotations"].append(_heading(column_title(metric, kind), across, upwards))
    return figure(height, traces, margin={"l": 20, "r": 18, "t": 34, "b": 30}, **layout)


_ACROSS, _SPACE = 3, 74


def _boxes(n: int, subjects: int) -> tuple[list[tuple[list[float], list[float]]], int]:
    """Where each of n panels lies, three to a row, as x and y domains; and the figure's height in pixels."""
    down = -(-n // _ACROSS)
    tall = 22 + 24 * max(1, subjects)
    inner = max(1, tall * down + _SPACE * (down - 1))
    wide, gap = 0.31, 0.035
    boxes: list[tuple[list[float], list[float]]] = []
    for place in range(n):
        row, column = divmod(place, _ACROSS)
        top = 1 - row * (tall + _SPACE) / inner
        left = column * (wide + gap)
        boxes.append(([left, left + wide], [max(0.0, top - tall / inner), top]))
    return boxes, inner + 64


def _names_axis(names: list[str], domain: list[float], anchor: str, *, shown: bool) -> dict[str, Any]:
    order = {"type": "category", "categoryorder": "array", "categoryarray": names}
    reach = [-0.6, len(names) - 0.4]
    return axis("", **order, range=reach, domain=domain, anchor=anchor, showticklabels=shown)


def _heading(text: str, across: list[float], upwards: list[float]) -> dict[str, Any]:
    middle = (across[0] + across[1]) / 2
    place = {"x": middle, "y": upwards[1], "xref": "paper", "yref": "paper", "xanchor": "center", "yanchor": "bottom"}
    return {"text": escaped(text), "showarrow": False, "font": {"size": 12.5}, **place}


def _padded(rows: pd.DataFrame) -> list[float] | None:
    """The range of a panel's values and intervals with a tenth to spare on both sides."""
    values = rows[["value", "ci_low", "ci_high"]].to_numpy(dtype=float)
    values = values[np.isfinite(values)]
    if not values.size:
        return None
    spare = 0.1 * (values.max() - values.min()) or 0.1 * abs(values.max()) or 1.0
    return [float(values.min() - spare), float(values.max() + spare)]


def _dot(subject: Subject, uid: str, row: pd.Series, axes: str) -> Trace:
    low, value, high = (float(row[c]) for c in ("ci_low", "value", "ci_high"))
    style = subject.style
    return trace(
        "scatter",
        uid=f"{uid}-line",
        xaxis=f"x{axes}",
        yaxis=f"y{axes}",
        name=escaped(subject.short),
        meta=[escaped(subject.label)],
        x=rounded([value]),
        y=[escaped(subject.short)],
        customdata=["  ".join(estimate(value, low, high))],
        hovertemplate=_HOVER,
        mode="markers",
        marker={
            "symbol": style.marker,
            "size": 8,
            "color": "#fff" if style.hollow else style.colour,
            "line": {"color": style.colour, "width": 1.5},
        },
        error_x={
            "array": rounded(np.nan_to_num([high - value])),
            "arrayminus": rounded(np.nan_to_num([value - low])),
            "color": style.colour,
            "thickness": 1.6,
            "width": 4,
        },
    )
