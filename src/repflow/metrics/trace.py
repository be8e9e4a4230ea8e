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
    _norm: list[Tensor] = field(default_factory=list[Tensor])
    _keep: list[Tensor] = field(default_factory=list[Tensor])
    _step_norm: list[Tensor] = field(default_factory=list[Tensor])
    _step_dot: list[Tensor] = field(default_factory=list[Tensor])

    def see(self, view: SiteView) -> None:
        """Take in one site."""
        missing = torch.full_like(view.norm, torch.nan)
        self._norm.append(view.norm)
        self._keep.append(view.keep)
        self._step_norm.append(missing if view.previous is None else view.step_norm)
        self._step_dot.append(missing if view.previous is None else view.step_dot_previous)

    @cached_property
    def norm(self) -> Float64[Tensor, "s n t"]:
        """||h||"""
        return torch.stack(self._norm).double()

    @cached_property
    def step_norm(self) -> Float64[Tensor, "s n t"]:
        """||h - h_prev||, NaN at the first site."""
        return torch.stack(self._step_norm).double()

    @cached_property
    def step_dot_previous(self) -> Float64[Tensor, "s n t"]:
        """(h - h_prev) . h_prev, NaN at the first site."""
        return torch.stack(self._step_dot).double()

    @cached_property
    def previous_norm(self) -> Float64[Tensor, "s n t"]:
        """||h_prev||, NaN at the first site."""
        return torch.cat([torch.full_like(self.norm[:1], torch.nan), self.norm[:-1]])

    @cached_property
    def keep(self) -> Bool[Tensor, "s p n t"]:
        """Which tokens count at each site, by policy."""
        return torch.stack(self._keep)

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
