"""Re-initialisation schemes (METHODS 8): weights drawn anew, in place, the same on every device."""

import hashlib
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from repflow.core import ModelProblem
from repflow.models.spec import Init


def random_model(config: Any, seed: int) -> Any:
    """A causal language model of this config in float32, weights drawn by the family's own initialisation.

    The global random state is left as it was. Same as `torch.manual_seed(seed)` before
    `AutoModelForCausalLM.from_config(config)`.
    """
    from transformers import AutoModelForCausalLM

    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(seed)
        return AutoModelForCausalLM.from_config(config, dtype=torch.float32)


def reinitialise(model: nn.Module, init: Init) -> tuple[str, ...]:
    """Draws the model's weights anew, in place, and returns the names of the tensors whose values changed.

    `config` draws everything with the family's own initialisation, its special parameters included. `permuted`
    shuffles the values within each tensor. `normal` (0.02), `xavier` (uniform), `kaiming` (normal, fan in, gain of
    ReLU) and `orthogonal` draw the matrices (weights of linear, convolution, embedding and expert layers), set the
    biases beside them to 0, and the norms to their neutral weight and bias 0.
    All but `config` leave the parameters of the recurrence itself (`RECURRENCE`) as they are, unless `init.recurrence`:
    then they are drawn as the family does, or shuffled under `permuted`.
    Each tensor's generator is keyed by the seed and the tensor's name and runs on the CPU in float32: the values do
    not depend on the device, the order of the tensors or the global random state. Tied tensors are drawn once, under
    their first name, and stay tied.
    """
    with torch.no_grad():
        if init.scheme == "config":
            fresh = dict(random_model(_own_config(model), init.seed).named_parameters())
            return _assign_each(model, lambda name, _module, _tensor: fresh[name])
        if init.scheme == "permuted":
            return _assign_each(model, lambda name, _module, tensor: _permuted(init, name, tensor))
        own = _recurrences(model, init.seed) if init.recurrence else {}
        fill = _FILLS[init.scheme]
        return _assign_each(
            model,
            lambda name, module, tensor: (
                own.get(name) if _is_recurrence(name) else _generic(fill, init.seed, name, module, tensor)
            ),
        )


RECURRENCE = frozenset(
    ["A_log", "D", "dt_bias", "recurrent_param", "input_gate_bias", "recurrent_gate_bias", "time_decay", "time_first"]
)
"""Parameters of the recurrence itself, by the last part of their names; also the bias of any `dt_proj`, RWKV's
`time_mix_*`."""

Draw = Callable[[str, nn.Module, Tensor], Tensor | None]
"""New values for a tensor, given its name, the module that holds it and its present values; None leaves it."""


def _assign_each(model: nn.Module, draw: Draw) -> tuple[str, ...]:
    changed = []
    for name, tensor in model.named_parameters():
        values = draw(name, model.get_submodule(name.rpartition(".")[0]), tensor)
        if values is None:
            continue
        values = values.to(dtype=tensor.dtype, device=tensor.device)
        if not torch.equal(values, tensor):
            changed.append(name)
            tensor.copy_(values)
    return tuple(changed)


def _own_config(model: nn.Module) -> Any:
    config = getattr(model, "config", None)
    if config is None:
        raise ModelProblem(f"init=config needs a Hugging Face model with a config, got {type(model).__name__}")
    return config


def _generator(seed: int, name: str) -> torch.Generator:
    digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def _is_recurrence(name: str) -> bool:
    *path, last = name.split(".")
    return last in RECURRENCE or last.startswith("time_mix_") or (last == "bias" and path[-1:] == ["dt_proj"])


def _recurrences(model: nn.Module, seed: int) -> dict[str, Tensor]:
    """The recurrence's own parameters as the family draws them."""
    fresh = random_model(_own_config(model), seed)
    return {name: tensor for name, tensor in fresh.named_parameters() if _is_recurrence(name)}


def _permuted(init: Init, name: str, tensor: Tensor) -> Tensor | None:
    if _is_recurrence(name) and not init.recurrence:
        return None
    generator = _generator(init.seed, name)
    flat = tensor.detach().cpu().reshape(-1)
    return flat[torch.randperm(flat.numel(), generator=generator)].reshape(tensor.shape)


def _generic(fill: "Fill", seed: int, name: str, module: nn.Module, tensor: Tensor) -> Tensor | None:
    last = name.rpartition(".")[2]
    if "norm" in type(module).__name__.lower():
        return torch.full_like(tensor, neutral_weight(module) if last == "weight" else 0.0)
    if _is_matrix(module, tensor):
        return _filled(fill, module, tensor, _generator(seed, name))
    return torch.zeros_like(tensor) if last == "bias" else None


def neutral_weight(norm: nn.Module) -> float:
    """The weight that leaves a norm's output unscaled: 1, or 0 for norms that multiply by 1 + weight."""
    weight = norm.get_parameter("weight")
    kept, outputs = weight.detach().clone(), None
    with torch.no_grad():
        try:
            weight.zero_()
            ramp = torch.linspace(-1, 1, weight.numel(), dtype=weight.dtype, device=weight.device)
            outputs = norm(ramp.view(1, 1, -1))
        except (TypeError, RuntimeError, AttributeError):
            return 1.0
        finally:
            weight.copy_(kept)
    bias = getattr(norm, "bias", None)
    plain = outputs if bias is None else outputs - bias
    return 0.0 if bool(plain.abs().max() > 0) else 1.0


def _is_matrix(module: nn.Module, tensor: Tensor) -> bool:
    """Weights that mix channels: those of convolutions, and tensors with at least two dimensions longer than one."""
    if isinstance(module, nn.Conv1d | nn.Conv2d):
        return tensor.ndim > 1
    return sum(size > 1 for size in tensor.shape) >= 2


Fill = Callable[[Tensor, torch.Generator], Tensor]

_FILLS: dict[str, Fill] = {
    "normal": lambda t, g: nn.init.normal_(t, std=0.02, generator=g),
    "xavier": lambda t, g: nn.init.xavier_uniform_(t, generator=g),
    "kaiming": lambda t, g: nn.init.kaiming_normal_(t, nonlinearity="relu", generator=g),
    "orthogonal": lambda t, g: nn.init.orthogonal_(t, generator=g),
}


def _filled(fill: Fill, module: nn.Module, tensor: Tensor, generator: torch.Generator) -> Tensor:
    """New values of the tensor's shape, each [out, in] matrix drawn by itself."""
    values = torch.empty(tensor.shape)
    if tensor.ndim == 3 and not isinstance(module, nn.Conv1d):
        for expert in values:
            fill(expert, generator)
    elif type(module).__name__ == "Conv1D":
        # transformers' Conv1D (GPT-2) stores [in, out].
        values = fill(values.T.contiguous(), generator).T
    else:
        fill(values, generator)
    return values
