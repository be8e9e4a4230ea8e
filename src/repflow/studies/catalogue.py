"""The studies there are: what the commands, Python, the page and `repflow show` go through."""

from collections.abc import Mapping

from repflow.core import unknown
from repflow.studies.ablate.study import Ablate
from repflow.studies.attribute.study import Attribute
from repflow.studies.dynamics.study import Dynamics
from repflow.studies.flow.study import Flow
from repflow.studies.kit.study import Study
from repflow.studies.lab.study import Lab
from repflow.studies.paper.study import Paper
from repflow.studies.probe.study import Probe
from repflow.studies.steps.study import Steps

STUDIES: tuple[Study, ...] = (Lab(), Paper(), Steps(), Flow(), Probe(), Ablate(), Attribute(), Dynamics())
"""In the order of the commands, of `repflow show` and of the page, where the rows of every run come last."""


def study(name: str) -> Study:
    """A study by name. Raises UnknownName."""
    found = {each.name: each for each in STUDIES}
    if name not in found:
        raise unknown("study", name, found)
    return found[name]


def tables() -> Mapping[str, type]:
    """What a row is of every table that studies write."""
    return {name: row for each in STUDIES for name, row in each.tables.items()}
