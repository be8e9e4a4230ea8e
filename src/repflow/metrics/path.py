"""path: the geometry of each token's way through depth, h_0 .. h_L over `embed, block.0 .. block.L-1`."""

from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor

from repflow.metrics.batch import Batch
from repflow.metrics.metric import Observer, only
from repflow.metrics.states import Means, observe_means
from repflow.metrics.tensors import angle, row_dot, row_norm
from repflow.metrics.view import SiteView, masked_mean

CELLS: tuple[tuple[str, str], ...] = (
    *(
        (metric, scale)
        for metric in ("v_loc", "v_glob", "path_energy", "path_length")
        for scale in ("rms", "raw", "unit")
    ),
    ("tortuosity", "raw"),
    ("depth_curvature", "raw"),
)
"""The (metric, variant) pairs, in the order of the state's first dimension."""


@dataclass(frozen=True)
class Path:
    """Path metrics, each the mean over an example's counted tokens (counted at every site of the path).

    path_energy = sum ||h_{l+1} - h_l||^2, path_length = sum ||h_{l+1} - h_l||, v_loc = path_energy / L,
    v_glob = mean_l ||h_l - mean h||^2, tortuosity = path_length / ||h_L - h_0|| (at least 1),
    depth_curvature = mean angle in radians between successive steps (in [0, pi], needs two steps).
    Variants: `raw`; `rms`, with every h_l divided by the path's own root mean ||h_l||^2; `unit`, with every h_l on
    the unit sphere. Both are blind to a common scale. The final norm is not part of a path.
    Memory: four states' worth of buffers (running mean, unit sum, first state, last step), whatever the depth.
    """

    name: str = "path"
    state: type[Any] = Means

    def observe(self, batch: Batch) -> Observer:
        return _PathObserver(batch)


@dataclass
class _PathObserver:
    batch: Batch
    sites: int = 0
    first: Tensor | None = None
    mean: Tensor | None = None
    unit_sum: Tensor | None = None
    last_step: tuple[Tensor, Tensor] | None = None
    """The step before, [n, t, d], and its norm."""
    keep: Tensor | None = None
    straight: Tensor | None = None
    """||h_L - h_0|| up to here."""
    sums: dict[str, Tensor] = field(default_factory=dict[str, Tensor])
    """Per-token sums over the path, [n, t] float64."""

    def see(self, view: SiteView) -> None:
        if view.site.is_final_norm:
            return
        self._place(view)
        if view.previous is not None:
            self._move(view)

    def finish(self, finite: Tensor) -> Means:
        """Cells are [CELLS, policy]."""
        values = only(torch.stack([masked_mean(v, self._kept()) for v in self._per_token()]), finite)
        return observe_means(values.cpu(), self.batch.weights)

    def _place(self, view: SiteView) -> None:
        """Take in where the path is: its spread about its mean, and its mean square."""
        self.sites += 1
        inverse = torch.where(view.norm > 0, 1.0 / view.norm, torch.nan).float()[..., None]
        if self.first is None or self.mean is None or self.unit_sum is None:
            self.first = view.states
            self.mean = view.states.clone()
            self.unit_sum = view.states * inverse
            self.keep = view.keep
        else:
            gap = view.states - self.mean
            self._add("scatter", row_dot(gap, gap) * ((self.sites - 1) / self.sites))
            self.mean.add_(gap, alpha=1.0 / self.sites)
            self.unit_sum.addcmul_(view.states, inverse)
            self.keep = self._kept() & view.keep
            self.straight = row_norm(torch.sub(view.states, self.first, out=gap))
        self._add("square", view.norm.square())

    def _move(self, view: SiteView) -> None:
        """Take in the step from the site before."""
        assert view.previous is not None
        length = view.step_norm
        radial = view.norm - view.previous.norm
        unit_square = ((length.square() - radial.square()) / (view.norm * view.previous.norm)).clamp(min=0.0)
        self._add("energy", length.square())
        self._add("length", length)
        self._add("unit_energy", unit_square)
        self._add("unit_length", unit_square.sqrt())
        if self.last_step is not None:
            step, norm = self.last_step
            cosine = row_dot(step, view.step) / (norm * length)
            self._add("angle", angle(cosine))
        self.last_step = (view.step, length)

    def _per_token(self) -> list[Float64[Tensor, "n t"]]:
        """One value per token for each of CELLS."""
        assert self.unit_sum is not None
        points, steps = self.sites, self.sites - 1
        nothing = torch.full_like(self.sums["square"], torch.nan)
        mean_square = self.sums["square"] / points
        energy, length = self.sums.get("energy", nothing), self.sums.get("length", nothing)
        unit_energy, unit_length = self.sums.get("unit_energy", nothing), self.sums.get("unit_length", nothing)
        v_glob = self.sums.get("scatter", nothing) / points
        unit_mean = row_norm(self.unit_sum) / points
        straight = nothing if self.straight is None else self.straight
        per_step = 1.0 / steps if steps else torch.nan
        return [
            *(energy / mean_square * per_step, energy * per_step, unit_energy * per_step),
            *(v_glob / mean_square, v_glob, 1.0 - unit_mean.square() if steps else nothing),
            *(energy / mean_square, energy, unit_energy),
            *(length / mean_square.sqrt(), length, unit_length),
            length / straight,
            self.sums["angle"] / (steps - 1) if steps > 1 else nothing,
        ]

    def _add(self, name: str, values: Float64[Tensor, "n t"]) -> None:
        self.sums[name] = self.sums[name] + values if name in self.sums else values

    def _kept(self) -> Tensor:
        assert self.keep is not None, "a path with no site"
        return self.keep
