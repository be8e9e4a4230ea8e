"""Carries interventions out on a loaded subject: checked first, composed, undone to the last bit."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from repflow.models.interventions.plan import Plan, planned
from repflow.models.interventions.ways import WAYS
from repflow.models.spec import Ablation

if TYPE_CHECKING:
    from repflow.models.loading import Loaded


@contextmanager
def ablated(subject: "Loaded", ablations: Sequence[Ablation]) -> Iterator["Loaded"]:
    """The subject with interventions: its spec, label and facts say so. Undone on leaving, whatever happens.

    Parameters are exchanged, never written, and hooks removed, so that every bit is restored. The model is the same
    object inside and outside. The hash among the facts stays that of the weights as loaded.
    Raises UnknownName or BadSpec for what cannot be read, BadSetting for what this subject cannot have.
    """
    with ExitStack() as undo:
        yield apply(subject, ablations, undo)


def apply(subject: "Loaded", ablations: Sequence[Ablation], undo: ExitStack) -> "Loaded":
    """As `ablated`, undone when `undo` is closed; never, where it is thrown away."""
    plans = [planned(subject, ablation) for ablation in ablations]
    done = [(_line(plan), _carry_out(plan, undo)) for plan in plans]
    spec = replace(subject.spec, ablations=(*subject.spec.ablations, *ablations))
    facts = replace(
        subject.facts,
        label=spec.label,
        interventions=(*subject.facts.interventions, *("; ".join([line, *notes]) for line, notes in done)),
        warnings=(*subject.facts.warnings, *dict.fromkeys(note for _, notes in done for note in notes)),
    )
    return replace(subject, spec=spec, facts=facts)


def _line(plan: Plan) -> str:
    """What is changed: `norm_reset: 9 affine norms (block.0-3, final)`."""
    count = len(plan.modules)
    return f"{plan.ablation}: {count} {WAYS[plan.order.name].part}{'s' if count > 1 else ''} ({plan.places})"


def _carry_out(plan: Plan, undo: ExitStack) -> list[str]:
    """What a reader must know besides."""
    way = WAYS[plan.order.name]
    said = [way.act(module, plan.order.value, undo) for module in plan.modules]
    return list(dict.fromkeys(note for note in said if note))
