"""The parts of a block that an intervention changes, known by their structure: norms, attention modules, mixers."""

import inspect
import re

from torch import nn

from repflow.models.finding import is_norm

_NO_SOFTMAX = re.compile(r"linear|lightning|delta|rwkv|retention|flash", re.IGNORECASE)
"""Classes named attention that have no softmax over keys, or take no mask."""


def norms(block: nn.Module) -> list[nn.Module]:
    """A block's own norms: those on the residual stream, not those inside its attention modules and mixers."""
    inner = {id(part) for outer in (*attentions(block), *mixers(block)) for part in outer.modules()}
    return [module for module in block.modules() if is_norm(module) and id(module) not in inner]


def attentions(block: nn.Module) -> list[nn.Module]:
    """The innermost modules that attend and take an `attention_mask`."""
    found = [module for module in block.modules() if _attends(module)]
    return [module for module in found if not any(part in found for part in module.modules() if part is not module)]


def mixers(block: nn.Module) -> list[nn.Module]:
    """State-space mixers of the Mamba and Mamba-2 kinds."""
    return [module for module in block.modules() if per_channel(module) or per_head(module)]


def per_channel(module: nn.Module) -> bool:
    """A Mamba mixer: A and dt for each channel, dt from its own projection."""
    return _mixes(module) and hasattr(module, "x_proj") and hasattr(module, "dt_proj")


def per_head(module: nn.Module) -> bool:
    """A Mamba-2 mixer: A and dt for each head, dt at the end of the input projection."""
    return _mixes(module) and hasattr(module, "dt_bias") and hasattr(module, "num_heads")


def _mixes(module: nn.Module) -> bool:
    return all(hasattr(module, name) for name in ("A_log", "conv1d", "in_proj", "intermediate_size"))


def _attends(module: nn.Module) -> bool:
    name = type(module).__name__
    if "attention" not in name.lower() or _NO_SOFTMAX.search(name):
        return False
    return "attention_mask" in inspect.signature(module.forward).parameters
