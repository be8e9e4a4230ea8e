"""attribute, as the rest of repflow meets it."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, ClassVar

from repflow.studies.attribute.rows import SchemeRow, ShareRow
from repflow.studies.kit.study import Answer, Shown, Study

if TYPE_CHECKING:
    from rich.console import Console

    from repflow.drawing.panel import Section
    from repflow.drawing.plotly import Figure
    from repflow.drawing.source import Rows, RunLike, Source
    from repflow.engines import Progress
    from repflow.store import Run
    from repflow.studies.attribute.frames import Attribution
    from repflow.studies.attribute.settings import AttributeSettings


class Attribute(Study):
    """Trained weights beside weights drawn anew."""

    name = "attribute"
    question = 1
    heading = "Architecture or training: {subjects}"
    purpose = "say whether tokens are alike by architecture or by training"
    tables: ClassVar[Mapping[str, type]] = {"schemes": SchemeRow, "shares": ShareRow}
    told = frozenset({"attribution"})
    naming = (
        "Models, named before the options: hub id, local directory, file.gguf, zoo:NAME or "
        "config:FAMILY[,key=value]..., without @init; @ablate=NAME[:VALUE][,BLOCKS] changes a part of it, "
        "trained and drawn."
    )

    def settings(self) -> "type[AttributeSettings]":
        from repflow.studies.attribute.settings import AttributeSettings

        return AttributeSettings

    def run(self, settings: "AttributeSettings", progress: "Progress | None" = None) -> "Run":
        from repflow.studies.attribute.run import run_attribute

        return run_attribute(settings, progress)

    def read(self, run: "RunLike", rows: "Rows") -> "Attribution | None":
        from repflow.studies.attribute.frames import read_attribution

        return read_attribution(run)

    def answers(self, source: "Source") -> "list[Answer]":
        from repflow.studies.attribute.answers import answers

        return answers(source)

    def sections(self, source: "Source") -> "list[Section]":
        from repflow.studies.attribute.page import sections

        return sections(source)

    def methods(self, source: "Source") -> str:
        from repflow.studies.attribute.page import METHODS

        return METHODS if self.name in source.parts else ""

    def show(self, run: "Run", shown: Shown, out: "Console") -> None:
        from repflow.studies.attribute.show import print_shares

        print_shares(run, shown, out)

    def plots(self) -> "Mapping[str, Callable[..., Figure]]":
        from repflow.studies.attribute.plots import attribution

        return {"attribution": attribution}

    def files(self, source: "Source") -> Mapping[str, str]:
        from repflow.studies.attribute.papers import attribution_files

        return attribution_files(source)
