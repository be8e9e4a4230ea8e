"""Figures of a lab: outcomes by group, answers over training, likeness by depth, likeness against answers."""

import numpy as np
import pandas as pd

from repflow.drawing.curves import rounded
from repflow.drawing.labels import escaped, interval
from repflow.drawing.plotly import Figure, Trace, axis, depth_axis, figure, trace
from repflow.drawing.source import is_final, values, where
from repflow.drawing.stretches import spread
from repflow.studies.lab.frames import Group, Lab
from repflow.studies.lab.outcomes import OUTCOMES


def outcome_dots(lab: Lab, outcome: str, groups: tuple[Group, ...], *, names: bool = True) -> Figure:
    """One outcome: a line a group, a small mark a training, the mean with its 95% interval."""
    traces: list[Trace] = []
    for group in groups:
        mine = where(lab.summary, architecture=group.architecture, loss=group.loss, outcome=outcome)
        each = where(lab.outcomes, architecture=group.architecture, loss=group.loss, outcome=outcome)
        if len(mine):
            traces += _dots(group, mine.iloc[0], each)
    about = OUTCOMES[outcome]
    alike = [name for name in OUTCOMES if about.cosine and OUTCOMES[name].unit == about.unit] or [outcome]
    known = lab.summary[lab.summary["outcome"].isin(alike)][["least", "most", "ci_low", "ci_high"]]
    across = axis(about.unit, range=[-0.03, 1.03] if about.share else _room(known.to_numpy(dtype=float)))
    order = [escaped(group.name) for group in groups][::-1]
    upwards = axis("", type="category", categoryarray=order, range=[-0.6, len(groups) - 0.4])
    return figure(
        70 + 26 * len(groups),
        traces,
        margin={"l": 110 if names else 20, "r": 12, "t": 6, "b": 44},
        xaxis=across,
        yaxis={**upwards, "showticklabels": names, "showgrid": True},
    )


def _dots(group: Group, row: pd.Series, each: pd.DataFrame) -> list[Trace]:
    name = escaped(group.name)
    low, high = (float(row[end]) for end in ("ci_low", "ci_high"))
    bars = None
    if np.isfinite([low, high]).all():
        bars = {
            "type": "data",
            "symmetric": False,
            "array": rounded([high - row["mean"]]),
            "arrayminus": rounded([row["mean"] - low]),
            "color": group.style.colour,
            "thickness": 1.6,
            "width": 4,
        }
    trainings = trace(
        "scatter",
        uid=f"{group.name}-trainings",
        x=rounded(each["value"]),
        y=[name] * len(each),
        customdata=[[str(seed)] for (seed,) in values(each, "seed")],
        mode="markers",
        marker={"symbol": "line-ns", "size": 9, "line": {"color": group.style.colour, "width": 1.5}},
        hovertemplate="<b>%{y}</b>, seed %{customdata[0]}<br>%{x:.4g}<extra></extra>",
        showlegend=False,
    )
    mean = trace(
        "scatter",
        uid=f"{group.name}-mean",
        name=name,
        x=rounded([row["mean"]]),
        y=[name],
        error_x=bars,
        customdata=[[interval(low, high), str(int(row["trainings"])), escaped(group.about)]],
        mode="markers",
        marker={"symbol": group.style.marker, "size": 8, "color": group.style.colour},
        hovertemplate="<b>%{y}</b> (%{customdata[2]})<br>%{x:.4g}  %{customdata[0]}"
        "<br>%{customdata[1]} trainings<extra></extra>",
        showlegend=False,
    )
    return [trainings, mean]


def _room(known: np.ndarray) -> list[float] | None:
    known = known[np.isfinite(known)]
    if not known.size:
        return None
    spare = 0.04 * (float(known.max() - known.min()) or 1.0)
    return [float(known.min()) - spare, float(known.max()) + spare]


def course_lines(lab: Lab, task: str, context: int, groups: tuple[Group, ...], *, height: int = 360) -> Figure:
    """Answers over training: a line a group, the mean over seeds, with a band from the least to the most."""
    rows = where(lab.cells, task=task, context=context)
    traces: list[Trace] = []
    for group in groups:
        mine = where(rows, architecture=group.architecture, loss=group.loss)
        if len(mine):
            found = mine["right"].astype(float) / mine["answers"].astype(float)
            traces += _ribbon(group, mine["step"], found, "step")
    return figure(
        height,
        traces,
        margin={"l": 60, "r": 12, "t": 8, "b": 48},
        xaxis=axis("optimiser step"),
        yaxis=axis("answers right", range=[-0.03, 1.03]),
    )


def depth_lines(lab: Lab, variant: str, tokens: str, groups: tuple[Group, ...], *, height: int = 380) -> Figure:
    """Inter-token cosine by depth at the end: the mean over seeds, with a band from the least to the most."""
    rows = where(lab.layers, metric="inter_token_cosine", variant=variant, tokens=tokens)
    rows = rows[~is_final(rows["site"], rows["depth"])]
    traces: list[Trace] = []
    for group in groups:
        mine = rows[rows["subject"].isin(group.labels)]
        if len(mine):
            traces += _ribbon(group, mine["depth"], mine["value"].astype(float), "depth")
    return figure(
        height,
        traces,
        margin={"l": 60, "r": 12, "t": 8, "b": 48},
        xaxis=depth_axis(with_final=False),
        yaxis=axis("inter-token cosine"),
    )


def _ribbon(group: Group, places: pd.Series, found: pd.Series, what: str) -> list[Trace]:
    """Lines of several trainings as one: mean, least and most."""
    gathered = pd.DataFrame({"x": places.to_numpy(), "y": found.to_numpy()}).groupby("x")["y"]
    table = gathered.agg(["mean", "min", "max", "count"])
    x, style = rounded(table.index), group.style
    low, mean, high = (rounded(table[name]) for name in ("min", "mean", "max"))
    uid = group.name
    line = trace(
        "scatter",
        uid=f"{uid}-line",
        name=escaped(group.name),
        legendgroup=uid,
        x=x,
        y=mean,
        customdata=[[interval(a, b), str(n)] for a, b, n in zip(low, high, table["count"], strict=True)],
        hovertemplate=f"<b>{escaped(group.name)}</b><br>{what} %{{x:.4g}}<br>%{{y:.4g}}, "
        "%{customdata[1]} trainings in %{customdata[0]}<extra></extra>",
        mode="lines+markers",
        line={"color": style.colour, "dash": style.dash, "width": 2},
        marker={"symbol": style.marker, "size": 5, "color": style.colour},
    )
    return [*spread(uid, x, low, mean, high, list(range(len(x))), style.colour, style.band()), line]


def against(lab: Lab, alike: str, outcome: str, groups: tuple[Group, ...], *, height: int = 360) -> Figure:
    """Each training as a mark: how alike its tokens are, and how it answers."""
    table = lab.outcomes.pivot_table(index="subject", columns="outcome", values="value")
    traces: list[Trace] = []
    for group in groups:
        mine = table[table.index.isin(group.labels)]
        if {alike, outcome} <= set(mine.columns):
            traces.append(
                trace(
                    "scatter",
                    uid=f"{group.name}-marks",
                    name=escaped(group.name),
                    x=rounded(mine[alike]),
                    y=rounded(mine[outcome]),
                    text=[escaped(label) for label in mine.index],
                    mode="markers",
                    marker={"symbol": group.style.marker, "size": 9, "color": group.style.colour},
                    hovertemplate="<b>%{text}</b><br>%{x:.4g}, %{y:.4g}<extra></extra>",
                )
            )
    return figure(
        height,
        traces,
        margin={"l": 60, "r": 12, "t": 8, "b": 48},
        xaxis=axis(f"{OUTCOMES[alike].title}: {OUTCOMES[alike].unit}"),
        yaxis=axis(OUTCOMES[outcome].unit, range=[-0.03, 1.03] if OUTCOMES[outcome].share else None),
    )
