"""How much of what a bounded step allows a token's path through depth uses, and the discrete Poincare inequality."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from repflow.metrics import Batch, SiteView
from repflow.metrics.states import Means, observe_means
from repflow.metrics.tensors import row_norm
from repflow.metrics.trace import Trace, masked_mean

BOUNDS = ("envelope", "poincare")
"""The inequalities, in the order of a state's first dimension."""

PARTS = ("bound", "measured", "use")
"""The two sides of each, and measured / bound path by path, in the order of the second."""


@dataclass(frozen=True)
class PathUse:
    """Bootstrap-weighted sums over examples, as in `Means`, and extremes over all counted tokens."""

    total: Float64[Tensor, "2 3 p r"]
    weight: Float64[Tensor, "2 3 p r"]
    count: Int64[Tensor, "2 3 p"]
    """Examples with a defined value."""
    most: Float64[Tensor, "2 p"]
    """The largest use of any path; 0 without one."""
    paths: Int64[Tensor, "2 p"]

    def merge(self, other: "PathUse") -> "PathUse":
        return PathUse(
            self.total + other.total,
            self.weight + other.weight,
            self.count + other.count,
            torch.maximum(self.most, other.most),
            self.paths + other.paths,
        )

    def value(self) -> Float64[Tensor, "2 3 p r"]:
        """Means over examples: the estimate in column 0, its replicates behind it."""
        return Means(self.total, self.weight, self.count).value()


@dataclass(frozen=True)
class PathBounds:
    """Two inequalities every path h_0 .. h_L over `embed, block.0 .. block.L-1` obeys, and how tight they are.

    envelope: if every step is at most delta, the scatter sum_l ||h_l - mean||^2 of n = L+1 points is at most
    delta^2 n (n^2 - 1) / 12, cubic in depth; the straight line of equal steps attains it. delta is each path's own
    largest step. Use: how far the path goes for the steps it takes, 1 for a straight line.
    poincare: v_glob <= L v_loc / (4 (L+1) sin^2(pi / (2 (L+1)))), attained by h_l = cos(pi (l + 1/2) / (L+1)), the
    slowest wave along the path graph, whose smallest nonzero eigenvalue is 4 sin^2(pi / (2 (L+1))).
    Both sides are divided by the path's own mean ||h_l||^2, as in the variant `rms` of path metrics; a use is in [0, 1]
    and needs no scale. Means over an example's counted tokens; a path that never moves has no use.
    Memory: two states' worth of buffers, whatever the depth.
    """

    name: str = "path_bounds"
    state: type[Any] = PathUse

    def observe(self, batch: Batch) -> "_Observer":
        return _Observer(batch)


@dataclass
class _Observer:
    batch: Batch
    mean: Tensor | None = None
    scatter: Tensor | None = None
    steps: int = 0

    def see(self, view: SiteView) -> None:
        """Welford's recurrence along each path; the final norm is not part of it."""
        if view.site.is_final_norm:
            return
        if self.mean is None or self.scatter is None:
            self.mean = view.rooms.states("path_bounds_mean", 0, view.states)
            self.mean.copy_(view.states)
            self.scatter = torch.zeros_like(view.norm, dtype=torch.float64)
            return
        self.steps += 1
        gap = torch.sub(view.states, self.mean, out=view.rooms.states("path_bounds_gap", 0, view.states))
        self.scatter += row_norm(gap).double().square() * (self.steps / (self.steps + 1))
        self.mean.add_(gap, alpha=1.0 / (self.steps + 1))

    def finish(self, trace: Trace) -> PathUse:
        """Examples that are not finite are left out."""
        keep = trace.keep[: self.steps + 1].all(0)
        sides = self._sides(trace)
        values = torch.stack([torch.stack([masked_mean(side[None], keep[None])[0] for side in pair]) for pair in sides])
        means = observe_means(torch.where(trace.finite, values, torch.nan).cpu(), self.batch.weights)
        uses = torch.stack([pair[2] for pair in sides])[:, None]
        counted = keep & trace.finite[:, None] & torch.isfinite(uses)
        most = torch.where(counted, uses, 0.0).flatten(2)
        most = torch.cat([most, torch.zeros_like(most[..., :0].sum(-1, keepdim=True))], -1).amax(-1)
        return PathUse(means.total, means.weight, means.count, most.cpu(), counted.flatten(2).sum(-1).cpu())

    def _sides(self, trace: Trace) -> list[tuple[Tensor, ...]]:
        """For each of BOUNDS the PARTS, [n, t] each."""
        points = self.steps + 1
        scale = trace.norm[:points].square().mean(0)
        if not self.steps or self.scatter is None:
            return [(torch.full_like(scale, torch.nan),) * 3] * len(BOUNDS)
        step = trace.step_norm[1:points]
        envelope = step.amax(0).square() * (points * (points**2 - 1) / 12)
        poincare = step.square().sum(0) / (4 * points * math.sin(math.pi / (2 * points)) ** 2)
        return [
            (bound / scale, measured / scale, measured / bound)
            for bound, measured in ((envelope, self.scatter), (poincare, self.scatter / points))
        ]
