"""The model inside what others wrap around it: parallel training, compilers, partial calls."""

from functools import partial
from typing import Any

import torch
from torch import nn

from repflow.core import BadSetting, ModelProblem

_INSIDE = ("module", "_orig_mod")
"""What wrappers such as DistributedDataParallel and torch.compile call the model inside."""


def unwrapped(model: Any, who: str) -> nn.Module:
    """The module whose passes hooks can follow. `who` asks for it, and is named in errors.

    Adapters (peft) are no wrapper: they change what the model does. Raises BadSetting for what is no module,
    ModelProblem for a module whose passes hooks cannot follow.
    """
    while isinstance(model, partial) and isinstance(model.func, nn.Module | partial):
        model = model.func
    if not isinstance(model, nn.Module):
        raise BadSetting(f"{who} needs a torch module, got {_said(model)}")
    if isinstance(model, torch.jit.ScriptModule):
        raise ModelProblem(f"{who} cannot follow a scripted model, which runs outside Python; give the module it is of")
    if isinstance(model, nn.DataParallel) and len(model.device_ids) > 1:
        raise ModelProblem(
            f"{who} cannot follow DataParallel on {len(model.device_ids)} devices; start one process per device "
            "with torchrun, or show it one device"
        )
    children = dict(model.named_children())
    name = next((name for name in _INSIDE if list(children) == [name]), None)
    return model if name is None else unwrapped(children[name], who)


def _said(given: Any) -> str:
    if isinstance(given, str):
        return f"the string {given!r}; open it with repflow.models.load({given!r}).model, or measure it by repflow.flow"
    if isinstance(given, type):
        return f"the class {given.__name__}; give an instance of it"
    if isinstance(getattr(given, "model", None), nn.Module):
        return f"a {type(given).__name__}; give the module in it, its .model"
    return f"a {type(given).__name__}; give the model itself, which the loop calls"
