"""paper, as the rest of repflow meets it."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from repflow.studies.kit.study import Answer, Shown, Study
from repflow.studies.paper.rows import ClaimRow

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from repflow.drawing.panel import Section
    from repflow.drawing.source import Rows, RunLike, Source
    from repflow.engines import Progress
    from repflow.store import Run
    from repflow.studies.paper.settings import PaperSettings


class Paper(Study):
    """The whole study of the paper on any models, and which of its claims hold for them."""

    name = "paper"
    heading = "The paper's claims on {subjects}"
    plans = True
    naming = (
        "Models, named before the options: hub id, local directory, file.gguf, zoo:NAME or "
        "config:FAMILY[,key=value]...; their weights are drawn anew by the study itself."
    )
    purpose = "make the whole study of the paper on any models, and say which of its claims hold"
    told = frozenset({"claim"})
    tables: ClassVar[Mapping[str, type]] = {"claims": ClaimRow}

    def settings(self) -> "type[PaperSettings]":
        from repflow.studies.paper.settings import PaperSettings

        return PaperSettings

    def run(self, settings: "PaperSettings", progress: "Progress | None" = None) -> "Run":
        from repflow.studies.paper.run import run_paper

        return run_paper(settings, progress)

    def plan(self, settings: "PaperSettings", progress: "Progress") -> str:
        from repflow.studies.paper.plan import plan_paper

        return plan_paper(settings, progress)

    def read(self, run: "RunLike", rows: "Rows") -> "pd.DataFrame | None":
        from repflow.studies.paper.frames import read_claims

        return read_claims(run)

    def answers(self, source: "Source") -> "list[Answer]":
        from repflow.studies.paper.answers import answers

        return answers(source)

    def sections(self, source: "Source") -> "list[Section]":
        from repflow.studies.paper.page import sections

        return sections(source)

    def methods(self, source: "Source") -> str:
        from repflow.studies.paper.page import METHODS

        return METHODS if self.name in source.parts else ""

    def show(self, run: "Run", shown: Shown, out: "Console") -> None:
        from repflow.studies.paper.show import print_claims

        print_claims(run, shown, out)

    def files(self, source: "Source") -> Mapping[str, str]:
        from repflow.studies.paper.papers import claims_files

        return claims_files(source)
