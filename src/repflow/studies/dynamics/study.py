"""dynamics, as the rest of repflow meets it."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, ClassVar

from repflow.studies.dynamics.rows import BoundRow, InfluenceRow, RecencyRow, TransitionRow
from repflow.studies.kit.study import Answer, Shown, Study

if TYPE_CHECKING:
    from rich.console import Console

    from repflow.drawing.panel import Section
    from repflow.drawing.plotly import Figure
    from repflow.drawing.source import Rows, RunLike, Source
    from repflow.engines import Progress
    from repflow.store import Run
    from repflow.studies.dynamics.frames import Dynamics as Frames
    from repflow.studies.dynamics.settings import DynamicsSettings


class Dynamics(Study):
    """How state-space blocks forget, how far influence reaches, and the bounds beside both."""

    name = "dynamics"
    question = 4
    heading = "How far back {subjects} remember"
    purpose = "measure how fast state-space blocks forget, and how far back influence reaches"
    tables: ClassVar[Mapping[str, type]] = {
        "bounds": BoundRow,
        "influence": InfluenceRow,
        "recency": RecencyRow,
        "transitions": TransitionRow,
    }

    def settings(self) -> "type[DynamicsSettings]":
        from repflow.studies.dynamics.settings import DynamicsSettings

        return DynamicsSettings

    def run(self, settings: "DynamicsSettings", progress: "Progress | None" = None) -> "Run":
        from repflow.studies.dynamics.run import run_dynamics

        return run_dynamics(settings, progress)

    def read(self, run: "RunLike", rows: "Rows") -> "Frames | None":
        from repflow.studies.dynamics.frames import read_dynamics

        return read_dynamics(run)

    def answers(self, source: "Source") -> "list[Answer]":
        from repflow.studies.dynamics.answers import answers

        return answers(source)

    def sections(self, source: "Source") -> "list[Section]":
        from repflow.studies.dynamics.page import sections

        return sections(source)

    def methods(self, source: "Source") -> str:
        from repflow.studies.dynamics.page import METHODS

        return METHODS if self.name in source.parts else ""

    def show(self, run: "Run", shown: Shown, out: "Console") -> None:
        from repflow.studies.dynamics.show import print_dynamics

        print_dynamics(run, shown, out)

    def plots(self) -> "Mapping[str, Callable[..., Figure]]":
        from repflow.studies.dynamics.plots import influence

        return {"influence": influence}
