"""How much a run inside a paper run is going to read, from its settings alone."""

from repflow.studies.paper.presets import Part

_GRADIENT = 6.0
"""A pass with influence, beside a plain one: forward and backward for every token whose past is read."""


def passes(part: Part) -> float:
    """How often a model reads the examples."""
    settings = part.settings
    if part.study == "attribute":
        return 1.0 + len(settings.attribution.inits)
    if part.study == "ablate":
        return 1.0 + len(settings.changes.named)
    if part.study == "dynamics":
        return 1.0 + _GRADIENT
    return 1.0


def tokens(part: Part) -> float:
    """Tokens that every model reads, all passes together."""
    task = part.settings.task
    positions = task.positions if part.study == "probe" else 1
    return passes(part) * positions * task.examples * len(task.task) * sum(task.context)
