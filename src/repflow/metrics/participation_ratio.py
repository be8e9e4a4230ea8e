"""participation_ratio: how many directions the tokens of a sequence spread over."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float32, Float64
from torch import Tensor

from repflow.metrics.view import SiteView


@dataclass(frozen=True)
class ParticipationRatio:
    """tr(K)^2 / ||K||_F^2 of the Gram matrix K of the sampled counted tokens; in [1, min(rows, d)], NaN if K is zero.

    `centred` takes the counted rows' mean away first. Rows are those of token CKA: all up to `gram_rows` of an
    example, beyond that a sample; the value grows with the number of rows, so compare like with like.
    """

    name: str = "participation_ratio"
    variants: tuple[str, ...] = ("uncentred", "centred")

    def measure(self, view: SiteView) -> dict[str, Tensor]:
        return participation_ratios(view)


def participation_ratios(view: SiteView) -> dict[str, Float64[Tensor, "p n"]]:
    """Both variants at a site, computed once for the metrics that read them."""
    if "participation_ratio" not in view.shared:
        keep = view.gram_keep()
        view.shared["participation_ratio"] = {
            "uncentred": _ratio(view.gram.raw()[None].expand(len(keep), -1, -1, -1), keep),
            "centred": _ratio(centre(view.gram.centred, keep), keep),
        }
    return view.shared["participation_ratio"]


def centre(gram: Float32[Tensor, "n m m"], keep: Bool[Tensor, "p n m"]) -> Float32[Tensor, "p n m m"]:
    """Gram matrices about the mean of the counted rows, zero elsewhere."""
    both = keep[..., :, None] & keep[..., None, :]
    counted = torch.where(both, gram, 0.0)
    n = keep.sum(-1).clamp(min=1)[..., None]
    rows = counted.sum(-1) / n
    total = (rows.sum(-1) / n[..., 0])[..., None, None]
    return torch.where(both, counted - rows[..., :, None] - rows[..., None, :] + total, 0.0)


def _ratio(gram: Float32[Tensor, "p n m m"], keep: Bool[Tensor, "p n m"]) -> Float64[Tensor, "p n"]:
    both = keep[..., :, None] & keep[..., None, :]
    trace = torch.where(keep, gram.diagonal(dim1=-2, dim2=-1), 0.0).double().sum(-1)
    square = torch.where(both, gram, 0.0).square().sum((-2, -1), dtype=torch.float64)
    return trace.square() / square
