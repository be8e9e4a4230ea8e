"""Z-scoring with training statistics, without a copy of the states for each split."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Float32
from torch import Tensor

ROUNDING = 2.0**-23
"""A spread below this share of the mean is the rounding of float32, not a spread."""


def standardised(states: Float[Tensor, "n d"]) -> Float32[Tensor, "n d"]:
    """States about their mean and over their spread, float32: the precision every later step starts from.

    Features without spread become 0 exactly. This is not yet the z-scoring of a split, only a common ground without
    large offsets or norms.
    """
    wide = states.double()
    mean = wide.mean(0)
    wide -= mean
    spread = wide.square().mean(0).sqrt()
    return (wide * _inverse(spread, mean)).float()


@dataclass(frozen=True)
class Scaling:
    """Mean and inverse spread of the training examples; the inverse is 0 where there is no spread."""

    mean: Float[Tensor, "*jobs d"]
    inverse: Float[Tensor, "*jobs d"]

    def fold(self, weights: Float[Tensor, "*problems d_1"]) -> Float[Tensor, "*problems d_1"]:
        """Weights for z-scored states, bias last, turned in place into weights for states as they are."""
        slopes = weights[..., :-1].mul_(self.inverse)
        weights[..., -1] -= torch.linalg.vecdot(slopes, self.mean)
        return weights

    def unfold(self, gradient: Float[Tensor, "*problems d_1"]) -> Float[Tensor, "*problems d_1"]:
        """The gradient by folded weights turned in place into the gradient by weights for z-scored states."""
        gradient[..., :-1].addcmul_(self.mean, gradient[..., -1:], value=-1).mul_(self.inverse)
        return gradient


def training_scaling(states: Float[Tensor, "n d"], train: Bool[Tensor, "r n"]) -> Scaling:
    """Statistics [r, d] over each split's training examples; the spread is over n, not n - 1."""
    share = train.double() / train.sum(1, keepdim=True)
    wide = states.double()
    mean = share @ wide
    variance = (share @ wide.square() - mean.square()).clamp(min=0)
    return Scaling(mean.float(), _inverse(variance.sqrt(), mean).float())


def _inverse(spread: Float[Tensor, "*d"], mean: Float[Tensor, "*d"]) -> Float[Tensor, "*d"]:
    return torch.where(spread > ROUNDING * mean.abs(), 1 / spread, 0.0)
