"""Debiased HSIC and CKA of many Gram matrices at once."""

import torch
from jaxtyping import Bool, Float, Float32, Float64
from torch import Tensor


def u_centre(grams: Float[Tensor, "s n n"]) -> Float[Tensor, "s n n"]:
    """U-centred Grams: zero diagonal, rows that sum to zero. n must be at least 3.

    The inner product of two of them is n (n-3) HSIC_1 (Szekely & Rizzo 2014), and centring before multiplying keeps
    the digits that the three-term formula of Song et al. 2012 loses.
    """
    n = grams.shape[-1]
    centred = grams.clone()
    diagonal = centred.diagonal(dim1=-2, dim2=-1)
    diagonal.zero_()
    rows = centred.sum(-1) / (n - 2)
    total = rows.sum(-1) / (n - 1)
    centred.sub_(rows[:, :, None]).sub_(rows[:, None, :]).add_(total[:, None, None])
    diagonal.zero_()
    return centred


def double_centre(grams: Float32[Tensor, "s n n"]) -> Float32[Tensor, "s n n"]:
    """Grams about the rows' mean, whose inner product is (n-1)^2 times the biased HSIC_0."""
    rows = grams.mean(-1)
    return grams - rows[:, :, None] - rows[:, None, :] + rows.mean(-1)[:, None, None]


def hsic(a: Float32[Tensor, "s n n"], b: Float32[Tensor, "z n n"], biased: bool = False) -> Float64[Tensor, "s z"]:
    """HSIC of every pair of centred Grams: debiased HSIC_1 of `u_centre`d ones, or HSIC_0 of `double_centre`d ones."""
    n = a.shape[-1]
    scale = (n - 1) ** 2 if biased else n * (n - 3)
    return (a.flatten(1) @ b.flatten(1).T).double() / scale


def centred_hsic(grams: Float32[Tensor, "s n n"], biased: bool = False) -> Float64[Tensor, "s s"]:
    """HSIC of every pair of one set of Grams."""
    centred = double_centre(grams) if biased else u_centre(grams)
    return hsic(centred, centred, biased)


def subset(grams: Float32[Tensor, "s m m"], keep: Bool[Tensor, " m"]) -> Float32[Tensor, "s n n"]:
    """The Grams of the counted rows."""
    index = keep.nonzero()[:, 0]
    return grams if len(index) == len(keep) else grams[:, index][:, :, index]


def cka(
    cross: Float64[Tensor, "*r s z"], a: Float64[Tensor, "*r s"], b: Float64[Tensor, "*r z"]
) -> Float64[Tensor, "*r s z"]:
    """CKA from summed HSICs: cross / sqrt(a b); NaN where a site's own HSIC is not positive (a constant site)."""
    own = torch.where(a > 0, a, torch.nan)[..., :, None] * torch.where(b > 0, b, torch.nan)[..., None, :]
    return cross / own.sqrt()
