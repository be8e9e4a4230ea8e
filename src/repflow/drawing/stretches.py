"""Which points of a chart a line may join: neighbours, with nothing unmeasured between them.

A line, and the band round it, say something of what lies between two points. Where the places between were left out
(blocks 0 and 11 alone were changed), the points stand by themselves, with error bars.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from repflow.drawing.plotly import Trace, trace


def ranks(values: Iterable[Any], among: Iterable[Any]) -> list[int]:
    """The place of each value among all that a chart shows, counted without doubles."""
    place = {value: rank for rank, value in enumerate(sorted(set(among)))}
    return [place[value] for value in values]


def stretches(places: Sequence[int], known: Sequence[bool] | np.ndarray | None = None) -> list[slice]:
    """The runs of neighbours among ascending places; one that has none is a run of one, an unknown is in none."""
    found: list[slice] = []
    for at, place in enumerate(places):
        if known is not None and not known[at]:
            continue
        if found and found[-1].stop == at and places[at - 1] == place - 1:
            found[-1] = slice(found[-1].start, at + 1)
        else:
            found.append(slice(at, at + 1))
    return found


def parted(values: Sequence[Any], runs: Sequence[slice]) -> list[Any]:
    """The values with None between runs, where a drawn line breaks."""
    found: list[Any] = []
    for run in runs:
        found += [*([None] if found else []), *values[run]]
    return found


def spread(
    uid: str,
    x: Sequence[Any],
    low: Sequence[float | None],
    value: Sequence[float | None],
    high: Sequence[float | None],
    places: Sequence[int],
    colour: str,
    fill: str,
) -> Iterator[Trace]:
    """The intervals of points in order of their places: a band along neighbours, error bars at points without any.

    Traces named by `uid` and `-low`, `-high` (the band's edges, once a stretch), `-bars`. None is no interval.
    """
    known = [None not in ends for ends in zip(low, value, high, strict=True)]
    runs = stretches(places, known)
    quiet = {"hoverinfo": "skip", "showlegend": False, "legendgroup": uid}
    for run in (run for run in runs if run.stop - run.start > 1):
        for name, edge, area in (("low", low, None), ("high", high, "tonexty")):
            line = {"width": 0, "color": colour}
            yield trace(
                "scatter", uid=f"{uid}-{name}", x=list(x[run]), y=list(edge[run]), mode="lines", line=line, fill=area,
                fillcolor=fill, **quiet,
            )  # fmt: skip
    alone = [run.start for run in runs if run.stop - run.start == 1]
    if alone:
        above, below = ([abs(end[i] - value[i]) for i in alone] for end in (high, low))  # pyright: ignore[reportOperatorIssue, reportOptionalOperand]
        bars = {"array": above, "arrayminus": below, "color": colour, "thickness": 1.4, "width": 4}
        yield trace(
            "scatter", uid=f"{uid}-bars", x=[x[i] for i in alone], y=[value[i] for i in alone], mode="markers",
            marker={"size": 0.1, "color": colour}, error_y=bars, **quiet,
        )  # fmt: skip
