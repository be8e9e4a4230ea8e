"""What a metric is: an observer for one batch, a state that merges, and how a value per site becomes both."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float64
from torch import Tensor

from repflow.metrics.batch import Batch
from repflow.metrics.states import Means, State, observe_means, observe_shares
from repflow.metrics.trace import Trace
from repflow.metrics.view import SiteView


@runtime_checkable
class Observer(Protocol):
    """Watches one batch pass through the sites, in depth order."""

    def see(self, view: SiteView) -> None:
        """Take what must be taken while the states are there."""
        ...

    def finish(self, trace: Trace) -> State:
        """The batch's state, on the CPU. Examples that `trace.finite` denies are left out of it."""
        ...


@runtime_checkable
class Metric(Protocol):
    """A quantity that can be measured in a streaming pass."""

    @property
    def name(self) -> str: ...

    @property
    def state(self) -> type[Any]:
        """The class of its states, for unpacking stored ones."""
        ...

    def observe(self, batch: Batch) -> Observer: ...


@runtime_checkable
class Share(Protocol):
    """A site metric whose run value is a ratio of sums over examples: what `values` gives, over `whole`."""

    def whole(self, collected: Mapping[str, Tensor]) -> Float64[Tensor, "s p n"]: ...


@runtime_checkable
class SiteMetric(Protocol):
    """A quantity with one value per example, site, variant and token policy."""

    @property
    def name(self) -> str: ...

    @property
    def variants(self) -> tuple[str, ...]: ...

    def collect(self, view: SiteView) -> Mapping[str, Tensor]:
        """What must be computed while the states are there, by a name of the metric's own; often nothing.

        A name given at one site and not at another stands for NaN there.
        """
        ...

    def values(self, collected: Mapping[str, Tensor], trace: Trace) -> Mapping[str, Float64[Tensor, "s p n"]]:
        """Values by variant, NaN where undefined, from what was collected (stacked over sites) and the trace."""
        ...


class FromTrace:
    """Part of a site metric that reads the trace alone."""

    def collect(self, view: SiteView) -> dict[str, Tensor]:
        """Nothing."""
        del view
        return {}


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
    seen: int = 0
    collected: dict[str, Tensor] = field(default_factory=dict[str, Tensor])
    """What was collected, [s, ...] by name, NaN where a site had none."""

    def see(self, view: SiteView) -> None:
        for name, value in self.metric.collect(view).items():
            if name not in self.collected:
                self.collected[name] = value.new_full((len(self.batch.sites), *value.shape), torch.nan)
            self.collected[name][self.seen] = value
        self.seen += 1

    def finish(self, trace: Trace) -> Means:
        """Cells are [site, variant, policy]."""
        found = self.metric.values(self.collected, trace)
        shape = (len(self.batch.sites), len(self.batch.options.policies), trace.norm.shape[1])
        missing = trace.norm.new_full(shape, torch.nan)
        values = torch.stack([found.get(variant, missing) for variant in self.metric.variants], 1)
        values = torch.where(trace.finite, values, torch.nan).cpu()
        if isinstance(self.metric, Share):
            return observe_shares(values, self.metric.whole(self.collected)[:, None].cpu(), self.batch.weights)
        return observe_means(values, self.batch.weights)
