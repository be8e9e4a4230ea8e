"""feature_share: how much of the likeness of tokens a few features carry."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor

from repflow.metrics.trace import Trace
from repflow.metrics.view import SiteView, unit_weights

FIXED = (1, 3, 10)
SHARE_OF_WIDTH = 0.1


@dataclass(frozen=True)
class FeatureShare:
    """The share of the raw inter_token_cosine that an example's k largest feature contributions carry.

    Feature f contributes the mean over pairs of counted tokens of u_i[f] u_j[f], u the unit rows:
    ((sum_i u_i[f])^2 - sum_i u_i[f]^2) / (n (n-1)), exact in O(n d); over all features these sum to inter_token_cosine.
    k = 1, 3, 10 and a tenth of the width. A run's value is the sum over examples of what the k largest contribute, over
    the sum of the cosines. 1 says that the k features carry all of it; above 1 the others take some away; about k / d
    where all features carry alike. NaN where the mean cosine is not above 0, and for a width below k. The contributions
    are those of Timkey & van Schijndel 2021 (arXiv:2109.04404).
    """

    name: str = "feature_share"
    variants: tuple[str, ...] = (*(f"k={k}" for k in FIXED), "k=10%")

    def collect(self, view: SiteView) -> dict[str, Tensor]:
        weights, width = unit_weights(view.norm, view.keep), view.states.shape[-1]
        count = (weights > 0).sum(-1, keepdim=True).double()
        square = torch.square(view.states, out=view.rooms.states("square", view.turn, view.states))
        own = weights.square() @ square
        parts = (view.sum_of_units.double().square() - own) / (count * (count - 1))
        largest = parts.topk(min(width, max(*FIXED, _tenth(width)))).values.cumsum(-1).transpose(0, 1)
        wanted = zip(self.variants, (*FIXED, _tenth(width)), strict=True)
        found = {variant: largest[..., k - 1] for variant, k in wanted if k <= width}
        return found | {"all": parts.sum(-1).T}

    def values(self, collected: Mapping[str, Tensor], trace: Trace) -> dict[str, Float64[Tensor, "s p n"]]:
        """What the k largest contributions of each example add up to."""
        del trace
        return {variant: found for variant, found in collected.items() if variant in self.variants}

    def whole(self, collected: Mapping[str, Tensor]) -> Float64[Tensor, "s p n"]:
        """What all contributions add up to: the example's inter_token_cosine."""
        return collected["all"]


def _tenth(width: int) -> int:
    return max(1, round(SHARE_OF_WIDTH * width))
