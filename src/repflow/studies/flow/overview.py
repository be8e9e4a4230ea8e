"""The rows of the page's overview that every run has: likeness, steps, size, dimensions, and which layers agree."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from repflow.core.quantities import quantity
from repflow.drawing.heatmap import cka_rows, ordered_sites
from repflow.drawing.labels import number
from repflow.drawing.multiples import Curve, Map, Multiples, State
from repflow.drawing.panel import FIRST, VARIANTS, ordered
from repflow.drawing.source import POLICIES, Source, is_final, of_scene, values

_ROWS = (
    ("inter_token_cosine", "Tokens alike", "mean cosine between tokens", "likeness-inter_token_cosine"),
    ("update_ratio", "Step size", "update beside the state, log", "steps-update"),
    ("participation_ratio", "Directions used", "effective dimensions", "steps-participation_ratio"),
    ("norm", "Size of states", "median norm, log", "steps-norm"),
)
_ONLY = {"norm": "median"}


def overview(source: Source) -> list[Multiples]:
    """A row a quantity that was measured."""
    found = [_row(source, *row) for row in _ROWS]
    maps = Multiples(
        "cka", "Which layers agree", "CKA between sites, 0 to 1", "layers-cka", tuple(_maps(source)), whole=True
    )
    return [row for row in (*found, maps) if row.states]


def _row(source: Source, metric: str, title: str, unit: str, place: str) -> Multiples:
    about = quantity(metric)
    return Multiples(
        metric, title, unit, place, tuple(_states(source, metric)), logarithmic=about.logarithmic, whole=about.unit
    )


def _states(source: Source, metric: str) -> Iterator[State]:
    frame = source.layers[source.layers["metric"] == metric]
    frame = frame[~is_final(frame["site"], frame["depth"])].sort_values("site_index", kind="stable")
    if metric in _ONLY and (frame["variant"] == _ONLY[metric]).any():
        frame = frame[frame["variant"] == _ONLY[metric]]
    for scene in source.scenes:
        here = of_scene(frame, scene)
        for variant in ordered(here["variant"], (FIRST.get(metric, ""), *VARIANTS)):
            for tokens in ordered(here[here["variant"] == variant]["tokens"], POLICIES):
                rows = here[(here["variant"] == variant) & (here["tokens"] == tokens)]
                curves = tuple(
                    _curve(s.label, mine)
                    for s in source.subjects
                    if (mine := rows[rows["subject"] == s.label])["value"].notna().any()
                )
                if curves:
                    yield State(curves, scene=scene, variant="" if metric in _ONLY else variant, tokens=tokens)


def _curve(label: str, rows: pd.DataFrame) -> Curve:
    x, y, low, high = (
        tuple(pd.to_numeric(rows[c]).astype(float).tolist()) for c in ("depth", "value", "ci_low", "ci_high")
    )
    known = rows[rows["value"].notna()]
    top = known.iloc[int(np.argmax(known["value"].to_numpy(dtype=float)))]
    last = known.iloc[-1]
    said = f"highest {number(top['value'], 2)} at {top['site']}, {number(last['value'], 2)} at {last['site']}"
    return Curve(label, x, y, low, high, tuple(rows["site_index"].astype(int)), said, number(last["value"], 2))


def _maps(source: Source) -> Iterator[State]:
    own = source.pairs[(source.pairs["metric"] == "cka") & (source.pairs["subject_a"] == source.pairs["subject_b"])]
    if own.empty:
        return
    variant = ordered(own["variant"], VARIANTS)[0]
    own = own[own["variant"] == variant]
    for scene in source.scenes:
        here = of_scene(own, scene)
        for tokens in ordered(here["tokens"], POLICIES):
            found = tuple(
                _map(s.label, rows)
                for s in source.subjects
                if len(rows := cka_rows(source, scene, s.label, s.label, "cka", variant, tokens))
            )
            if found:
                yield State(maps=found, scene=scene, tokens=tokens)


def _map(label: str, rows: pd.DataFrame) -> Map:
    """Without the final norm, which is drawn apart in the large one."""
    names, final = ordered_sites(rows, "a")
    names = names[: len(names) - final]
    cells = {(a, b): float(v) for a, b, v in values(rows, "site_a", "site_b", "value")}
    grid = [[cells.get((a, b), cells.get((b, a))) for b in names] for a in names]
    near = [v for row, name in zip(grid, range(len(grid)), strict=True) if name and (v := row[name - 1]) is not None]
    told = f"neighbouring sites from {number(min(near), 2)} to {number(max(near), 2)}" if near else "one site"
    return Map(label, grid, told)
