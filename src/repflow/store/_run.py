"""Reading a run directory."""

import html
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from repflow.core import (
    AblationRow,
    AnswerRow,
    BadFile,
    LayerRow,
    PairRow,
    PathRow,
    ProbeClassRow,
    ProbeRow,
    ProbeSummaryRow,
    StoreConflict,
    TellingRow,
)
from repflow.core.attribution_records import SchemeRow, ShareRow
from repflow.core.dynamics_records import BoundRow, InfluenceRow, RecencyRow, TransitionRow
from repflow.store import _layout, _parts
from repflow.store._marker import read_marker
from repflow.store._replicates import read_replicates
from repflow.store._tables import read_table
from repflow.store._units import units_frame

if TYPE_CHECKING:
    import pandas as pd


_KINDS: dict[str, type] = {
    "ablations": AblationRow,
    "answers": AnswerRow,
    "bounds": BoundRow,
    "influence": InfluenceRow,
    "probe_classes": ProbeClassRow,
    "probe_summary": ProbeSummaryRow,
    "probes": ProbeRow,
    "recency": RecencyRow,
    "schemes": SchemeRow,
    "shares": ShareRow,
    "telling": TellingRow,
    "transitions": TransitionRow,
}
"""Rows of the tables that only some studies write."""


@dataclass(frozen=True, eq=False, repr=False)
class Run:
    """A finished run. Tables are read when first asked for, and kept; a frame is yours to change, not the run."""

    directory: Path
    info: dict[str, Any]
    """run.json as a dict: command, settings, subjects, tasks, seed, versions, timings, warnings ..."""

    @classmethod
    def load(cls, directory: str | Path) -> Self:
        """Open a finished run directory, or by its name a run that comes with the package: `zoo:training`.

        Raises BadFile when it is none or of a newer schema, StoreConflict when the run is unfinished.
        """
        path = _layout.SHIPPED.get(str(directory), Path(directory))
        if not path.is_dir():
            state = "is a file" if path.exists() else "does not exist"
            raise BadFile(f"{path} {state}, needed a run directory; give the --out of a run")
        info = read_marker(path)
        if info["status"] != "finished":
            raise StoreConflict(
                f"{path} holds an unfinished {info['command']} run ({_parts.count_parts(path / _layout.CHECKPOINT)} "
                "checkpoint parts saved); give its command again with --resume to finish it"
            )
        return cls(path, info)

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
        return read_table(_layout.table_path(self.directory, "layers"), LayerRow)

    @cached_property
    def pairs(self) -> "pd.DataFrame":
        """One number a row, by two sites; columns as in `PairRow`."""
        return read_table(_layout.table_path(self.directory, "pairs"), PairRow)

    @cached_property
    def paths(self) -> "pd.DataFrame":
        """One number a row, by subject; columns as in `PathRow`."""
        return read_table(_layout.table_path(self.directory, "paths"), PathRow)

    @cached_property
    def probes(self) -> "pd.DataFrame":
        """One probed site a row; columns as in `ProbeRow`. Empty when the study trained no probes."""
        return self.table("probes")

    def table(self, name: str) -> "pd.DataFrame":
        """Any table the study wrote, by its name; empty when it wrote none of that name."""
        import pandas as pd

        if name not in self.info.get("tables", _layout.TABLES[:3]):
            return pd.DataFrame()
        return read_table(_layout.table_path(self.directory, name), _KINDS.get(name))

    @cached_property
    def findings(self) -> list[dict[str, Any]]:
        """Signatures and verdicts; empty when the study drew none."""
        path = self.directory / _layout.FINDINGS
        try:
            found = json.loads(path.read_bytes())
        except FileNotFoundError:
            return []
        except (OSError, ValueError, RecursionError) as error:
            raise BadFile(f"{path} cannot be read ({error}); run again with --overwrite") from error
        if not isinstance(found, list):
            raise BadFile(f"{path} holds no list; run again with --overwrite")
        return found

    @cached_property
    def replicates(self) -> dict[str, np.ndarray]:
        """Bootstrap replicates [rows, B] by table, in the order of its rows; empty when the run kept none."""
        counts = {"layers": len(self.layers), "pairs": len(self.pairs), "paths": len(self.paths)}
        return read_replicates(self.directory / _layout.REPLICATES, counts)

    @property
    def report(self) -> Path | None:
        """The HTML report, where it has been made."""
        path = self.directory / _layout.REPORT
        return path if path.is_file() else None

    def __repr__(self) -> str:
        labels = ", ".join(str(subject.get("label", "?")) for subject in self.subjects[:3])
        more = ", ..." if len(self.subjects) > 3 else ""
        return f"Run({str(self.directory)!r}, {self.info['command']}: {labels}{more})"

    def _repr_html_(self) -> str:
        columns = ("label", "family", "kind", "init", "n_blocks", "width", "n_parameters")
        head = "".join(f"<th>{name}</th>" for name in columns)
        cells = ([html.escape(str(subject.get(name, ""))) for name in columns] for subject in self.subjects)
        rows = "".join(f"<tr><td>{'</td><td>'.join(row)}</td></tr>" for row in cells)
        caption = html.escape(f"{self.info['command']} run in {self.directory}")
        return f"<table><caption>{caption}</caption><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def open_run(directory: str | Path) -> Run:
    """Open a finished run directory; see `Run.load` for the errors."""
    return Run.load(directory)
