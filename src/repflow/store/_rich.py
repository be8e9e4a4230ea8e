"""What the printed tables share."""

import math
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text


def plain_table(title: str | None) -> Table:
    """A table without edges that starts at the left margin."""
    heading = None if title is None else Text(title)
    return Table(title=heading, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)


def cell(value: Any) -> Text:
    """Text, so that brackets in a label are not read as markup."""
    return Text(str(value))


def number(value: float) -> str:
    if math.isnan(value):
        return "-"
    return f"{value:.3f}" if 0.001 <= abs(value) < 1000 or value == 0 else f"{value:.1e}"
