"""repflow measures how contextual representations flow through the depth of sequence models.

`flow(subjects, task=...)` measures, `probe(subjects, task=...)` trains probes, `ablate(subjects, what=...)` measures
what a change inside a model does, `dynamics(subjects)` how far back a model remembers, `attribute(subjects)` what
random weights show of it, `paper(subjects)` makes the paper's whole study, and all return a `Run`;
`open(directory)` reads one; `watch(model)` measures a model that somebody else is running. Everything heavy loads on
first use.
"""

from typing import TYPE_CHECKING, Any

from repflow._version import __version__

if TYPE_CHECKING:
    from repflow.api import ablate, attribute, dynamics, flow, paper, probe
    from repflow.core import RepflowError
    from repflow.report.run import Run
    from repflow.report.runs import compare, open
    from repflow.training.watch import Watch, watch

__all__ = [
    "RepflowError",
    "Run",
    "Watch",
    "__version__",
    "ablate",
    "attribute",
    "compare",
    "dynamics",
    "flow",
    "open",
    "paper",
    "probe",
    "watch",
]

_HOMES = {
    "RepflowError": "repflow.core",
    "Run": "repflow.report.run",
    "Watch": "repflow.training.watch",
    "ablate": "repflow.api",
    "attribute": "repflow.api",
    "compare": "repflow.report.runs",
    "dynamics": "repflow.api",
    "flow": "repflow.api",
    "open": "repflow.report.runs",
    "paper": "repflow.api",
    "probe": "repflow.api",
    "watch": "repflow.training.watch",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'repflow' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
