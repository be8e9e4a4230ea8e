"""What a metric is: an observer for one batch, a state that merges, and how a value per site becomes both."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from jaxtyping import Float64
from torch import Tensor

from repflow.metrics.batch import Batch
from repflow.metrics.states import Means, State, observe_means
from repflow.metrics.view import SiteView


class Observer(Protocol):
    """Watches one batch pass through the sites, in depth order."""

    def see(self, view: SiteView) -> None: ...

    def finish(self, finite: Tensor) -> State:
        """The batch's state, on the CPU. Examples whose `finite` [n] is False are left out of it."""
        ...


class Metric(Protocol):
    """A quantity that can be measured in a streaming pass."""

    @property
    def name(self) -> str: ...

    @property
    def state(self) -> type[Any]:
        """The class of its states, for unpacking stored ones."""
        ...

    def observe(self, batch: Batch) -> Observer: ...


class SiteMetric(Protocol):
    """A quantity with one value per example, site, variant and token policy."""

    @property
    def name(self) -> str: ...

    @property
    def variants(self) -> tuple[str, ...]: ...

    def measure(self, view: SiteView) -> Mapping[str, Float64[Tensor, "p n"]]:
        """Values by variant, NaN where undefined; a variant that does not exist at this site is left out."""
        ...


@dataclass(frozen=True)
class PerSite:
    """A site metric, averaged over examples at every site."""

    metric: SiteMetric
    state: type[Any] = Means

    @property
    def name(self) -> str:
        return self.metric.name

    @property
    def variants(self) -> tuple[str, ...]:
        return self.metric.variants

    def observe(self, batch: Batch) -> Observer:
        return _PerSiteObserver(self.metric, batch)


@dataclass
class _PerSiteObserver:
    metric: SiteMetric
    batch: Batch
    seen: list[Tensor] = field(default_factory=list[Tensor])
    """One [v, p, n] per site."""

    def see(self, view: SiteView) -> None:
        measured = self.metric.measure(view)
        missing = view.norm.new_full((len(self.batch.options.policies), view.norm.shape[0]), torch.nan)
        self.seen.append(torch.stack([measured.get(v, missing) for v in self.metric.variants]))

    def finish(self, finite: Tensor) -> Means:
        """Cells are [site, variant, policy]."""
        return observe_means(only(torch.stack(self.seen), finite).cpu(), self.batch.weights)


def only(values: Tensor, finite: Tensor) -> Tensor:
    """`values` [..., n] with NaN at the examples that are not finite."""
    return torch.where(finite.to(values.device), values, torch.nan)
