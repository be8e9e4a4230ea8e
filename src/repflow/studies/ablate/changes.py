"""The changes an ablation run makes: as they are written, one block at a time, and which of them a model can have."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from repflow.core import BadSetting, CallerError
from repflow.models import Ablation
from repflow.models.interventions.grammar import RULES, read_order

if TYPE_CHECKING:
    from repflow.models import Loaded

ALL = "all"


@dataclass(frozen=True)
class Change:
    """One or more interventions made at once."""

    ablations: tuple[Ablation, ...]

    @property
    def text(self) -> str:
        """As on the command line."""
        return "+".join(map(str, self.ablations))

    @property
    def what(self) -> str:
        """Names and values, without where."""
        named = ((each.name, _parts(each)[0]) for each in self.ablations)
        return "+".join(f"{name}:{value}" if value else name for name, value in named)

    @property
    def blocks(self) -> str:
        """`all`, or where as it is written; joined by + where the interventions differ in it."""
        places = dict.fromkeys(_parts(each)[1] or ALL for each in self.ablations)
        return "+".join(places)

    def at(self, where: str) -> "Change":
        """The same in some blocks only."""
        values = [_parts(each)[0] for each in self.ablations]
        arguments = [",".join(filter(None, (value, where))) for value in values]
        return Change(
            tuple(Ablation(each.name, argument) for each, argument in zip(self.ablations, arguments, strict=True))
        )


def parse_change(text: str) -> Change:
    """Reads NAME[:VALUE][,BLOCKS]... joined by +. Raises BadSetting, BadSpec, or UnknownName for a name."""
    found: list[Ablation] = []
    for item in text.split("+"):
        name, colon, argument = item.strip().partition(":")
        if not name:
            raise BadSetting(f"--what {text!r} cannot be read; write NAME[:VALUE][,BLOCKS], several joined by +")
        found.append(Ablation(name, argument if colon else None))
        read_order(found[-1])
    return Change(tuple(found))


def refuse_placed(changes: Sequence[Change]) -> None:
    """Raises BadSetting for a change that says where it is made."""
    for change in changes:
        if any(_parts(each)[1] for each in change.ablations):
            raise BadSetting(f"--each-block says where {change.text} is made; name the change without its blocks")


@dataclass(frozen=True)
class Changes:
    """What of the changes asked for a subject can have."""

    made: tuple[Change, ...]
    refused: Mapping[Change, CallerError]
    """The others, as they were asked for, and why."""


def changes_for(subject: "Loaded", named: Sequence[Change], each_block: bool) -> Changes:
    """The changes to make in a loaded subject: those named, or all it can have; perhaps one block at a time.

    Each is made and undone at once, without a forward pass. Of those made block by block one is refused only where no
    block can have it. Raises BadSetting for a subject that can have none of the interventions there are.
    """
    from repflow.models import possible

    wanted = named or [Change((Ablation(name, RULES[name].example or None),)) for name in possible(subject)]
    if not wanted:
        raise BadSetting(f"{subject.facts.label} can have none of the interventions")
    made: list[Change] = []
    refused: dict[Change, CallerError] = {}
    for change in wanted:
        try:
            made += _by_block(subject, change) if each_block else _tried(subject, change)
        except CallerError as error:
            refused[change] = error
    return Changes(tuple(made), refused)


def left_out(subjects: Sequence[Changes]) -> list[str]:
    """A line for every change that some subject cannot have. Raises the first's error for one that none can have."""
    for change, error in subjects[0].refused.items():
        if all(change in each.refused for each in subjects):
            raise error
    return [f"{change.text} is left out: {error}" for each in subjects for change, error in each.refused.items()]


def _by_block(subject: "Loaded", change: Change) -> list[Change]:
    found: list[Change] = []
    refused: CallerError | None = None
    for block in range(subject.facts.n_blocks):
        try:
            found += _tried(subject, change.at(f"block.{block}"))
        except CallerError as error:
            refused = error
    if refused is not None and not found:
        raise refused
    return found


def _tried(subject: "Loaded", change: Change) -> list[Change]:
    """The change, which the subject can have. Raises a CallerError where it cannot."""
    from repflow.models import ablated

    with ablated(subject, change.ablations):
        return [change]


def _parts(ablation: Ablation) -> tuple[str, str]:
    """Value and places of an argument, as they are written; either may be empty."""
    argument = ablation.argument or ""
    if not RULES[ablation.name].example:
        return "", argument
    value, _, places = argument.partition(",")
    return value, places
