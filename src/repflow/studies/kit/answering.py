"""Letting a model answer a task's prompts, and which answers are right."""

from collections.abc import Callable, Sequence

from torch import Tensor

from repflow.core import Example
from repflow.engines.features import Speak
from repflow.models import Loaded
from repflow.models.generation import cache_works, continued
from repflow.studies.kit.tasks import Assignment
from repflow.tasks import kvpr_correct, longest, mdqa_correct


def speaker(
    subject: Loaded, assignment: Assignment, examples: Sequence[Example], new_tokens: int, warn: Callable[[str], None]
) -> Speak:
    """Lets the subject answer the examples, in no more tokens than its trained positions leave."""
    most = subject.facts.max_positions
    room = new_tokens if most is None else max(1, most - longest(examples) + 1)
    if room < new_tokens:
        warn(
            f"{subject.facts.label}, {assignment.title}: answers have {room} tokens at most, {new_tokens} would go "
            f"beyond the {most} trained positions"
        )
    cached = cache_works(subject)
    if not cached:
        warn(f"{subject.facts.label}: its cache gives other answers than whole passes, which are used and slower")
    ended = ENDED[assignment.task.name]

    def speak(ids: Tensor, asked: Sequence[Example]) -> list[str]:
        return continued(
            subject,
            ids,
            new_tokens=min(new_tokens, room),
            ended=lambda row, text: ended(text, asked[row]),
            cached=cached,
        )

    return speak


def _line_ended(text: str, example: Example) -> bool:
    """What follows the first line does not count."""
    del example
    return "\n" in text


CORRECT: dict[str, Callable[[str, Example], bool]] = {"kvpr": kvpr_correct, "mdqa": mdqa_correct}
ENDED: dict[str, Callable[[str, Example], bool]] = {"kvpr": kvpr_correct, "mdqa": _line_ended}
"""From where on nothing a model says can change whether its answer is right."""
