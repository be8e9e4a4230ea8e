"""The main numbers of a dynamics run as a table: subjects by half-life, contraction, slope and use of the bounds."""

import math

import pandas as pd

from repflow.drawing.labels import estimate, number
from repflow.drawing.source import Scene, Subject, in_scene, where
from repflow.drawing.table import Group, Heading, Line, Table, estimates, of_subject
from repflow.studies.dynamics.frames import Dynamics

Cell = tuple[str, str]

HEADINGS = (
    Heading("half-life (tokens)", "Median of the blocks: the shortest and the longest; below, where they are."),
    Heading(
        "1 - rho", "One minus the largest transition read: the least of any block; 0 makes every bound on it vacuous."
    ),
    Heading(
        "state bound / state", "Bound on the size of a state over the largest measured, the tightest and loosest block."
    ),
    Heading("recency slope", "Slope of log influence against log distance."),
    Heading("envelope used", "Scatter of a path over the most its largest step allows; below, the most of any path."),
    Heading("Poincaré used", "Global variance of a path over the most its local variance allows; below, of any path."),
)


def dynamics_table(dynamics: Dynamics, scene: Scene, tokens: str, subjects: tuple[Subject, ...]) -> Table:
    """One line a subject; an en dash where it has none of a quantity."""
    lines = tuple(Line(estimates(*_cells(dynamics, scene, tokens, s.label)), of_subject(s)) for s in subjects)
    return Table(("subject",), HEADINGS, (Group(lines),))


def _cells(dynamics: Dynamics, scene: Scene, tokens: str, label: str) -> tuple[Cell, ...]:
    transitions, recency, bounds = (
        in_scene(frame, scene, subject=label) for frame in (dynamics.transitions, dynamics.recency, dynamics.bounds)
    )
    return (
        _half_life(where(transitions, quantity="half_life", statistic="q50")),
        _rho(where(bounds, name="rho")),
        _state(where(bounds, name="state_norm_by_unit")),
        _slope(recency),
        *(_use(where(bounds, name=name, tokens=tokens)) for name in ("envelope", "poincare")),
    )


def _half_life(rows: pd.DataFrame) -> Cell:
    if rows.empty:
        return "–", ""
    low, high = (rows.iloc[int(place)] for place in (rows["value"].argmin(), rows["value"].argmax()))
    return f"{_tokens(low['value'])} to {_tokens(high['value'])}", f"{low['site']}, {high['site']}"


def _tokens(value: float) -> str:
    return number(value) if math.isfinite(value) else "∞"


def _rho(rows: pd.DataFrame) -> Cell:
    if rows.empty:
        return "–", ""
    row = rows.iloc[int(rows["measured"].argmax())]
    return number(1 - row["measured"], 2), f"{row['site']}{', its bounds are vacuous' if row['vacuous'] else ''}"


def _state(rows: pd.DataFrame) -> Cell:
    """Over the blocks whose bound says something."""
    if rows.empty:
        return "–", ""
    vacuous = rows["vacuous"].astype(bool)
    held = rows["ratio"][~vacuous & rows["ratio"].map(math.isfinite)]
    left_out = f"vacuous in {vacuous.sum()} of {len(rows)} blocks" if vacuous.any() else ""
    return (f"{number(held.min(), 2)} to {number(held.max(), 2)}" if len(held) else "–"), left_out


def _slope(rows: pd.DataFrame) -> Cell:
    if rows.empty:
        return "–", ""
    row = rows.iloc[0]
    return estimate(row["slope"], row["ci_low"], row["ci_high"])


def _use(rows: pd.DataFrame) -> Cell:
    if rows.empty:
        return "–", ""
    row = rows.iloc[0]
    value, limits = estimate(row["use"], row["use_low"], row["use_high"])
    return value, f"{limits} most {number(1 / row['ratio'])}".strip()
