"""A run directory: written whole or not at all, resumable, and the only thing reports and comparisons read."""

from repflow.store._compare import compare
from repflow.store._csv import csv_text
from repflow.store._join import join
from repflow.store._warnings import warning_lines
from repflow.store.atomic import replacing, write_file, writing_to
from repflow.store.feature_files import FEATURES_FORMAT
from repflow.store.layout import FIGURE_LIST, SCHEMA_VERSION, name_of
from repflow.store.lock import locked
from repflow.store.run import Run, open_run
from repflow.store.sense import making_sense
from repflow.store.steps import at_last_step, last_steps, steps_of, told_steps
from repflow.store.unit_facts import told_units, units_frame, usable_units
from repflow.store.unmatched import unmatched_line
from repflow.store.writer import RunWriter

__all__ = [
    "FEATURES_FORMAT",
    "FIGURE_LIST",
    "SCHEMA_VERSION",
    "Run",
    "RunWriter",
    "at_last_step",
    "compare",
    "csv_text",
    "join",
    "last_steps",
    "locked",
    "making_sense",
    "name_of",
    "open_run",
    "replacing",
    "steps_of",
    "told_steps",
    "told_units",
    "units_frame",
    "unmatched_line",
    "usable_units",
    "warning_lines",
    "write_file",
    "writing_to",
]
