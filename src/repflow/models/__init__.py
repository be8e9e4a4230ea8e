"""From a spec string to a model with its tokenizer, facts and sites. torch and transformers load on first use."""

from typing import TYPE_CHECKING, Any

from repflow.models.check import check_source
from repflow.models.interventions.grammar import INTERVENTIONS
from repflow.models.spec import SCHEMES, Ablation, Init, SubjectSpec

if TYPE_CHECKING:
    from repflow.models.finding import describe_modules, find_taps
    from repflow.models.interventions.apply import ablated
    from repflow.models.interventions.plan import possible
    from repflow.models.kernels import environment_facts, kernel_choices
    from repflow.models.loading import Loaded, load
    from repflow.models.redrawing import reinitialised

_LAZY = {
    "Loaded": "loading",
    "ablated": "interventions.apply",
    "describe_modules": "finding",
    "environment_facts": "kernels",
    "find_taps": "finding",
    "kernel_choices": "kernels",
    "load": "loading",
    "possible": "interventions.plan",
    "reinitialised": "redrawing",
}

__all__ = [
    "INTERVENTIONS",
    "SCHEMES",
    "Ablation",
    "Init",
    "Loaded",
    "SubjectSpec",
    "ablated",
    "check_source",
    "describe_modules",
    "environment_facts",
    "find_taps",
    "kernel_choices",
    "load",
    "possible",
    "reinitialised",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
