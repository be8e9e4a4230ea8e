"""Reading a run directory."""

import html
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from repflow.core import BadFile, LayerRow, PairRow, PathRow, local_path, visible
from repflow.store import layout
from repflow.store.findings import read_findings
from repflow.store.marker import finished_marker
from repflow.store.replicates import read_replicates
from repflow.store.seal import ADVICE, checked_bytes
from repflow.store.tables import table_frame
from repflow.store.unit_facts import units_frame

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False, repr=False)
class Run:
    """A finished run. Tables are read when first asked for, and kept; a frame is yours to change, not the run."""

    directory: Path
    info: dict[str, Any]
    """run.json as a dict: command, settings, subjects, tasks, seed, versions, timings, warnings ..."""

    @classmethod
    def load(cls, directory: str | Path) -> Self:
        """Open a finished run directory, or by its name a run that comes with the package: `zoo:training`.

        Raises BadFile when it is none, of a newer schema or not as it was written, StoreConflict when it is unfinished.
        """
        path = layout.SHIPPED.get(str(directory)) or local_path(directory)
        if not path.is_dir():
            state = "is a file" if path.exists() else "does not exist"
            raise BadFile(f"{path} {state}, needed a run directory; give the --out of a run")
        return cls(path, finished_marker(path))

    @property
    def settings(self) -> dict[str, Any]:
        """The settings of the study, as JSON types."""
        return self.info["settings"]

    @property
    def subjects(self) -> list[dict[str, Any]]:
        """What the run recorded of each subject: the fields of `SubjectFacts`, tuples as lists, and any others."""
        return self.info.get("subjects") or []

    @property
    def units(self) -> "pd.DataFrame":
        """By subject, task and context: n_examples, n_units, effective_n, autocorrelation of neighbouring examples and
        autocorrelation_of_units; no lines where the run did not count units."""
        return units_frame(self.info)

    @cached_property
    def layers(self) -> "pd.DataFrame":
        """One number a row, by site; columns as in `LayerRow`."""
        return self._table("layers", LayerRow)

    @cached_property
    def pairs(self) -> "pd.DataFrame":
        """One number a row, by two sites; columns as in `PairRow`."""
        return self._table("pairs", PairRow)

    @cached_property
    def paths(self) -> "pd.DataFrame":
        """One number a row, by subject; columns as in `PathRow`."""
        return self._table("paths", PathRow)

    def table(self, name: str, row_type: type | None = None) -> "pd.DataFrame":
        """Any table the study wrote, by its name; empty when it wrote none of that name.

        Its columns are checked and completed by the fields of `row_type`.
        """
        import pandas as pd

        if name not in self.info.get("tables", layout.TABLES):
            return pd.DataFrame()
        return self._table(name, row_type)

    @cached_property
    def parts(self) -> dict[str, Self]:
        """The runs inside this one by their names, in order; empty for a run of one study. Raises as `load`."""
        return {part["name"]: type(self).load(self.directory / part["name"]) for part in self.info.get("parts") or []}

    @cached_property
    def findings(self) -> list[dict[str, Any]]:
        """Signatures and verdicts; empty when the study drew none."""
        return read_findings(self.directory / layout.FINDINGS, self._bytes(layout.FINDINGS))

    @cached_property
    def replicates(self) -> dict[str, np.ndarray]:
        """Bootstrap replicates [rows, B] by table, in the order of its rows; empty when the run kept none."""
        counts = {"layers": len(self.layers), "pairs": len(self.pairs), "paths": len(self.paths)}
        return read_replicates(self.directory / layout.REPLICATES, self._bytes(layout.REPLICATES), counts)

    def _table(self, name: str, row_type: type | None) -> "pd.DataFrame":
        path = layout.table_path(self.directory, name)
        data = self._bytes(path.name)
        if data is None:
            raise BadFile(f"{path} is absent, the run is incomplete; {ADVICE}")
        return table_frame(path, data, row_type)

    def _bytes(self, name: str) -> bytes | None:
        """A file just as it was written; None where the run has none of that name."""
        return checked_bytes(self.directory, name, self.info)

    @property
    def report(self) -> Path | None:
        """The HTML report, where it has been made."""
        path = self.directory / layout.REPORT
        return path if path.is_file() else None

    def __repr__(self) -> str:
        labels = ", ".join(visible(str(subject.get("label", "?"))) for subject in self.subjects[:3])
        more = ", ..." if len(self.subjects) > 3 else ""
        return f"Run({str(self.directory)!r}, {self.info['command']}: {labels}{more})"

    def _repr_html_(self) -> str:
        columns = ("label", "family", "kind", "init", "n_blocks", "width", "n_parameters")
        head = "".join(f"<th>{name}</th>" for name in columns)
        cells = ([html.escape(visible(str(subject.get(name, "")))) for name in columns] for subject in self.subjects)
        rows = "".join(f"<tr><td>{'</td><td>'.join(row)}</td></tr>" for row in cells)
        caption = html.escape(visible(f"{self.info['command']} run in {self.directory}"))
        return f"<table><caption>{caption}</caption><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def open_run(directory: str | Path) -> Run:
    """Open a finished run directory; see `Run.load` for the errors."""
    return Run.load(directory)
