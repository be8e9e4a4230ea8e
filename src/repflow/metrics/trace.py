"""What a whole pass leaves behind of every token: a few numbers a site, from which most metrics are read at the end."""

from dataclasses import dataclass, field
from functools import cached_property

import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from repflow.metrics.batch import Batch
from repflow.metrics.view import SiteView


@dataclass
class Trace:
    """Per-token scalars of one batch at all sites, first dimension the site; float64, on the states' device."""

    batch: Batch
    _seen: int = 0
    _scalars: Tensor = field(init=False)
    """[3, s, n, t]: norms, step norms, inner products of step and state before; NaN until known."""
    _keep: Tensor = field(init=False)

    def __post_init__(self) -> None:
        # Room for all sites at once: small pieces kept one by one would break up the memory the model's pass reuses.
        (n, t), sites, device = self.batch.real.shape, len(self.batch.sites), self.batch.real.device
        self._scalars = torch.full((3, sites, n, t), torch.nan, device=device)
        self._keep = torch.zeros(sites, len(self.batch.options.policies), n, t, dtype=torch.bool, device=device)

    def see(self, view: SiteView) -> None:
        """Take in one site."""
        site, self._seen = self._seen, self._seen + 1
        self._scalars[0, site] = view.norm
        self._keep[site] = view.keep
        if view.previous is not None:
            self._scalars[1, site] = view.step_norm
            self._scalars[2, site] = view.step_dot_previous

    @cached_property
    def norm(self) -> Float64[Tensor, "s n t"]:
        """||h||"""
        return self._scalars[0].double()

    @cached_property
    def step_norm(self) -> Float64[Tensor, "s n t"]:
        """||h - h_prev||, NaN at the first site."""
        return self._scalars[1].double()

    @cached_property
    def step_dot_previous(self) -> Float64[Tensor, "s n t"]:
        """(h - h_prev) . h_prev, NaN at the first site."""
        return self._scalars[2].double()

    @cached_property
    def previous_norm(self) -> Float64[Tensor, "s n t"]:
        """||h_prev||, NaN at the first site."""
        return torch.cat([torch.full_like(self.norm[:1], torch.nan), self.norm[:-1]])

    @property
    def keep(self) -> Bool[Tensor, "s p n t"]:
        """Which tokens count at each site, by policy."""
        assert self._seen == len(self.batch.sites), f"saw {self._seen} of {len(self.batch.sites)} sites"
        return self._keep

    @cached_property
    def keep_step(self) -> Bool[Tensor, "s p n t"]:
        """Which tokens count both at a site and at the one before; none at the first."""
        return torch.cat([torch.zeros_like(self.keep[:1]), self.keep[1:] & self.keep[:-1]])

    @cached_property
    def bad(self) -> Bool[Tensor, "s n"]:
        """Whether an example has a real token without a finite state at a site."""
        return (~torch.isfinite(self.norm) & self.batch.real).any(-1)

    @cached_property
    def finite(self) -> Bool[Tensor, " n"]:
        """Whether an example is finite throughout."""
        return ~self.bad.any(0)


def masked_mean(values: Float64[Tensor, "s n t"], keep: Bool[Tensor, "s p n t"]) -> Float64[Tensor, "s p n"]:
    """Mean over counted tokens whose value is finite; NaN where there is none."""
    usable = keep & torch.isfinite(values)[:, None]
    total = torch.where(usable, values[:, None], 0.0).sum(-1)
    return total / usable.sum(-1)
