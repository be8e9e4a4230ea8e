"""Models in training, step by step, as the rest of repflow meets them: no command, for trainings write these runs."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from repflow.studies.kit.study import Shown, Study

if TYPE_CHECKING:
    from rich.console import Console

    from repflow.drawing.panel import Section
    from repflow.drawing.plotly import Figure
    from repflow.drawing.source import Rows, RunLike, Source
    from repflow.store import Run
    from repflow.studies.steps.axis import Training


class Steps(Study):
    """The course of a training."""

    name = "steps"
    heading = "How {subjects} came to this in training"

    def read(self, run: "RunLike", rows: "Rows") -> "Training | None":
        from repflow.studies.steps.axis import read_training

        return read_training(run, rows)

    def sections(self, source: "Source") -> "list[Section]":
        from repflow.studies.steps.page import sections

        return sections(source)

    def show(self, run: "Run", shown: Shown, out: "Console") -> None:
        from repflow.studies.steps.show import print_training

        print_training(run, shown, out)

    def plots(self) -> "Mapping[str, Callable[..., Figure]]":
        from repflow.studies.steps.plots import training, training_map

        return {"training": training, "training_map": training_map}
