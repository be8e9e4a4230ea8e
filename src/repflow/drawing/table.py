"""Tables said once, as plain data: the page makes HTML of them, and they go to text, CSV and LaTeX as well."""

import base64
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from repflow.drawing.source import Subject
from repflow.drawing.style import Style
from repflow.store import csv_text, steps_of


@dataclass(frozen=True, slots=True)
class TableCell:
    """A text, and small below it what goes with it."""

    text: str
    small: str = ""
    hint: str = ""
    """For the pointer."""
    fill: str = ""
    """A colour behind it."""
    faint: bool = False
    words: bool = False
    """True for a sentence, which stands to the left and may take several lines; numbers stand to the right."""


@dataclass(frozen=True, slots=True)
class Heading:
    """Of a column."""

    text: str
    meaning: str = ""
    words: bool = False


@dataclass(frozen=True, slots=True)
class Head:
    """What a line or a group of lines is of."""

    text: str
    small: str = ""
    full: str = ""
    """The whole name, for the pointer."""
    style: Style | None = None
    """Its mark, of a subject."""
    subject: str = ""
    """The label of the subject with which the lines are hidden."""
    code: bool = False
    """True for what is typed, as a change in its short form."""
    words: bool = False
    """True for a sentence, which may take several lines."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line; without a head of its own where the group's is enough."""

    cells: tuple[TableCell, ...]
    head: Head | None = None
    strong: bool = False
    """Set apart from those below: what they are compared with."""


@dataclass(frozen=True, slots=True)
class Group:
    """Lines that belong together, under a head of their own or none."""

    lines: tuple[Line, ...]
    head: Head | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """A table: what its heads are called, its columns, its groups of lines."""

    stubs: tuple[str, ...]
    """Headings of the columns of heads: one, or two where groups have heads and lines have heads too."""
    headings: tuple[Heading, ...]
    groups: tuple[Group, ...]
    over: tuple[tuple[str, int], ...] = ()
    """Titles above the headings, each over so many columns."""

    @property
    def rows(self) -> Iterator[list[str]]:
        """Every line as texts, heads first; what stands small follows in the same text."""
        for group in self.groups:
            for line in group.lines:
                heads = [head for head in (group.head, line.head) if head]
                names = [" ".join(filter(None, (head.text, head.small))) for head in heads]
                yield [*names, *(" ".join(filter(None, (cell.text, cell.small))) for cell in line.cells)]

    @property
    def titles(self) -> list[str]:
        """A heading for every text of a row."""
        above = [title for title, span in self.over for _ in range(span)] or [""] * len(self.headings)
        pairs = zip(above, self.headings, strict=True)
        return [*self.stubs, *(" ".join(filter(None, (title, heading.text))) for title, heading in pairs)]


def of_subject(subject: Subject, small: str = "") -> Head:
    """The head of a subject's lines."""
    return Head(subject.short, small, subject.label, subject.style, subject.label)


def estimates(*found: tuple[str, str]) -> tuple[TableCell, ...]:
    """A cell for every value and its interval."""
    return tuple(TableCell(text, small) for text, small in found)


def csv_uri(frame: pd.DataFrame) -> str:
    """A frame as a `data:` link, so that the file carries its own numbers; without steps where there are none."""
    return frame_uri(frame if np.isfinite(steps_of(frame)).any() else frame.drop(columns="step"))


def frame_uri(frame: pd.DataFrame) -> str:
    """A frame as a `data:` link, every column."""
    return "data:text/csv;base64," + base64.b64encode(csv_text(frame).encode()).decode()


def data_uri(text: str, kind: str) -> str:
    """A text as a link to itself."""
    return f"data:text/{kind};charset=utf-8;base64," + base64.b64encode(text.encode()).decode()
