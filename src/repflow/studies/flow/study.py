"""flow, as the rest of repflow meets it."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, ClassVar

from repflow.studies.flow.rows import TokenRow
from repflow.studies.kit.study import Answer, Shown, Study

if TYPE_CHECKING:
    from rich.console import Console

    from repflow.drawing.multiples import Multiples
    from repflow.drawing.panel import Section
    from repflow.drawing.plotly import Figure
    from repflow.drawing.source import Rows, RunLike, Source
    from repflow.engines import Progress
    from repflow.store import Run
    from repflow.studies.flow.texts import Texts
    from repflow.studies.kit.settings import FlowSettings


class Flow(Study):
    """Every metric at every site: the rows that other studies write too."""

    name = "flow"
    heading = "What {subjects} do, block by block"
    common = True
    series = True
    tables: ClassVar[Mapping[str, type]] = {"tokens": TokenRow}
    told = frozenset(
        (
            "early_homogenisation", "late_saturation", "norm_artefact", "sink_dominated", "shared_offset",
            "rogue_features", "redundant_blocks", "most_alike", "not_told",
        )
    )  # fmt: skip
    purpose = "measure how representations flow through the depth of models"

    def settings(self) -> "type[FlowSettings]":
        from repflow.studies.kit.settings import FlowSettings

        return FlowSettings

    def run(self, settings: "FlowSettings", progress: "Progress | None" = None) -> "Run":
        from repflow.studies.flow.run import run_flow

        return run_flow(settings, progress)

    def read(self, run: "RunLike", rows: "Rows") -> "Texts | None":
        from repflow.studies.flow.texts import read_texts

        return read_texts(run)

    def answers(self, source: "Source") -> "list[Answer]":
        from repflow.studies.flow.answers import answers

        return answers(source)

    def overview(self, source: "Source") -> "list[Multiples]":
        from repflow.studies.flow.overview import overview

        return overview(source)

    def sections(self, source: "Source") -> "list[Section]":
        from repflow.studies.flow.page import sections

        return sections(source)

    def methods(self, source: "Source") -> str:
        from repflow.studies.flow.page import METHODS

        return METHODS if source.scenes else ""

    def show(self, run: "Run", shown: Shown, out: "Console") -> None:
        from repflow.studies.flow.show import print_flow

        print_flow(run, shown, out)

    def plots(self) -> "Mapping[str, Callable[..., Figure]]":
        from repflow.studies.flow.plots import PLOTS

        return PLOTS
