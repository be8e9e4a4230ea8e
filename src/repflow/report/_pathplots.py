"""Path metrics as dots with intervals: one small panel a metric, one line a subject."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from repflow.report._curves import rounded
from repflow.report._labels import escaped, estimate
from repflow.report._plotly import axis, figure
from repflow.report._source import Scene, Source, Subject, of_scene
from repflow.report._texts import PATH_METRICS, PROFILE_METRICS, quantity

_HOVER = "<b>%{meta[0]}</b><br>%{customdata}<extra></extra>"


def path_rows(source: Source, scene: Scene, tokens: str) -> pd.DataFrame:
    """The path rows of one scene under one token policy."""
    frame = of_scene(source.paths, scene)
    return frame[frame["tokens"] == tokens]


def path_columns(rows: pd.DataFrame, variant: str) -> list[tuple[str, str]]:
    """(metric, variant) in reading order: the scaled path metrics, then the profile metrics, then any other."""
    present = set(map(tuple, rows[["metric", "variant"]].drop_duplicates().to_numpy().tolist()))
    scaled = [(m, variant) for m in PATH_METRICS if (m, variant) in present]
    profile = [(m, v) for m in PROFILE_METRICS for v in ("cka", "adjacent_cosine") if (m, v) in present]
    known = {*PATH_METRICS, *PROFILE_METRICS}
    others = sorted((m, v) for m, v in present if m not in known)
    unscaled = sorted((m, v) for m, v in present if m in PATH_METRICS and v not in ("raw", "rms", "unit", variant))
    return [*scaled, *unscaled, *profile, *others]


def column_title(metric: str, variant: str) -> str:
    """A column's heading: the profile metrics say over which profile."""
    over = {"cka": ", CKA", "adjacent_cosine": ", adjacent cosine"}
    return quantity(metric).title + (over.get(variant, "") if metric in PROFILE_METRICS else "")


def path_dots(source: Source, scene: Scene, variant: str, tokens: str) -> go.Figure:
    """Every path metric of one scale variant, subjects from top to bottom in the run's order."""
    rows = path_rows(source, scene, tokens)
    columns = path_columns(rows, variant)
    across = min(3, max(1, len(columns)))
    down = max(1, -(-len(columns) // across))
    drawn = [s for s in source.subjects if (rows["subject"] == s.label).any()]
    row_height = 46 + 24 * max(1, len(drawn))
    fig = make_subplots(
        rows=down,
        cols=across,
        shared_yaxes=True,
        horizontal_spacing=0.035,
        vertical_spacing=min(0.9 / max(1, down - 1), 74 / (row_height * down + 74 * (down - 1))) if down > 1 else 0.0,
        subplot_titles=[escaped(column_title(m, v)) for m, v in columns],
    )
    look = figure(row_height * down + 74 * (down - 1) + 60, margin={"l": 20, "r": 18, "t": 34, "b": 30})
    fig.update_layout(look.layout.to_plotly_json())
    for place, (metric, kind) in enumerate(columns):
        row, col = place // across + 1, place % across + 1
        for number, subject in enumerate(drawn):
            found = rows[(rows["subject"] == subject.label) & (rows["metric"] == metric) & (rows["variant"] == kind)]
            if len(found):
                fig.add_trace(_dot(subject, f"s{number}", found.iloc[0]), row=row, col=col)
        fig.update_xaxes(axis("", range=_padded(rows, metric, kind), nticks=5), row=row, col=col)
        names = [escaped(s.short) for s in reversed(drawn)]
        fig.update_yaxes(
            axis("", type="category", categoryorder="array", categoryarray=names, range=[-0.6, len(names) - 0.4]),
            row=row,
            col=col,
        )
    fig.update_annotations(font_size=12.5)
    return fig


def _padded(rows: pd.DataFrame, metric: str, variant: str) -> list[float] | None:
    """The range of a panel's values and intervals with a tenth to spare on both sides."""
    found = rows[(rows["metric"] == metric) & (rows["variant"] == variant)]
    values = found[["value", "ci_low", "ci_high"]].to_numpy(dtype=float)
    values = values[np.isfinite(values)]
    if not values.size:
        return None
    spare = 0.1 * (values.max() - values.min()) or 0.1 * abs(values.max()) or 1.0
    return [float(values.min() - spare), float(values.max() + spare)]


def _dot(subject: Subject, uid: str, row: pd.Series) -> go.Scatter:
    low, value, high = (float(row[c]) for c in ("ci_low", "value", "ci_high"))
    style = subject.style
    return go.Scatter(
        uid=f"{uid}-line",
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
