"""What an intervention changes in a given subject, checked before anything is changed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import nn

from repflow.core import BadSetting, block_taps
from repflow.models.interventions.grammar import INTERVENTIONS, RULES, Order, read_order
from repflow.models.interventions.ways import WAYS
from repflow.models.spec import Ablation

if TYPE_CHECKING:
    from repflow.models.loading import Loaded


@dataclass(frozen=True)
class Plan:
    """What one intervention changes."""

    ablation: Ablation
    order: Order
    modules: tuple[nn.Module, ...]
    """Each once."""
    places: str
    """The blocks, and the final norm, in words."""


def possible(subject: "Loaded") -> tuple[str, ...]:
    """The interventions that the subject has a part for, by name."""
    return tuple(name for name in INTERVENTIONS if any(_found(subject, name).values()))


def planned(subject: "Loaded", ablation: Ablation) -> Plan:
    """Raises UnknownName, BadSpec, or BadSetting for what the subject cannot have."""
    order = read_order(ablation)
    blocks = len(block_taps(subject.taps))
    absent = [i for i in order.blocks or () if not -blocks <= i < blocks]
    if absent:
        raise BadSetting(
            f"{subject.facts.label}: @ablate={ablation}: there is no block.{absent[-1]}, "
            f"the model has block.0 to block.{blocks - 1}"
        )
    found = _found(subject, order.name)
    numbers = range(blocks) if order.blocks is None else sorted({i % blocks for i in order.blocks})
    named = [f"block.{i}" for i in numbers]
    wanted = [place for place in [*named, *(["final"] if order.final else [])] if found.get(place)]
    if not wanted:
        raise _impossible(subject, ablation, found)
    modules = {id(module): module for place in wanted for module in found[place]}
    return Plan(ablation, order, tuple(modules.values()), _said(wanted))


def _found(subject: "Loaded", name: str) -> dict[str, list[nn.Module]]:
    """The parts that an intervention can change, by place: the blocks, and the final norm where that is one."""
    places = {tap.site.name: tap.module for tap in block_taps(subject.taps)}
    if RULES[name].final and subject.taps[-1].site.is_final_norm:
        places["final"] = subject.taps[-1].module
    return {place: WAYS[name].find(subject.model.get_submodule(module)) for place, module in places.items()}


def _impossible(subject: "Loaded", ablation: Ablation, found: dict[str, list[nn.Module]]) -> BadSetting:
    having = [place for place, there in found.items() if there]
    start = f"{subject.facts.label}: @ablate={ablation} needs {WAYS[ablation.name].part}s"
    if having:
        return BadSetting(f"{start}, present in {_said(having)} only")
    return BadSetting(f"{start}, {subject.facts.family} has none; possible here: {', '.join(possible(subject))}")


def _said(places: Sequence[str]) -> str:
    """Places in order, runs of blocks joined: `block.0-3, block.5, final`."""
    runs: list[list[int]] = []
    for number in (int(place.removeprefix("block.")) for place in places if place != "final"):
        if runs and runs[-1][-1] == number - 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    texts = [f"block.{run[0]}" + (f"-{run[-1]}" if len(run) > 1 else "") for run in runs]
    return ", ".join([*texts, *(["final"] if "final" in places else [])])
