"""A run directory: written whole or not at all, resumable, and the only thing reports and comparisons read."""

from repflow.store._compare import compare
from repflow.store._layout import SCHEMA_VERSION
from repflow.store._run import Run, open_run
from repflow.store._summary import summary
from repflow.store._writer import RunWriter

__all__ = ["SCHEMA_VERSION", "Run", "RunWriter", "compare", "open_run", "summary"]
