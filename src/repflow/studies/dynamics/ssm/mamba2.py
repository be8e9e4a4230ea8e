"""Mamba-2's scan (Mamba-2, Bamba, Falcon-H1, Zamba2, Nemotron-H): one time step and one transition a head."""

from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from repflow.studies.dynamics.ssm.kind import Kind, has
from repflow.studies.dynamics.ssm.recurrence import Recurrence


def _fits(module: nn.Module) -> bool:
    parts = ("A_log", "dt_bias", "in_proj", "conv1d", "act", "num_heads", "head_dim", "n_groups", "time_step_limit")
    return has(module, *parts) and module.get_parameter("A_log").ndim == 1


def _sizes(mixer: Any) -> tuple[int, int]:
    return mixer.num_heads, 1


def _read(mixer: Any, given: Tensor, made: Tensor) -> Recurrence:
    """From `in_proj`, which makes the gate, the scan's input, B and C before the short convolution, and time steps.

    From its output on everything is float32, also where the model goes on in less. Falcon-H1 scales that output.
    """
    del given
    scaled = made.float() * mixer.mup_vector.float() if hasattr(mixer, "mup_vector") else made.float()
    _, mixed, raw = scaled.split([mixer.intermediate_size, mixer.conv_dim, mixer.num_heads], dim=-1)
    dt = functional.softplus(raw + mixer.dt_bias.float()).clamp(*mixer.time_step_limit)
    n, t, _ = mixed.shape
    keys = mixer.n_groups * mixer.ssm_state_size
    x, key, _ = _convolved(mixer, mixed).split([mixer.intermediate_size, keys, keys], dim=-1)
    x = x.reshape(n, t, mixer.num_heads, mixer.head_dim) * dt.unsqueeze(-1)
    return Recurrence(dt, mixer.A_log.float().exp()[:, None], x, key.reshape(n, t, mixer.n_groups, -1))


def _convolved(mixer: Any, mixed: Tensor) -> Tensor:
    """The causal convolution over the last few tokens, a filter a channel, and the activation behind it."""
    conv = mixer.conv1d
    bias = None if conv.bias is None else conv.bias.float()
    padding = conv.kernel_size[0] - 1
    out = functional.conv1d(mixed.transpose(1, 2), conv.weight.float(), bias, padding=padding, groups=conv.groups)
    return mixer.act(out[..., : mixed.shape[1]]).transpose(1, 2)


KIND = Kind("mamba2", "head", "in_proj", _fits, _sizes, _read)
