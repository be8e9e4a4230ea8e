"""RecurrentGemma's real-gated linear recurrent unit: one transition a channel."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from repflow.studies.dynamics.ssm.kind import Kind, has
from repflow.studies.dynamics.ssm.recurrence import Recurrence

_POWER = 8.0


def _fits(module: nn.Module) -> bool:
    return has(module, "recurrent_param", "recurrent_gate_weight", "input_gate_weight")


def _sizes(mixer: Any) -> tuple[int, int]:
    return mixer.recurrent_param.shape[0], 1


def _read(mixer: Any, given: Tensor, made: Tensor) -> Recurrence:
    """From the unit's own input. The transition is exp(-8 softplus(parameter) gate_t); its dt is the exponent's size.

    An example's first token has no state before it: the model resets there, and its input is not scaled.
    Source: De et al. 2024 (arXiv:2402.19427), equations 1 to 4.
    """
    del made
    rate = _POWER * _gate(mixer, "recurrent", given) * functional.softplus(mixer.recurrent_param.float())
    scale = torch.sqrt(-torch.expm1(-2 * rate))
    scale[:, 0] = 1.0
    x = given.float() * _gate(mixer, "input", given) * scale
    return Recurrence(rate, torch.ones_like(rate[0, 0])[:, None], x.unsqueeze(-1), x.new_ones(*x.shape[:2], 1, 1))


def _gate(mixer: Any, which: str, given: Tensor) -> Tensor:
    weight, bias = (getattr(mixer, f"{which}_gate_{part}").float() for part in ("weight", "bias"))
    heads = given.float().unflatten(-1, bias.shape)
    return torch.sigmoid(torch.einsum("nthi,hij->nthj", heads, weight) + bias).flatten(-2)


KIND = Kind("rg_lru", "channel", "", _fits, _sizes, _read)
