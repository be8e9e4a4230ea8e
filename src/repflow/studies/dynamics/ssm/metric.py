"""The transitions as a metric of the streaming pass, fed by hooks on the mixers."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from repflow.core import ModelProblem
from repflow.metrics import Batch, SiteView
from repflow.metrics.trace import Trace
from repflow.models import Loaded
from repflow.studies.dynamics.ssm.mixers import BlockMixer, reading
from repflow.studies.dynamics.ssm.observed import Observed, observed
from repflow.studies.dynamics.ssm.recurrence import Recurrence
from repflow.studies.dynamics.ssm.state import TransitionState, summed


@dataclass
class Transitions:
    """Reads the mixers' recurrences of each batch between `observe` and `finish`. Made by `transitions_of`."""

    mixers: tuple[BlockMixer, ...]
    name: str = "transitions"
    state: type[Any] = TransitionState
    _now: "_Observer | None" = None

    def observe(self, batch: Batch) -> "_Observer":
        self._now = _Observer(self.mixers, batch)
        return self._now

    def take(self, mixer: BlockMixer, recurrence: Recurrence) -> None:
        """The sink of `reading`. Passes outside a batch (a calibration, say) are not counted."""
        if self._now is not None and not self._now.done:
            self._now.seen[mixer.module] = observed(recurrence, self._now.batch.real)


@dataclass
class _Observer:
    mixers: tuple[BlockMixer, ...]
    batch: Batch
    seen: dict[str, Observed] = field(default_factory=dict[str, Observed])
    """By the mixer's name."""
    done: bool = False

    def see(self, view: SiteView) -> None:
        """The residual stream is not what this metric reads."""
        del view

    def finish(self, trace: Trace) -> TransitionState:
        self.done = True
        seen = [self.seen[mixer.module] for mixer in self.mixers]
        return summed(seen, self.batch.weights, trace.finite.cpu())


@contextmanager
def transitions_of(subject: Loaded, found: Sequence[BlockMixer]) -> Iterator[Transitions]:
    """A metric that measures the transitions of a subject's mixers in every pass within the block.

    The hooks are gone on leaving, also after an exception. Raises ModelProblem where there is no mixer to read.
    """
    if not found:
        raise ModelProblem(f"{subject.facts.label} has no state-space block whose transitions can be read")
    metric = Transitions(tuple(found))
    with reading(subject.model, metric.mixers, metric.take):
        yield metric
