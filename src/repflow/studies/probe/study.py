"""probe, as the rest of repflow meets it."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, ClassVar

from repflow.studies.kit.study import Answer, Shown, Study
from repflow.studies.probe.rows import AnswerRow, ProbeClassRow, ProbeRow, ProbeSummaryRow, TellingRow

if TYPE_CHECKING:
    from rich.console import Console

    from repflow.drawing.multiples import Multiples
    from repflow.drawing.panel import Section
    from repflow.drawing.plotly import Figure
    from repflow.drawing.source import Rows, RunLike, Source
    from repflow.engines import Progress
    from repflow.store import Run
    from repflow.studies.probe.frames import Probes
    from repflow.studies.probe.settings import ProbeSettings


class Probe(Study):
    """Linear probes on every site, beside controls and the model's own answers."""

    name = "probe"
    question = 2
    heading = "What can be read in {subjects}"
    purpose = "find where in depth a task's answer is linearly readable, and whether it is said"
    tables: ClassVar[Mapping[str, type]] = {
        "answers": AnswerRow,
        "probe_classes": ProbeClassRow,
        "probe_summary": ProbeSummaryRow,
        "probes": ProbeRow,
        "telling": TellingRow,
    }
    told = frozenset({"probe_depth"})

    def settings(self) -> "type[ProbeSettings]":
        from repflow.studies.probe.settings import ProbeSettings

        return ProbeSettings

    def run(self, settings: "ProbeSettings", progress: "Progress | None" = None) -> "Run":
        from repflow.studies.probe.run import run_probe

        return run_probe(settings, progress)

    def read(self, run: "RunLike", rows: "Rows") -> "Probes | None":
        from repflow.studies.probe.frames import read_probes

        return read_probes(run)

    def answers(self, source: "Source") -> "list[Answer]":
        from repflow.studies.probe.told import answers

        return answers(source)

    def overview(self, source: "Source") -> "list[Multiples]":
        from repflow.studies.probe.overview import overview

        return overview(source)

    def sections(self, source: "Source") -> "list[Section]":
        from repflow.studies.probe.page import sections

        return sections(source)

    def methods(self, source: "Source") -> str:
        from repflow.studies.probe.page import METHODS

        return METHODS if self.name in source.parts else ""

    def show(self, run: "Run", shown: Shown, out: "Console") -> None:
        from repflow.studies.probe.show import print_probes

        print_probes(run, shown, out)

    def plots(self) -> "Mapping[str, Callable[..., Figure]]":
        from repflow.studies.probe.plots import probes

        return {"probes": probes}

    def files(self, source: "Source") -> Mapping[str, str]:
        from repflow.studies.probe.table import table_files

        return table_files(source)
