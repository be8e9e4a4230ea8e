"""Models in training: flow measured step by step, losses, the zoo. Everything loads on first use."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from repflow.studies.kit.settings import MeasureSettings, ModelSettings, TaskSettings
    from repflow.training.callback import FlowCallback
    from repflow.training.snapshots import measure_snapshots

__all__ = ["FlowCallback", "MeasureSettings", "ModelSettings", "TaskSettings", "measure_snapshots"]

_SETTINGS = "repflow.studies.kit.settings"
_HOMES = {
    "FlowCallback": "repflow.training.callback",
    "MeasureSettings": _SETTINGS,
    "ModelSettings": _SETTINGS,
    "TaskSettings": _SETTINGS,
    "measure_snapshots": "repflow.training.snapshots",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
