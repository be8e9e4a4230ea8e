"""Curves over relative depth for papers: a line a subject with its interval, the final norm apart."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from repflow.drawing.plotly import FINAL_X
from repflow.drawing.source import Subject, is_final
from repflow.drawing.stretches import parted, stretches
from repflow.drawing.style import MATPLOTLIB_DASHES, MATPLOTLIB_MARKERS


def draw_over_depth(axes: Axes, subject: Subject, rows: pd.DataFrame) -> Line2D:
    """One subject's rows in order of depth (site, site_index, depth, value, ci_low, ci_high); the line for a legend."""
    style = subject.style
    final = is_final(rows["site"], rows["depth"]).to_numpy()
    x = rows["depth"].to_numpy(dtype=float)
    value, low, high = (rows[c].to_numpy(dtype=float) for c in ("value", "ci_low", "ci_high"))
    look = {
        "marker": MATPLOTLIB_MARKERS[style.marker],
        "color": style.colour,
        "markersize": 3.2,
        "markeredgewidth": 0.8,
        "markerfacecolor": "white" if style.hollow else style.colour,
    }
    blocks = ~final
    places = rows["site_index"].to_numpy()[blocks].tolist()
    draw_spread(axes, x[blocks], low[blocks], value[blocks], high[blocks], places, style.colour)
    ends = [parted(part[blocks].tolist(), stretches(places)) for part in (x, value)]
    (line,) = axes.plot(
        *(np.array(part, dtype=float) for part in ends), linestyle=MATPLOTLIB_DASHES[style.dash], linewidth=1.3, **look
    )
    if final.any():
        spread = np.nan_to_num([value[final] - low[final], high[final] - value[final]])
        axes.errorbar([FINAL_X], value[final][:1], yerr=spread[:, :1], capsize=2, elinewidth=0.9, **look)
        if blocks.any():
            ends = [value[blocks][-1], value[final][0]]
            axes.plot([x[blocks][-1], FINAL_X], ends, linestyle=":", linewidth=0.8, color=style.colour)
    return line


def draw_spread(
    axes: Axes,
    x: np.ndarray,
    low: np.ndarray,
    value: np.ndarray,
    high: np.ndarray,
    places: Sequence[int],
    colour: str,
) -> None:
    """The intervals of points in order of their places: a band along neighbours, bars at points without any."""
    for run in stretches(places, np.isfinite(low + value + high)):
        if run.stop - run.start > 1:
            axes.fill_between(x[run], low[run], high[run], color=colour, alpha=0.18, linewidth=0)
        else:
            ends = [value[run] - low[run], high[run] - value[run]]
            axes.errorbar(x[run], value[run], yerr=np.abs(ends), fmt="none", ecolor=colour, capsize=2, elinewidth=0.9)


def along_depth(axes: Axes, title: str) -> None:
    """The axis of relative depth with its place for the final norm, and what is measured upwards."""
    axes.set_xlabel("relative depth")
    axes.set_ylabel(title)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1, FINAL_X], ["0", "0.25", "0.5", "0.75", "1", "final\nnorm"])
    axes.set_xlim(-0.03, FINAL_X + 0.05)
    axes.grid(axis="y", linewidth=0.6)
    axes.set_axisbelow(True)
