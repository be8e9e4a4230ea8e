"""Models in training: flow measured step by step, losses, the zoo. Everything loads on first use."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from repflow.training.callback import FlowCallback
    from repflow.training.snapshots import measure_snapshots

__all__ = ["FlowCallback", "measure_snapshots"]

_HOMES = {"FlowCallback": "callback", "measure_snapshots": "snapshots"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
