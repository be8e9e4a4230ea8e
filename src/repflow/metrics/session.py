"""One streaming pass: sites come in, every metric's state comes out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Int64
from torch import Tensor

from repflow.core import Site
from repflow.metrics.batch import Batch
from repflow.metrics.calibration import Calibration
from repflow.metrics.metric import Metric, Observer
from repflow.metrics.states import State
from repflow.metrics.tensors import as_list
from repflow.metrics.trace import Trace
from repflow.metrics.view import Rooms, SiteView


@dataclass(frozen=True)
class Counts:
    """What a pass has seen."""

    examples: int
    """Examples measured, stopped ones not among them."""
    tokens: Int64[Tensor, "s p"]
    """Tokens counted, by site and policy."""
    stopped: tuple[tuple[int, int], ...] = ()
    """(example id, index of the first site with a non-finite state) of the examples left out."""

    def merge(self, other: "Counts") -> "Counts":
        return Counts(self.examples + other.examples, self.tokens + other.tokens, self.stopped + other.stopped)


States = Mapping[str, State]
"""Every metric's state by its name, and the pass's `counts`."""


@dataclass
class Session:
    """Feeds one batch's sites to every metric. `see` is the sink of a tapped forward pass."""

    metrics: Sequence[Metric]
    batch: Batch
    calibration: Calibration | None = None
    rooms: Rooms = field(default_factory=Rooms)
    """Give sessions that follow one another the same."""
    _observers: list[Observer] = field(init=False)
    _trace: Trace = field(init=False)
    _view: SiteView | None = field(default=None, init=False)
    _turn: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._observers = [metric.observe(self.batch) for metric in self.metrics]
        self._trace = Trace(self.batch)

    def see(self, site: Site, states: Tensor) -> None:
        """Take in one site's states [n, t, d], in any float dtype.

        They are copied, since a model may go on to change them in place, and zeroed at padding, where anything may
        stand. Autocasting is off meanwhile: in a training loop it would take the metrics' own products to bfloat16.
        """
        with torch.autocast(states.device.type, enabled=False):
            turn, self._turn = self._turn, self._turn + 1
            copy = self._copied(states.detach(), turn)
            self._take(SiteView(site, copy, self.batch, self._view, self.calibration, self.rooms, turn))

    def _copied(self, states: Tensor, turn: int) -> Tensor:
        copy = self.rooms.states("states", turn, states).copy_(states)
        return copy.masked_fill_(~self.batch.real[..., None], 0.0) if self.batch.padded else copy

    def _take(self, view: SiteView) -> None:
        self._trace.see(view)
        for observer in self._observers:
            observer.see(view)
        view.release()
        self._view = view

    def finish(self) -> dict[str, Any]:
        """The batch's states by metric name, and its `counts`."""
        self._view = None
        with torch.autocast(self.batch.real.device.type, enabled=False):
            states: dict[str, Any] = {
                metric.name: observer.finish(self._trace)
                for metric, observer in zip(self.metrics, self._observers, strict=True)
            }
            states["counts"] = self._counts()
        return states

    def _counts(self) -> Counts:
        trace = self._trace
        bad = trace.bad.cpu()
        stopped = tuple(
            (example_id, as_list(bad[:, row]).index(True))
            for row, example_id in enumerate(self.batch.example_ids)
            if bool(bad[:, row].any())
        )
        tokens = torch.where(trace.finite, trace.keep.sum(-1), 0).sum(-1)
        return Counts(int(trace.finite.sum()), tokens.cpu(), stopped)


def merge(a: States, b: States) -> dict[str, Any]:
    """Merge two sets of states of the same metrics."""
    assert a.keys() == b.keys(), f"states of other metrics: {sorted(a.keys() ^ b.keys())}"
    return {name: state.merge(b[name]) for name, state in a.items()}
