"""Square heatmaps of CKA between sites, and offset profiles, on one colour scale from 0 to 1."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from repflow.drawing.curves import curve_rows
from repflow.drawing.labels import escaped, interval
from repflow.drawing.plotly import Figure, Trace, axis, figure, trace
from repflow.drawing.source import HF_SITE, Scene, Source, is_final, of_scene, values
from repflow.drawing.style import BELOW_ZERO, CIVIDIS, MUTED

Z_MIN = -0.05
ESTIMATE = ("value", "ci_low", "ci_high")
UNDEFINED = "undefined: the states of a site are all alike, or there were too few sequences"
GAP = " "
"""The empty category that sets the final norm apart."""


def colourscale() -> list[list[Any]]:
    """Cividis over 0..1 and one colour of its own for everything below 0."""
    zero = -Z_MIN / (1 - Z_MIN)
    steps = [[zero + (1 - zero) * i / (len(CIVIDIS) - 1), c] for i, c in enumerate(CIVIDIS)]
    return [[0.0, BELOW_ZERO], [zero, BELOW_ZERO], *steps]


def cka_rows(source: Source, scene: Scene, a: str, b: str, metric: str, variant: str, tokens: str) -> pd.DataFrame:
    """The site pairs of two subjects, turned so that `a` is always subject_a."""
    frame = of_scene(source.pairs, scene)
    frame = frame[(frame["metric"] == metric) & (frame["variant"] == variant) & (frame["tokens"] == tokens)]
    straight = frame[(frame["subject_a"] == a) & (frame["subject_b"] == b)]
    turned = frame[(frame["subject_a"] == b) & (frame["subject_b"] == a)].rename(columns=_SWAP)
    both = pd.concat([straight, turned[list(frame.columns)]]) if len(turned) else straight
    return both.drop_duplicates(["site_a", "site_b"])


_SWAP = {f"{name}_{x}": f"{name}_{y}" for name in ("subject", "site", "depth") for x, y in ("ab", "ba")}


def cka_heatmap(rows: pd.DataFrame, title_a: str, title_b: str, *, height: int = 372, scale: bool = False) -> Figure:
    """Sites of a (upwards) against sites of b (to the right) in square cells, the final norm set apart.

    `rows` come from `cka_rows`. Values below 0 keep their own colour and a minus sign. `scale` draws the
    colour bar, which the report shows once for all heatmaps instead.
    """
    names_a, names_b = spaced(*ordered_sites(rows, "a")), spaced(*ordered_sites(rows, "b"))
    cells = {(a, b): tuple(found) for a, b, *found in values(rows, "site_a", "site_b", *ESTIMATE)}
    grid = [[cells.get((a, b)) for b in names_b] for a in names_a]
    hover = f"{escaped(title_a)} <b>%{{y}}</b><br>{escaped(title_b)} <b>%{{x}}</b><br>"
    square = {"constrain": "domain", "constraintoward": "top", "scaleanchor": "x"}
    return figure(
        height,
        [_heatmap(grid, [escaped(n) for n in names_b], [escaped(n) for n in names_a], hover, scale)],
        margin={"l": 44, "r": 10, "t": 6, "b": 44},
        xaxis={**site_axis(names_b, title_b), "constrain": "domain"},
        yaxis={**site_axis(names_a, title_a), **square, "scaleratio": 1},
    )


def offset_heatmap(
    source: Source, scene: Scene, subject: str, tokens: str, *, height: int = 300, scale: bool = False
) -> Figure:
    """Cosine of tokens k places apart: sites to the right, k upwards."""
    frame = of_scene(source.layers, scene)
    found = frame[(frame["metric"] == "offset_cosine") & (frame["subject"] == subject) & (frame["tokens"] == tokens)]
    variants = sorted(found["variant"].unique(), key=_offset)
    places = found.sort_values("site_index", kind="stable").drop_duplicates("site")
    names = spaced(places["site"].tolist(), bool(is_final(places["site"], places["depth"]).any()))
    grid: list[list[tuple[float, ...] | None]] = []
    for variant in variants:
        rows = curve_rows(source, scene, "offset_cosine", variant, tokens, subject)
        known = {site: tuple(found) for site, *found in values(rows, "site", *ESTIMATE)}
        grid.append([known.get(name) for name in names])
    hover = "<b>%{x}</b>, k = <b>%{y}</b><br>"
    offsets = [escaped(v.removeprefix("k=")) for v in variants]
    return figure(
        height,
        [_heatmap(grid, [escaped(n) for n in names], offsets, hover, scale)],
        margin={"l": 48, "r": 10, "t": 6, "b": 44},
        xaxis=site_axis(names),
        yaxis=axis("distance k (tokens)", type="category", showgrid=False),
    )


def _offset(variant: str) -> float:
    text = str(variant).removeprefix("k=")
    return float(text) if text.replace(".", "", 1).isdigit() else float("inf")


def _heatmap(grid: list[list[tuple[float, ...] | None]], x: list[str], y: list[str], hover: str, scale: bool) -> Trace:
    shown = [[_value(c) for c in row] for row in grid]
    negative = any(v is not None and v < 0 for row in shown for v in row)
    signs = [["−" if v is not None and v < 0 else "" for v in row] for row in shown] if negative else None
    return trace(
        "heatmap",
        x=x,
        y=y,
        z=shown,
        customdata=[[told(c) for c in row] for row in grid],
        text=signs,
        texttemplate="%{text}" if negative else None,
        textfont={"size": 8, "color": MUTED},
        hovertemplate=hover + "%{customdata}<extra></extra>",
        hoverongaps=any(c is not None and _value(c) is None for row in grid for c in row),
        colorscale=colourscale(),
        zmin=Z_MIN,
        zmax=1,
        showscale=scale,
        colorbar={"thickness": 12, "outlinewidth": 0, "tickvals": [0, 0.25, 0.5, 0.75, 1], "len": 0.9},
        xgap=0,
        ygap=0,
    )


def told(cell: tuple[float, ...] | None) -> str:
    """The hover text of a cell: blank ones say why they are blank."""
    if cell is None:
        return ""
    return f"{cell[0]:.4f}  {interval(cell[1], cell[2])}" if np.isfinite(cell[0]) else UNDEFINED


def _value(cell: tuple[float, ...] | None) -> float | None:
    return None if cell is None or not np.isfinite(cell[0]) else round(float(cell[0]), 4)


def ordered_sites(rows: pd.DataFrame, side: str) -> tuple[list[str], bool]:
    """One side's sites by depth, and whether the last of them stands behind the final norm.

    That one shares the depth of the last block, or in Hugging Face's list takes its place.
    """
    sites = rows[[f"site_{side}", f"depth_{side}"]].drop_duplicates()
    final = is_final(sites[f"site_{side}"], sites[f"depth_{side}"])
    ordered = sites.assign(final=final).sort_values([f"depth_{side}", "final"], kind="stable")
    return ordered[f"site_{side}"].tolist(), bool(final.any())


def spaced(sites: Sequence[str], final: bool) -> list[str]:
    """The sites of an axis, a gap before the last one where that stands behind the final norm."""
    return [*sites[:-1], GAP, sites[-1]] if len(sites) > 1 and final else list(sites)


def site_text(site: str) -> str:
    """A site's name on an axis."""
    return {"embed": "E", "final_norm": "N"}.get(site, site.removeprefix("block."))


def site_axis(names: Sequence[str], title: str = "") -> dict[str, Any]:
    """Ticks at embed, a handful of blocks, and the final norm."""
    last = [names[-1]] if len(names) > 1 and names[-2] == GAP else []
    first = [n for n in names if n == "embed"]
    blocks = [n for n in names if n not in (*first, *last, "final_norm", GAP)]
    every = next(step for step in (1, 2, 4, 5, 8, 10, 16, 20, 32, 10**6) if len(blocks) / step <= 8)
    # Where blocks are many, the first stands too close to embed.
    shown = [*first, *blocks[every if every > 2 else 0 :: every], *(last or [n for n in names if n == "final_norm"])]
    return axis(
        escaped(title),
        type="category",
        showgrid=False,
        showline=False,
        tickmode="array",
        tickvals=[escaped(n) for n in shown],
        ticktext=[escaped(site_text(n).removeprefix(HF_SITE)) for n in shown],
        tickfont={"size": 10.5, "color": MUTED},
        tickangle=0,
    )
