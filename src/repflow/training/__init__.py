"""Models in training: flow measured step by step, losses, the zoo. Everything loads on first use."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from repflow.studies.kit.settings import MeasureSettings, ModelSettings, TaskSettings
    from repflow.studies.lab.settings import LabPlace, LabSettings
    from repflow.training.callback import FlowCallback
    from repflow.training.checkpoints import steps_of_training
    from repflow.training.lab.run import run_lab
    from repflow.training.losses.regulariser import FlowRegulariser
    from repflow.training.snapshots import measure_snapshots

__all__ = [
    "FlowCallback",
    "FlowRegulariser",
    "LabPlace",
    "LabSettings",
    "MeasureSettings",
    "ModelSettings",
    "TaskSettings",
    "measure_snapshots",
    "run_lab",
    "steps_of_training",
]

_SETTINGS = "repflow.studies.kit.settings"
_HOMES = {
    "FlowCallback": "repflow.training.callback",
    "FlowRegulariser": "repflow.training.losses.regulariser",
    "LabPlace": "repflow.studies.lab.settings",
    "LabSettings": "repflow.studies.lab.settings",
    "MeasureSettings": _SETTINGS,
    "ModelSettings": _SETTINGS,
    "TaskSettings": _SETTINGS,
    "measure_snapshots": "repflow.training.snapshots",
    "run_lab": "repflow.training.lab.run",
    "steps_of_training": "repflow.training.checkpoints",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
