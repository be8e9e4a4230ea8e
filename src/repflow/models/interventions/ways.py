"""Which part each intervention changes, and how."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

from torch import nn

from repflow.models.interventions import attention, norms, parts, residual, ssm
from repflow.models.interventions.grammar import Value

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


WAYS: dict[str, Way] = {
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
