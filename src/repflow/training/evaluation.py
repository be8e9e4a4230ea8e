"""What a model in training reads, and what is measured on it: the settings of `repflow flow`, or ready examples."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from repflow.core import BadSetting, Example, Tokenizer
from repflow.studies.kit.fields import flat
from repflow.studies.kit.settings import FlowSettings, MeasureSettings, ModelSettings, TaskSettings
from repflow.studies.kit.tasks import Assignment, assignments

Evaluated = TaskSettings | Sequence[Sequence[int]]
"""Task settings, or token ids of ready examples."""


@dataclass(frozen=True)
class ReadyTask:
    """Examples that the caller has as token ids."""

    sequences: tuple[tuple[int, ...], ...]
    units: tuple[int, ...] | None = None
    """What each is resampled with; None: each alone."""
    name: str = "ready"

    def describe(self) -> dict[str, Any]:
        """Nothing but the name; the hash of the examples says which they are."""
        return {"name": self.name}

    def build(self, tokenizer: Tokenizer, *, n: int, context: int, seed: int) -> list[Example]:
        """The first n."""
        del tokenizer, context, seed
        return [
            Example(i, ids, group=i, unit=None if self.units is None else self.units[i])
            for i, ids in enumerate(self.sequences[:n])
        ]


class NoTokenizer:
    """Stands in where ready examples come without a tokenizer: no special tokens."""

    all_special_ids: tuple[int, ...] = ()

    def get_vocab(self) -> dict[str, int]:
        return {}

    def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
        del text, add_special_tokens
        return []


def evaluation(
    labels: Sequence[str],
    task: Evaluated | None,
    measure: MeasureSettings | None,
    model: ModelSettings | None,
    units: Sequence[int] | None = None,
) -> tuple[FlowSettings, list[Assignment]]:
    """The settings as of a flow run, and its tasks. Of ready examples the last `calibration` ones calibrate.

    Raises BadSetting or UnknownName.
    """
    measure, model = measure or MeasureSettings(), model or ModelSettings()
    if measure.sites == "hf":
        raise BadSetting('sites="hf" is for figures of trained models; a model in training is read at its own sites')
    if task is None or isinstance(task, TaskSettings):
        if units is not None:
            raise BadSetting("units= is for ready examples; a task knows its own units")
        settings = FlowSettings(tuple(labels), task or TaskSettings(), measure, model)
        return settings, assignments(settings.task)
    if units is not None and len(units) != len(task):
        raise BadSetting(f"units= holds {len(units)} numbers for {len(task)} ready examples; give one each")
    ready = ReadyTask(
        tuple(tuple(int(i) for i in ids) for ids in task), None if units is None else tuple(int(i) for i in units)
    )
    if not ready.sequences or not all(ready.sequences):
        raise BadSetting("ready examples must be one or more lists of token ids, none of them empty")
    longest = max(len(ids) for ids in ready.sequences)
    wanted = max(1, len(ready.sequences) - measure.calibration)
    read = TaskSettings(task=(ready.name,), context=(max(4, longest),), examples=wanted)
    return FlowSettings(tuple(labels), read, measure, model), [Assignment(ready, longest)]


def of_one(settings: FlowSettings, label: str) -> FlowSettings:
    """The settings for one subject alone, which is compared with no other."""
    return replace(settings, subjects=(label,))


def recorded(settings: FlowSettings, **more: Any) -> dict[str, Any]:
    """What run.json keeps: the settings but those of files and sharding, and `more`."""
    return {name: v for name, v in flat(settings).items() if name not in ("out", "resume", "overwrite", "shard")} | more
