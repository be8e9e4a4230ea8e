"""What the printed tables share, and the edge of the terminal: whatever is printed goes through `words` or `cell`."""

import math
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from repflow.core import visible


def plain_table(title: str | None) -> Table:
    """A table without edges that starts at the left margin."""
    heading = None if title is None else words(title)
    return Table(title=heading, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)


def words(text: str, style: str = "") -> Text:
    """Text that is printed as it is: no brackets in a label are markup, no escape in it steers the terminal."""
    return Text(visible(text), style=style)


def cell(value: Any) -> Text:
    """A value in a table."""
    return words(str(value))


def head(table: Table, name: str) -> None:
    """A row with the name of the subject that the rows below it are of."""
    table.add_row(words(name, style="bold"))


def number(value: float) -> str:
    if math.isnan(value):
        return "-"
    return f"{value:.3f}" if 0.001 <= abs(value) < 1000 or value == 0 else f"{value:.1e}"
