"""Carries interventions out on a loaded subject: checked first, composed, undone to the last bit."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from torch import nn

from repflow.core import BadSetting
from repflow.models.interventions import attention, norms, parts, residual, ssm
from repflow.models.interventions.grammar import INTERVENTIONS, RULES, Order, Value, read_order
from repflow.models.spec import Ablation

if TYPE_CHECKING:
    from repflow.models.loading import Loaded

Find = Callable[[nn.Module], list[nn.Module]]
"""The parts of a block that an intervention changes."""

Act = Callable[[nn.Module, Value, ExitStack], str]
"""Changes one part, registers how to undo it, and returns what a reader must know besides, if anything."""


@dataclass(frozen=True, slots=True)
class Way:
    """How an intervention is carried out."""

    part: str
    find: Find
    act: Act


def _some(find: Find, fits: Callable[[nn.Module], bool]) -> Find:
    return lambda block: [module for module in find(block) if fits(module)]


_WAYS: dict[str, Way] = {
    "norm_reset": Way("affine norm", _some(parts.norms, norms.has_affine), norms.reset),
    "norm_removed": Way("norm", parts.norms, norms.remove),
    "attention_window": Way("attention module", parts.attentions, attention.window),
    "attention_uniform": Way("attention module", _some(parts.attentions, attention.can_flatten), attention.uniform),
    "attention_self": Way("attention module", parts.attentions, attention.alone),
    "residual_scaled": Way("block", lambda block: [block], residual.scale),
    "residual_cut": Way("block", lambda block: [block], residual.cut),
    "ssm_freeze_dt": Way("state-space mixer", parts.mixers, ssm.freeze_dt),
    "ssm_no_conv": Way("state-space mixer", parts.mixers, ssm.no_conv),
    "ssm_no_gate": Way("state-space mixer", parts.mixers, ssm.no_gate),
    "ssm_clamp_a": Way("state-space mixer", parts.mixers, ssm.clamp_a),
}


@dataclass(frozen=True)
class Plan:
    """The modules that one intervention changes, each once."""

    ablation: Ablation
    order: Order
    modules: tuple[nn.Module, ...]
    places: str


@contextmanager
def ablated(subject: "Loaded", ablations: Sequence[Ablation]) -> Iterator["Loaded"]:
    """The subject with interventions inside: its spec, label and facts say so. Undone on leaving, whatever happens.

    Parameters are exchanged, never written, and hooks removed, so that every bit is restored. The hash of the
    weights among the facts stays that of the weights as loaded. Does not nest out of order: leave the inner one first.
    Raises UnknownName or BadSpec for what cannot be read, BadSetting for what this subject cannot have.
    """
    with ExitStack() as undo:
        yield apply(subject, ablations, undo)


def apply(subject: "Loaded", ablations: Sequence[Ablation], undo: ExitStack) -> "Loaded":
    """As `ablated`, undone when `undo` is closed; never, where it is thrown away."""
    plans = [_plan(subject, ablation) for ablation in ablations]
    done = [_carry_out(plan, undo) for plan in plans]
    facts = subject.facts
    spec = replace(subject.spec, ablations=(*subject.spec.ablations, *ablations))
    facts = replace(
        facts,
        label=spec.label,
        interventions=(*facts.interventions, *(line for line, _ in done)),
        warnings=(*facts.warnings, *dict.fromkeys(note for _, notes in done for note in notes)),
    )
    return replace(subject, spec=spec, facts=facts)


def possible(subject: "Loaded") -> tuple[str, ...]:
    """The interventions that the subject has a part for, by name."""
    return tuple(name for name in INTERVENTIONS if any(_found(subject, name).values()))


def _found(subject: "Loaded", name: str) -> dict[str, list[nn.Module]]:
    """What an intervention can change, by site: each block's parts, and the final norm where that is a place."""
    way = _WAYS[name]
    found = {tap.site.name: way.find(subject.model.get_submodule(tap.module)) for tap in subject.taps[1:-1]}
    if RULES[name].final:
        found["final"] = way.find(subject.model.get_submodule(subject.taps[-1].module))
    return found


def _plan(subject: "Loaded", ablation: Ablation) -> Plan:
    order = read_order(ablation)
    blocks = len(subject.taps) - 2
    if order.blocks and order.blocks[-1] >= blocks:
        raise BadSetting(
            f"{subject.facts.label}: @ablate={ablation}: the model has the blocks 0 to {blocks - 1}, "
            f"got block.{order.blocks[-1]}"
        )
    found = _found(subject, order.name)
    wanted = [f"block.{i}" for i in (range(blocks) if order.blocks is None else order.blocks)]
    wanted += ["final"] if order.final else []
    modules = {id(module): module for place in wanted for module in found[place]}
    if not modules:
        raise _impossible(subject, ablation, found)
    changed = [place for place, there in found.items() if any(id(module) in modules for module in there)]
    return Plan(ablation, order, tuple(modules.values()), _said(changed))


def _impossible(subject: "Loaded", ablation: Ablation, found: dict[str, list[nn.Module]]) -> BadSetting:
    part, having = _WAYS[ablation.name].part, [place for place, there in found.items() if there]
    start = f"{subject.facts.label}: @ablate={ablation} needs a {part}"
    if having:
        return BadSetting(f"{start}; those places have none, {_said(having)} do")
    return BadSetting(f"{start}, {subject.facts.family} has none; it can have {', '.join(possible(subject))}")


def _carry_out(plan: Plan, undo: ExitStack) -> tuple[str, list[str]]:
    """What was done, one line, and what a reader must know besides."""
    way = _WAYS[plan.order.name]
    said = [way.act(module, plan.order.value, undo) for module in plan.modules]
    notes = list(dict.fromkeys(note for note in said if note))
    count = len(plan.modules)
    line = f"{plan.ablation}: {count} {way.part}{'s' if count > 1 else ''} ({plan.places})"
    return "; ".join([line, *notes]), notes


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
