"""State-space interventions on the mixers of Mamba and Mamba-2 kind: time step, convolution, gate, transition."""

import math
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from repflow.models.interventions.grammar import Clamp, Value
from repflow.models.interventions.parts import per_channel
from repflow.models.interventions.swap import swap_parameter

_OPEN = 1.2784645427610738
"""The gate value whose SiLU is 1."""

_FORGETS = 69.0
"""log(-A) so large that exp(dt A) underflows to 0 for dt from 1e-27 on, and sums of dt A stay finite in float32."""


def freeze_dt(mixer: nn.Module, _: Value, undo: ExitStack) -> str:
    """dt becomes softplus of its bias (within the mixer's limits): the same for every input."""
    if per_channel(mixer):
        rank = mixer.get_parameter("dt_proj.weight").shape[1]
        _fill(mixer, "x_proj", slice(None, rank), lambda _: 0.0, undo)
    else:
        _fill(mixer, "in_proj", slice(-mixer.get_parameter("dt_bias").shape[0], None), lambda _: 0.0, undo)
    return ""


def no_gate(mixer: nn.Module, _: Value, undo: ExitStack) -> str:
    """SiLU(z) becomes 1, to float rounding; a gated norm keeps normalising."""
    inner: Any = mixer.intermediate_size
    gate = slice(inner, None) if per_channel(mixer) else slice(None, inner)
    _fill(mixer, "in_proj", gate, lambda part: _OPEN / _multipliers(mixer, gate, part), undo)
    return ""


def no_conv(mixer: nn.Module, _: Value, undo: ExitStack) -> str:
    """The convolution hands on each token as it is; the activation behind it stays."""
    kernel = torch.zeros_like(mixer.get_parameter("conv1d.weight"))
    kernel[..., -1] = 1.0
    conv = mixer.get_submodule("conv1d")
    swap_parameter(conv, "weight", kernel, undo)
    if conv.bias is not None:
        swap_parameter(conv, "bias", torch.zeros_like(conv.get_parameter("bias")), undo)
    return ""


def clamp_a(mixer: nn.Module, clamp: Value, undo: ExitStack) -> str:
    """A of the first channels (heads in Mamba-2) becomes 0, which forgets nothing, or -inf, which forgets all.

    A share is rounded to whole channels, one at least. -inf is a value at which exp(dt A) is 0 exactly, small enough
    for the sums in the scan.
    """
    if not isinstance(clamp, Clamp):
        raise TypeError(f"ssm_clamp_a takes a value and a share, got {clamp!r}")
    logarithm = mixer.get_parameter("A_log").detach().clone()
    first = max(1, round(clamp.share * logarithm.shape[0]))
    logarithm[:first] = -math.inf if clamp.value == 0 else _FORGETS
    swap_parameter(mixer, "A_log", logarithm, undo)
    return ""


def _fill(
    mixer: nn.Module, projection: str, part: slice, value: Callable[[Tensor], Tensor | float], undo: ExitStack
) -> None:
    """Replaces part of the channels that a projection of the mixer makes."""

    def fill(_module: nn.Module, _args: Any, output: Tensor) -> Tensor:
        filled = output.clone()
        filled[..., part] = value(filled[..., part])
        return filled

    undo.callback(mixer.get_submodule(projection).register_forward_hook(fill).remove)


def _multipliers(mixer: nn.Module, part: slice, like: Tensor) -> Tensor:
    """What the mixer multiplies these channels by behind the projection (Falcon-H1); 1 elsewhere."""
    vector = getattr(mixer, "mup_vector", None)
    return torch.ones_like(like[:1, :1]) if vector is None else vector[..., part].to(like)
