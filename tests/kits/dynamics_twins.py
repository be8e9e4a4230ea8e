"""Mixers computed the slow way: float64, one token after another, from the mixer's input and its weights alone."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from repflow.models import Loaded, load
from repflow.studies.dynamics.ssm import BlockMixer

STATE_SPACE = ("mamba", "falcon_mamba", "mamba2")
HYBRIDS = ("jamba", "bamba", "zamba2", "falcon_h1", "nemotron_h", "recurrent_gemma")
FAMILIES = (*STATE_SPACE, *HYBRIDS)


@dataclass(frozen=True)
class Slow:
    """One mixer on one example, in float64."""

    transitions: Tensor
    """A_bar [t, u, s]."""
    inputs: Tensor
    """What enters the state [t, u, p, k]."""
    states: Tensor
    """[t, u, p, k]"""
    output: Tensor
    """The mixer's output [t, width]."""


def shaken(family: str, **options: int) -> Loaded:
    """A random model none of whose parameters is left at a constant: norms, biases, D and A all differ by channel."""
    given = "".join(f",{key}={value}" for key, value in options.items())
    subject = load(f"config:{family},layers=4,width=32{given}")
    draw = torch.Generator().manual_seed(5)
    for parameter in subject.model.parameters():
        parameter.data += 0.05 * torch.randn(parameter.shape, generator=draw)
    return subject


def module_of(subject: Loaded, mixer: BlockMixer) -> Any:
    """The module whose input and output the twins take: the RG-LRU itself, else the whole mixer."""
    return subject.model.get_submodule(mixer.module)


def inputs_and_outputs(subject: Loaded, found: tuple[BlockMixer, ...], ids: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
    """What goes into each mixer and what comes out of it, by plain hooks."""
    kept: dict[str, tuple[Tensor, Tensor]] = {}
    handles = []
    for mixer in found:

        def keep(_m: Any, args: Any, kwargs: Any, output: Any, name: str = mixer.module) -> None:
            kept[name] = (args[0] if args else kwargs["hidden_states"]).clone(), output.clone()

        handles.append(module_of(subject, mixer).register_forward_hook(keep, with_kwargs=True))
    subject.forward(ids)
    for handle in handles:
        handle.remove()
    return kept


def slow(module: Any, kind: str, given: Tensor) -> Slow:
    """The mixer of one example's input [t, width]."""
    return {"mamba": _mamba, "mamba2": _mamba2, "rg_lru": _rg_lru}[kind](module, given.double())


def _of(module: Any, name: str) -> Tensor:
    return module.get_parameter(name).detach().double()


def _silu(x: Tensor) -> Tensor:
    return x / (1 + torch.exp(-x))


def _softplus(x: Tensor) -> Tensor:
    return torch.log1p(torch.exp(x))


def _linear(module: Any, name: str, x: Tensor) -> Tensor:
    part = module.get_submodule(name)
    out = x @ part.weight.double().T
    return out if part.bias is None else out + part.bias.double()


def _conv(module: Any, x: Tensor) -> Tensor:
    """Each channel's weighted sum over its last few tokens, then SiLU."""
    weight = _of(module, "conv1d.weight")[:, 0]
    out = torch.zeros_like(x)
    for back in range(weight.shape[1]):
        out[back:] += x[: len(x) - back] * weight[:, -1 - back]
    if module.conv1d.bias is not None:
        out += _of(module, "conv1d.bias")
    return _silu(out)


def _rms(x: Tensor, norm: Any) -> Tensor:
    """RMS norm with the norm's own weight and epsilon; FalconMamba's has a weight of 1 that is longer than the row."""
    epsilon = norm.eps if hasattr(norm, "eps") else norm.variance_epsilon
    return x / torch.sqrt((x**2).mean(-1, keepdim=True) + epsilon) * norm.weight[: x.shape[-1]]


def _loop(transitions: Tensor, inputs: Tensor) -> Tensor:
    """state_t = A_bar_t state_{t-1} + input_t, token by token; the transitions broadcast against [u, p, k]."""
    state, out = torch.zeros_like(inputs[0]), []
    for decay, entering in zip(transitions, inputs, strict=True):
        state = decay[:, None, :] * state + entering
        out.append(state)
    return torch.stack(out)


def _mamba(module: Any, h: Tensor) -> Slow:
    x, z = _linear(module, "in_proj", h).chunk(2, dim=-1)
    x = _conv(module, x)
    n = module.A_log.shape[1]
    rank = module.dt_proj.weight.shape[1]
    mixed = x @ _of(module, "x_proj.weight").T
    low, b, c = mixed[:, :rank], mixed[:, rank : rank + n], mixed[:, rank + n :]
    if hasattr(module, "dt_layernorm"):
        low, b, c = _rms(low, module.dt_layernorm), _rms(b, module.b_layernorm), _rms(c, module.c_layernorm)
    dt = _softplus(_linear(module, "dt_proj", low))
    transitions = torch.exp(-dt[:, :, None] * torch.exp(_of(module, "A_log")))
    inputs = (dt * x)[:, :, None, None] * b[:, None, None, :]
    states = _loop(transitions, inputs)
    y = torch.einsum("tupk,tk->tu", states, c) + _of(module, "D") * x
    return Slow(transitions, inputs, states, _linear(module, "out_proj", y * _silu(z)))


def _mamba2(module: Any, h: Tensor) -> Slow:
    heads, size, groups, n = module.num_heads, module.head_dim, module.n_groups, module.ssm_state_size
    if hasattr(module, "ssm_in_multiplier"):
        h = h * module.ssm_in_multiplier
    projected = _linear(module, "in_proj", h)
    if hasattr(module, "mup_vector"):
        projected = projected * module.mup_vector[0, 0].double()
    inner, width = heads * size, heads * size + 2 * groups * n
    z, mixed, raw = projected[:, :inner], projected[:, inner : inner + width], projected[:, inner + width :]
    mixed = _conv(module, mixed)
    x = mixed[:, :inner].reshape(-1, heads, size)
    b, c = (part.reshape(-1, groups, n) for part in mixed[:, inner:].chunk(2, dim=-1))
    group = torch.arange(heads) // (heads // groups)
    least, most = module.time_step_limit
    dt = _softplus(raw + _of(module, "dt_bias")).clamp(least, most)
    transitions = torch.exp(-dt * torch.exp(_of(module, "A_log")))[:, :, None]
    inputs = dt[:, :, None, None] * x[..., None] * b[:, group][:, :, None, :]
    states = _loop(transitions, inputs)
    y = torch.einsum("tupk,tuk->tup", states, c[:, group]) + _of(module, "D")[:, None] * x
    return Slow(transitions, inputs, states, _linear(module, "out_proj", _gated(module, y.flatten(1), z)))


def _gated(module: Any, y: Tensor, z: Tensor) -> Tensor:
    """The gate, and the norm by groups behind it where there is one."""
    y = y * _silu(z)
    if not hasattr(module.norm, "weight"):
        return y
    grouped = y.reshape(len(y), module.n_groups, -1)
    normed = grouped / torch.sqrt((grouped**2).mean(-1, keepdim=True) + module.norm.variance_epsilon)
    return normed.flatten(1) * _of(module, "norm.weight")


def _rg_lru(module: Any, x: Tensor) -> Slow:
    heads = x.reshape(len(x), module.num_attention_heads, -1)

    def gate(which: str) -> Tensor:
        weight, bias = _of(module, f"{which}_gate_weight"), _of(module, f"{which}_gate_bias")
        found = [heads[:, i] @ weight[i] + bias[i] for i in range(len(weight))]
        return 1 / (1 + torch.exp(-torch.cat(found, dim=-1)))

    transitions = torch.exp(-8 * gate("recurrent") * _softplus(_of(module, "recurrent_param")))
    scale = torch.sqrt(1 - transitions**2)
    scale[0] = 1.0
    inputs = (x * gate("input") * scale)[:, :, None, None]
    states = _loop(transitions[:, :, None], inputs)
    return Slow(transitions[:, :, None], inputs, states, states.flatten(1))
