"""Figures of sweeps: a number against the window of attention, and against the block that was changed."""

from collections.abc import Iterator, Sequence

import pandas as pd

from repflow.drawing.curves import rounded
from repflow.drawing.labels import escaped, interval
from repflow.drawing.plotly import LEGEND, Figure, Trace, axis, figure, trace
from repflow.drawing.source import Subject, values
from repflow.drawing.stretches import parted, ranks, spread, stretches
from repflow.drawing.style import INK, MUTED, rgb
from repflow.studies.ablate.frames import Column

WINDOW = "attention_window:"
_COLOURS = ("#00466e", "#ef671a", "#067c5b", "#943280", "#12a8ff", "#ac4000", "#01b082", "#cc67b5", MUTED, INK)
_DASHES = ("solid", "dash", "dot", "dashdot")


def windows_of(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of attention windows in all blocks, with the column `window`; a subject with one window has none."""
    found = rows[rows["what"].str.fullmatch(rf"{WINDOW}\d+") & (rows["blocks"] == "all")]
    found = found.assign(window=found["what"].str.removeprefix(WINDOW).astype(int))
    several = found.groupby("subject")["window"].nunique()
    return found[found["subject"].isin(several[several > 1].index)]


def blocks_of(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of changes made in single blocks, with the column `block`; a change made in one block only has none."""
    found = rows[rows["blocks"].str.fullmatch(r"block\.\d+")]
    found = found.assign(block=found["blocks"].str.removeprefix("block.").astype(int))
    several = found.groupby(["subject", "what"])["block"].nunique()
    kept = several[several > 1].index
    return found[pd.MultiIndex.from_frame(found[["subject", "what"]]).isin(kept)]


def window_curves(rows: pd.DataFrame, column: Column, subjects: Sequence[Subject]) -> Figure:
    """The difference that a window makes, against its tokens, a line a subject, broken at a window it was not given.

    Traces named by `uid`: `s0`, `s1` .. with `-line`, and those of `spread` (the interval).
    """
    traces: list[Trace] = []
    for place, subject in enumerate(subjects):
        mine = rows[rows["subject"] == subject.label].sort_values("window", kind="stable")
        if len(mine):
            x, style = mine["window"].tolist(), subject.style
            places = ranks(x, rows["window"])
            traces += _band(f"s{place}", x, places, mine, style.colour, style.band())
            traces.append(_line(f"s{place}", subject.short, x, places, mine, style.colour, style.dash))
    ticks = sorted(set(rows["window"]))
    across = axis("tokens in the window", type="log", tickmode="array", tickvals=ticks, ticktext=list(map(str, ticks)))
    return _swept(300, traces, across, column, legend=32)


def block_curves(rows: pd.DataFrame, column: Column) -> Figure:
    """The difference that a change of one block makes, against the block, a line a change; of one subject.

    Only blocks next to each other are joined. Traces named by `uid`: `c0`, `c1` .. with `-line`, and those of `spread`.
    """
    traces: list[Trace] = []
    for place, what in enumerate(dict.fromkeys(rows["what"])):
        mine = rows[rows["what"] == what].sort_values("block", kind="stable")
        colour, x = _COLOURS[place % len(_COLOURS)], mine["block"].tolist()
        traces += _band(f"c{place}", x, x, mine, colour, f"rgba({','.join(map(str, rgb(colour)))},0.12)")
        traces.append(_line(f"c{place}", what, x, x, mine, colour, _DASHES[place % len(_DASHES)]))
    across = axis("block", dtick=max(1, round(int(rows["block"].max()) / 12)))
    return _swept(340, traces, across, column, legend=64)


def _swept(height: int, traces: list[Trace], across: dict[str, object], column: Column, *, legend: int) -> Figure:
    return figure(
        height,
        traces,
        showlegend=True,
        legend=LEGEND,
        margin={"l": 58, "r": 12, "t": legend, "b": 48},
        xaxis=across,
        yaxis=axis(
            f"difference in {column.told[0].lower()}{column.told[1:]}",
            zeroline=True,
            zerolinecolor="#9aa1a9",
            zerolinewidth=1.5,
        ),
    )


def _line(uid: str, name: str, x: list[int], places: list[int], rows: pd.DataFrame, colour: str, dash: str) -> Trace:
    runs = stretches(places)
    told = [interval(low, high) for low, high in values(rows, "difference_low", "difference_high")]
    return trace(
        "scatter",
        uid=f"{uid}-line",
        name=escaped(name),
        legendgroup=uid,
        x=parted(x, runs),
        y=parted(rounded(rows["difference"]), runs),
        customdata=parted(told, runs),
        hovertemplate="%{x}: %{y:.4g}  %{customdata}<extra>%{fullData.name}</extra>",
        mode="lines+markers",
        line={"color": colour, "dash": dash, "width": 2},
        marker={"size": 5, "color": colour},
    )


def _band(uid: str, x: list[int], places: list[int], rows: pd.DataFrame, colour: str, fill: str) -> Iterator[Trace]:
    low, value, high = (rounded(rows[f"difference{end}"]) for end in ("_low", "", "_high"))
    return spread(uid, x, low, value, high, places, colour, fill)
