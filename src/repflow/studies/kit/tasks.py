"""From task settings to the work of a run: every task at every context."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from repflow.core import BadSetting, Example, Task, Tokenizer
from repflow.studies.kit.settings import POSITIONS, TaskSettings
from repflow.studies.kit.units import Units, units_of
from repflow.tasks import examples_sha256, make_task


@dataclass(frozen=True)
class Assignment:
    """One task at one context."""

    task: Task
    context: int

    @property
    def title(self) -> str:
        return f"{self.task.name} at {self.context:,} tokens"

    @property
    def key(self) -> str:
        return f"{self.task.name}-{self.context}"

    def build(self, tokenizer: Tokenizer, n: int, seed: int) -> list[Example]:
        return self.task.build(tokenizer, n=n, context=self.context, seed=seed)

    def facts(self, subject: str, examples: Sequence[Example], units: Units | None = None) -> dict[str, Any]:
        """What run.json keeps of the examples that one subject read; `units` where other ones are resampled."""
        lengths = [len(example.ids) for example in examples]
        return {
            "name": self.task.name,
            "context": self.context,
            "subject": subject,
            "n_examples": len(examples),
            "n_tokens": sum(lengths),
            "longest": max(lengths),
            "examples_sha256": examples_sha256(list(examples)),
            "units": (units or units_of(examples)).facts(),
            "source": self.task.describe(),
            "examples_from": dict(Counter(example.source for example in examples if example.source)),
        }


def assignments(settings: TaskSettings) -> list[Assignment]:
    """Every task at every context. Raises UnknownName or BadSetting."""
    tasks = [make_task(name, **_concerning(name, settings)) for name in settings.task]
    _refuse_idle(settings)
    return [Assignment(task, context) for task in tasks for context in settings.context]


def _concerning(name: str, settings: TaskSettings) -> dict[str, Any]:
    """The settings that a task takes."""
    if name == "text":
        return {"text": settings.text, "pack": settings.pack, "column": settings.column, "bos": settings.bos}
    retrieval = {"data": settings.data, "positions": settings.positions, "items": settings.items}
    retrieval |= {"bos": settings.bos}
    if name != "kvpr":
        return retrieval
    return retrieval | {"keys": settings.keys, "smallest": min(settings.context)}


def _refuse_idle(settings: TaskSettings) -> None:
    """A setting that no task of the run reads is a mistake."""
    tasks = set(settings.task)
    if settings.text and "text" not in tasks:
        raise BadSetting(f"--text is for the task text, the run has {', '.join(settings.task)}; use --data")
    if settings.data is not None and not tasks & {"kvpr", "mdqa"}:
        raise BadSetting("--data is for kvpr and mdqa; name text files with --text")
    if settings.data is not None and {"kvpr", "mdqa"} <= tasks:
        raise BadSetting("--data holds pairs or questions, not both; run kvpr and mdqa apart")
    if settings.positions != POSITIONS and not tasks & {"kvpr", "mdqa"}:
        raise BadSetting("--positions is for kvpr and mdqa; text has no gold")
    if settings.items is not None and not tasks & {"kvpr", "mdqa"}:
        raise BadSetting("--items is for kvpr and mdqa; text has neither pairs nor documents")
    if (not settings.pack or settings.column is not None) and "text" not in tasks:
        raise BadSetting("--no-pack and --column are for the task text")
    if settings.column is not None and not settings.text:
        raise BadSetting(f"--column {settings.column} needs --text: the built-in texts have no columns")
    if settings.keys != "auto" and "kvpr" not in tasks:
        raise BadSetting(f"--keys is for the task kvpr, the run has {', '.join(settings.task)}")
