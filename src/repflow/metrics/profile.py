"""smoothness and stability: how evenly a profile of layer likeness runs through depth."""

import torch
from jaxtyping import Float64
from torch import Tensor


def smoothness(profile: Float64[Tensor, "r l"]) -> Float64[Tensor, " r"]:
    """Sm = mean over l of (s_{l+1} - s_l)^2; at least 0, NaN below two entries."""
    return profile.diff(dim=-1).square().mean(-1)


def stability(profile: Float64[Tensor, "r l"]) -> Float64[Tensor, " r"]:
    """St = variance of s_l over l (divided by the number of entries); at least 0, small is stable."""
    return (profile - profile.mean(-1, keepdim=True)).square().mean(-1)


def adjacent(pairs: Float64[Tensor, "*r s s"]) -> Float64[Tensor, "*r l"]:
    """The likeness of each site to the one before it, from all pairs."""
    return torch.diagonal(pairs, offset=1, dim1=-2, dim2=-1)
