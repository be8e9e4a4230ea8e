"""Panels: what a page shows, each with its choices of variant and token policy."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from repflow.core.quantities import Quantity
from repflow.drawing.plotly import Figure
from repflow.drawing.source import Scene
from repflow.drawing.style import Style

VARIANTS = ("rms", "raw", "unit", "centred", "standardised", "median", "mean", "max", "uncentred", "token", "example")
"""The order in which variants are offered; the first present is shown first."""
FIRST = {"inter_token_cosine": "raw", "adjacent_cosine": "raw", "feature_share": "k=3"}


@dataclass(frozen=True)
class View:
    """One state of a panel's switches: a figure a cell (None where that cell has no rows), or a table."""

    tokens: str
    choice: str
    figures: tuple[Figure | None, ...] = ()
    table: Any = None
    said: str = ""
    """What is seen, in words made from the numbers."""
    ramp: tuple[str, str] | None = None
    """The values at both ends of the colours, where they differ from view to view."""


@dataclass(frozen=True, slots=True)
class Cell:
    """The frame of one figure: its caption, and its full names for the tooltip."""

    caption: str
    full: str
    note: str = ""
    of: tuple[int, ...] = ()
    """Places in the panel's `filters` under which the cell is shown."""


@dataclass(frozen=True)
class Panel:
    """A titled block of figures that share one set of switches."""

    key: str
    title: str
    texts: Quantity
    views: tuple[View, ...]
    cells: tuple[Cell, ...] = (Cell("", ""),)
    layout: str = "wide"
    """`wide`, `half`, `grid`, `pairs` (cells side by side belong together); tables: `table`, `thirds`, `probes`,
    `ablations`, `shares`."""
    scale: bool = False
    """True where the shared 0..1 colour scale belongs above the cells."""
    keys: bool = False
    """True where a line above the cells names the subjects' marks."""
    legend: tuple[tuple[str, Style], ...] = ()
    """Where lines are something else than subjects: their names and marks, for the line above the cells."""
    filters: tuple[str, ...] = ()
    """Where there are many cells, the subjects of which one chooses; the first is shown at first."""

    @property
    def choices(self) -> list[str]:
        return list(dict.fromkeys(view.choice for view in self.views))


def ordered(found: Iterable[Any], wanted: Sequence[str]) -> list[str]:
    """The given names, those of `wanted` first and in its order."""
    names = list(dict.fromkeys(str(name) for name in found))
    first = [n for n in dict.fromkeys(wanted) if n in names]
    return first + [n for n in names if n not in first]


@dataclass(frozen=True)
class Section:
    """A part of the page."""

    anchor: str
    title: str
    nav: str
    """What the bar on top calls it."""
    panels: Sequence[Panel]
    files: Sequence[tuple[str, str, str]] = ()
    """Tables to take away: the name of the file, words, a `data:` link."""
    explain: bool = True
    """Whether its panels say what they show; said once where several sections show the same."""
    note: str = ""
    dropped: Sequence[str] = ()
    """What the token policies leave out here, a sentence each."""
    scene: Scene | None = None
    """The one task and context that it shows; None where these are among its panels' choices."""
