"""participation_ratio: how many directions the tokens of a sequence spread over."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float32, Float64
from torch import Tensor

from repflow.metrics.trace import Trace
from repflow.metrics.view import SiteView


@dataclass(frozen=True)
class ParticipationRatio:
    """tr(K)^2 / ||K||_F^2 of the Gram matrix K of the sampled counted tokens; in [1, min(rows, d)], NaN if K is zero.

    `centred` takes the counted rows' mean away first. Rows are those of token CKA: all up to `gram_rows` of an
    example, beyond that a sample; the value grows with the number of rows, so compare like with like.
    """

    name: str = "participation_ratio"
    variants: tuple[str, ...] = ("uncentred", "centred")

    def collect(self, view: SiteView) -> dict[str, Tensor]:
        return {"both": participation_ratios(view)}

    def values(self, collected: Mapping[str, Tensor], trace: Trace) -> dict[str, Tensor]:
        del trace
        return {variant: collected["both"][:, i] for i, variant in enumerate(self.variants)}


def participation_ratios(view: SiteView) -> Float64[Tensor, "v p n"]:
    """Both variants at a site, computed once for the metrics that read them."""
    if "participation_ratio" not in view.shared:
        keep = view.gram_keep.transpose(0, 1).float()
        ratios = torch.stack([_ratio(view.gram.raw(), keep), _centred_ratio(view.gram.centred, keep)])
        view.shared["participation_ratio"] = ratios.transpose(1, 2)
    return view.shared["participation_ratio"]


def centre(gram: Float32[Tensor, "n m m"], keep: Bool[Tensor, "p n m"]) -> Float32[Tensor, "p n m m"]:
    """Gram matrices about the mean of the counted rows, zero elsewhere."""
    both = keep[..., :, None] & keep[..., None, :]
    counted = torch.where(both, gram, 0.0)
    n = keep.sum(-1).clamp(min=1)[..., None]
    rows = counted.sum(-1) / n
    total = (rows.sum(-1) / n[..., 0])[..., None, None]
    return torch.where(both, counted - rows[..., :, None] - rows[..., None, :] + total, 0.0)


def _ratio(gram: Float32[Tensor, "n m m"], keep: Float32[Tensor, "n p m"]) -> Float64[Tensor, "n p"]:
    trace, square, _ = _sums(gram, keep)
    return trace.square() / square


def _centred_ratio(gram: Float32[Tensor, "n m m"], keep: Float32[Tensor, "n p m"]) -> Float64[Tensor, "n p"]:
    """With r the row means and t the grand mean over counted rows: tr - n t, and ||K||^2 - 2 n |r|^2 + n^2 t^2."""
    trace, square, rows = _sums(gram, keep)
    n = keep.sum(-1).double()
    means = rows / n[..., None]
    grand = means.sum(-1) / n
    centred_trace = trace - n * grand
    centred_square = square - 2 * n * means.square().sum(-1) + (n * grand).square()
    return torch.where(n > 1, centred_trace.square() / centred_square, torch.nan)


def _sums(
    gram: Float32[Tensor, "n m m"], keep: Float32[Tensor, "n p m"]
) -> tuple[Float64[Tensor, "n p"], Float64[Tensor, "n p"], Float64[Tensor, "n p m"]]:
    """Over counted rows and columns: the trace, the sum of squares, the row sums."""
    trace = (keep * gram.diagonal(dim1=-2, dim2=-1)[:, None]).double().sum(-1)
    square = ((keep @ gram.square()) * keep).double().sum(-1)
    return trace, square, ((keep @ gram) * keep).double()
