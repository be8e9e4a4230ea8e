"""Tables of the page as plain text cells, and frames as files that the page carries."""

import base64
from dataclasses import dataclass

import numpy as np
import pandas as pd

from repflow.drawing.source import Subject
from repflow.store import csv_text, steps_of


@dataclass(frozen=True, slots=True)
class PathTable:
    """Headings with their meaning, and a line a subject of (value, interval)."""

    headings: tuple[tuple[str, str], ...]
    lines: tuple[tuple[Subject, tuple[tuple[str, str], ...]], ...]


def csv_uri(frame: pd.DataFrame) -> str:
    """A frame as a `data:` link, so that the file carries its own numbers; without steps where there are none."""
    return frame_uri(frame if np.isfinite(steps_of(frame)).any() else frame.drop(columns="step"))


def frame_uri(frame: pd.DataFrame) -> str:
    """A frame as a `data:` link, every column."""
    return "data:text/csv;base64," + base64.b64encode(csv_text(frame).encode()).decode()


def data_uri(text: str, kind: str) -> str:
    """A text as a link to itself."""
    return f"data:text/{kind};charset=utf-8;base64," + base64.b64encode(text.encode()).decode()
