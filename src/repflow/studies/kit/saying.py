"""What the sentences of all studies share: how many subjects are told of, the commands to type, and the last word."""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from repflow.core import ROUGH_UNITS
from repflow.drawing.labels import estimate, joined
from repflow.drawing.source import Scene, Source, Subject
from repflow.studies.kit.study import Answer

FEW = 4
"""As many subjects are told of one by one; of more by kind, the lowest and the highest."""
CARE = "What these sentences do not say"
"""The headline of a study's last answer; those of all studies are made one."""
LAST_LEFT_OUT = "residual_scaled:0,block.-1"
"""The change under which the last block does nothing."""
BY_SPEC = frozenset(("flow", "probe", "ablate", "attribute", "dynamics", "paper"))
"""Commands whose subjects are named as another command takes them; a model in a loop has a name only."""
PLURALS = {
    "TBM": "Transformers",
    "SSM": "state-space models",
    "linear attention": "linear-attention models",
    "convolution": "convolutional models",
    "recurrent": "recurrent models",
    "hybrid": "hybrids",
}
_TASK = ("text", "column", "data", "items", "keys", "positions", "pack", "bos", "examples")
"""Settings of the task that another command takes too."""


@dataclass(frozen=True)
class Value:
    """One number of one subject, as it is told."""

    subject: Subject
    value: float
    text: str
    interval: str = ""
    where: str = ""

    @classmethod
    def of(cls, subject: Subject, value: float, low: float, high: float, where: str = "") -> "Value":
        text, limits = map(signed, estimate(value, low, high))
        return cls(subject, value, text, limits, where)

    @property
    def told(self) -> str:
        return f"{self.text} {self.where}".strip()


def spread(values: Sequence[Value]) -> tuple[str, str]:
    """The values of all subjects as a sentence's middle, and the intervals of those that it names.

    Up to four subjects are told one by one; of more, by kind, the number of models, the lowest and the highest.
    """
    if len(values) <= FEW:
        told = joined(f"{each.subject.short} {each.told}" for each in values)
        named = list(values)
    else:
        groups = [_group([v for v in values if v.subject.kind == kind]) for kind in _kinds(values)]
        told = "; ".join(said for said, _ in groups)
        named = [each for _, those in groups for each in those]
    limits = ", ".join(f"{each.subject.short} {each.interval}" for each in named if each.interval)
    return told, f"95% intervals: {limits}" if limits else ""


def _kinds(values: Sequence[Value]) -> list[str]:
    return list(dict.fromkeys(each.subject.kind for each in values))


def _group(values: Sequence[Value]) -> tuple[str, list[Value]]:
    """The extremes of one kind."""
    if len(values) == 1:
        return f"{values[0].subject.short} {values[0].told}", list(values)
    low, high = min(values, key=lambda v: v.value), max(values, key=lambda v: v.value)
    name = f"{len(values)} {plural(values[0].subject.kind)}"
    if low.told == high.told:
        return f"{name} {low.told}", [low]
    return f"{name} from {low.told} ({low.subject.short}) to {high.told} ({high.subject.short})", [low, high]


def plural(kind: str) -> str:
    """`Transformers`, `hybrids`; `models` for a kind without a name."""
    return PLURALS.get(kind, "models")


def names(subjects: Iterable[Subject], of: int = 0) -> str:
    """Up to four subjects by name; of more the number, of how many, and the first three."""
    shorts = [each.short for each in subjects]
    if len(shorts) <= FEW:
        return joined(shorts)
    among = f"{len(shorts)} of {of} models" if of else f"{len(shorts)} models"
    return f"{among} ({', '.join(shorts[:3])} and {len(shorts) - 3} more)"


def scene_of(source: Source) -> Scene | None:
    """The first task and context of a run, which the sentences are of."""
    if source.scenes:
        return source.scenes[0]
    for task in source.info.get("tasks") or ():
        if isinstance(task, Mapping) and isinstance(task.get("context"), int):
            return Scene(str(task.get("name")), int(task["context"]))
    return None


def commanded(source: Source) -> bool:
    """Whether the run's subjects can be named to another command."""
    return source.info.get("command") in BY_SPEC and bool(source.subjects)


def command(source: Source, verb: str, subjects: Sequence[Subject], *options: str, task: bool = True) -> str:
    """A command on subjects of the run, on what the run read; "" for a run whose subjects have no specs."""
    if not commanded(source) or not subjects:
        return ""
    read = _task_options(source, set(options)) if task else []
    if verb == "probe":
        options = (*_fewer_positions(read), *options)
    return shlex.join(["repflow", verb, *(subject.label for subject in subjects), *read, *options])


def _task_options(source: Source, without: set[str]) -> list[str]:
    """How the run's first task was named on its command line, as far as that is not the usual way.

    A number of examples that makes rough intervals is not asked for again.
    """
    from repflow.studies.kit.settings import TaskSettings

    scene, settings = scene_of(source), source.info.get("settings")
    usual: dict[str, Any] = {field.name: field.default for field in fields(TaskSettings)}
    given = {str(k): v for k, v in settings.items()} if isinstance(settings, Mapping) else dict[str, Any]()
    options: list[str] = []
    if scene is not None:
        options += [] if (scene.task,) == usual["task"] else ["--task", scene.task]
        options += [] if (scene.context,) == usual["context"] else ["--context", str(scene.context)]
    for name in (name for name in _TASK if f"--{name}" not in without):
        value: Any = given.get(name, usual[name])
        value = tuple[Any, ...](value) if isinstance(value, list) else value
        rough = name == "examples" and isinstance(value, int) and value < ROUGH_UNITS
        if value is not None and value != usual[name] and not rough:
            options += _option(name, value)
    return options


def _fewer_positions(read: Sequence[str]) -> list[str]:
    """Prompts of few items have as few places for the gold, which probes tell apart."""
    from repflow.studies.kit.settings import POSITIONS

    items = int(read[read.index("--items") + 1]) if "--items" in read else POSITIONS
    return [] if "--positions" in read or items >= POSITIONS else ["--positions", str(items)]


def _option(name: str, value: Any) -> list[str]:
    if isinstance(value, bool):
        return [f"--{name}" if value else f"--no-{name}"]
    return [f"--{name}", *map(str, value)] if isinstance(value, tuple) else [f"--{name}", str(value)]


def trained(subjects: Iterable[Subject]) -> list[Subject]:
    """Those that came trained, whose weights can be drawn anew."""
    return [subject for subject in subjects if subject.facts.get("init") == "trained"]


def few(subjects: Sequence[Subject]) -> list[Subject]:
    """All of up to four subjects; of more the first of each kind, a trained one where there is one."""
    if len(subjects) <= FEW:
        return list(subjects)
    first = dict[str, Subject]()
    for subject in [*trained(subjects), *subjects]:
        first.setdefault(subject.kind, subject)
    return list(first.values())


def blocks_of(subject: Subject) -> int | None:
    """How many blocks a subject has; None where the run does not say."""
    found = subject.facts.get("n_blocks")
    return found if isinstance(found, int) and found > 0 else None


def key(table: str, row: Mapping[Any, Any], columns: Iterable[str]) -> dict[str, Any]:
    """The key of a row of a table, as plain values."""
    plain = ((name, row[name]) for name in columns)
    return {"table": table, **{name: value.item() if hasattr(value, "item") else value for name, value in plain}}


def signed(text: str) -> str:
    """A number as text with a minus sign that is one."""
    return text.replace("-", "−")


def capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def care(text: str) -> Answer:
    """What to be careful about: a study's last answer."""
    return Answer(CARE, text)
