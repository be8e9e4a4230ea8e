"""path: the geometry of each token's way through depth, h_0 .. h_L over `embed, block.0 .. block.L-1`."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor

from repflow.metrics.batch import Batch
from repflow.metrics.metric import Observer
from repflow.metrics.states import Means, observe_means
from repflow.metrics.tensors import angle, row_dot, row_norm
from repflow.metrics.trace import Trace, masked_mean
from repflow.metrics.view import SiteView

CELLS: tuple[tuple[str, str], ...] = (
    *((name, scale) for name in ("v_loc", "v_glob", "path_energy", "path_length") for scale in ("rms", "raw", "unit")),
    ("tortuosity", "raw"),
    ("depth_curvature", "raw"),
)
"""The (metric, variant) pairs, in the order of the state's first dimension."""


@dataclass(frozen=True)
class Path:
    """Path metrics, each the mean over an example's counted tokens (counted at every site of the path).

    path_energy = sum ||h_{l+1} - h_l||^2, path_length = sum ||h_{l+1} - h_l||, v_loc = path_energy / L,
    v_glob = mean_l ||h_l - mean h||^2, tortuosity = path_length / ||h_L - h_0|| (at least 1),
    depth_curvature = mean angle in radians between successive steps (in [0, pi], needs two that are not zero).
    Variants: `raw`; `rms`, with every h_l divided by the path's own root mean ||h_l||^2; `unit`, with every h_l on
    the unit sphere. Both are blind to a common scale. The final norm is not part of a path.
    Memory: four states' worth of buffers (running mean, unit sum, first state, a difference), whatever the depth.
    """

    name: str = "path"
    state: type[Any] = Means

    def observe(self, batch: Batch) -> Observer:
        return _PathObserver(batch)


@dataclass
class _PathObserver:
    batch: Batch
    first: Tensor | None = None
    mean: Tensor | None = None
    unit_sum: Tensor | None = None
    """Sum of u_l - u_0 over the unit states."""
    last_step: Tensor | None = None
    first_inverse: Tensor | None = None
    steps: int = 0
    scalars: Tensor | None = None
    """[3, l, n, t] for l >= 1: ||h_l - mean of h_0 .. h_{l-1}||, ||h_l - h_0||, and, from the second step on, the inner
    product of the step with the one before it."""

    def see(self, view: SiteView) -> None:
        if view.site.is_final_norm:
            return
        inverse = torch.where(view.norm > 0, view.norm.reciprocal(), torch.nan)[..., None]
        if self.first is None or self.first_inverse is None or self.mean is None or self.unit_sum is None:
            self.first, self.mean, self.unit_sum = (
                view.rooms.states(name, 0, view.states) for name in ("first", "mean", "unit_sum")
            )
            self.first.copy_(view.states)
            self.mean.copy_(view.states)
            self.unit_sum.zero_()
            self.first_inverse = inverse
            self.scalars = view.norm.new_zeros(3, len(self.batch.sites) - 1, *view.norm.shape)
            return
        assert self.scalars is not None, "made with the first site"
        gap = torch.sub(view.states, self.mean, out=view.rooms.states("scratch", 0, view.states))
        self.scalars[0, self.steps] = row_norm(gap)
        self.mean.add_(gap, alpha=1.0 / (self.steps + 2))
        self.unit_sum.addcmul_(view.states, inverse).addcmul_(self.first, self.first_inverse, value=-1.0)
        self.scalars[1, self.steps] = row_norm(torch.sub(view.states, self.first, out=gap))
        if self.last_step is not None:
            self.scalars[2, self.steps] = row_dot(self.last_step, view.step)
        self.last_step = view.step
        self.steps += 1

    def finish(self, trace: Trace) -> Means:
        """Cells are [CELLS, policy]."""
        keep = trace.keep[: self.steps + 1].all(0)[None]
        values = torch.cat([masked_mean(value[None], keep) for value in self._per_token(trace)])
        return observe_means(torch.where(trace.finite, values, torch.nan).cpu(), self.batch.weights)

    def _per_token(self, trace: Trace) -> list[Float64[Tensor, "n t"]]:
        """One value per token for each of CELLS."""
        steps, points = self.steps, self.steps + 1
        norm, step = trace.norm[:points], trace.step_norm[1:points]
        mean_square = norm.square().mean(0)
        if not steps or self.unit_sum is None or self.scalars is None:
            return [torch.full_like(mean_square, torch.nan)] * len(CELLS)
        energy, length = step.square().sum(0), step.sum(0)
        gaps, straight, turns = self.scalars[:, :steps].double()
        unit_step = _unit_square(step, norm[1:], norm[:-1])
        unit_energy, unit_length = unit_step.sum(0), unit_step.sqrt().sum(0)
        # Welford's recurrence: the l-th gap adds its square times (l-1)/l to the scatter.
        share = torch.arange(1, points, device=norm.device, dtype=torch.float64)
        v_glob = (gaps.square() * (share / (share + 1))[:, None, None]).sum(0) / points
        unit_straight = _unit_square(straight, norm[1:], norm[:1])
        unit_v_glob = unit_straight.sum(0) / points - (row_norm(self.unit_sum).double() / points).square()
        return [
            *(energy / mean_square / steps, energy / steps, unit_energy / steps),
            *(v_glob / mean_square, v_glob, unit_v_glob),
            *(energy / mean_square, energy, unit_energy),
            *(length / mean_square.sqrt(), length, unit_length),
            length / straight[-1],
            _curvature(step, turns),
        ]


def _curvature(step: Float64[Tensor, "m n t"], turns: Float64[Tensor, "m n t"]) -> Float64[Tensor, "n t"]:
    """Mean angle between successive steps, over those that are defined."""
    return angle(turns[1:] / (step[1:] * step[:-1])).nanmean(0)


def _unit_square(
    distance: Float64[Tensor, "m n t"], norm: Float64[Tensor, "m n t"], other: Float64[Tensor, "#m n t"]
) -> Float64[Tensor, "m n t"]:
    """Squared distance of two unit states, from the distance of the states and its radial part."""
    return ((distance.square() - (norm - other).square()) / (norm * other)).clamp(min=0.0)
