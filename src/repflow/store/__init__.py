"""A run directory: written whole or not at all, resumable, and the only thing reports and comparisons read."""

from typing import TYPE_CHECKING

from repflow.store._atomic import replacing, write_file, writing_to
from repflow.store._compare import compare
from repflow.store._csv import csv_text
from repflow.store._features import FEATURES_FORMAT
from repflow.store._join import join
from repflow.store._layout import SCHEMA_VERSION
from repflow.store._lock import locked
from repflow.store._run import Run, open_run
from repflow.store._sense import making_sense
from repflow.store._steps import at_last_step, last_steps, steps_of, told_steps
from repflow.store._units import told_units, usable_units
from repflow.store._warnings import warning_lines
from repflow.store._writer import RunWriter
from repflow.studies.kit.thirds import THIRDS, Thirds, changes, third_means, thirds
from repflow.studies.probe.shown import judged

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

__all__ = [
    "FEATURES_FORMAT",
    "SCHEMA_VERSION",
    "THIRDS",
    "Run",
    "RunWriter",
    "Thirds",
    "at_last_step",
    "changes",
    "compare",
    "csv_text",
    "join",
    "judged",
    "last_steps",
    "locked",
    "making_sense",
    "open_run",
    "print_comparison",
    "replacing",
    "steps_of",
    "summary",
    "third_means",
    "thirds",
    "told_steps",
    "told_units",
    "usable_units",
    "warning_lines",
    "write_file",
    "writing_to",
]


def summary(run: Run, *, console: "Console | None" = None) -> None:
    """Print a run for a terminal of 80 columns or more, or a file: subjects, headline numbers, warnings, the report.

    Reads the stored rows only. Numbers a study did not measure are left out.
    """
    from rich.console import Console
    from rich.text import Text

    from repflow.report.show import print_summary

    out = console or Console()
    # What cannot be read to its end is not begun.
    with making_sense(run), out.capture() as shown:
        print_summary(run, console=out)
    out.print(Text.from_ansi(shown.get().removesuffix("\n")), soft_wrap=True)


def print_comparison(frame: "pd.DataFrame", *, console: "Console | None" = None) -> None:
    """Print what `compare` returned, one line a quantity, for a terminal of 80 columns or more, or a file."""
    from repflow.report.comparison import print_rows

    print_rows(frame, console=console)
