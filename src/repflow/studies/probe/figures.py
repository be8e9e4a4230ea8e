"""Figures of probes: accuracy over depth, what is readable against what is said, and site by place."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from repflow.drawing.curves import rounded, subject_traces
from repflow.drawing.heatmap import GAP, site_axis, spaced
from repflow.drawing.labels import escaped, interval
from repflow.drawing.plotly import FINAL_X, LEGEND, Figure, Trace, axis, depth_axis, figure, trace
from repflow.drawing.source import Subject, is_final, values
from repflow.drawing.style import CIVIDIS, INK, MUTED
from repflow.studies.probe.verdicts import ABOVE

_UNIT = [-0.02, 1.03]
_ABOVE = [-0.33, 1.03]
_NO_PEAK = {
    "text": "no site is above chance",
    "xref": "paper",
    "yref": "paper",
    "x": 0.5,
    "y": 0.6,
    "showarrow": False,
    "font": {"size": 12.5, "color": MUTED},
}


def depth_curves(rows: pd.DataFrame, summary: pd.DataFrame, subjects: tuple[Subject, ...]) -> Figure:
    """Accuracy against relative depth at one task, context and place, a line a subject.

    Traces named by `uid` ending: those of `repflow.drawing.curves`, `-control` (labels permuted), `-lens` (of values,
    the model's own end), `-peak` and `-last` (the marks around the best site and the last block, where a site is above
    chance). Chance is a line across.
    """
    traces: list[Trace] = []
    for place, subject in enumerate(subjects):
        mine = rows[rows["subject"] == subject.label].sort_values("site_index", kind="stable")
        if len(mine):
            traces += _subject(subject, f"s{place}", mine, summary[summary["subject"] == subject.label])
    with_final = bool(is_final(rows["site"], rows["depth"]).any())
    return figure(
        320,
        traces,
        margin={"l": 52, "r": 12, "t": 10, "b": 52},
        xaxis=depth_axis(with_final),
        yaxis=axis("probe accuracy", range=_UNIT),
        shapes=[_chance(float(rows["chance"].iloc[0]), FINAL_X + 0.05 if with_final else 1.03)],
    )


def _subject(subject: Subject, uid: str, rows: pd.DataFrame, summary: pd.DataFrame) -> Iterator[Trace]:
    blocks = rows[~is_final(rows["site"], rows["depth"])]
    for column, line in (("control", {"dash": "dot", "width": 1}), ("lens", {"dash": "dashdot", "width": 1.2})):
        if blocks[column].notna().any():
            yield _bare(
                f"{uid}-{column}",
                x=rounded(blocks["depth"]),
                y=rounded(blocks[column]),
                mode="lines",
                line={"color": subject.style.colour, **line},
            )
    yield from subject_traces(subject, uid, rows.rename(columns={"accuracy": "value", "n_test": "n_examples"}))
    for _, row in summary[summary["verdict"] == ABOVE].iterrows():
        for name, depth, height, symbol in (
            ("peak", row["peak_depth"], "peak", "circle"),
            ("last", 1, "last", "square"),
        ):
            ring = {"symbol": f"{symbol}-open", "size": 14, "color": subject.style.colour, "line": {"width": 1.6}}
            yield _bare(f"{uid}-{name}", x=rounded([depth]), y=rounded([row[height]]), mode="markers", marker=ring)


def _bare(uid: str, **more: Any) -> Trace:
    """A trace that neither answers the pointer nor stands in a legend."""
    return trace("scatter", uid=uid, hoverinfo="skip", showlegend=False, legendgroup=uid.split("-")[0], **more)


def _chance(height: float, end: float) -> dict[str, Any]:
    return {
        "type": "line",
        "x0": -0.03,
        "x1": end,
        "y0": height,
        "y1": height,
        "line": {"color": MUTED, "width": 1.2, "dash": "8px,5px"},
    }


def telling_curves(rows: pd.DataFrame, subject: Subject, place: int) -> Figure:
    """One subject's probes above chance and share of right answers against where the gold stands (from 1).

    Traces named by `uid` ending: `-probe` (at the peak) and `-said`, each with `-low` and `-high`, the edges of its
    interval, and `-last`, the probe after the last block. Without a peak, `-said` alone and a note.
    """
    rows = rows[rows["gold_class"].notna()].sort_values("gold_class", kind="stable")
    peak, last = (rows[rows["at"] == at] for at in ("peak", "last"))
    x = [int(c) + 1 for c in last["gold_class"]]
    colour, read = subject.style.colour, "probe_above"
    said = [
        *_band(last, x, "answered", f"s{place}-said", INK),
        _told(last, x, "answered", f"s{place}-said", "said", INK, "dot"),
    ]
    readable = [
        *_band(peak, x, read, f"s{place}-probe", colour),
        _told(last, x, read, f"s{place}-last", "last block", colour, "dash"),
        _told(peak, x, read, f"s{place}-probe", "readable", colour, "solid"),
    ]
    return figure(
        280,
        [*(readable if len(peak) else []), *said],
        showlegend=True,
        legend=LEGEND | {"traceorder": "normal"},
        margin={"l": 52, "r": 12, "t": 32, "b": 46},
        xaxis=axis(
            "place of the gold, first to last", tickmode="array", tickvals=x, range=[0.7, max(x, default=1) + 0.3]
        ),
        yaxis=axis("share above chance", range=_ABOVE),
        shapes=[_chance(0.0, max(x, default=1) + 0.3) | {"x0": 0.7}],
        annotations=[] if len(peak) else [_NO_PEAK],
    )


def _band(rows: pd.DataFrame, x: list[int], column: str, uid: str, colour: str) -> Iterator[Trace]:
    fill = f"rgba({','.join(str(int(colour[i : i + 2], 16)) for i in (1, 3, 5))},0.13)"
    for edge, area in (("low", None), ("high", "tonexty")):
        y = rounded(rows[f"{column}_{edge}"])
        yield _bare(f"{uid}-{edge}", x=x, y=y, mode="lines", line={"width": 0}, fill=area, fillcolor=fill)


def _told(rows: pd.DataFrame, x: list[int], column: str, uid: str, name: str, colour: str, dash: str) -> Trace:
    mark = {"size": 6, "color": "#fff" if dash == "dot" else colour, "line": {"color": colour, "width": 1.5}}
    return trace(
        "scatter",
        uid=uid,
        name=name,
        x=x,
        y=rounded(rows[column]),
        customdata=[interval(low, high) for low, high in values(rows, f"{column}_low", f"{column}_high")],
        hovertemplate="gold at %{x}<br>%{y:.4g}  %{customdata}<extra>%{fullData.name}</extra>",
        mode="lines" if dash == "dash" else "lines+markers",
        line={"color": colour, "width": 1.4 if dash == "dash" else 2, "dash": dash},
        marker=mark,
    )


def place_map(rows: pd.DataFrame, *, height: int = 320) -> Figure:
    """One subject's probe accuracy, sites upwards; places by how far into the prompt, `gold` and `mean` apart."""
    sites = rows.sort_values("site_index", kind="stable").drop_duplicates("site")
    names = spaced(sites["site"].tolist(), bool(is_final(sites["site"], sites["depth"]).any()))
    columns = place_columns(rows)
    found = {(s, p): cell for s, p, *cell in values(rows, "site", "position", "accuracy", "ci_low", "ci_high")}
    grid = [[found.get((site, position)) for position in columns] for site in names]
    drawn = trace(
        "heatmap",
        x=columns,
        y=[escaped(n) for n in names],
        z=[rounded([np.nan if cell is None else cell[0] for cell in line]) for line in grid],
        customdata=[["" if c is None else f"{c[0]:.3f}  {interval(c[1], c[2])}" for c in line] for line in grid],
        hovertemplate="<b>%{y}</b>, place <b>%{x}</b><br>%{customdata}<extra></extra>",
        hoverongaps=False,
        colorscale=[[i / (len(CIVIDIS) - 1), colour] for i, colour in enumerate(CIVIDIS)],
        zmin=0,
        zmax=1,
        showscale=False,
    )
    shares = dict(values(rows, "position", "share"))
    ticks = [name for name in columns if name != GAP]
    across = axis("place in the prompt", type="category", showgrid=False, showline=False, tickmode="array", tickangle=0)
    texts = [place_text(name, shares[name]) for name in ticks]
    return figure(
        height,
        [drawn],
        margin={"l": 40, "r": 10, "t": 6, "b": 46},
        xaxis=across | {"tickvals": ticks, "ticktext": texts},
        yaxis=site_axis(names),
    )


def place_text(position: str, share: float) -> str:
    """A place of the prompt on an axis."""
    return f"{share:.0%}" if position.startswith("even.") else position


def place_columns(rows: pd.DataFrame) -> list[str]:
    """The places by how far into the prompt they are, a gap, and those that have no such number."""
    places = rows[["position", "share"]].drop_duplicates("position").sort_values("share", kind="stable")
    known, others = (places[places["share"].notna() == has]["position"].tolist() for has in (True, False))
    return [*known, *([GAP] if known and others else []), *others]
