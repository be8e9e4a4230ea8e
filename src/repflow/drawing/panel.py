"""Panels: what a page shows, each with its choices of variant and token policy."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from repflow.core.quantities import Quantity
from repflow.drawing.plotly import Figure
from repflow.drawing.source import Scene
from repflow.drawing.style import Style
from repflow.drawing.table import Table
from repflow.drawing.token_text import TokenText

VARIANTS = ("rms", "raw", "unit", "centred", "standardised", "median", "mean", "max", "uncentred", "token", "example")
"""The order in which variants are offered; the first present is shown first."""
BARRED = ("raw", "centred", "standardised", "uncentred")
"""Variants that the bar of the page chooses for all panels; others are a panel's own."""
FIRST = {"inter_token_cosine": "raw", "adjacent_cosine": "raw", "feature_share": "k=3"}


@dataclass(frozen=True)
class View:
    """One state of a panel's switches: a figure a cell (None where that cell has no rows), a table, or a text."""

    tokens: str
    choice: str
    """Its name among the views of the panel that are of the same tokens."""
    figures: tuple[Figure | None, ...] = ()
    table: Table | None = None
    text: TokenText | None = None
    said: str = ""
    """What is seen, in words made from the numbers."""
    ramp: tuple[str, str] | None = None
    """The values at both ends of the colours, where they differ from view to view."""
    scene: Scene | None = None
    """The task and context it is of; None where it shows all of them, or the run has one."""
    variant: str = ""
    """Which treatment of the states it shows (`raw`, `centred` ...), where the page's bar chooses it."""
    own: str | None = None
    """What is left of the choice when scene and variant are chosen in the bar; None: all of it."""


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
    """`wide`, `half`, `grid`, `pairs` (cells side by side belong together), or `table` and `tokens`: its views
    have tables, or texts."""
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
    note: str = ""
    dropped: Sequence[str] = ()
    """What the token policies leave out here, a sentence each."""
    by_scene: bool = False
    """Whether its views are each of one task and context: files for papers show the first choice of each."""
    about: str = ""
    """What is in it, in a few words, beside the title of the closed section."""


def joined_panels(scenes: Iterable[Sequence[Panel]]) -> list[Panel]:
    """The panels of several tasks and contexts as one each, which the bar switches; in the order they are met."""
    found: dict[str, list[Panel]] = {}
    for panels in scenes:
        for panel in panels:
            found.setdefault(panel.key, []).append(panel)
    return [_joined(panels) for panels in found.values()]


def _joined(panels: Sequence[Panel]) -> Panel:
    cells = tuple(dict.fromkeys(cell for panel in panels for cell in panel.cells))
    views: list[View] = []
    for panel in panels:
        for view in panel.views:
            drawn = dict(zip(panel.cells, view.figures, strict=True)) if view.figures else {}
            views.append(replace(view, figures=tuple(drawn.get(cell) for cell in cells) if drawn else ()))
    longest = max((panel.filters for panel in panels), key=len)
    return replace(panels[0], cells=cells, views=tuple(views), filters=longest)
