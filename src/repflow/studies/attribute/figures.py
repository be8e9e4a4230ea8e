"""Figures of an attribution run: trained weights against weights drawn anew, over depth."""

from collections.abc import Sequence

import pandas as pd

from repflow.drawing.curves import subject_traces
from repflow.drawing.plotly import LEGEND, Figure, Trace, axis, depth_axis, figure
from repflow.drawing.source import Subject, is_final
from repflow.drawing.style import INK, Style

TRAINED = Style(INK, "solid", "circle", hollow=False)
SCHEMES = {
    "config": Style("#0072b2", "solid", "square", hollow=False),
    "normal": Style("#56a8dd", "dash", "diamond", hollow=False),
    "xavier": Style("#009e73", "dashdot", "triangle-up", hollow=False),
    "kaiming": Style("#c98a00", "dash", "cross", hollow=False),
    "orthogonal": Style("#b05c96", "dashdot", "x", hollow=False),
    "permuted": Style("#d55e00", "longdash", "circle", hollow=True),
}
"""How each scheme is drawn; the control's marker is hollow."""
SCHEMES |= {
    f"{name}+matched": Style(SCHEMES[name].colour, "dot", SCHEMES[name].marker, hollow=True)
    for name in ("normal", "xavier", "kaiming", "orthogonal")
}


def scheme_curves(
    trained: pd.DataFrame, schemes: pd.DataFrame, names: Sequence[str], *, height: int = 330, legend: bool = False
) -> Figure:
    """One subject's inter-token cosine against relative depth: trained in black, a line a scheme (mean over seeds).

    `trained` are rows of `layers`, `schemes` rows of `schemes`, both of one task, context, variant and policy. Traces
    are named by `uid`: the scheme or `trained`, and the endings of `repflow.drawing.curves`.
    """
    traces: list[Trace] = []
    for name in names:
        rows = schemes[schemes["scheme"] == name].sort_values("site_index", kind="stable")
        traces += subject_traces(_line(name, SCHEMES[name]), name, rows)
    own = subject_traces(_line("trained", TRAINED), "trained", trained.sort_values("site_index", kind="stable"))
    traces += [trace | {"legendrank": 1} for trace in own]
    return figure(
        height,
        traces,
        showlegend=legend,
        legend=LEGEND,
        margin={"l": 56, "r": 12, "t": 60 if legend else 10, "b": 52},
        xaxis=depth_axis(bool(is_final(trained["site"], trained["depth"]).any())),
        yaxis=axis("mean cosine between tokens", range=_range(trained, schemes)),
    )


def _line(name: str, style: Style) -> Subject:
    return Subject(name, name, "other", {}, style)


def _range(*frames: pd.DataFrame) -> list[float]:
    """0 to 1, and below 0 as far as the values go; the ends of wide intervals may be cut."""
    lowest = min(float(frame["value"].min()) for frame in frames if len(frame))
    return [min(0.0, lowest) - 0.05, 1.03]
