"""What is looked for in a task's prompts, and where, as far as the prompts have it."""

from collections.abc import Sequence

from repflow.core import BadSetting, Example
from repflow.core.places import ASK, Place
from repflow.models import Loaded
from repflow.models.embeddings import embedding_of
from repflow.studies.kit.tasks import Assignment
from repflow.studies.probe.settings import ProbeSettings
from repflow.studies.probe.verdicts import TARGETS
from repflow.tasks import Choices, choices_of


def choices_in(examples: Sequence[Example], subject: Loaded, settings: ProbeSettings) -> tuple[Choices, ...]:
    """Of all examples, or of none."""
    found = [choices_of(subject.tokenizer, example, bos=settings.task.bos) for example in examples]
    known = tuple(each for each in found if each is not None)
    return known if len(known) == len(found) else ()


def targets_of(
    assignment: Assignment, choices: tuple[Choices, ...], subject: Loaded, settings: ProbeSettings
) -> tuple[str, ...]:
    """What is asked for, or all there is. Raises BadSetting for values that cannot be told apart."""
    wanted = settings.probing.target
    if "value" in wanted and not choices:
        raise BadSetting(
            f"{assignment.title}: --target value needs values of different first tokens in every prompt; "
            "use --target position"
        )
    if wanted:
        return tuple(target for target in TARGETS if target in wanted)
    return TARGETS if choices and embedding_of(subject.model) is not None else TARGETS[:1]


def places_of(places: Sequence[Place], examples: Sequence[Example], choices: tuple[Choices, ...]) -> tuple[Place, ...]:
    """Where `ask` is the last token it is not read a second time."""
    same = all(c.asked == e.ids for c, e in zip(choices, examples, strict=True)) if choices else True
    if same and any(place.name == "last" for place in places):
        return tuple(place for place in places if place.name != ASK)
    return tuple(places)
