"""What the commands, Python, the page, `repflow show` and the figures know of a study."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from rich.console import Console

    from repflow.drawing.multiples import Multiples
    from repflow.drawing.panel import Section
    from repflow.drawing.plotly import Figure
    from repflow.drawing.source import Rows, RunLike, Source
    from repflow.engines import Progress
    from repflow.store import Run


@dataclass(frozen=True)
class Shown:
    """What `repflow show` prints of: the subjects of its first table, and the tokens that count."""

    subjects: Sequence[Mapping[str, Any]]
    tokens: str | None
    names: Mapping[str, str]
    """What each subject of the run is called in the tables, by its label."""

    def name(self, label: Any) -> str:
        """What a subject is called."""
        return self.names.get(str(label), str(label))


@dataclass(frozen=True, slots=True)
class Answer:
    """A sentence for the top of the page and of `repflow show`."""

    headline: str
    """Few words."""
    evidence: str
    """One or two sentences with numbers and intervals."""
    next: str = ""
    """A command for what the run cannot tell."""
    small: str = ""
    """The fine print: kind of interval, units, trainings, what was corrected for."""
    rows: Sequence[Mapping[str, Any]] = ()
    """The keys of the rows behind it."""


class Study:
    """A study. Its heavy parts load when they are asked for: neither torch nor plotly comes with the class."""

    name: ClassVar[str]
    """The command, the function in Python, and the key of the study's part of a `Source`."""
    purpose: ClassVar[str] = ""
    """What `repflow --help` says; empty for a study that has no command of its own."""
    tables: ClassVar[Mapping[str, type]] = {}
    """The tables it writes beside those of every run, and what a row of each is."""
    common: ClassVar[bool] = False
    """Whether every run has its rows; the page shows these below what other studies add."""
    alone: ClassVar[bool] = False
    """Whether `repflow show` prints this study's tables alone of a run of it, for its subjects are many."""
    series: ClassVar[bool] = False
    """Whether its subjects can be measured as the steps of one training."""
    plans: ClassVar[bool] = False
    """Whether it can say what a run takes before it is made."""
    question: ClassVar[int] = 0
    """The place of its answer among those a reader looks for in any run."""
    told: ClassVar[frozenset[str]] = frozenset()
    """The ids of findings that its own section and table tell already."""
    heading: ClassVar[str] = "What {subjects} do"
    """The title of a page of its runs; `{subjects}` is their name, or how many there are."""
    naming: ClassVar[str] = (
        "Models, named before the options: hub id, local directory, file.gguf, zoo:NAME or "
        "config:FAMILY[,key=value]..., each with @init=SCHEME[:SEED] if its weights are to be drawn anew, and"
        " @ablate=NAME[:VALUE][,BLOCKS] if a part of it is to be changed."
    )
    """How its command's subjects are named."""

    def settings(self) -> type[Any]:
        """The settings class: subjects, and sections of settings."""
        raise NotImplementedError(f"{self.name} has no command")

    def run(self, settings: Any, progress: "Progress | None" = None) -> "Run":
        """Measure, write the run directory and open it."""
        raise NotImplementedError(f"{self.name} has no command")

    def plan(self, settings: Any, progress: "Progress") -> str:
        """What a run of these settings takes: time, memory, disk, downloads, in lines for people."""
        del settings, progress
        raise NotImplementedError(f"{self.name} has no plan")

    def read(self, run: "RunLike", rows: "Rows") -> Any:
        """What a page needs of a run besides the rows of every run; None where the study has nothing in it."""
        del run, rows

    def answers(self, source: "Source") -> "Sequence[Answer]":
        """What the run says, made from its rows, before any figure."""
        del source
        return ()

    def overview(self, source: "Source") -> "Sequence[Multiples]":
        """Its rows of the page's overview: a quantity each, drawn small for every subject."""
        del source
        return ()

    def sections(self, source: "Source") -> "Sequence[Section]":
        """The study's part of the page."""
        del source
        return ()

    def methods(self, source: "Source") -> str:
        """How it was measured, as HTML for the end of the page."""
        del source
        return ""

    def show(self, run: "Run", shown: Shown, out: "Console") -> None:
        """Print its tables."""

    def plots(self) -> "Mapping[str, Callable[..., Figure]]":
        """Figures for notebooks by name; each takes the `Source` and choices by keyword."""
        return {}

    def files(self, source: "Source") -> Mapping[str, str]:
        """Tables for papers: texts by the names of their files."""
        del source
        return {}
