"""ablate, as the rest of repflow meets it."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from repflow.studies.ablate.rows import AblationRow
from repflow.studies.kit.study import Answer, Shown, Study

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from repflow.drawing.panel import Section
    from repflow.drawing.source import Rows, RunLike, Source
    from repflow.engines import Progress
    from repflow.store import Run
    from repflow.studies.ablate.settings import AblateSettings


class Ablate(Study):
    """Changes inside a model, one at a time, and what they do."""

    name = "ablate"
    question = 3
    heading = "What {subjects} do without a part"
    purpose = "measure what a change inside a model does to its flow, its loss and its answers"
    tables: ClassVar[Mapping[str, type]] = {"ablations": AblationRow}

    def settings(self) -> "type[AblateSettings]":
        from repflow.studies.ablate.settings import AblateSettings

        return AblateSettings

    def run(self, settings: "AblateSettings", progress: "Progress | None" = None) -> "Run":
        from repflow.studies.ablate.run import run_ablate

        return run_ablate(settings, progress)

    def read(self, run: "RunLike", rows: "Rows") -> "pd.DataFrame | None":
        from repflow.studies.ablate.frames import read_ablations

        return read_ablations(run)

    def answers(self, source: "Source") -> "list[Answer]":
        from repflow.studies.ablate.answers import answers

        return answers(source)

    def sections(self, source: "Source") -> "list[Section]":
        from repflow.studies.ablate.page import sections

        return sections(source)

    def methods(self, source: "Source") -> str:
        from repflow.studies.ablate.page import METHODS

        return METHODS if self.name in source.parts else ""

    def show(self, run: "Run", shown: Shown, out: "Console") -> None:
        from repflow.studies.ablate.show import print_ablations

        print_ablations(run, shown, out)
