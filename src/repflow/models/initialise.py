"""Re-initialisation schemes (METHODS 8): weights drawn anew, in place, the same on every device."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
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


@dataclass(frozen=True, slots=True)
class Redrawn:
    """What drawing a model's weights anew did to them."""

    changed: tuple[str, ...]
    """Names of the tensors whose values changed."""
    kept: tuple[str, ...] = ()
    """Names of the tensors that stay as trained: those asked for, and under `permuted` those of a single value."""


def reinitialise(model: nn.Module, init: Init) -> Redrawn:
    """Draws every weight and trained buffer of the model anew, in place.

    `config` takes the family's own initialisation. `permuted` shuffles the values within each tensor. `normal` (0.02),
    `xavier` (uniform), `kaiming` (normal, fan in, gain of ReLU) and `orthogonal` draw the matrices (weights of linear,
    convolution, embedding and expert layers), set the biases beside them to 0, and the norms to their neutral weight
    and bias 0; what they have no rule for, the family draws: the parameters of the recurrence itself (`RECURRENCE`),
    bare vectors (attention sinks), buffers that are part of the weights (routing biases). `init.keep` leaves these as
    they are, under `permuted` too.
    Each tensor's generator is keyed by the seed and the tensor's name and runs on the CPU in float32: the values do
    not depend on the device, the order of the tensors or the global random state. Tied tensors are drawn once, under
    their first name, and stay tied.
    Raises ModelProblem for a tensor that cannot be drawn, unless `init.keep`; some tensors are drawn by then.
    """
    with torch.no_grad():
        drawing = _Drawing(model, init)
        redrawn = _assign_each(model, drawing.values)
    lost = [name for name in redrawn.kept if name in drawing.unknown]
    if lost and not init.keep:
        raise ModelProblem(
            f"init={init} cannot draw {named_briefly(lost)}: the model that its config makes has no such tensor; "
            f"init={init}+keep leaves what cannot be drawn as trained"
        )
    return redrawn


def kept_warning(redrawn: Redrawn, init: str) -> tuple[str, ...]:
    """A line that says which tensors stay as trained; none where all were drawn."""
    kept = redrawn.kept
    return (f"init={init} leaves {len(kept)} tensors as trained: {named_briefly(kept)}",) if kept else ()


def named_briefly(names: Sequence[str], most: int = 3) -> str:
    """The first few of some names, and how many more there are."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


RECURRENCE = frozenset(
    ["A_log", "D", "dt_bias", "recurrent_param", "input_gate_bias", "recurrent_gate_bias", "time_decay", "time_first"]
)
"""Parameters of the recurrence itself, by the last part of their names; also the bias of any `GATES`, RWKV's
`time_mix_*`."""
GATES = frozenset(["dt_proj", "igate_preact", "fgate_preact"])
"""Layers whose bias sets how fast a recurrence forgets."""

Draw = Callable[[str, nn.Module, Tensor], Tensor | None]
"""New values for a tensor, given its name, the module that holds it and its present values; None leaves it."""


class _Drawing:
    """The new values of one model's tensors under one scheme."""

    def __init__(self, model: nn.Module, init: Init) -> None:
        self.model, self.init = model, init
        self.unknown: set[str] = set()
        """Tensors that the family's own initialisation has no values for."""
        self._buffers = {name for name, _ in trained_buffers(model)}

    def values(self, name: str, module: nn.Module, tensor: Tensor) -> Tensor | None:
        scheme, seed = self.init.scheme, self.init.seed
        if scheme == "config":
            return self._own(name, tensor)
        special = name in self._buffers or not _has_rule(name, module, tensor)
        if special and self.init.keep:
            return None
        if scheme == "permuted":
            return self._shuffled(name, tensor)
        return self._own(name, tensor) if special else _generic(_FILLS[scheme], seed, name, module, tensor)

    @cached_property
    def _fresh(self) -> dict[str, Tensor]:
        fresh = _familys_own(self.model, self.init)
        parameters = fresh.named_parameters(remove_duplicate=False)
        return {**dict(parameters), **dict(fresh.named_buffers(remove_duplicate=False))}

    def _own(self, name: str, tensor: Tensor) -> Tensor | None:
        """As the family draws it."""
        found = self._fresh.get(name)
        if found is None or found.shape != tensor.shape:
            self.unknown.add(name)
            return None
        return found

    def _shuffled(self, name: str, tensor: Tensor) -> Tensor | None:
        """The tensor's values in another order. A buffer that is the family's own is a constant, and stays."""
        flat = tensor.detach().cpu().reshape(-1)
        if flat.numel() < 2:
            return None
        if name in self._buffers and torch.equal(self._fresh.get(name, flat[:0]).to(flat.dtype).reshape(-1), flat):
            return tensor
        order = torch.randperm(flat.numel(), generator=_generator(self.init.seed, name))
        if torch.equal(order, torch.arange(flat.numel())):
            order = order.roll(1)
        return flat[order].reshape(tensor.shape)


def drawn_matrices(model: nn.Module) -> dict[str, Tensor]:
    """The matrices that the generic schemes draw, by name; tied ones once."""
    return {
        name: tensor
        for name, tensor in model.named_parameters()
        if _is_drawn_matrix(name, model.get_submodule(name.rpartition(".")[0]), tensor)
    }


def trained_buffers(model: nn.Module) -> list[tuple[str, Tensor]]:
    """The floating-point buffers that are saved with the weights, each once."""
    saved = model.state_dict().keys()
    return [(name, tensor) for name, tensor in model.named_buffers() if name in saved and tensor.is_floating_point()]


def _assign_each(model: nn.Module, draw: Draw) -> Redrawn:
    changed, kept = [], []
    for name, tensor in [*model.named_parameters(), *trained_buffers(model)]:
        values = draw(name, model.get_submodule(name.rpartition(".")[0]), tensor)
        if values is None:
            kept.append(name)
            continue
        values = values.to(dtype=tensor.dtype, device=tensor.device)
        if not torch.equal(values, tensor):
            changed.append(name)
            tensor.copy_(values)
    return Redrawn(tuple(changed), tuple(kept))


def _familys_own(model: nn.Module, init: Init) -> nn.Module:
    """A model of the same config with weights drawn by the family."""
    config = getattr(model, "config", None)
    if config is None:
        raise ModelProblem(f"init={init} needs a Hugging Face model with a config, got {type(model).__name__}")
    try:
        return random_model(config, init.seed)
    except (ValueError, KeyError, OSError, RuntimeError, TypeError, AttributeError) as error:
        said = " ".join(str(error).split())[:200]
        raise ModelProblem(f"init={init} needs a random model of the same config, which fails: {said}") from error


def _generator(seed: int, name: str) -> torch.Generator:
    digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def _is_recurrence(name: str) -> bool:
    *path, last = name.split(".")
    return last in RECURRENCE or last.startswith("time_mix_") or (last == "bias" and bool(path) and path[-1] in GATES)


def _has_rule(name: str, module: nn.Module, tensor: Tensor) -> bool:
    """Whether the generic schemes say what becomes of a parameter."""
    if _is_recurrence(name):
        return False
    return _is_bias(name) or (_last(name) == "weight" if _is_norm(module) else is_matrix(module, tensor))


def _is_drawn_matrix(name: str, module: nn.Module, tensor: Tensor) -> bool:
    return _has_rule(name, module, tensor) and not _is_bias(name) and not _is_norm(module)


def _is_norm(module: nn.Module) -> bool:
    return "norm" in type(module).__name__.lower()


def _last(name: str) -> str:
    return name.rpartition(".")[2]


def _is_bias(name: str) -> bool:
    return _last(name) == "bias" or name.endswith("_bias")


def _generic(fill: "Fill", seed: int, name: str, module: nn.Module, tensor: Tensor) -> Tensor:
    if _is_bias(name):
        return torch.zeros_like(tensor)
    if _is_norm(module):
        return torch.full_like(tensor, neutral_weight(module))
    return _filled(fill, module, tensor, _generator(seed, name))


def neutral_weight(norm: nn.Module) -> float:
    """The weight that leaves a norm's output unscaled: 1, or 0 for norms that multiply by 1 + weight."""
    weight = norm.get_parameter("weight")
    kept, outputs = weight.detach().clone(), None
    with torch.no_grad():
        try:
            weight.zero_()
            ramp = torch.linspace(-1, 1, weight.numel(), dtype=weight.dtype, device=weight.device)
            outputs = norm(ramp.view(1, 1, -1))
        except (TypeError, ValueError, RuntimeError, AttributeError, IndexError):
            return 1.0
        finally:
            weight.copy_(kept)
    bias = getattr(norm, "bias", None)
    plain = outputs if bias is None else outputs - bias
    return 0.0 if bool(plain.abs().max() > 0) else 1.0


def is_matrix(module: nn.Module, tensor: Tensor) -> bool:
    """Weights that mix channels: those of linear layers and convolutions, even with one row, and tensors with at least
    two dimensions longer than one."""
    if isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d):
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
