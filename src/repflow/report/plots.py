"""`run.plot`: every figure of the report by name, for notebooks."""

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from repflow.core import UnknownName, unknown

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from repflow.drawing.plotly import Figure


class Plots:
    """Plotly figures of one run: `run.plot.cka("zoo:mamba-tiny", tokens="all")`.

    Without arguments a figure shows the run's first task, context, variant and policy. `dir(run.plot)` lists them, and
    `help(run.plot.cka)` says what one takes.
    """

    def __init__(self, run: Any) -> None:
        """`run`: anything `write_report` takes. Nothing is read before the first figure."""
        self._run = run

    def __getattr__(self, name: str) -> "Callable[..., go.Figure]":
        """Raises UnknownName, an AttributeError too, for a figure that there is not."""
        if name.startswith("_"):
            raise AttributeError(name)
        known = _known()
        if name not in known:
            raise _NoFigure(str(unknown("figure", name, known)))
        draw = known[name]

        @functools.wraps(draw)
        def drawn(*args: Any, **choice: Any) -> "go.Figure":
            from repflow.report.reading import read

            return _drawn(draw(read(self._run, variants=True), *args, **choice))

        return drawn

    def __dir__(self) -> list[str]:
        return sorted(_known())


class _NoFigure(UnknownName, AttributeError):
    """No figure is called so."""


def _known() -> "dict[str, Callable[..., Figure]]":
    from repflow.studies.catalogue import STUDIES

    return {name: draw for study in STUDIES for name, draw in study.plots().items()}


def _drawn(spec: "Figure") -> "go.Figure":
    """The figure for a notebook, without plotly's own template."""
    import plotly.graph_objects as go

    layout = {**spec["layout"], "template": go.layout.Template()}
    return go.Figure(data=spec["data"], layout=layout)
