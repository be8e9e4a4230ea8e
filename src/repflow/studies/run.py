"""A run as its users meet it: tables, facts and figures."""

from functools import cached_property
from typing import TYPE_CHECKING

from repflow.store import Run as StoredRun

if TYPE_CHECKING:
    from repflow.report import Plots


class Run(StoredRun):
    """A finished run: `.layers`, `.pairs`, `.paths` as pandas frames, `.info`, `.findings`, and `.plot.<figure>()`."""

    @cached_property
    def plot(self) -> "Plots":
        """The report's figures, one method each, as plotly figures."""
        from repflow.report import Plots

        return Plots(self)
