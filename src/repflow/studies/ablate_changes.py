"""The changes an ablation run makes: as they are written, one block at a time, and which of them a model can have."""

from collections.abc import Sequence
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


def changes_for(subject: "Loaded", named: Sequence[Change], each_block: bool) -> list[Change]:
    """The changes to make in a loaded subject: those named, or all it can have; perhaps one block at a time.

    Each is made and undone at once, without a forward pass. Raises a CallerError for one that the subject cannot have;
    of those made block by block only where no block can.
    """
    from repflow.models import possible

    wanted = named or [Change((Ablation(name, RULES[name].example or None),)) for name in possible(subject)]
    if not wanted:
        raise BadSetting(f"{subject.facts.label} can have none of the interventions")
    if not each_block:
        for change in wanted:
            _try(subject, change)
        return list(wanted)
    return [found for change in wanted for found in _by_block(subject, change)]


def _by_block(subject: "Loaded", change: Change) -> list[Change]:
    found: list[Change] = []
    refused: CallerError | None = None
    for block in range(subject.facts.n_blocks):
        here = change.at(f"block.{block}")
        try:
            _try(subject, here)
        except CallerError as error:
            refused = error
        else:
            found.append(here)
    if refused is not None and not found:
        raise refused
    return found


def _try(subject: "Loaded", change: Change) -> None:
    from repflow.models import ablated

    with ablated(subject, change.ablations):
        pass


def _parts(ablation: Ablation) -> tuple[str, str]:
    """Value and places of an argument, as they are written; either may be empty."""
    argument = ablation.argument or ""
    if not RULES[ablation.name].example:
        return "", argument
    value, _, places = argument.partition(",")
    return value, places
