"""Small tensor operations under one typed name: torch's own stubs leave these untyped."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor


def row_norm(x: Tensor) -> Tensor:
    """Euclidean norm along the last dimension."""
    return torch.linalg.vector_norm(x, dim=-1)


def row_dot(a: Tensor, b: Tensor) -> Tensor:
    """Inner product along the last dimension of [n, t, d]. einsum takes no room for the products, unlike vecdot."""
    return torch.einsum("ntd,ntd->nt", a, b)


def angle(cosine: Tensor) -> Tensor:
    """Angle in radians, in [0, pi], of cosines that may be past 1 by rounding."""
    return torch.acos(cosine.clamp(-1.0, 1.0))


def spectrum(symmetric: Tensor) -> Tensor:
    """Eigenvalues of symmetric matrices, ascending, computed in float64."""
    return torch.linalg.eigvalsh(symmetric.double())


def entropy_of(shares: Tensor) -> Tensor:
    """-sum p log p along the last dimension, 0 log 0 = 0."""
    return torch.special.entr(shares).sum(-1)


def as_tensor(array: NDArray[Any]) -> Tensor:
    """A tensor over the array's memory."""
    return torch.from_numpy(array)


def as_list(x: Tensor) -> list[Any]:
    """The numbers of a tensor as (nested) Python lists."""
    return x.tolist()
