"""Axes on paper: ranges, ticks and categories as the page has them."""
# matplotlib's stubs leave most arguments unknown:
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportArgumentType=false

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, MultipleLocator, NullFormatter, NullLocator

from repflow.drawing.paper_marks import said
from repflow.drawing.plotly import Trace

Which = Literal["x", "y"]
Names = Sequence[str] | None
"""The categories of an axis in their order; None where it has numbers."""


def categories_of(axis: Mapping[str, Any], traces: Sequence[Trace], which: Which) -> Names:
    if axis.get("type") != "category":
        return None
    return list(axis.get("categoryarray") or dict.fromkeys(str(v) for t in traces for v in t[which]))


def numbers(values: Sequence[Any], names: Names) -> np.ndarray:
    """Places on an axis; NaN where there is none."""
    if names is not None:
        place = {name: i for i, name in enumerate(names)}
        return np.array([place[str(v)] for v in values], dtype=float)
    return np.array([np.nan if v is None else v for v in values], dtype=float)


def finish_axis(axes: Axes, which: Which, axis: Mapping[str, Any], names: Names) -> None:
    """Title, scale, range, ticks and grid."""
    own = axes.xaxis if which == "x" else axes.yaxis
    log = axis.get("type") == "log"
    if log:
        (axes.set_xscale if which == "x" else axes.set_yscale)("log")
    title = axis.get("title", {}).get("text", "")
    own.set_label_text(said(title), fontsize=7)
    _ticks(axes, which, axis, names, log)
    _range(axes, which, axis, names, log)
    own.set_tick_params(labelsize=6.5, labelcolor="#444444", length=2.5, width=0.6)
    if axis.get("showgrid", True) and which == "y":
        axes.grid(axis="y", linewidth=0.5)
        axes.set_axisbelow(True)
    if axis.get("zeroline"):
        (axes.axvline if which == "x" else axes.axhline)(0, color=axis.get("zerolinecolor", "#9aa1a9"), linewidth=0.8)


def _ticks(axes: Axes, which: Which, axis: Mapping[str, Any], names: Names, log: bool) -> None:
    own = axes.xaxis if which == "x" else axes.yaxis
    values = axis.get("tickvals")
    if values is not None:
        at = numbers(values, names)
        texts = axis.get("ticktext") or [str(v) for v in values]
        own.set_ticks(at, [said(text) for text in texts])
    elif names is not None:
        own.set_ticks(range(len(names)), [said(name) for name in names])
    elif "dtick" in axis:
        own.set_major_locator(MultipleLocator(axis["dtick"]))
    elif not log:
        own.set_major_locator(MaxNLocator(axis.get("nticks", 7) - 2))
    if log:
        own.set_minor_locator(NullLocator())
        own.set_minor_formatter(NullFormatter())
    if axis.get("showticklabels") is False:
        own.set_ticklabels([""] * len(own.get_ticklocs()))


def _range(axes: Axes, which: Which, axis: Mapping[str, Any], names: Names, log: bool) -> None:
    ends = axis.get("range")
    limit = axes.set_xlim if which == "x" else axes.set_ylim
    if ends is not None:
        limit(*(10.0**end if log else end for end in ends))
    elif names is not None:
        limit(-0.5, len(names) - 0.5)
    elif axis.get("rangemode") == "tozero":
        low, high = axes.get_xlim() if which == "x" else axes.get_ylim()
        limit(min(low, 0.0), high)
