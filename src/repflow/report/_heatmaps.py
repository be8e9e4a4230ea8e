"""Square heatmaps of CKA between sites, and offset profiles, on one colour scale from 0 to 1."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from repflow.report._curves import curve_rows
from repflow.report._labels import escaped, interval
from repflow.report._plotly import Figure, Trace, axis, figure, trace
from repflow.report._source import Scene, Source, of_scene, values
from repflow.report._style import BELOW_ZERO, CIVIDIS, MUTED

Z_MIN = -0.05
_ESTIMATE = ("value", "ci_low", "ci_high")
_GAP = " "
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
    """Sites of a (upwards) against sites of b (to the right), cells square, the final norm set apart.

    `rows` come from `cka_rows`. Values below 0 keep their own colour and a minus sign. `scale` draws the
    colour bar, which the report shows once for all heatmaps instead.
    """
    sites_a, sites_b = ordered_sites(rows, "a"), ordered_sites(rows, "b")
    cells = {(a, b): tuple(found) for a, b, *found in values(rows, "site_a", "site_b", *_ESTIMATE)}
    names_a, names_b = _spaced(sites_a), _spaced(sites_b)
    grid = [[cells.get((a, b)) for b in names_b] for a in names_a]
    tall = 50 + (height - 50) * min(1.0, max(0.3, len(names_a) / max(1, len(names_b))))
    hover = f"{escaped(title_a)} <b>%{{y}}</b><br>{escaped(title_b)} <b>%{{x}}</b><br>"
    square = {"constrain": "domain", "constraintoward": "top", "scaleanchor": "x", "scaleratio": 1}
    return figure(
        round(tall),
        [_heatmap(grid, [escaped(n) for n in names_b], [escaped(n) for n in names_a], hover, scale)],
        margin={"l": 44, "r": 10, "t": 6, "b": 44},
        xaxis={**_site_axis(names_b), "constrain": "domain"},
        yaxis={**_site_axis(names_a), **square},
    )


def offset_heatmap(
    source: Source, scene: Scene, subject: str, tokens: str, *, height: int = 300, scale: bool = False
) -> Figure:
    """Cosine of tokens k places apart: sites to the right, k upwards."""
    frame = of_scene(source.layers, scene)
    found = frame[(frame["metric"] == "offset_cosine") & (frame["subject"] == subject) & (frame["tokens"] == tokens)]
    variants = sorted(found["variant"].unique(), key=_offset)
    sites = found.sort_values("site_index", kind="stable")["site"].drop_duplicates().tolist()
    names = _spaced(sites)
    grid: list[list[tuple[float, ...] | None]] = []
    for variant in variants:
        rows = curve_rows(source, scene, "offset_cosine", variant, tokens, subject)
        known = {site: tuple(found) for site, *found in values(rows, "site", *_ESTIMATE)}
        grid.append([known.get(name) for name in names])
    hover = "<b>%{x}</b>, k = <b>%{y}</b><br>"
    offsets = [escaped(v.removeprefix("k=")) for v in variants]
    return figure(
        height,
        [_heatmap(grid, [escaped(n) for n in names], offsets, hover, scale)],
        margin={"l": 48, "r": 10, "t": 6, "b": 44},
        xaxis=_site_axis(names),
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
        customdata=[["" if c is None else interval(c[1], c[2]) for c in row] for row in grid],
        text=signs,
        texttemplate="%{text}" if negative else None,
        textfont={"size": 8, "color": MUTED},
        hovertemplate=hover + "%{z:.4f}  %{customdata}<extra></extra>",
        hoverongaps=False,
        colorscale=colourscale(),
        zmin=Z_MIN,
        zmax=1,
        showscale=scale,
        colorbar={"thickness": 12, "outlinewidth": 0, "tickvals": [0, 0.25, 0.5, 0.75, 1], "len": 0.9},
        xgap=0,
        ygap=0,
    )


def _value(cell: tuple[float, ...] | None) -> float | None:
    return None if cell is None or not np.isfinite(cell[0]) else round(float(cell[0]), 4)


def ordered_sites(rows: pd.DataFrame, side: str) -> list[str]:
    """One side's sites by depth; the final norm, which shares the last block's depth, comes last."""
    sites = rows[[f"site_{side}", f"depth_{side}"]].drop_duplicates()
    final = sites[f"site_{side}"] == "final_norm"
    return sites.assign(final=final).sort_values([f"depth_{side}", "final"], kind="stable")[f"site_{side}"].tolist()


def _spaced(sites: Sequence[str]) -> list[str]:
    return [*sites[:-1], _GAP, sites[-1]] if len(sites) > 1 and sites[-1] == "final_norm" else list(sites)


def _site_axis(names: Sequence[str]) -> dict[str, Any]:
    """Ticks at embed, a handful of blocks, and the final norm."""
    blocks = [n for n in names if n not in ("embed", "final_norm", _GAP)]
    every = next(step for step in (1, 2, 4, 5, 8, 10, 16, 20, 32, 10**6) if len(blocks) / step <= 8)
    shown = [n for n in names if n == "embed"] + blocks[::every] + [n for n in names if n == "final_norm"]
    texts = {"embed": "E", "final_norm": "N"}
    return axis(
        "",
        type="category",
        showgrid=False,
        showline=False,
        tickmode="array",
        tickvals=[escaped(n) for n in shown],
        ticktext=[escaped(texts.get(n, n.removeprefix("block."))) for n in shown],
        tickfont={"size": 10.5, "color": MUTED},
        tickangle=0,
    )
