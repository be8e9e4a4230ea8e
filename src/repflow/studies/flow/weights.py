"""Whether a model still is the model it was, told cheaply."""

from typing import Any

import torch
from torch import Tensor, nn

_LOOKED_AT = 8
_ENTRIES = 16


class Weights:
    """A model's weights at one moment. Made anew and compared before every pass, in microseconds.

    Told are writes by an optimiser or `load_state_dict` (every parameter counts its writes), writes around that count
    (`parameter.data`), by a few entries of a few parameters, and adapters of peft switched on or off.
    """

    def __init__(self, model: nn.Module) -> None:
        parameters = list(model.parameters())
        self._writes = [_writes(parameter) for parameter in parameters]
        trained = [p for p in parameters if p.requires_grad and p.numel()] or [p for p in parameters if p.numel()]
        stride = max(1, len(trained) // _LOOKED_AT)
        self._entries = [_entries(parameter) for parameter in trained[::stride]]
        self._adapters = [found for module in model.modules() if (found := _adapter(module)) is not None]

    def same(self, other: "Weights") -> bool:
        """Whether nothing of it has changed."""
        return (
            self._writes == other._writes
            and self._adapters == other._adapters
            and len(self._entries) == len(other._entries)
            and all(torch.equal(a, b) for a, b in zip(self._entries, other._entries, strict=True))
        )


def _writes(parameter: Tensor) -> int:
    return 0 if parameter.is_inference() else parameter._version


def _entries(parameter: Tensor) -> Tensor:
    flat = parameter.detach().flatten()
    return torch.empty(0) if flat.is_meta else flat[:: max(1, len(flat) // _ENTRIES)][:_ENTRIES].cpu().clone()


def _adapter(module: nn.Module) -> Any:
    attributes = vars(module)
    off, active = attributes.get("_disable_adapters"), attributes.get("_active_adapter")
    return None if off is None and active is None else (off, str(active))
