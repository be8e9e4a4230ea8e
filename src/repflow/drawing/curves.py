"""Curves over relative depth: all subjects overlaid, 95% bands, the final norm apart."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from repflow.core.quantities import Quantity
from repflow.drawing.labels import escaped, interval, number
from repflow.drawing.plotly import FINAL_X, LEGEND, Figure, Trace, axis, depth_axis, figure, trace
from repflow.drawing.source import Scene, Source, Subject, is_final, of_scene
from repflow.drawing.stretches import parted, spread, stretches

_HOVER = (
    "<b>%{meta[0]}</b><br>%{customdata[0]}, depth %{customdata[1]}<br>%{y:.4g}  %{customdata[2]}"
    "<br>%{customdata[3]} examples<extra></extra>"
)


def curve_rows(
    source: Source, scene: Scene, metric: str, variant: str, tokens: str, subject: str | None = None
) -> pd.DataFrame:
    """The rows of one curve (or of all subjects' curves), in order of depth."""
    frame = of_scene(source.layers, scene)
    frame = frame[(frame["metric"] == metric) & (frame["variant"] == variant) & (frame["tokens"] == tokens)]
    if subject is not None:
        frame = frame[frame["subject"] == subject]
    return frame.sort_values("site_index", kind="stable")


def curves(
    source: Source,
    scene: Scene,
    quantity: Quantity,
    variant: str,
    tokens: str,
    *,
    height: int = 330,
    legend: bool = True,
) -> Figure:
    """One quantity against relative depth, a line a subject.

    Traces named by `uid` ending: `-line` (embed and blocks only; broken where a site was not measured), those of
    `repflow.drawing.stretches.spread` (the interval), `-final` (the final norm), `-tie` (the dotted connector to it).
    """
    frame = curve_rows(source, scene, quantity.metric, variant, tokens)
    traces: list[Trace] = []
    for place, subject in enumerate(source.subjects):
        traces += subject_traces(subject, f"s{place}", frame[frame["subject"] == subject.label])
    values = frame[["value", "ci_low", "ci_high"]].to_numpy(dtype=float)
    top = 34 + 20 * ((len(source.subjects) - 1) // 4) if legend else 12
    return figure(
        height,
        traces,
        showlegend=legend,
        legend=LEGEND,
        margin={"l": 62, "r": 16, "t": top, "b": 52},
        xaxis=depth_axis(bool(is_final(frame["site"], frame["depth"]).any())),
        yaxis=_value_axis(quantity, values[np.isfinite(values)]),
    )


def _value_axis(quantity: Quantity, values: np.ndarray) -> dict[str, Any]:
    if quantity.logarithmic and values.size and values.min() > 0:
        ticks = _log_ticks(float(values.min()), float(values.max()))
        return axis(quantity.axis, type="log", tickvals=ticks, ticktext=[number(t, 1) for t in ticks])
    if quantity.unit and values.size:
        return axis(quantity.axis, range=[min(0.0, float(values.min())) - 0.02, max(1.0, float(values.max())) + 0.02])
    return axis(quantity.axis, rangemode="normal" if quantity.angle else "tozero")


def _log_ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten over the range; powers alone where it spans more than two decades."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    steps = (1, 2, 5) if math.log10(high / low) <= 2 else (1,)
    return [step * 10.0**power for power in range(first, last + 1) for step in steps]


def subject_traces(subject: Subject, uid: str, rows: pd.DataFrame) -> Iterator[Trace]:
    """One subject's band, line and final norm, from rows in order of depth."""
    last = is_final(rows["site"], rows["depth"])
    blocks, final = rows[~last], rows[last]
    if len(blocks):
        yield from _band(subject, uid, blocks)
        yield _line(subject, uid, blocks)
    if len(final):
        if len(blocks):
            yield _tie(subject, uid, blocks.iloc[-1], final.iloc[0])
        yield _final(subject, uid, final, alone=not len(blocks))


def _band(subject: Subject, uid: str, rows: pd.DataFrame) -> Iterator[Trace]:
    low, value, high = (rounded(pd.to_numeric(rows[c])) for c in ("ci_low", "value", "ci_high"))
    places = rows["site_index"].tolist()
    return spread(uid, rounded(rows["depth"]), low, value, high, places, subject.style.colour, subject.style.band())


def _line(subject: Subject, uid: str, rows: pd.DataFrame) -> Trace:
    style, runs = subject.style, stretches(rows["site_index"].tolist())
    return trace(
        "scatter",
        uid=f"{uid}-line",
        name=escaped(subject.short),
        meta=[escaped(subject.label)],
        legendgroup=uid,
        x=parted(rounded(rows["depth"]), runs),
        y=parted(rounded(rows["value"]), runs),
        customdata=parted(_details(rows), runs),
        hovertemplate=_HOVER,
        mode="lines+markers",
        line={"color": style.colour, "dash": style.dash, "width": 2},
        marker=_marker(subject, 5),
    )


def _final(subject: Subject, uid: str, rows: pd.DataFrame, *, alone: bool) -> Trace:
    low, value, high = (pd.to_numeric(rows[c]).to_numpy(dtype=float) for c in ("ci_low", "value", "ci_high"))
    return trace(
        "scatter",
        uid=f"{uid}-final",
        name=escaped(subject.short),
        meta=[escaped(subject.label)],
        legendgroup=uid,
        showlegend=alone,
        x=[FINAL_X] * len(rows),
        y=rounded(value),
        error_y={
            "array": rounded(np.nan_to_num(high - value)),
            "arrayminus": rounded(np.nan_to_num(value - low)),
            "color": subject.style.colour,
            "thickness": 1.4,
            "width": 4,
        },
        customdata=_details(rows),
        hovertemplate=_HOVER,
        mode="markers",
        marker=_marker(subject, 8),
    )


def _tie(subject: Subject, uid: str, last: pd.Series, final: pd.Series) -> Trace:
    return trace(
        "scatter",
        uid=f"{uid}-tie",
        x=[float(last["depth"]), FINAL_X],
        y=rounded([last["value"], final["value"]]),
        mode="lines",
        line={"color": subject.style.colour, "dash": "dot", "width": 1},
        opacity=0.7,
        hoverinfo="skip",
        showlegend=False,
        legendgroup=uid,
    )


def _marker(subject: Subject, size: int) -> dict[str, Any]:
    style = subject.style
    line = {"color": style.colour, "width": 1.5}
    return {"symbol": style.marker, "size": size, "color": "#fff" if style.hollow else style.colour, "line": line}


def _details(rows: pd.DataFrame) -> list[list[Any]]:
    columns = (rows[c] for c in ("site", "depth", "ci_low", "ci_high", "n_examples"))
    return [
        [escaped(site), f"{depth:.3g}", interval(low, high), str(n)]
        for site, depth, low, high, n in zip(*columns, strict=True)
    ]


def rounded(values: Any) -> list[float | None]:
    """Numbers at 5 significant digits for a compact file; None where not finite, which draws as a gap."""
    return [float(f"{v:.5g}") if np.isfinite(v) else None for v in np.asarray(values, dtype=float)]
