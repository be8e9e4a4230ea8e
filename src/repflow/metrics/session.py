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
from repflow.metrics.view import SiteView


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
    seconds: float = 0.0
    _observers: list[Observer] = field(init=False)
    _view: SiteView | None = field(default=None, init=False)
    _first_bad: Tensor = field(init=False)
    _tokens: list[Tensor] = field(default_factory=list[Tensor], init=False)

    def __post_init__(self) -> None:
        self._observers = [metric.observe(self.batch) for metric in self.metrics]
        self._first_bad = torch.full((len(self.batch.example_ids),), -1, device=self.batch.real.device)

    def see(self, site: Site, states: Tensor) -> None:
        """Take in one site's states [n, t, d], in any float dtype."""
        before = self._view
        view = SiteView(site, states.detach().float(), self.batch, before, self.calibration)
        for observer in self._observers:
            observer.see(view)
        bad = ~view.finite & (self._first_bad < 0)
        self._first_bad = torch.where(bad, len(self._tokens), self._first_bad)
        self._tokens.append(view.keep.sum(-1))
        view.release()
        self._view = view

    def finish(self) -> dict[str, Any]:
        """The batch's states by metric name, and its `counts`."""
        finite = self._first_bad < 0
        states: dict[str, Any] = {
            metric.name: observer.finish(finite) for metric, observer in zip(self.metrics, self._observers, strict=True)
        }
        states["counts"] = self._counts(finite)
        return states

    def _counts(self, finite: Tensor) -> Counts:
        stopped = tuple(
            (example_id, site)
            for example_id, site in zip(self.batch.example_ids, as_list(self._first_bad), strict=True)
            if site >= 0
        )
        tokens = torch.where(finite, torch.stack(self._tokens), 0).sum(-1)
        return Counts(int(finite.sum()), tokens.cpu(), stopped)


def merge(a: States, b: States) -> dict[str, Any]:
    """Merge two sets of states of the same metrics."""
    assert a.keys() == b.keys(), f"states of other metrics: {sorted(a.keys() ^ b.keys())}"
    return {name: state.merge(b[name]) for name, state in a.items()}
