"""Feature means and spreads per site from a calibration set, for the `centred` and `standardised` variants."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Float32, Float64
from torch import Tensor


@dataclass(frozen=True)
class Moments:
    """Count, mean and scatter of each feature at one site; merges exactly (Chan, Golub & LeVeque 1983)."""

    n: int
    mean: Float64[Tensor, " d"]
    scatter: Float64[Tensor, " d"]
    """Sum over rows of the squared distance from the mean."""


def moments(states: Float[Tensor, "n t d"], keep: Bool[Tensor, "n t"]) -> Moments:
    """Moments of the counted tokens' states; an example with a counted state that is not finite is left out."""
    finite = torch.isfinite(states).all(-1) | ~keep
    rows = states[keep & finite.all(1, keepdim=True)].double()
    if not len(rows):
        width = states.shape[-1]
        return Moments(0, torch.zeros(width, dtype=torch.float64), torch.zeros(width, dtype=torch.float64))
    mean = rows.mean(0)
    return Moments(len(rows), mean.cpu(), (rows - mean).square().sum(0).cpu())


def merge_moments(a: Moments, b: Moments) -> Moments:
    n = a.n + b.n
    if n == 0:
        return a
    gap = b.mean - a.mean
    return Moments(n, a.mean + gap * (b.n / n), a.scatter + b.scatter + gap.square() * (a.n * b.n / n))


@dataclass(frozen=True)
class Calibration:
    """What centres and standardises each site: (h - mean) * inverse. A feature that never varies becomes 0."""

    means: tuple[Float32[Tensor, " d"], ...]
    inverses: tuple[Float32[Tensor, " d"], ...]

    def at(self, site_index: int) -> tuple[Float32[Tensor, " d"], Float32[Tensor, " d"]]:
        return self.means[site_index], self.inverses[site_index]


def calibration_from(per_site: list[Moments], device: torch.device | str = "cpu") -> Calibration:
    """The calibration that per-site moments give; the population spread (divided by n) is used."""
    means: list[Tensor] = []
    inverses: list[Tensor] = []
    for m in per_site:
        spread = (m.scatter / max(m.n, 1)).sqrt()
        inverse = torch.where(spread > 0, 1.0 / spread, 0.0)
        means.append(m.mean.float().to(device))
        inverses.append(inverse.float().to(device))
    return Calibration(tuple(means), tuple(inverses))
