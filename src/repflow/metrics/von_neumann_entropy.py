"""von_neumann_entropy: the entropy of a sequence's whole spectrum. Optional: it needs eigenvalues."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float32, Float64
from torch import Tensor

from repflow.metrics.participation_ratio import centre
from repflow.metrics.tensors import entropy_of, spectrum
from repflow.metrics.trace import Trace
from repflow.metrics.view import SiteView


@dataclass(frozen=True)
class VonNeumannEntropy:
    """-sum p log p over the eigenvalues of K / tr(K), in nats; in [0, log min(rows, d)], NaN if K is zero.

    Eigenvalues below zero by rounding count as zero; K itself is never clamped, which would change the entropy.
    Cost: one symmetric eigenvalue problem of up to `gram_rows` rows per example, site, policy and variant.
    """

    name: str = "von_neumann_entropy"
    variants: tuple[str, ...] = ("uncentred", "centred")

    def collect(self, view: SiteView) -> dict[str, Tensor]:
        keep = view.gram_keep
        both = keep[..., :, None] & keep[..., None, :]
        return {
            "uncentred": _entropy(torch.where(both, view.gram.raw(), 0.0), keep),
            "centred": _entropy(centre(view.gram.centred, keep), keep),
        }

    def values(self, collected: Mapping[str, Tensor], trace: Trace) -> Mapping[str, Tensor]:
        del trace
        return collected


def _entropy(gram: Float32[Tensor, "p n m m"], keep: Bool[Tensor, "p n m"]) -> Float64[Tensor, "p n"]:
    finite = torch.isfinite(gram).all(-1).all(-1)
    values = spectrum(torch.where(finite[..., None, None], gram, 0.0)).clamp(min=0.0)
    total = values.sum(-1, keepdim=True)
    entropy = entropy_of(values / total)
    return torch.where(keep.any(-1) & finite & (total[..., 0] > 0), entropy, torch.nan)
