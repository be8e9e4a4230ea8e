"""`run.plot`: every figure of the report by name, for notebooks."""

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from repflow.core import UnknownName, unknown
from repflow.drawing.plotly import with_legend

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from repflow.drawing.plotly import Figure
    from repflow.drawing.source import Source


class Plots:
    """Plotly figures of one run: `run.plot.cka("zoo:mamba-tiny", tokens="all")`.

    Without arguments a figure shows the run's first task, context, variant and policy. `dir(run.plot)` lists them, and
    `help(run.plot.cka)` says what one takes. Every other panel of the page is there by its name too, as the files of
    `write_figures` have it: `run.plot.ablation_blocks(variant=..., tokens=..., of="mamba-tiny")`.
    """

    def __init__(self, run: Any) -> None:
        """`run`: anything `write_report` takes. Nothing is read before the first figure."""
        self._run = run

    def __getattr__(self, name: str) -> "Callable[..., go.Figure]":
        """Raises UnknownName, an AttributeError too, for a figure that there is not."""
        if name.startswith("_"):
            raise AttributeError(name)
        draw = _known().get(name) or functools.partial(_panel, name)

        @functools.wraps(draw)
        def drawn(*args: Any, **choice: Any) -> "go.Figure":
            return _drawn(draw(self._source, *args, **choice))

        return drawn

    def __dir__(self) -> list[str]:
        from repflow.report.files import panel_names
        from repflow.report.reading import read

        return sorted({*_known(), *panel_names(read(self._run))})

    @functools.cached_property
    def _source(self) -> "Source":
        """Read once for all figures."""
        from repflow.report.reading import read

        return read(self._run, variants=True)


class NoFigure(UnknownName, AttributeError):
    """No figure is called so."""


def _panel(
    name: str, source: "Source", *, variant: str | None = None, tokens: str | None = None, of: str | None = None
) -> "Figure":
    """A panel of the page under a variant and token policy; `of` is the caption of one of its figures."""
    from repflow.report.files import Wanted, figures_of, panel_names

    try:
        found = {each.cell.caption: each.spec for each in figures_of(source, Wanted(name, variant, tokens))}
    except UnknownName:
        # Drawn again only to say which there are: a page of many panels takes its time.
        known = {*_known(), *panel_names(source)}
        if name in known:
            raise
        raise NoFigure(str(unknown("figure", name, known))) from None
    if of is not None and of not in found:
        raise unknown("figure of", of, found)
    spec = next(iter(found.values())) if of is None else found[of]
    return spec if spec["layout"]["showlegend"] else with_legend(spec)


def _known() -> "dict[str, Callable[..., Figure]]":
    from repflow.studies import catalogue

    return {name: draw for study in catalogue.STUDIES for name, draw in study.plots().items()}


def _drawn(spec: "Figure") -> "go.Figure":
    """The figure for a notebook, without plotly's own template."""
    import plotly.graph_objects as go

    layout = {**spec["layout"], "template": go.layout.Template()}
    return go.Figure(data=spec["data"], layout=layout)
