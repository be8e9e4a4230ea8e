"""Small multiples: a quantity drawn small for every subject, all on one axis, as plain data."""

from collections.abc import Sequence
from dataclasses import dataclass

from repflow.drawing.source import Scene

Grid = Sequence[Sequence[float | None]]


@dataclass(frozen=True, slots=True)
class Curve:
    """One subject's values over depth, from 0 to 1, with their intervals; NaN where there is none."""

    subject: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    places: tuple[int, ...]
    """The number of each site: a line joins neighbours alone."""
    said: str
    """In words, with numbers."""
    last: str
    """What is written at its end."""


@dataclass(frozen=True, slots=True)
class Map:
    """One subject's map of numbers from 0 to 1, its first row at the bottom."""

    subject: str
    grid: Grid
    said: str


@dataclass(frozen=True, slots=True)
class State:
    """One row of the overview under one choice of task, variant and tokens."""

    curves: tuple[Curve, ...] = ()
    maps: tuple[Map, ...] = ()
    scene: Scene | None = None
    variant: str = ""
    tokens: str = "all"


@dataclass(frozen=True, slots=True)
class Multiples:
    """A row of the overview."""

    key: str
    title: str
    unit: str
    """What is drawn, in a few words."""
    place: str
    """Anchor of the panel that shows it large: the section's, a dash, the panel's key."""
    states: tuple[State, ...]
    logarithmic: bool = False
    whole: bool = False
    """Whether 0..1 is the quantity's whole range."""
