"""Figures of dynamics: influence against distance, half-lives by block, memory of the state beside its bound."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from repflow.drawing.curves import rounded
from repflow.drawing.labels import escaped, interval, number
from repflow.drawing.plotly import LEGEND, Figure, Trace, axis, depth_axis, figure, trace
from repflow.drawing.source import Subject, values
from repflow.drawing.stretches import parted, ranks, spread, stretches
from repflow.drawing.style import CIVIDIS, MUTED
from repflow.studies.dynamics.frames import half_lives, place, told_distance

FORGOTTEN = 1e-6
"""Products below this are not drawn."""


def influence_curves(rows: pd.DataFrame, subjects: tuple[Subject, ...], share: bool = False) -> Figure:
    """Influence against distance, both logarithmic, a line a subject; `share`: of the squared influence of all.

    Traces named by `uid` ending: `-line`, and those of `repflow.drawing.stretches.spread`, its interval.
    """
    columns = ("share", "share_low", "share_high") if share else ("value", "ci_low", "ci_high")
    traces: list[Trace] = []
    for number_, subject in enumerate(subjects):
        mine = rows[rows["subject"] == subject.label]
        mine = mine[mine[columns[0]] > 0]
        if len(mine):
            traces += _influence(mine, ranks(mine["distance"], rows["distance"]), subject, f"s{number_}", *columns)
    title = "share of the squared influence" if share else "influence ‖∂h(t) / ∂e(t−k)‖"
    return figure(
        400,
        traces,
        margin={"l": 66, "r": 16, "t": 12, "b": 52},
        xaxis=_distances(rows),
        yaxis=_decades(title, rows[list(columns)]),
    )


def _influence(
    rows: pd.DataFrame, places: list[int], subject: Subject, uid: str, value: str, low: str, high: str
) -> Iterator[Trace]:
    x = [place(first, last) for first, last in values(rows, "distance", "distance_to")]
    # A limit of 0 or less has no place on a logarithmic axis.
    least, middle, most = (rounded(rows[column].where(rows[column] > 0)) for column in (low, value, high))
    runs = stretches(places)
    yield from spread(uid, x, least, middle, most, places, subject.style.colour, subject.style.band())
    told = values(rows, "distance", "distance_to", low, high, "n_examples")
    yield trace(
        "scatter",
        uid=f"{uid}-line",
        name=escaped(subject.short),
        legendgroup=uid,
        x=parted(x, runs),
        y=parted(rounded(rows[value]), runs),
        customdata=parted([[told_distance(a, b), interval(lo, hi), n] for a, b, lo, hi, n in told], runs),
        hovertemplate="%{customdata[0]} tokens before<br>%{y:.4g}  %{customdata[1]}<br>%{customdata[2]} examples"
        "<extra>%{fullData.name}</extra>",
        mode="lines+markers",
        line={"color": subject.style.colour, "dash": subject.style.dash, "width": 2},
        marker={
            "symbol": subject.style.marker,
            "size": 7,
            "color": "#fff" if subject.style.hollow else subject.style.colour,
            "line": {"color": subject.style.colour, "width": 1.5},
        },
    )


def _distances(rows: pd.DataFrame) -> dict[str, Any]:
    bins = sorted(set(values(rows, "distance", "distance_to")))
    latest = dict(bins)
    ends = list(latest.items())
    shown = ends if len(ends) <= 9 else [end for i, end in enumerate(ends) if i == 0 or i % 2]
    return axis(
        "distance k in tokens",
        type="log",
        range=[math.log10(0.4), math.log10(1.25 * max((place(*end) for end in ends), default=1))],
        tickmode="array",
        tickvals=[place(*end) for end in shown],
        ticktext=[told_distance(*end) for end in shown],
        tickangle=0,
    )


def _decades(title: str, shown: pd.DataFrame, **more: Any) -> dict[str, Any]:
    """A logarithmic axis over the positive numbers of a frame."""
    found = shown.to_numpy(dtype=float)
    found = found[np.isfinite(found) & (found > 0)]
    low, high = (math.log10(found.min()), math.log10(found.max())) if found.size else (0.0, 1.0)
    room = 0.04 * max(high - low, 0.5)
    return _powers(title, low - room, high + room, **more)


def _powers(title: str, low: float, high: float, **more: Any) -> dict[str, Any]:
    """A logarithmic axis from 10^low to 10^high, with powers of ten, or 1, 2 and 5 times them, marked."""
    steps = (1, 2, 5) if high - low <= 2 else (1,)
    every = max(1, math.ceil((high - low) / 8))
    powers = range(math.floor(low), math.ceil(high) + 1)
    ticks = [step * 10.0**power for power in powers if not power % every for step in steps]
    texts = [number(tick, 1) for tick in ticks]
    return axis(title, type="log", range=[low, high], tickmode="array", tickvals=ticks, ticktext=texts, **more)


def half_life_figure(transitions: pd.DataFrame, subject: Subject, context: int, top: float, low: float) -> Figure:
    """The half-lives of one subject's blocks against depth: median, middle half and middle 90% of them.

    Traces named by `uid`: `wide`, `middle`, `median`. Those beyond `top` tokens, the infinite among them, end there.
    """
    rows = half_lives(transitions)
    colour = subject.style.colour
    traces = [
        _spans(rows, "q05", "q95", "wide", {"color": colour, "width": 1.5}, top),
        _spans(rows, "q25", "q75", "middle", {"color": subject.style.band(0.45), "width": 8}, top),
        trace(
            "scatter",
            uid="median",
            x=rounded(rows["depth"]),
            y=rounded(rows["q50"].clip(upper=top)),
            customdata=[
                [site, number(q50) if q50 < math.inf else "without end", *(_told(q) for q in others)]
                for site, q50, *others in values(rows, "site", "q50", "q05", "q25", "q75", "q95")
            ],
            hovertemplate="<b>%{customdata[0]}</b><br>median %{customdata[1]} tokens<br>half of all "
            "%{customdata[3]} to %{customdata[4]}<br>90% %{customdata[2]} to %{customdata[5]}<extra></extra>",
            mode="markers",
            marker={"symbol": "circle", "size": 7, "color": "#fff", "line": {"color": colour, "width": 2}},
        ),
    ]
    line = {"color": MUTED, "width": 1.2, "dash": "8px,5px"}
    return figure(
        300,
        traces,
        margin={"l": 58, "r": 12, "t": 10, "b": 50},
        xaxis=depth_axis(False),
        yaxis=_powers("half-life in tokens", math.log10(low), math.log10(top)),
        shapes=[{"type": "line", "x0": -0.03, "x1": 1.03, "y0": context, "y1": context, "line": line}],
    )


def _told(tokens: float) -> str:
    return number(tokens) if math.isfinite(tokens) else "∞"


def _spans(rows: pd.DataFrame, low: str, high: str, uid: str, line: dict[str, Any], top: float) -> Trace:
    """A stroke a block from one quantile to another."""
    x, y = [], []
    for depth, first, last in values(rows, "depth", low, high):
        x += [depth, depth, None]
        y += [min(first, top), min(last, top), None]
    return trace("scatter", uid=uid, x=x, y=y, mode="lines", line=line, hoverinfo="skip", connectgaps=False)


def memory_figure(rows: pd.DataFrame) -> Figure:
    """What is left of an input after so many tokens, a colour a block: measured (solid) and its bound (dotted).

    `rows`: one subject's bounds of one name with lags. Traces named by `uid`: `b` and the block's place, `-measured`
    or `-bound`.
    """
    lags = sorted({int(lag) for lag in rows["lag"]})
    blocks = rows[["site", "depth"]].drop_duplicates().sort_values("depth", kind="stable")
    traces = [
        _memory(rows[rows["site"] == site], lags, f"b{i}", column, CIVIDIS[round(depth * (len(CIVIDIS) - 2))])
        for i, (site, depth) in enumerate(values(blocks, "site", "depth"))
        for column in ("bound", "measured")
    ]
    shown = lags if len(lags) <= 7 else lags[::2]
    least = rows["measured"].where(rows["measured"] > 0).min()
    low = math.log10(max(FORGOTTEN, float(least) if least > 0 else FORGOTTEN)) - 0.1
    return figure(
        300,
        traces,
        margin={"l": 62, "r": 12, "t": 10, "b": 50},
        legend=LEGEND,
        xaxis=axis(
            "tokens since",
            type="log",
            tickmode="array",
            tickvals=shown,
            ticktext=[str(lag) for lag in shown],
            tickangle=0,
        ),
        yaxis=_powers("share left in the state", low, 0.05),
    )


def _memory(rows: pd.DataFrame, lags: list[int], uid: str, column: str, colour: str) -> Trace:
    solid = column == "measured"
    shown = rows[rows[column] > FORGOTTEN / 10].sort_values("lag", kind="stable")
    x = [int(lag) for lag in shown["lag"]]
    runs = stretches(ranks(x, lags))
    return trace(
        "scatter",
        uid=f"{uid}-{column}",
        x=parted(x, runs),
        y=parted(rounded(shown[column]), runs),
        customdata=parted(shown["site"].tolist(), runs),
        hovertemplate=f"<b>%{{customdata}}</b>, {column}<br>%{{y:.4g}} left after %{{x}} tokens<extra></extra>",
        mode="lines",
        line={"color": colour, "width": 2 if solid else 1.3, "dash": "solid" if solid else "dot"},
    )
