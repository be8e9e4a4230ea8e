"""Mamba's selective scan (Mamba, FalconMamba, Jamba): a time step a channel, a transition a channel and state."""

from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from repflow.studies.dynamics.ssm.kind import Kind, has
from repflow.studies.dynamics.ssm.recurrence import Recurrence


def _fits(module: nn.Module) -> bool:
    return has(module, "A_log", "x_proj", "dt_proj") and module.get_parameter("A_log").ndim == 2


def _sizes(mixer: Any) -> tuple[int, int]:
    channels, states = mixer.A_log.shape
    return channels, states


def _read(mixer: Any, given: Tensor, made: Tensor) -> Recurrence:
    """From `x_proj`, which reads the scan's input and makes time steps of low rank, B and C.

    From its output on everything is float32, also where the model goes on in less. FalconMamba and Jamba norm the low
    rank and B first.
    """
    low, key, _ = made.split([mixer.time_step_rank, mixer.ssm_state_size, mixer.ssm_state_size], dim=-1)
    if hasattr(mixer, "dt_layernorm"):
        low, key = mixer.dt_layernorm(low), mixer.b_layernorm(key)
    bias = mixer.dt_proj.bias
    raw = functional.linear(low.float(), mixer.dt_proj.weight.float(), None if bias is None else bias.float())
    dt = functional.softplus(raw)
    return Recurrence(dt, mixer.A_log.float().exp(), (dt * given.float()).unsqueeze(-1), key.float().unsqueeze(2))


KIND = Kind("mamba", "channel", "x_proj", _fits, _sizes, _read)
