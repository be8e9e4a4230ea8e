"""A run as its users meet it: tables, facts and figures."""

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from repflow.store import Run as StoredRun
from repflow.studies.catalogue import tables

if TYPE_CHECKING:
    import pandas as pd

    from repflow.report import Plots


class Run(StoredRun):
    """A finished run: `.layers`, `.pairs`, `.paths` as pandas frames, `.info`, `.findings`, and `.plot.<figure>()`."""

    @classmethod
    def of(cls, run: StoredRun) -> Self:
        """The same run as a study returned it."""
        return cls(run.directory, run.info)

    def table(self, name: str, row_type: type | None = None) -> "pd.DataFrame":
        """Any table the study wrote, by its name; empty when it wrote none of that name."""
        return super().table(name, row_type or tables().get(name))

    @cached_property
    def probes(self) -> "pd.DataFrame":
        """One probed site a row; columns as in `ProbeRow`. Empty when the study trained no probes."""
        return self.table("probes")

    @cached_property
    def plot(self) -> "Plots":
        """The report's figures, one method each, as plotly figures."""
        from repflow.report import Plots

        return Plots(self)

    def _repr_html_(self) -> str:
        """What `repflow show` prints, for notebooks."""
        from repflow.report.show import summary_html

        return summary_html(self)

    def write_report(self) -> Path:
        """Write `report.html` into the run directory, one file that opens offline; returns its path."""
        from repflow.report import write_report

        return write_report(self)

    def write_figures(self, formats: tuple[str, ...] = ("pdf", "png"), **wanted: Any) -> list[Path]:
        """Write figures for papers to `figures/` in the run directory; see `repflow.report.write_figures`."""
        from repflow.report import write_figures

        return write_figures(self, formats, **wanted)
